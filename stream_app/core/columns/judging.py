"""What the updates of contracts are judged by, in columns beside those of hot.py.

All of it follows from the contract's other state: its baseline in the present hour, its interval,
its caps, its alerts. While a contract is in its row none of that changes, except by `note_alerts`.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from schemas.feeds import spec
from schemas.serde.codec import Encoder
from schemas.serde.rate_columns import RateEncoder
from schemas.serde.settlement_columns import SettlementEncoder
from schemas.serde.zscore_columns import ZScoreEncoder
from schemas.times import hour_floor
from schemas.topics import RATES, SETTLEMENTS, ZSCORES
from stream_app.core.columns.hot import NAN, HotColumns
from stream_app.core.scoring.statistics import Statistics
from stream_app.core.state.bars import MAX_HELD
from stream_app.core.state.contract_state import ContractState
from stream_app.core.state.contract_store import ContractEntry
from stream_app.core.updates.plausibility import MAX_RATE, cap_limits


def is_regular(entry: ContractEntry) -> bool:
    """Tell whether a contract can be stepped in its row: nothing out of the ordinary stands open.

    That is: it streams and has a rate of the stream with all optional values, its interval is
    certain and agrees with the coming funding time, no gap is open, no clock is corrected, and what
    has been learnt of it is evaluated for the hour of its newest update.
    """
    contract, agreed = entry.contract, entry.agreed
    if agreed is None or not entry.streams or entry.corrections or not contract.emitted_updates:
        return False
    known, stream = entry.interval, contract.stream
    return (
        agreed[0] is known
        and agreed[1] == contract.next_funding_time
        and contract.interval == known
        and not known.doubtful
        and entry.hour == hour_floor(contract.event_time)
        and contract.transport == "ws"
        and contract.mark_price is not None
        and contract.index_price is not None
        and contract.doubt is None
        and not contract.beyond_since
        and not contract.skewed
        and stream.event_time > 0
        and not (stream.opened or stream.fills or stream.due_since or stream.awaited)
        and (not contract.lives or contract.lives[-1] <= contract.event_time)
        and len(contract.bars.held) <= MAX_HELD
    )


class Encoders:
    """The encoders of what is published."""

    def __init__(
        self,
        rates_header: bytes,
        zscores_header: bytes,
        settlements_header: bytes,
        records: Mapping[str, Callable[[Any], bytes]] = MappingProxyType({}),
    ) -> None:
        """Headers as `codec.wire_header` gives them; `records`: what encodes one, by topic."""
        self.records = records
        self.rates = RateEncoder(rates_header)
        self.zscores = ZScoreEncoder(zscores_header)
        self.settlements = SettlementEncoder(settlements_header)

    @classmethod
    def of(cls, encoders: Mapping[str, Encoder]) -> Encoders:
        """Return those that go with the encoders of records, by topic."""
        return cls(
            encoders[RATES.name].header,
            encoders[ZSCORES.name].header,
            encoders[SETTLEMENTS.name].header,
            {topic: encoder.encode for topic, encoder in encoders.items()},
        )


class FeedColumns(HotColumns):
    """The columns of all contracts of one feed that this process has."""

    def __init__(self, feed: str, max_rate: float, encoders: Encoders) -> None:
        """`max_rate`: the cap of contracts for which the exchange states none."""
        super().__init__()
        self.feed = feed
        self.rate_kind: str = spec(feed).rate_kind.value
        self.encoders = encoders
        self._max_rate = max_rate
        self.hour = np.zeros(0, np.int64)
        """The hour (µs) for which the following hold."""
        self.hours = np.zeros(0)
        """The interval of rates."""
        self.source = np.zeros(0, np.uint8)
        """How it is known, as the byte that encodes it."""
        self.mean = np.zeros(0)
        self.std = np.zeros(0)
        self.median = np.zeros(0)
        self.mad = np.zeros(0)
        self.lowest = np.zeros(0)
        self.highest = np.zeros(0)
        """Rates beyond these are out of range."""
        self.sign = np.zeros(0, np.int64)
        """The sign that alerts have told."""
        self.is_flipped = np.zeros(0, np.bool_)
        """The rate has another sign, which is not told yet."""
        self.calm_low = np.zeros(0)
        self.calm_high = np.zeros(0)
        """Between which values z leads to no alert (`AlertState.calm_range`)."""
        self.awaits = np.zeros(0, np.bool_)
        """Time alone may lead to an alert."""
        self.rate_identities: list[bytes] = []
        self.zscore_identities: list[bytes] = []
        self.keys: list[bytes] = []
        self.baselines: list[bytes] = []
        self.tails: list[bytes] = []
        self._windows: list[array[float] | None] = []
        """The baselines' rates in ascending order, made when a percentile is asked for."""

    def _grow(self, rows: int) -> None:
        super()._grow(rows)
        added = rows - len(self.keys)
        for column in (
            self.rate_identities,
            self.zscore_identities,
            self.keys,
            self.baselines,
            self.tails,
        ):
            column.extend([b""] * added)
        self._windows += [None] * added

    def put_in(self, entry: ContractEntry) -> None:
        """Move a regular contract (`is_regular`) into its row."""
        super().put_in(entry)
        row, contract = entry.row, entry.contract
        self.hour[row] = entry.hour
        self.hours[row] = entry.interval.hours
        self.source[row] = self.encoders.rates.source_codes[entry.interval.source]
        self._put_statistics(row, entry.stats)
        low, high = cap_limits(contract, self._max_rate)
        self.lowest[row], self.highest[row] = max(low, -MAX_RATE), min(high, MAX_RATE)
        self.note_alerts(row, contract)
        identity = (contract.contract_id, self.feed, contract.symbol, contract.base)
        self.rate_identities[row] = self.encoders.rates.identity(
            *identity, contract.quote, contract.multiplier
        )
        zscores = self.encoders.zscores
        self.zscore_identities[row] = zscores.identity(*identity)
        self.keys[row] = contract.contract_id.encode()
        self.tails[row] = zscores.tail(
            entry.interval.source,
            contract.generation,
            self.rate_kind,
            contract.quote,
            contract.multiplier,
        )

    def turn_hour(self, row: int, event_time: int) -> None:
        """Make what a contract is judged by that of the hour of its next update (µs).

        Nothing is done if its interval is another one by then: that is for rates.py.
        """
        entry = self.entries[row]
        assert entry is not None, "a row in use"
        entry.refresh(event_time)
        if entry.interval != entry.contract.interval or entry.interval.doubtful:
            return
        entry.agreed = (entry.interval, self.next_funding_time.item(row))
        self._put_statistics(row, entry.stats)
        self.hour[row] = entry.hour

    def _put_statistics(self, row: int, stats: Statistics | None) -> None:
        usable = stats is not None and stats.usable
        self.mean[row] = stats.mean if stats is not None and usable else NAN
        self.std[row] = stats.std if stats is not None and usable else NAN
        self.median[row] = stats.median if stats is not None and usable else NAN
        self.mad[row] = (stats.mad if stats is not None and usable else None) or NAN
        encode = self.encoders.zscores.baseline
        if stats is None:
            self.baselines[row] = encode(None, None, 0, "none", None)
        else:
            self.baselines[row] = encode(
                stats.mean, stats.std, stats.samples, stats.confidence, stats.as_of
            )
        self._windows[row] = None

    def note_alerts(self, row: int, contract: ContractState) -> None:
        """Take over what the alerts of a contract have come to."""
        alerts = contract.alerts
        self.sign[row] = contract.sign
        self.is_flipped[row] = alerts.flipped_at != 0
        self.calm_low[row], self.calm_high[row] = alerts.calm_range()
        self.awaits[row] = alerts.awaits

    def window(self, row: int) -> array[float]:
        """Return the rates (per 8 h) of a contract's baseline in ascending order."""
        window = self._windows[row]
        if window is None:
            entry = self.entries[row]
            assert entry is not None
            window = array("d", np.sort(entry.baseline.window()).tobytes())
            self._windows[row] = window
        return window
