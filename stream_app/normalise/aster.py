"""Aster payloads (docs/exchanges/aster.md): the rows of Binance USD-M without `st`.

binance.py says what they mean. The caps of fundingInfo stand under other names.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from schemas.venues.aster import FEED
from stream_app.model import InstrumentUpdate, Update
from stream_app.normalise import binance, binance_facts
from stream_app.normalise.numbers import Number, hours, number, optional
from stream_app.normalise.payloads import Item, PayloadReader, with_faults


class _FundingInfo(msgspec.Struct, gc=False, rename="camel"):
    """A row of fundingInfo (§9c). The caps are JSON numbers."""

    symbol: str
    funding_interval_hours: Number = None
    funding_fee_cap: Number = None
    funding_fee_floor: Number = None


def _funding_info(row: _FundingInfo, _item: Item) -> Sequence[Update]:
    faults: list[str] = []
    facts = InstrumentUpdate(
        row.symbol,
        interval_hours=optional(hours, row.funding_interval_hours, "fundingIntervalHours", faults),
        rate_cap=optional(number, row.funding_fee_cap, "fundingFeeCap", faults),
        rate_floor=optional(number, row.funding_fee_floor, "fundingFeeFloor", faults),
    )
    return with_faults(row.symbol, faults, facts)


normalise = binance.normaliser_of(
    binance.UNMARKED,
    FEED,
    {
        ("contract", "fundingInfo"): PayloadReader(_FundingInfo, _funding_info),
    },
)
split_symbol = binance_facts.split_symbol
