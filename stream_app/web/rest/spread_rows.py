"""Pairs as rows of the API: both legs, what is traded of them, and what they have paid."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import numpy as np

from schemas.records import ZScore
from schemas.times import US_PER_S
from stream_app.web.fleet import Published
from stream_app.web.history.history import Days
from stream_app.web.history.queries import WINDOW_DAYS
from stream_app.web.history.times_told import iso
from stream_app.web.rest.answers import Leg, Spread
from stream_app.web.rest.live_routes import PIECE
from stream_app.web.rest.pairs import Pair, paid_by_pairs


def _leg(zscore: ZScore, contracts: Mapping[str, Published]) -> Leg:
    known = contracts.get(zscore["contract_id"])
    return Leg(
        contract_id=zscore["contract_id"],
        feed=zscore["feed"],
        rate=zscore["rate"],
        interval_hours=zscore["interval_hours"],
        rate_8h=zscore["rate_8h"],
        event_time=zscore["event_time"],
        event_time_iso=iso(zscore["event_time"]),
        mark_price=zscore["mark_price"],
        multiplier=zscore["multiplier"],
        turnover_24h=None if known is None else known.turnover_24h,
        open_interest=None if known is None else known.open_interest,
    )


def _smaller(*turnovers: float | None) -> float | None:
    known = [turnover for turnover in turnovers if turnover is not None]
    return min(known) if len(known) == len(turnovers) else None


async def spread_rows(
    pairs: Sequence[Pair],
    contracts: Mapping[str, Published],
    days: Mapping[str, Days],
    now_us: int,
) -> list[Spread]:
    """Return pairs as rows, piece by piece, so that others have their turn in the event loop."""
    unknown = np.full(WINDOW_DAYS, np.nan)
    made: list[Spread] = []
    for begin in range(0, len(pairs), PIECE):
        await asyncio.sleep(0)
        piece = pairs[begin : begin + PIECE]
        paid = paid_by_pairs(
            np.stack([days.get(pair.high["contract_id"], unknown) for pair in piece]),
            np.stack([days.get(pair.low["contract_id"], unknown) for pair in piece]),
        )
        legs = [(_leg(pair.high, contracts), _leg(pair.low, contracts)) for pair in piece]
        made += [
            Spread(
                base=pair.base,
                gap_8h=pair.gap_8h,
                gap_apr=pair.gap_apr,
                high=high,
                low=low,
                oldest_s=max(0.0, (now_us - pair.oldest_event) / US_PER_S),
                price_gap=pair.price_gap,
                price_checked=pair.price_gap is not None,
                min_turnover_24h=_smaller(high.turnover_24h, low.turnover_24h),
                # JSON has NaN as null.
                paid_7d=week,
                paid_30d=month,
                sign_days=sign_days,
                days=by_day,
            )
            for pair, (high, low), by_day, week, month, sign_days in zip(
                piece, legs, *paid, strict=True
            )
        ]
    return made
