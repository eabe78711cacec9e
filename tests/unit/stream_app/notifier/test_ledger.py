"""What becomes of an alert: once for each target, over restarts, quiet hours and digests."""

from __future__ import annotations

from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import pytest

from schemas.records import Notification, Severity
from stream_app.notifier.rules.firing import Firing
from stream_app.notifier.rules.ledger import MAX_WAITING, MEMORY_US, Ledger
from stream_app.notifier.rules.quiet_hours import QuietHours, quiet_until
from tests.support.rules import START_US, S, rules_of

AGE_US = 900 * S


def ledger(records: list[Notification] | None = None, now_us: int = START_US) -> Ledger:
    """A ledger, with what an earlier one has written."""
    made = Ledger("g", ("desk", "spare"), AGE_US, "http://page")
    for record in records or []:
        made.restore(record.copy())
    made.settle(now_us)
    return made


def firing(number: int = 1, rule: str = "name: a, kinds: all", **changes: object) -> Firing:
    """An alert that a rule has made."""
    (made,) = rules_of(rule).rules
    values: dict[str, object] = {
        "rule": made,
        "alert_id": f"id-{number}",
        "subject": "kucoin",
        "kind": "feed_down",
        "severity": "warning",
        "value": None,
        "title": f"title {number}",
        "message": "message",
        "event_time": START_US,
    }
    return Firing(**(values | changes))  # type: ignore[arg-type] # values are of their fields


def outcomes(book: Ledger) -> dict[str, str]:
    """What is to be written, by alert id."""
    return {record["alert_id"]: record["outcome"] for record in book.take_changes()}


def test_once_for_each_alert_and_target() -> None:
    """Whoever says it again, and whatever was written before a restart."""
    book = ledger()
    both = "name: a, kinds: all, targets: [desk, spare]"
    book.take(firing(rule=both), START_US)
    book.take(firing(rule=both), START_US)
    assert book.counts["duplicate"] == 2
    written = book.take_changes()
    assert [(r["target"], r["outcome"]) for r in written] == [
        ("desk", "waiting"), ("spare", "waiting"),
    ]  # fmt: skip
    key = book.next("desk")
    assert key is not None
    assert book.begin(key, START_US)["outcome"] == "sending"
    assert book.sent(key, START_US + S)["sent_at"] == START_US + S
    assert book.next("desk") is None
    again = ledger([*written[1:], *book.take_changes()])
    again.take(firing(rule=both), START_US)
    assert again.counts["duplicate"] == 2
    assert again.next("desk") is None
    assert again.next("spare") == ("id-1", "spare")


def test_what_was_being_sent_is_sent_once_more_and_then_never() -> None:
    """Marked as perhaps repeated; what only waited is in no doubt."""
    book = ledger()
    book.take(firing(), START_US)
    waiting = [record.copy() for record in book.take_changes()]
    assert ledger(waiting).take_changes() == []
    book.begin(("id-1", "desk"), START_US)
    second = ledger([record.copy() for record in book.take_changes()])
    (record,) = second.take_changes()
    assert (record["outcome"], record["in_doubt"], record["attempts"]) == ("waiting", True, 1)
    second.begin(("id-1", "desk"), START_US)
    third = ledger([record.copy() for record in second.take_changes()])
    assert outcomes(third) == {"id-1": "unknown"}
    assert third.next("desk") is None


def test_attempts_are_bounded() -> None:
    """Then it has failed; the next message has its turn."""
    book = ledger()
    book.take(firing(1), START_US)
    book.take(firing(2), START_US)
    key = ("id-1", "desk")
    for attempt in (1, 2, 3):
        assert book.next("desk") == key
        assert book.begin(key, START_US)["attempts"] == attempt
        assert book.failed(key, "status 503", 3, START_US) == (attempt < 3)
    assert book.next("desk") == ("id-2", "desk")
    assert outcomes(book) == {"id-1": "failed", "id-2": "waiting"}
    assert book.outcomes == {("desk", "failed"): 1}


