"""What holds for every sequence of records, restarts and kills of the notifier."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, time, timedelta
from itertools import accumulate, pairwise
from zoneinfo import ZoneInfo

import msgspec
from hypothesis import assume, given
from hypothesis import strategies as st

from schemas.records import Notification
from stream_app.notifier.rules.engine import Engine
from stream_app.notifier.rules.excursions import Track
from stream_app.notifier.rules.firing import Firing
from stream_app.notifier.rules.ledger import Ledger
from stream_app.notifier.rules.quiet_hours import QuietHours
from tests.support.rules import START_US, S, engine_of, rules_of, score

RULES = (
    "name: plain, when: {z: {abs: 3}}",
    "name: lasting, when: {z: {above: 2, back: 1}}, hold: 20s",
    "name: cooled, when: {z: {abs: 2}}, cool_down: 60s",
    "name: flips, when: {sign_flip: true}, hold: 10s",
    "name: both, when: {z: {above: 2}, apr: {above: 10}}, hold: 5s, cool_down: 30s",
)
Step = tuple[int, float | None, float]
STEPS = st.lists(
    st.tuples(
        st.integers(1, 40),
        st.one_of(st.none(), st.sampled_from([-4.0, -2.7, 0.0, 1.2, 2.4, 2.8, 3.5, 5.0])),
        st.sampled_from([-1e-4, 0.0, 5e-6, 1e-4]),
    ),
    max_size=40,
)


def run(engine: Engine, steps: list[Step], start_s: int = 0) -> list[Firing]:
    """Everything that fires."""
    found, at = [], start_s
    for seconds, z, rate in steps:
        at += seconds
        found += engine.on_zscore(score(at, z, rate=rate, apr=rate * 3 * 365))
    return found


def restarted(engine: Engine) -> Engine:
    """An engine that knows what the other one has stored, and nothing else."""
    after = engine_of(*RULES)
    for key, track in engine.tracks.take_changes().items():
        if track is not None:
            stored = msgspec.json.decode(msgspec.json.encode(track), type=Track)
            after.tracks.restore(key, stored)
    return after


@given(STEPS, st.data())
def test_a_restart_changes_nothing(steps: list[Step], data: st.DataObject) -> None:
    """Wherever it is, the same alerts fire, with the same ids."""
    cut = data.draw(st.integers(0, len(steps)))
    # A first z is a fact after a record without one, which is not stored.
    assume(cut == 0 or steps[cut - 1][1] is not None)
    whole = [firing.alert_id for firing in run(engine_of(*RULES), steps)]
    first = engine_of(*RULES)
    parts = run(first, steps[:cut])
    parts += run(restarted(first), steps[cut:], sum(step[0] for step in steps[:cut]))
    assert [firing.alert_id for firing in parts] == whole


@given(STEPS)
def test_alerts_keep_their_distance_and_have_ids_of_their_own(steps: list[Step]) -> None:
    """No id twice, nothing within the cool-down, nothing sooner than `hold` after it began."""
    found = run(engine_of(*RULES), steps)
    assert max(Counter(firing.alert_id for firing in found).values(), default=1) == 1
    for name, hold_s, cool_s in (("lasting", 20, 0), ("cooled", 0, 60), ("both", 5, 30)):
        times = [(f.event_time, f.alert_id) for f in found if f.rule.name == name]
        for at, alert_id in times:
            began = int(alert_id.rpartition("/")[2])
            assert at - began >= hold_s * S
        gaps = [later[0] - sooner[0] for sooner, later in pairwise(times)]
        assert all(gap >= cool_s * S for gap in gaps)


@given(STEPS)
def test_an_excursion_lies_beyond_from_its_beginning_to_its_alert(steps: list[Step]) -> None:
    """A model of the rule `lasting`: never at or below 1 since it began, above 2 at both ends."""
    at, values = START_US, {}
    for seconds, z, _rate in steps:
        at += seconds * S
        values[at] = z
    for firing in run(engine_of(RULES[1]), steps):
        began = int(firing.alert_id.rpartition("/")[2])
        within = [z for when, z in values.items() if began <= when <= firing.event_time]
        assert all(z is None or z > 1 for z in within)
        assert (within[0] or 0) > 2
        assert (within[-1] or 0) > 2


@given(STEPS, st.data())
def test_a_worker_that_repeats_its_last_records_changes_nothing(
    steps: list[Step], data: st.DataObject
) -> None:
    """Killed, it publishes again what it had published since its last checkpoint."""
    whole = [firing.alert_id for firing in run(engine_of(*RULES), steps)]
    cut = data.draw(st.integers(0, len(steps)))
    back = data.draw(st.integers(0, cut))
    times = list(accumulate(step[0] for step in steps))
    engine, found = engine_of(*RULES), []
    for index in [*range(cut), *range(back, len(steps))]:
        _, z, rate = steps[index]
        found += engine.on_zscore(score(times[index], z, rate=rate, apr=rate * 3 * 365))
    assert [firing.alert_id for firing in found] == whole


class Desk:
    """Notifiers, one after another, that may be killed between any two steps."""

    def __init__(self) -> None:
        self.stored: dict[tuple[str, str], Notification] = {}
        self.delivered: Counter[str] = Counter()
        self.now = START_US
        self.book = self.anew()

    def anew(self) -> Ledger:
        """A new process: it knows what is stored."""
        book = Ledger("g", ("desk",), 10**15, "")
        for record in self.stored.values():
            book.restore(record.copy())
        book.settle(self.now)
        return book

    def write(self) -> None:
        """A transaction."""
        for record in self.book.take_changes():
            self.stored[record["alert_id"], record["target"]] = record.copy()

    def attempt(self, *, kill: str, arrives: bool) -> None:
        """One message is sent; the process is killed at a point, or not."""
        self.write()
        key = self.book.next("desk")
        if key is None:
            return
        self.book.begin(key, self.now)
        if kill != "before the intent":
            self.write()
            if arrives:
                self.delivered[key[0]] += 1
        if kill:
            self.book = self.anew()
        elif arrives:
            self.book.sent(key, self.now)
        else:
            self.book.failed(key, "no", 3, self.now)


KILLS = st.sampled_from(["", "", "", "before the intent", "before the outcome"])


@given(st.lists(st.tuples(st.integers(0, 4), KILLS, st.booleans()), max_size=30))
def test_a_message_arrives_once_or_is_marked_as_in_doubt(
    steps: list[tuple[int, str, bool]],
) -> None:
    """Twice only where a process was killed between sending and noting, and never three times."""
    desk = Desk()
    (rule,) = rules_of("name: a, kinds: all").rules
    killed_in_doubt = 0
    for number, kill, arrives in steps:
        made = Firing(
            *(rule, f"id-{number}", "kucoin", "feed_down", "warning", None, "t", "m", desk.now)
        )
        desk.book.take(made, desk.now)
        desk.attempt(kill=kill, arrives=arrives)
        killed_in_doubt += kill == "before the outcome"
    for _ in range(50):  # In peace, everything that is left is told.
        desk.attempt(kill="", arrives=True)
    desk.write()
    for (alert_id, _target), record in desk.stored.items():
        count = desk.delivered[alert_id]
        assert record["outcome"] in {"sent", "failed", "unknown"}
        assert count <= 2
        if count == 2:
            assert record["in_doubt"]
            assert killed_in_doubt
        if record["outcome"] == "sent":
            assert count >= 1


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from([0, 5, 10, 10]), KILLS, st.booleans()),
        max_size=12,
    )
)
def test_each_alert_of_a_digest_is_told_in_it_however_the_clock_is_set(
    rounds: list[tuple[int, int, str, bool]],
) -> None:
    """A message with an id of its own has the title of each alert that is noted as told by it."""
    desk = Desk()
    (rule,) = rules_of("name: a, kinds: all, digest: 10s").rules
    for index, (alerts, back_s, kill, arrives) in enumerate(rounds):
        for number in range(alerts):
            name = f"<{index}-{number}>"
            made = Firing(
                *(rule, name, "kucoin", "feed_down", "warning", None, name, "m", START_US)
            )
            desk.book.take(made, desk.now)
        desk.now += 10 * S
        desk.book.close_digests(desk.now)
        desk.attempt(kill=kill, arrives=arrives)
        desk.now -= back_s * S
    desk.now += 3_600 * S
    desk.book.close_digests(desk.now)
    for _ in range(60):  # In peace, everything that is left is told.
        desk.attempt(kill="", arrives=True)
    desk.write()
    for (_, target), record in desk.stored.items():
        if record["outcome"] == "digest":
            digest = desk.stored[record["digest_id"] or "", target]
            assert record["title"] in digest["message"]
        else:
            assert record["outcome"] in {"sent", "failed", "unknown"}
    assert all(count <= 2 for count in desk.delivered.values())


ZONES = [ZoneInfo(name) for name in ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu")]
MINUTES = st.integers(0, 1_439)


@given(
    MINUTES,
    MINUTES,
    st.sampled_from(ZONES),
    st.frozensets(st.integers(0, 6), min_size=1),
    st.integers(0, 2 * 366 * 86_400),
)
def test_quiet_hours_end_and_hold_until_then(
    begin: int, end: int, zone: ZoneInfo, days: frozenset[int], at_s: int
) -> None:
    """Up to their end they hold with the same end; they last less than 25 hours."""
    assume(begin != end)
    hours = QuietHours(
        time(begin // 60, begin % 60),
        time(end // 60, end % 60),
        zone,
        days,
        critical_passes=True,
        collect=True,
    )
    now = START_US + at_s * S
    until = hours.ends_at(now)
    if until is None:
        return
    assert now < until <= now + 25 * 3_600 * S
    assert hours.ends_at(until - 1) == until
    assert hours.ends_at((now + until) // 2) == until


CHANGES_OF_CLOCKS = (
    (ZoneInfo("Europe/Berlin"), "2026-03-29T01:00Z"),
    (ZoneInfo("Europe/Berlin"), "2026-10-25T01:00Z"),
    (ZoneInfo("America/New_York"), "2026-03-08T07:00Z"),
    (ZoneInfo("America/New_York"), "2026-11-01T06:00Z"),
    (ZoneInfo("Australia/Lord_Howe"), "2026-10-03T15:30Z"),  # by half an hour
    (ZoneInfo("Australia/Lord_Howe"), "2026-04-04T15:00Z"),
    (ZoneInfo("Asia/Beirut"), "2026-03-28T22:00Z"),  # at midnight
    (ZoneInfo("Asia/Beirut"), "2026-10-24T21:00Z"),
)


@given(
    st.sampled_from(CHANGES_OF_CLOCKS),
    st.tuples(MINUTES, MINUTES),
    st.tuples(st.integers(-60, 60), st.integers(-60, 60)),
    st.booleans(),
    st.integers(-180, 180),
)
def test_quiet_hours_hold_whenever_the_clock_shows_them(
    change: tuple[ZoneInfo, str],
    anywhere: tuple[int, int],
    nearby: tuple[int, int],
    is_near: bool,  # noqa: FBT001 - hypothesis passes it by position
    minutes: int,
) -> None:
    """Around a change of clocks, too; more is quiet only where a time comes twice."""
    zone, iso = change
    changes_at = datetime.fromisoformat(iso)
    local = changes_at.astimezone(zone)
    shown = [
        (local + timedelta(minutes=offset)).time() if is_near else time(*divmod(minute, 60))
        for offset, minute in zip(nearby, anywhere, strict=True)
    ]
    begin, end = shown
    assume(begin != end)
    hours = QuietHours(begin, end, zone, frozenset(range(7)), critical_passes=True, collect=True)
    now = changes_at + timedelta(minutes=minutes)
    clock = now.astimezone(zone).time()
    is_shown = begin <= clock < end if begin < end else not end <= clock < begin
    until = hours.ends_at(int(now.timestamp()) * S)
    if is_shown:
        assert until is not None
    elif until is not None:
        before, after = (
            (now + timedelta(hours=hour)).astimezone(zone).utcoffset() for hour in (-1, 1)
        )
        assert before is not None
        assert after is not None
        assert before > after
