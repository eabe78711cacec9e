"""What faults do to a market: intervals that change, settlements that are shown late. Pure."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from infra.simulator.market.history import Lateness, SettlementBook, Special
from infra.simulator.market.listings import Listings, Oddities
from infra.simulator.market.market import HOUR_MS, Market
from infra.simulator.market.universe import Asset, Contract
from tests.support.faults import NOW_MS
from tests.support.market_terms import change_interval


def _contract(name: str, hours: int, offset_ms: int = 0) -> Contract:
    return Contract(
        name, Asset(name, tradfi=False), "USDT", "crypto", hours, 2_000_000, "active", 1.0,
        grid_offset_ms=offset_ms,
    )  # fmt: skip


@given(
    st.sampled_from([1, 2, 4, 8]), st.sampled_from([1, 2, 4, 8]),
    st.integers(0, 24 * HOUR_MS - 1), st.integers(1, 30 * HOUR_MS),
)  # fmt: skip
def test_a_changed_interval(old: int, new: int, changed_after_ms: int, later_ms: int) -> None:
    """Ahead: the new grid. Until its first point: the last settlement of the old one."""
    day_ms = NOW_MS // (24 * HOUR_MS) * 24 * HOUR_MS
    changed_ms = day_ms + changed_after_ms
    changed, same = (Market(3, "kucoin", [_contract("A", old), _contract("B", 8)]) for _ in "12")
    last = int(changed.last_funding_ms(changed_ms)[0]), int(changed.settled_units(changed_ms)[0])
    change_interval(changed, 0, new, changed_ms)
    first_ms = changed_ms // (new * HOUR_MS) * new * HOUR_MS + new * HOUR_MS
    assert int(changed.next_funding_ms(changed_ms)[0]) == first_ms
    at_ms = changed_ms + later_ms
    shown = int(changed.last_funding_ms(at_ms)[0]), int(changed.settled_units(at_ms)[0])
    if at_ms < first_ms:
        assert shown == last
    else:
        settled = changed.settlements(changed_ms, at_ms)
        own = settled.row == 0
        assert shown == (settled.funding_ms[own][-1], settled.rate_units[own][-1])
    other, untouched = changed.snapshot(at_ms), same.snapshot(at_ms)
    assert other.rate_units[1] == untouched.rate_units[1]
    assert changed.interval_hours(1, at_ms) == 8


def test_lateness_hides_only_what_settles_later() -> None:
    """Late: all that is young. Newest first: the one before the newest that is young."""
    start_ms = NOW_MS // HOUR_MS * HOUR_MS + 1_000
    book = SettlementBook(Market(3, "backpack", [_contract("A", 1), _contract("B", 1)]), start_ms)
    known = book.positions(None, None, None)
    book.lateness = Lateness(start_ms, HOUR_MS // 2, newest_first=False)
    assert np.array_equal(book.positions(None, None, None), known)
    book.settle(start_ms + HOUR_MS)
    assert np.array_equal(book.positions(None, None, None), known)
    book.settle(start_ms + HOUR_MS + HOUR_MS // 2)
    assert len(book.positions(0, None, None)) == len(known) // 2 + 1
    book.lateness = Lateness(start_ms, HOUR_MS // 2, newest_first=True)
    book.settle(start_ms + 2 * HOUR_MS)
    shown = book.all.funding_ms[book.positions(0, None, None)].tolist()
    everything = np.unique(book.all.funding_ms).tolist()
    assert shown == [*everything[:-2], everything[-1]]


def test_a_special_settlement_follows_its_regular_one() -> None:
    """The last one or the next one; in the order of the stamps, told once."""
    start_ms = NOW_MS // HOUR_MS * HOUR_MS + 1_000
    book = SettlementBook(Market(3, "backpack", [_contract("A", 1), _contract("B", 1)]), start_ms)
    last_ms = start_ms - 1_000
    book.order(Special(1, last_ms, -20_000_000))
    book.order(Special(1, last_ms, 5))
    book.order(Special(0, last_ms + HOUR_MS, 7))
    new = book.settle(start_ms + 1)
    assert (new.row.tolist(), new.rate_units.tolist()) == ([1, 1], [-20_000_000, 5])
    assert len(book.settle(start_ms + 2).row) == 0
    later = book.settle(start_ms + HOUR_MS)
    assert sorted(later.row.tolist()) == [0, 0, 1]
    assert np.all(np.diff(book.all.raw_ms) >= 0)
    special = [
        (row, units)
        for row, raw_ms, units in zip(
            book.all.row.tolist(), book.all.raw_ms.tolist(), book.all.rate_units.tolist(),
            strict=True,
        )
        if book.is_special(row, raw_ms)
    ]  # fmt: skip
    assert sorted(special) == [(0, 7), (1, -20_000_000), (1, 5)]


def test_a_missing_settlement_is_not_shown() -> None:
    """That of one contract alone, for as long as it is said."""
    start_ms = NOW_MS // HOUR_MS * HOUR_MS + 1_000
    listings = Listings(["A", "B"])
    market = Market(3, "backpack", [_contract("A", 1), _contract("B", 1)])
    book = SettlementBook(market, start_ms, listings)
    known = len(book.positions(None, None, None))
    listings.set_oddities(Oddities({}, missing=frozenset({(1, start_ms - 1_000)})))
    assert len(book.positions(None, None, None)) == known - 1
    assert len(book.positions(0, None, None)) == known // 2
    listings.set_oddities(Oddities({}))
    assert len(book.positions(None, None, None)) == known