def test_an_attempt_that_was_not_made_does_not_count() -> None:
    """It may be made later, as if nothing had been."""
    book = ledger()
    book.take(firing(), START_US)
    book.begin(("id-1", "desk"), START_US)
    book.not_tried(("id-1", "desk"), START_US)
    assert book.begin(("id-1", "desk"), START_US)["attempts"] == 1


def test_what_is_old_is_counted_alone() -> None:
    """At the first sight, and where the notifier was away while it waited."""
    book = ledger()
    book.take(firing(), START_US + AGE_US + 1)
    assert (book.counts["old"], book.take_changes()) == (1, [])
    book.take(firing(), START_US + AGE_US)
    late = ledger(book.take_changes(), START_US + 2 * AGE_US + 1)
    assert outcomes(late) == {"id-1": "suppressed"}


def test_a_target_that_is_gone_is_told_nothing() -> None:
    """The rules file has another one now."""
    book = ledger()
    book.take(firing(), START_US)
    (record,) = book.take_changes()
    record["target"] = "gone"
    assert outcomes(ledger([record])) == {"id-1": "failed"}


def test_what_waits_is_bounded() -> None:
    """What is one too many has failed, and says why."""
    book = ledger()
    for number in range(MAX_WAITING + 1):
        book.take(firing(number), START_US)
    failed = [r for r in book.take_changes() if r["outcome"] == "failed"]
    assert [r["detail"] for r in failed] == ["1000 messages wait for this target"]


def test_the_memory_is_bounded_by_age() -> None:
    """What is forgotten would be too old to be told."""
    book = ledger()
    book.take(firing(), START_US)
    book.begin(("id-1", "desk"), START_US)
    book.sent(("id-1", "desk"), START_US)
    book.forget(START_US + MEMORY_US)
    assert book.remembered == 1
    book.forget(START_US + MEMORY_US + 1)
    assert book.remembered == 0


def test_a_digest_is_one_message() -> None:
    """It closes so many minutes after its first alert; a restart between changes nothing."""
    rule = "name: a, kinds: all, digest: 10m"
    book = ledger()
    book.take(firing(1, rule), START_US)
    book.take(firing(2, rule, severity="critical"), START_US + 300 * S)
    book.close_digests(START_US + 599 * S)
    book = ledger(book.take_changes(), START_US + 599 * S)
    book.take(firing(3, rule), START_US + 599 * S)
    book.close_digests(START_US + 600 * S)
    due = START_US + 600 * S
    key = (f"digest/a/{due}", "desk")
    assert book.next("desk") == key
    written = {record["alert_id"]: record for record in book.take_changes()}
    assert written[key[0]]["title"] == "a: 3 alerts"
    assert written[key[0]]["message"] == "title 1\ntitle 2\ntitle 3"
    assert written[key[0]]["severity"] == "critical"
    assert {written[f"id-{n}"]["outcome"] for n in (1, 2, 3)} == {"digest"}
    book.take(firing(4, rule), START_US + 601 * S)
    book.close_digests(START_US + 1_201 * S)
    written = {record["alert_id"]: record for record in book.take_changes()}
    assert written["id-4"]["outcome"] == "waiting", "one alone is told as it is"


