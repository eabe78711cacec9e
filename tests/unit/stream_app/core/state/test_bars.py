"""Hourly bars: when they close, what they count (docs/decisions/hourly-bars.md)."""

from __future__ import annotations

from schemas.records import Transport
from schemas.times import US_PER_HOUR, US_PER_S
from stream_app.core.state.bars import (
    LATENESS_US,
    MAX_HELD,
    SILENT_CLOSE_US,
    BarState,
    ClosedBar,
    Held,
)

HOUR = 497_500 * US_PER_HOUR
S = US_PER_S
STALE_US = 10 * S


def feed(state: BarState, *updates: Held) -> list[ClosedBar]:
    """The bars that these updates close."""
    closed: list[ClosedBar] = []
    for update in updates:
        state.add(update)
        closed += state.settle(STALE_US)
    return closed


def held(
    at: int, rate: float, z: float | None = None, mark: float | None = None, by: Transport = "ws"
) -> Held:
    """An update `at` µs after HOUR."""
    return Held(HOUR + at, rate, z, mark, by)


def test_a_bar_closes_when_the_lateness_after_its_end_has_passed() -> None:
    """Not before: an update could still correct it."""
    state = BarState()
    assert feed(state, held(0, 0.1), held(US_PER_HOUR + LATENESS_US - 1, 0.2)) == []
    (bar,) = feed(state, held(US_PER_HOUR + LATENESS_US, 0.3))
    assert (bar.hour, bar.open, bar.updates, bar.covered_s) == (HOUR, 0.1, 1, 10.0)


def test_an_older_update_corrects_the_open_bar() -> None:
    """It holds from its own time on."""
    state = BarState()
    feed(state, held(0, 0.1), held(4 * S, 0.3), held(2 * S, 0.2), held(6 * S, 0.1))
    (bar,) = state.close_silent(HOUR + US_PER_HOUR + SILENT_CLOSE_US, STALE_US)
    assert (bar.high, bar.updates, bar.covered_s) == (0.3, 4, 16.0)
    assert abs(bar.mean - (2 * 0.1 + 2 * 0.2 + 2 * 0.3 + 10 * 0.1) / 16) < 1e-15


def test_the_wall_clock_closes_the_bar_of_a_silent_contract() -> None:
    """Two minutes after its end, and once."""
    state = BarState()
    feed(state, held(1 * S, 0.1))
    wall = HOUR + US_PER_HOUR + SILENT_CLOSE_US
    assert list(state.close_silent(wall - 1, STALE_US)) == []
    assert len(list(state.close_silent(wall, STALE_US))) == 1
    assert list(state.close_silent(wall + US_PER_HOUR, STALE_US)) == []


def test_an_update_for_a_closed_hour_is_counted_in_the_next_bar() -> None:
    """It is late, however new it is for its contract."""
    state = BarState()
    feed(state, held(1 * S, 0.1))
    list(state.close_silent(HOUR + US_PER_HOUR + SILENT_CLOSE_US, STALE_US))
    feed(state, held(2 * S, 0.2), held(US_PER_HOUR + S, 0.3))
    (bar,) = state.close_silent(HOUR + 2 * US_PER_HOUR + SILENT_CLOSE_US, STALE_US)
    assert (bar.open, bar.updates, bar.late_updates) == (0.3, 1, 1)


def test_a_rate_is_carried_over_the_hour() -> None:
    """It opens the next bar, which counts no update of its own for it."""
    state = BarState()
    feed(state, held(US_PER_HOUR - S, 0.1), held(US_PER_HOUR + S, 0.2))
    first, second = state.close_silent(HOUR + 2 * US_PER_HOUR + SILENT_CLOSE_US, STALE_US)
    assert (first.close, first.covered_s) == (0.1, 1.0)
    assert (second.open, second.close, second.updates) == (0.1, 0.2, 1)
    assert second.covered_s == 11.0


def test_z_mark_and_transport_are_kept() -> None:
    """Lowest, highest and last z, the last mark price, seconds by owner."""
    state = BarState()
    feed(
        state,
        held(0, 0.1, 1.5, 100.0),
        held(2 * S, 0.1, -2.5, None, "rest"),
        held(5 * S, 0.1, 0.5, 102.0),
    )
    (bar,) = state.close_silent(HOUR + US_PER_HOUR + SILENT_CLOSE_US, STALE_US)
    assert (bar.z_min, bar.z_max, bar.z_close, bar.mark_close) == (-2.5, 1.5, 0.5, 102.0)
    assert (bar.ws_s, bar.rest_s) == (12.0, 3.0)


def test_what_is_held_is_bounded() -> None:
    """A contract that updates a thousand times a second loses no time in its bar."""
    state = BarState()
    updates = [held(i * 1_000, 0.1) for i in range(3 * MAX_HELD)]
    assert feed(state, *updates) == []
    assert len(state.held) <= MAX_HELD
    (bar,) = state.close_silent(HOUR + US_PER_HOUR + SILENT_CLOSE_US, STALE_US)
    assert (bar.updates, bar.covered_s) == (3 * MAX_HELD, (3 * MAX_HELD - 1) / 1_000 + 10)
