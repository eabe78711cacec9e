"""How old the newest known rate of each contract was, second by second, and for what share it held.

Known at a time is what was received by then. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.evidence import Fault, Stored
from producers.exchanges import exchange
from schemas.feeds import FEEDS
from schemas.times import US_PER_S

Ages = NDArray[np.float64]

UNUSABLE = frozenset({
    "refuse-rest", "http-429", "http-418", "http-403", "http-5xx", "maintenance", "bad-units",
})  # fmt: skip
"""Faults during which REST brings nothing that can be used."""


class Freshness(NamedTuple):
    """Ages over all contracts and seconds, and the share of contract-seconds that are not stale."""

    contracts: int
    contract_seconds: int
    p50_s: float
    p99_s: float
    max_s: float
    uptime: float
    reachable_seconds: int
    uptime_reachable: float
    """While REST could be reached; as `uptime` where it always could."""
    p99_reachable_s: float


def freshness(
    rows: Iterable[Stored],
    listed: Mapping[str, tuple[int, int]],
    span: tuple[int, int],
    stale_s: float,
    unreachable: Sequence[tuple[int, int]] = (),
) -> Freshness:
    """Sample each contract's age every second of `span` (µs).

    Args:
        rows: what was received.
        listed: from when until when each contract is expected, µs; others are not counted.
        span: from when until when.
        stale_s: a rate that is older is not known any more.
        unreachable: when REST could not be used.
    """
    times = np.arange(span[0], span[1], US_PER_S, dtype=np.int64)
    reachable = np.ones(len(times), dtype=bool)
    for since, until in unreachable:
        reachable &= (times < since) | (times > until)
    ages: list[Ages] = []
    could: list[NDArray[np.bool_]] = []
    for contract_id, known in _by_contract(rows).items():
        if contract_id in listed:
            since, until = listed[contract_id]
            inside = (times >= since) & (times <= until)
            ages.append(_ages(known, times[inside]))
            could.append(reachable[inside])
    if not ages:
        nan = float("nan")
        return Freshness(0, 0, nan, nan, nan, nan, 0, nan, nan)
    every, open_ = np.concatenate(ages), np.concatenate(could)
    fresh = every < stale_s
    return Freshness(
        len(ages),
        len(every),
        _quantile(every, 0.5),
        _quantile(every, 0.99),
        _quantile(every, 1.0),
        float(fresh.mean()) if len(every) else float("nan"),
        int(open_.sum()),
        float(fresh[open_].mean()) if open_.any() else float("nan"),
        _quantile(every[open_], 0.99),
    )


def unreachable(
    faults: Iterable[Fault], feed: str, again_s: float, from_us: int, until_us: int
) -> list[tuple[int, int]]:
    """Return when a feed could not use REST.

    `again_s`: how long after its return it may be until the next poll of one that failed.
    """
    # A ban of one feed bars all of its group: they share an address's limits.
    shared = exchange(feed).limits_group
    group = {each for each in FEEDS if exchange(each).limits_group == shared}
    spans = []
    for fault in faults:
        bans = fault.kind in {"http-429", "http-418", "http-403"}
        concerned = fault.concerns(feed) or (bans and fault.feed in group)
        if fault.kind in UNUSABLE and concerned:
            wait_s = again_s + float(fault.parameters.get("retry_after_s") or 0.0)
            end = fault.ended_at + round(wait_s * US_PER_S)
            if fault.began_at < until_us and end > from_us:
                spans.append((fault.began_at, end))
    return spans


def _by_contract(rows: Iterable[Stored]) -> dict[str, list[tuple[int, int]]]:
    found: dict[str, list[tuple[int, int]]] = {}
    for row in rows:
        found.setdefault(row.contract_id, []).append((row.received_at, row.event_time))
    return found


def _ages(known: list[tuple[int, int]], times: NDArray[np.int64]) -> Ages:
    """Return the age of the newest event known at each time, s; inf before the first."""
    table = np.array(sorted(known), dtype=np.int64)
    newest = np.maximum.accumulate(table[:, 1])
    index = np.searchsorted(table[:, 0], times, side="right") - 1
    ages = (times - newest[np.maximum(index, 0)]) / US_PER_S
    return np.where(index < 0, np.inf, np.maximum(ages, 0.0))


def _quantile(values: Ages, share: float) -> float:
    if not len(values):
        return float("nan")
    ordered = np.sort(values)
    return float(ordered[min(len(ordered) - 1, int(len(ordered) * share))])


def listed_spans(
    rows: Iterable[Stored], ends: Mapping[str, int], from_us: int, until_us: int
) -> dict[str, tuple[int, int]]:
    """Return from when until when each contract is expected.

    From `from_us` or its first row on, until `until_us` or its end (`ends`, µs).
    """
    first: dict[str, int] = {}
    for row in rows:
        known = first.get(row.contract_id, row.received_at)
        first[row.contract_id] = min(known, row.received_at)
    return {
        contract_id: (max(from_us, since), min(until_us, ends.get(contract_id, until_us)))
        for contract_id, since in first.items()
    }