@pytest.mark.parametrize("is_sent", [False, True])
def test_a_digest_never_takes_the_id_of_another(*, is_sent: bool) -> None:
    """Where the clock is set back by as long as a digest lasts, each is told under its own id."""
    rule, name = "name: a, kinds: all, digest: 10s", f"digest/a/{START_US + 10 * S}"
    book = ledger()
    told: dict[str, str] = {}

    def send_all() -> None:
        while (key := book.next("desk")) is not None:
            record = book.begin(key, START_US)
            assert record["alert_id"] not in told
            told[record["alert_id"]] = record["message"]
            book.sent(key, START_US)

    stored: dict[str, Notification] = {}
    for numbers in ((1, 2, 3), (4, 5), (6, 7)):
        for number in numbers:
            book.take(firing(number, rule), START_US)
        book.close_digests(START_US + 10 * S)
        if is_sent:
            send_all()
        stored |= {record["alert_id"]: record for record in book.take_changes()}
        if is_sent:
            book = ledger(list(stored.values()))
    send_all()
    assert told == {
        name: "title 1\ntitle 2\ntitle 3",
        f"{name}/2": "title 4\ntitle 5",
        f"{name}/3": "title 6\ntitle 7",
    }
    parts = [record for record in stored.values() if record["outcome"] == "digest"]
    assert len(parts) == 7
    assert all(part["title"] in told[part["digest_id"] or ""] for part in parts)


def test_quiet_hours_that_hold_again_after_the_clock_was_set_back_lose_nothing() -> None:
    """They end a second time, with a message of its own."""
    rule = "name: a, kinds: all, quiet: {from: 22:00, to: 06:00, then: digest}"
    end = us(2026, 1, 11, 6, 0)
    book = ledger(now_us=end - 60 * S)
    for numbers in ((1, 2), (3, 4)):
        for number in numbers:
            book.take(firing(number, rule, event_time=end), end - 60 * S)
        book.close_digests(end)
    waiting = [record for record in book.take_changes() if record["outcome"] == "waiting"]
    assert [record["message"] for record in waiting] == ["title 1\ntitle 2", "title 3\ntitle 4"]


QUIET = QuietHours(
    time(22), time(7), ZoneInfo("Europe/Berlin"), frozenset(range(7)),
    critical_passes=True, collect=True,
)  # fmt: skip


def us(*when: int) -> int:
    """A time in UTC, in µs."""
    return int(datetime(*when, tzinfo=UTC).timestamp()) * S  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("now", "end"),
    [
        (us(2026, 1, 10, 20, 59), None),
        (us(2026, 1, 10, 21, 0), us(2026, 1, 11, 6, 0)),
        (us(2026, 1, 11, 5, 59), us(2026, 1, 11, 6, 0)),
        (us(2026, 1, 11, 6, 0), None),
        (us(2026, 7, 10, 20, 0), us(2026, 7, 11, 5, 0)),  # summer time
        (us(2026, 3, 28, 22, 0), us(2026, 3, 29, 5, 0)),  # the night that is an hour shorter
        (us(2026, 10, 24, 21, 0), us(2026, 10, 25, 6, 0)),  # and the one that is longer
    ],
)
def test_quiet_hours_are_those_of_their_zone(now: int, end: int | None) -> None:
    """Over midnight and over the change of the clocks."""
    assert QUIET.ends_at(now) == end


@pytest.mark.parametrize(
    ("begin", "end", "first", "over"),
    [
        # 02:00 to 03:00 is left out on 29 March.
        (time(2, 30), time(7), us(2026, 3, 29, 1, 0), us(2026, 3, 29, 5, 0)),
        (time(1, 0), time(2, 30), us(2026, 3, 29, 0, 0), us(2026, 3, 29, 1, 0)),
        (time(2, 10), time(3, 10), us(2026, 3, 29, 1, 0), us(2026, 3, 29, 1, 10)),
        # 02:00 to 03:00 comes twice on 25 October.
        (time(1, 0), time(2, 30), us(2026, 10, 24, 23, 0), us(2026, 10, 25, 1, 30)),
        (time(2, 30), time(7), us(2026, 10, 25, 0, 30), us(2026, 10, 25, 6, 0)),
        (time(2, 10), time(2, 20), us(2026, 10, 25, 0, 10), us(2026, 10, 25, 1, 20)),
        (time(0, 30), time(3, 0), us(2026, 10, 24, 22, 30), us(2026, 10, 25, 2, 0)),
    ],
)
def test_quiet_hours_begin_and_end_while_the_clock_changes(
    begin: time, end: time, first: int, over: int
) -> None:
    """A time that is left out is when the clock jumps; of one that comes twice, all is quiet."""
    hours = QuietHours(
        begin, end, ZoneInfo("Europe/Berlin"), frozenset({6}), critical_passes=True, collect=True
    )
    assert hours.ends_at(first - 1) is None
    assert {hours.ends_at(at) for at in range(first, over, 300 * S)} == {over}
    assert hours.ends_at(over - 1) == over
    assert hours.ends_at(over) is None


