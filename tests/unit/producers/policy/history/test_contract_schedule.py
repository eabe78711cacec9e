"""When each contract's settlements are fetched: all at start, then slowly round and round."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.policy.history.actions import (
    OVERLAP_MS,
    Action,
    Announce,
    Fetch,
    HistoryView,
    Release,
    Wait,
    WalkEnd,
)
from producers.policy.history.catch_up import ATTEMPTS, PAUSE_MS, VISITS
from producers.policy.history.contract_schedule import LATE_MS, ContractSchedule, due
from schemas.times import MS_PER_DAY, MS_PER_HOUR

HOUR_MS = 497_222 * MS_PER_HOUR
CALLS_PER_HOUR = 40
TURN_MS = MS_PER_HOUR // CALLS_PER_HOUR


class Scene:
    """A runner without I/O: it does what the schedule says, and time passes only by waiting."""

    def __init__(self, *contracts: str, days: int = 30) -> None:
        self.contracts = list(contracts)
        self.days = days
        self.through_ms: dict[str, int] = {}
        self.announced: set[str] = set()
        self.broken: set[str] = set()
        self.now_ms = HOUR_MS + MS_PER_HOUR // 2
        self.schedule = ContractSchedule(days, CALLS_PER_HOUR)
        self.steps: list[Action] = []
        self.call_ms = 0
        """How long a visit takes."""

    @property
    def view(self) -> HistoryView:
        """What the schedule sees now."""
        announced = frozenset(self.announced)
        return HistoryView(self.contracts, None, self.through_ms, announced, self.now_ms)

    def step(self) -> Action:
        """Carry out the next step."""
        step = self.schedule.next(self.view)
        self.steps.append(step)
        match step:
            case Announce(contracts):
                self.announced.update(contracts)
            case Release(contracts):
                self.announced.difference_update(contracts)
            case Wait(until_ms):
                self.now_ms = until_ms
            case Fetch((symbol,)):
                finished = symbol not in self.broken
                self.now_ms += self.call_ms
                if finished:
                    self.through_ms[symbol] = self.now_ms
                self.schedule.ended(step, WalkEnd(finished, 1 if finished else 3), self.now_ms)
        return step

    def fill(self) -> list[Action]:
        """Carry out steps until all that was missing has come or was given up."""
        while not self.schedule.caught_up:
            self.step()
        return self.steps

    def visited(self, turns: int) -> list[str]:
        """Return whom the next fetches are about."""
        begin, found = len(self.steps), 0
        while found < turns:
            found += isinstance(self.step(), Fetch)
        return [step.contracts[0] for step in self.steps[begin:] if isinstance(step, Fetch)]


def fetch(scene: Scene, symbol: str, since_ms: int | None = None) -> Fetch:
    """The visit of a contract; without a time that of one without any history."""
    oldest_ms = scene.now_ms - scene.days * MS_PER_DAY
    return Fetch((symbol,), oldest_ms if since_ms is None else since_ms, "contract", ATTEMPTS)


def test_each_contract_is_complete_for_itself() -> None:
    """All are announced, then each one is fetched and released: its z appears early."""
    scene = Scene("A", "B")
    assert scene.schedule.complete(scene.view) == 0
    assert scene.fill() == [
        Announce(("A", "B")),
        fetch(scene, "A"),
        Release(("A",)),
        fetch(scene, "B"),
        Release(("B",)),
    ]
    assert (scene.schedule.complete(scene.view), scene.schedule.progress(scene.view)) == (2, 1.0)


def test_without_days_of_history_every_contract_is_complete() -> None:
    """There is nothing to load, so each baseline counts as loaded."""
    scene = Scene("A", "B", days=0)
    assert scene.schedule.complete(scene.view) == 2


def test_a_restart_goes_on_with_those_that_are_missing() -> None:
    """What is complete is only caught up, after the others and without marks."""
    scene = Scene("A", "B", "C", "D")
    since_ms = scene.now_ms - 2 * MS_PER_DAY
    scene.through_ms = {"A": since_ms, "C": scene.now_ms - 31 * MS_PER_DAY, "D": scene.now_ms}
    assert scene.fill() == [
        Announce(("B", "C")),
        fetch(scene, "B"),
        Release(("B",)),
        fetch(scene, "C"),
        Release(("C",)),
        fetch(scene, "A", since_ms - OVERLAP_MS),
    ]


def test_a_restart_releases_whom_an_earlier_run_announced() -> None:
    """Those that are complete, or gone; the others are announced again and released in turn."""
    scene = Scene("DONE", "MISSING")
    scene.announced = {"DONE", "GONE", "MISSING"}
    scene.through_ms = {"DONE": scene.now_ms}
    assert scene.fill() == [
        Release(("DONE", "GONE")),
        Announce(("MISSING",)),
        fetch(scene, "MISSING"),
        Release(("MISSING",)),
    ]
    assert not scene.announced


def test_a_contract_that_fails_holds_up_no_other() -> None:
    """It is tried again behind them, a few times and after a pause; then it is released."""
    scene = Scene("A", "B", "C")
    scene.broken = {"A"}
    steps = scene.fill()
    began_ms = HOUR_MS + MS_PER_HOUR // 2
    assert [step.contracts[0] for step in steps if isinstance(step, Fetch)] == [
        *"ABC",
        *"A" * (VISITS - 1),
    ]
    assert steps[-1] == Release(("A",))
    assert scene.now_ms == began_ms + PAUSE_MS
    assert (scene.schedule.complete(scene.view), scene.announced) == (2, set())
    assert scene.schedule.progress(scene.view) < 1.0


def test_while_all_fail_the_round_pauses_once_each_time_all_were_tried() -> None:
    """An exchange that is away is not asked all the time; a pause that is cut short goes on."""
    scene = Scene("A", "B")
    scene.broken = {"A", "B"}
    while not isinstance(scene.schedule.next(scene.view), Wait):
        scene.steps.clear()
        scene.step()
    assert scene.schedule.next(scene.view) == Wait(scene.now_ms + PAUSE_MS)
    scene.fill()
    assert scene.announced == set()


def test_a_contract_that_goes_while_it_waits_is_released() -> None:
    """Nobody else would release what was announced."""
    scene = Scene("A", "B")
    assert scene.step() == Announce(("A", "B"))
    scene.contracts = ["A"]
    assert scene.fill()[1:] == [fetch(scene, "A"), Release(("A",)), Release(("B",))]


def test_the_slow_round_visits_whom_it_saw_last_longest_ago() -> None:
    """One at a time, as many calls an hour as are allowed; one that is new goes first."""
    scene = Scene("A", "B", "C")
    scene.call_ms = 1
    scene.fill()
    began_ms = scene.now_ms
    assert scene.visited(7) == list("ABCABCA")
    assert scene.now_ms - began_ms == 6 * TURN_MS + scene.call_ms
    scene.contracts.append("NEW")
    assert scene.visited(2) == ["NEW", "B"]
    marks = [step for step in scene.steps[-6:] if isinstance(step, Announce | Release)]
    assert marks == [Announce(("NEW",)), Release(("NEW",))]


def test_a_contract_that_always_fails_takes_turns_like_the_others() -> None:
    """Attempts count. Marks surround its visits, and their further calls make pauses longer."""
    scene = Scene("A", "B", "BAD", "C")
    scene.broken, scene.call_ms = {"BAD"}, 1
    scene.fill()
    scene.steps.clear()
    began_ms = scene.now_ms
    assert Counter(scene.visited(20)) == {"A": 5, "B": 5, "BAD": 5, "C": 5}
    spent = (15 + 5 * 3) * TURN_MS
    assert abs(scene.now_ms - began_ms - spent) <= 3 * TURN_MS
    announced = [step for step in scene.steps if isinstance(step, Announce)]
    assert announced == [Announce(("BAD",))] * 5
    scene.broken.clear()
    scene.visited(4)
    assert scene.schedule.complete(scene.view) == 4


def test_a_turn_is_at_most_an_hour_away() -> None:
    """However many calls the last one took."""
    scene = Scene("A")
    scene.fill()
    scene.step()
    scene.schedule.ended(fetch(scene, "A"), WalkEnd(finished=True, calls=999), scene.now_ms)
    assert scene.schedule.next(scene.view) == Wait(scene.now_ms + MS_PER_HOUR)


def test_nobody_listed_is_no_error() -> None:
    """The list may be empty for a while."""
    scene = Scene()
    assert isinstance(scene.step(), Wait)
    assert scene.schedule.caught_up
    assert scene.schedule.progress(scene.view) == 0.0


@pytest.mark.parametrize(
    ("through_ms", "now_ms", "expected"),
    [
        (HOUR_MS + LATE_MS, HOUR_MS + LATE_MS + 1, False),
        (HOUR_MS + LATE_MS - 1, HOUR_MS + LATE_MS + 1, True),
        (HOUR_MS + LATE_MS, HOUR_MS + MS_PER_HOUR - 1, False),
        (HOUR_MS + LATE_MS, HOUR_MS + MS_PER_HOUR, True),
    ],
)
def test_only_a_full_hour_brings_something_new(
    through_ms: int,
    now_ms: int,
    expected: bool,  # noqa: FBT001 - pytest passes parameters so
) -> None:
    """A restart within the hour asks for nothing, unless the settlement may have been late."""
    assert due(through_ms, now_ms) is expected


def test_a_gap_over_a_full_hour_is_filled_when_its_settlements_have_appeared() -> None:
    """The slow round would come to a contract after a day; one that is up to date is spared."""
    scene = Scene("A", "B", "C")
    scene.fill()
    scene.visited(1)
    scene.now_ms = HOUR_MS + 5 * MS_PER_HOUR
    scene.through_ms["C"] = scene.now_ms + LATE_MS
    scene.schedule.missed_an_hour(scene.now_ms)
    scene.visited(1)  # the turn that is due
    assert scene.schedule.next(scene.view).__class__ is Wait
    while scene.now_ms < HOUR_MS + 5 * MS_PER_HOUR + LATE_MS:
        scene.step()
    assert scene.now_ms == HOUR_MS + 5 * MS_PER_HOUR + LATE_MS
    begin = len(scene.steps)
    scene.through_ms.update(A=HOUR_MS, B=HOUR_MS)
    scene.visited(2)
    assert scene.steps[begin:] == [
        fetch(scene, symbol, HOUR_MS - OVERLAP_MS) for symbol in ("A", "B")
    ]


@given(
    st.lists(st.sampled_from("ABCDE"), unique=True, max_size=5),
    st.sets(st.sampled_from("ABCDE")),
    st.lists(st.tuples(st.sampled_from("ABCDEF"), st.booleans(), st.booleans()), max_size=30),
)
def test_whoever_is_announced_is_released_and_turns_are_paid_for(
    listed: list[str], broken: set[str], changes: list[tuple[str, bool, bool]]
) -> None:
    """Whatever is listed, delisted, mended or broken on the way."""
    scene = Scene(*listed)
    scene.broken = broken
    scene.fill()
    assert not scene.announced
    for symbol, present, works in changes:
        others = {*scene.contracts} - {symbol}
        scene.contracts = sorted(others | {symbol} if present else others)
        scene.broken = scene.broken - {symbol} if works else scene.broken | {symbol}
        began_ms, calls = scene.now_ms, 0
        while scene.now_ms == began_ms:
            step = scene.step()
            if isinstance(step, Fetch):
                calls += 3 if step.contracts[0] in scene.broken else 1
        assert calls <= 3 * len("ABCDEF"), "one turn, or one look at each new contract"
    scene.contracts = []
    for _ in range(10):
        scene.step()
    assert not scene.announced