def test_quiet_hours_that_leave_nothing_of_a_day_hold_at_no_time() -> None:
    """The clock jumps over all of them."""
    hours = QuietHours(
        *(time(2, 10), time(2, 20), ZoneInfo("Europe/Berlin"), frozenset(range(7))),
        critical_passes=True,
        collect=True,
    )
    night = range(us(2026, 3, 28, 23, 0), us(2026, 3, 29, 5, 0), 60 * S)
    assert {hours.ends_at(at) for at in night} == {None}


def test_quiet_hours_of_some_days() -> None:
    """A night belongs to the day on which it begins; of two, the later end counts."""
    saturday = QuietHours(
        time(22), time(6), UTC, frozenset({5}), critical_passes=True, collect=False
    )
    assert saturday.ends_at(us(2026, 1, 11, 5, 0)) == us(2026, 1, 11, 6, 0)
    assert saturday.ends_at(us(2026, 1, 12, 5, 0)) is None
    found = quiet_until((saturday, QUIET), us(2026, 1, 10, 23, 0))
    assert found in {(saturday, us(2026, 1, 11, 6, 0)), (QUIET, us(2026, 1, 11, 6, 0))}
    assert quiet_until((), START_US) is None


@pytest.mark.parametrize(
    ("then", "critical", "severity", "outcome"),
    [
        ("drop", "pass", "warning", "suppressed"),
        ("drop", "pass", "critical", "waiting"),
        ("drop", "hold", "critical", "suppressed"),
        ("digest", "pass", "info", "collecting"),
        ("digest", "hold", "critical", "collecting"),
    ],
)
def test_in_quiet_hours(then: str, critical: str, severity: Severity, outcome: str) -> None:
    """Left out, or collected until they end; critical passes unless the file says otherwise."""
    now = us(2026, 1, 10, 23, 0)
    rule = (
        f"name: a, kinds: all, quiet: {{from: 22:00, to: 06:00, then: {then}, "
        f"critical: {critical}}}"
    )
    book = ledger()
    book.take(firing(1, rule, severity=severity, event_time=now), now)
    assert outcomes(book) == {"id-1": outcome}
    if outcome == "collecting":
        book.close_digests(us(2026, 1, 11, 6, 0))
        assert outcomes(book) == {"id-1": "waiting"}


def test_a_digest_that_would_end_in_quiet_hours_ends_after_them() -> None:
    """With what comes in them."""
    now = us(2026, 1, 10, 21, 55)
    rule = "name: a, kinds: all, digest: 10m, quiet: {from: 22:00, to: 06:00, then: digest}"
    book = ledger(now_us=now)
    book.take(firing(1, rule, event_time=now), now)
    book.take(firing(2, rule, event_time=now + 600 * S), now + 600 * S)
    book.close_digests(us(2026, 1, 11, 5, 59))
    assert set(outcomes(book).values()) == {"collecting"}
    book.close_digests(us(2026, 1, 11, 6, 0))
    assert outcomes(book)[f"digest/a/{us(2026, 1, 11, 6, 0)}"] == "waiting"


def test_links_lead_to_the_moment() -> None:
    """Of contracts alone."""
    book = ledger()
    book.take(firing(1, contract_id="kucoin:A/B?c"), START_US)
    (record,) = book.take_changes()
    assert record["message"] == (
        f"message\nhttp://page/#/contract/kucoin:A%2FB%3Fc?at={START_US // 1_000}"
    )
