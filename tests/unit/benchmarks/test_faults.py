"""The pure parts of the run with faults: that each verdict can be the other one."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.accounting import REPLACED, Account, account, last_ticks, relisted
from benchmarks.evidence import Audit, Fault, FeedEvidence, Status, Stored, Update
from benchmarks.fault_report import FeedReport, Report, as_json, calls_of, markdown
from benchmarks.fault_schedule import Subject, default_schedule
from benchmarks.fault_times import most_in_a_minute, times_of
from benchmarks.freshness import freshness, listed_spans, unreachable
from benchmarks.matching import match
from benchmarks.recorded_gaps import Span, spans_of
from infra.simulator.faults.kinds import KINDS, can
from infra.simulator.faults.schedule import parse
from schemas.feeds import FEEDS, spec
from schemas.times import US_PER_S
from tests.support.faults import WIRES

FEED = "binance-usdm"
T0 = 1_790_000_000 * US_PER_S
END = T0 + 600 * US_PER_S
BTC = "binance-usdm:BTCUSDT"
ETH = "binance-usdm:ETHUSDT"


def at(seconds: float) -> int:
    """A time of the run."""
    return T0 + round(seconds * US_PER_S)


def sent(contract: str, seconds: float, rate: float, ahead_s: float = 0.0) -> Update:
    """What the simulator put on a socket."""
    return Update(contract, at(seconds + ahead_s), at(seconds) + 3_000, rate)


def lost(contract: str, seconds: float, rate: float, why: str = "fault") -> Update:
    """What nobody got."""
    return Update(contract, at(seconds), at(seconds) + 1_000, rate, why)


def row(update: Update, **changes: Any) -> Stored:
    """The row of an update."""
    known = Stored(
        update.contract_id, update.event_time, update.sent_at + 2_000, update.rate, "ws", "exchange"
    )
    return known._replace(**changes)


def gone(contract: str, since: float, until: float, number: int) -> Audit:
    """What the worker tells of missing ticks."""
    return Audit(contract, "missed", number, at(since), at(until))


def evidence(feed: str = FEED, **given_: Any) -> FeedEvidence:
    """What a run left behind."""
    empty: dict[str, Any] = {
        "delivered": [], "missed": [], "stored": [], "audit": [], "status": [], "faults": [],
    }  # fmt: skip
    return FeedEvidence(feed, **{**empty, **given_})


def judged(**given_: Any) -> Account:
    """The account of a run."""
    return account(evidence(**given_), T0, END)


def test_what_was_sent_is_stored_once() -> None:
    """The plain case, and its opposite."""
    updates = [sent(BTC, 1, 0.1), sent(BTC, 2, 0.1), sent(ETH, 1, 0.2)]
    found = judged(delivered=updates, stored=[row(each) for each in updates])
    assert (found.delivered, found.stored_once, found.failed) == (3, 3, Counter())
    twice = judged(delivered=updates, stored=[row(u) for u in [*updates, updates[0]]])
    assert twice.failed == {"stored more than once": 1}


def test_what_is_lost_or_made_up_fails() -> None:
    """A rate that differs is both."""
    update = sent(BTC, 1, 0.1)
    assert judged(delivered=[update]).failed == {"sent and not stored": 1}
    assert judged(stored=[row(update)]).failed == {"stored and never sent": 1}
    other = judged(delivered=[update], stored=[row(update, rate=0.2)])
    assert other.failed == {"sent and not stored": 1, "stored and never sent": 1}


def test_rest_may_bring_an_update_first_and_rows_of_its_own() -> None:
    """Who brought it does not matter."""
    update = sent(BTC, 1, 0.1)
    rows = [row(update, transport="rest"), row(sent(BTC, 5, 0.3), transport="rest")]
    found = judged(delivered=[update], stored=rows)
    assert (found.stored_once, found.stored_by_rest, found.failed) == (1, 2, Counter())


def test_what_was_lost_with_a_socket_is_told_by_its_gap() -> None:
    """And fails without one."""
    cut = Fault(1, "close", FEED, at(2), at(2), {})
    update = sent(BTC, 1.9, 0.1)
    found = judged(delivered=[update], faults=[cut], audit=[gone(BTC, 1, 4, 2)])
    assert found.named == {"lost with a socket that ended, in a recorded gap": 1}
    assert not found.failed
    assert judged(delivered=[update], faults=[cut]).failed == {"sent and not stored": 1}


def test_missed_ones_lie_in_recorded_gaps_of_their_contract_in_their_number() -> None:
    """By time, by contract, by count."""
    missing = [lost(BTC, second, 0.1) for second in (2, 3, 4)]
    seen = [row(sent(BTC, 1, 0.1))]
    start = {"delivered": [sent(BTC, 1, 0.1)], "stored": seen, "missed": missing}
    assert not judged(**start, audit=[gone(BTC, 1, 5, 3)]).failed
    assert judged(**start, audit=[gone(BTC, 1, 5, 2)]).failed == {"more missed than told": 1}
    assert judged(**start, audit=[gone(BTC, 1, 3, 2)]).failed == {
        "missed and in no recorded gap": 1
    }
    assert judged(**start, audit=[gone(ETH, 1, 5, 3)]).failed == {
        "missed and in no recorded gap": 3
    }


def test_an_open_gap_lasts() -> None:
    """Until it is closed."""
    opened = Audit(BTC, "gap_opened", 1, at(1), at(11))
    spans = spans_of([opened], END)
    assert spans.find(BTC, at(400), 0) is not None
    closed = Audit(BTC, "gap_closed", 10, at(1), at(30))
    spans = spans_of([opened, closed], END)
    assert spans.find(BTC, at(400), 0) is None
    assert spans.find(BTC, at(20), 0) == Span(at(1), at(30), None)


def test_where_changes_are_pushed_a_missed_one_is_followed_in_time() -> None:
    """By a rate of the same contract that comes before the one before it is stale, of any way."""
    one, other, stale_s = "gate:A_USDT", "gate:B_USDT", spec("gate").stale_s
    before = sent(one, 1, 0.1)
    missing = [lost(one, 5, 0.2)]
    for seconds, contract, failed in (
        (stale_s, one, {}),
        (stale_s + 6, one, {"missed and in no recorded gap": 1}),
        (stale_s, other, {"missed and in no recorded gap": 1}),
    ):
        later = row(sent(contract, seconds, 0.3), transport="rest")
        run = evidence("gate", delivered=[before], stored=[row(before), later], missed=missing)
        found = account(run, T0, T0 + 3_600 * US_PER_S)
        assert found.failed == failed
        assert found.named == ({} if failed else {REPLACED: 1})


def test_where_changes_are_pushed_what_was_lost_with_a_socket_is_followed_in_time() -> None:
    """Without the end of a socket it is lost for no reason."""
    update = sent("gate:A_USDT", 1.9, 0.1)
    later = row(sent("gate:A_USDT", 9, 0.3), transport="rest")
    cut = Fault(1, "close", "gate", at(2), at(2), {})
    run = evidence("gate", delivered=[update], stored=[later], faults=[cut])
    found = account(run, T0, END)
    assert found.named == {"lost with a socket that ended, followed in time": 1}
    assert not found.failed
    without = account(evidence("gate", delivered=[update], stored=[later]), T0, END)
    assert without.failed == {"sent and not stored": 1}


def test_a_contract_that_nobody_knew_yet_has_no_gap() -> None:
    """It begins with its first rate."""
    known = sent(BTC, 9, 0.1)
    found = judged(
        delivered=[known], stored=[row(known)], missed=[lost(BTC, 5, 0.1, "unsubscribed")]
    )
    assert found.named == {"missed before the contract was known": 1}
    assert not found.failed


def test_a_ticker_that_is_used_again_is_not_known_until_its_list_says_so() -> None:
    """What is missed between the relisting and the first new row; nothing else is explained."""
    old, new = sent(BTC, 1, 0.1), sent(BTC, 9, 0.3)
    relist = Fault(1, "relist", FEED, at(5), at(5), {"symbol": "BTCUSDT"})
    run: dict[str, Any] = {"delivered": [old, new], "stored": [row(old), row(new)]}
    between = [lost(BTC, 7, 0.2, "unsubscribed")]
    found = judged(**run, missed=between, faults=[relist])
    assert (found.named, found.failed) == ({"missed before the contract was known": 1}, {})
    assert judged(**run, missed=between).failed == {"missed and in no recorded gap": 1}
    before = judged(**run, missed=[lost(BTC, 3, 0.2)], faults=[relist])
    assert before.failed == {"missed and in no recorded gap": 1}
    told = evidence(**run, missed=between, faults=[relist])
    assert last_ticks(told, relisted(told)) == {BTC: old.sent_at}


def test_clocks_ahead_are_stored_at_their_receipt() -> None:
    """They are matched by their moment."""
    update = sent(BTC, 1, 0.1, ahead_s=30)
    stored = row(update, event_time=update.sent_at + 2_000, source="receipt")
    found = judged(delivered=[update], stored=[stored])
    assert found.named == {"ahead of its receipt, stored at its receipt": 1}
    assert not found.failed
    assert judged(delivered=[update]).failed == {"sent and not stored": 1}


def test_wrong_units_are_named() -> None:
    """Only while that fault runs."""
    fault = Fault(1, "bad-units", FEED, at(1), at(9), {"field": "rate"})
    damaged = lost(BTC, 2, 0.0001)
    stored = row(sent(BTC, 2, 0.01))
    found = judged(missed=[damaged], stored=[stored], faults=[fault])
    assert found.named == {"sent and stored 100 times too large (bad-units)": 1}
    assert not found.failed
    assert judged(missed=[damaged], stored=[stored]).failed


def test_kucoin_settles() -> None:
    """For 90 s, and no longer."""
    contract = "kucoin:XBTUSDTM"
    update = Update(contract, at(30), at(30), 0.1)
    settles = account(evidence("kucoin", delivered=[update], settled={contract: [at(0)]}), T0, END)
    assert settles.named == {"ignored: the contract settles": 1}
    later = account(evidence("kucoin", delivered=[update], settled={contract: [at(-70)]}), T0, END)
    assert later.failed == {"sent and not stored": 1}


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans(), st.booleans()), max_size=40))
def test_matching_finds_what_is_lost_and_what_is_made_up(
    pushes: list[tuple[int, bool, bool]],
) -> None:
    """One push a second: (rate, whether it is stored, whether something else is as well)."""
    updates, rows = [], []
    for second, (rate, is_stored, is_extra) in enumerate(pushes):
        update = Update("hyperliquid:BTC", at(second), at(second), float(rate))
        updates.append(update)
        if is_stored:
            rows.append(row(update))
        if is_extra:
            rows.append(row(update, rate=9.0))
    missing, unused = match(updates, rows)
    assert Counter(missing) == Counter(
        u for u, (_, is_stored, _) in zip(updates, pushes, strict=True) if not is_stored
    )
    assert all(each.rate == 9.0 for each in unused)
    assert len(unused) == sum(is_extra for _, _, is_extra in pushes)


def test_without_times_a_single_missing_push_is_not_told() -> None:
    """Two pushes may be that far apart; three are told, in about their number."""
    contract = "hyperliquid:BTC"

    def found(after: float, number: int, told: list[Audit]) -> Counter[str]:
        around = [Update(contract, at(second), at(second), 0.1) for second in (1, after)]
        rows = [row(each, source="receipt") for each in around]
        missing = [lost(contract, 1 + step, 0.1) for step in range(1, number + 1)]
        run = evidence("hyperliquid", delivered=around, stored=rows, missed=missing, audit=told)
        return account(run, T0, END).failed

    assert not found(3, 1, [])
    assert found(4, 2, []) == {"missed and in no recorded gap": 2}
    assert not found(6, 4, [gone(contract, 1, 6, 3)])
    assert found(10, 8, [gone(contract, 1, 10, 4)]) == {"more missed than told": 1}


def test_the_schedule_has_each_kind_for_each_feed_and_the_simulator_takes_it() -> None:
    """Within ten minutes."""
    subjects = dict.fromkeys(FEEDS, Subject("S", 8.0))
    schedule = default_schedule(FEEDS, 10, subjects)
    assert len(parse([each.entry() for each in schedule.planned], WIRES)) == len(schedule.planned)
    for feed in FEEDS:
        have = {each.kind for each in schedule.planned if each.feed == feed}
        left_out = {kind for name, kind, _why in schedule.left_out if name == feed}
        assert have | left_out == set(KINDS)
        cannot = {kind for kind in KINDS if can(kind, WIRES[feed])}
        assert left_out == cannot, (feed, schedule.left_out)
    assert schedule.length_s <= 600


@pytest.mark.parametrize("feed", ["binance-usdm", "hyperliquid"])
def test_faults_of_the_stream_have_pauses_between_them(feed: str) -> None:
    """So that they can be told apart."""
    schedule = default_schedule([feed], 10, {feed: Subject("S", 8.0)})
    stream = [
        each
        for each in schedule.planned
        if each.kind in {"half-open", "silence", "refuse-ws", "maintenance", "bad-units"}
    ]
    for one, following in pairwise(stream):
        assert one.seconds is not None
        assert following.at_s >= one.at_s + one.seconds + 10


def test_a_shorter_schedule_says_what_it_leaves_out() -> None:
    """By feed and kind."""
    schedule = default_schedule(FEEDS[:1], 2, {})
    assert schedule.length_s <= 120
    assert {kind for _, kind, _ in schedule.left_out} >= {"maintenance", "http-429"}
    few = default_schedule(FEEDS[:1], 2, {}, ("close", "drop"))
    assert {each.kind for each in few.planned} == {"close", "drop"}
    assert few.left_out == []


def test_ages_are_of_the_newest_event_known() -> None:
    """By what was received until then."""
    rows = [row(sent(BTC, second, 0.1)) for second in range(5)] + [row(sent(BTC, 20, 0.1))]
    # An older event that comes late makes nothing younger.
    rows.append(row(sent(BTC, 1, 0.2), received_at=at(10)))
    span = (at(0.5), at(30.5))
    found = freshness(rows, listed_spans(rows, {}, *span), span, 10.0)
    assert found.contract_seconds == 30
    assert found.max_s == pytest.approx(15.5)
    # Older than 10 s: at 14.5 to 19.5.
    assert found.uptime == pytest.approx(24 / 30)
    away = freshness(rows, {BTC: span}, span, 10.0, [(at(13), at(16))])
    assert away.reachable_seconds == 27
    assert away.uptime_reachable == pytest.approx(23 / 27)


def test_contracts_count_only_while_they_are_listed() -> None:
    """From the first rate to the delisting."""
    rows = [row(sent(BTC, 0, 0.1)), row(sent(ETH, 20, 0.1))]
    span = (at(0.5), at(30.5))
    found = freshness(rows, listed_spans(rows, {BTC: at(5)}, *span), span, 100.0)
    assert found.contract_seconds == 5 + 10
    assert found.uptime == 1.0


def test_bans_of_binance_bar_both_of_its_feeds() -> None:
    """Other refusals do not."""
    ban = Fault(1, "http-418", "binance-usdm", at(10), at(20), {"retry_after_s": 3})
    late = Fault(2, "slow-rest", "binance-coinm", at(40), at(50), {"delay_s": 2})
    broken = Fault(3, "http-5xx", "binance-usdm", at(60), at(70), {})
    faults = [ban, late, broken]
    assert unreachable(faults, "binance-coinm", 5, T0, END) == [(at(10), at(28))]
    assert unreachable(faults, "binance-usdm", 5, T0, END) == [
        (at(10), at(28)), (at(60), at(75)),
    ]  # fmt: skip
    assert unreachable(faults, "kucoin", 5, T0, END) == []


def status(seconds: float, state: str, by_rest: int = 0, attempts: int = 0) -> Status:
    """What the producer told."""
    return Status(FEED, at(seconds), state, 2, 2 - by_rest, by_rest, attempts, 1, 0)


def test_times_of_a_fault() -> None:
    """Noticed by the first sign, taken over by the first rate of REST, back with the last one."""
    fault = Fault(1, "silence", FEED, at(10), at(30), {})
    found = times_of(
        evidence(
            faults=[fault],
            missed=[lost(contract, 11, 0.1) for contract in (BTC, ETH)],
            stored=[
                row(sent(BTC, 9, 0.1)),
                row(sent(BTC, 16, 0.1), transport="rest"),
                row(sent(BTC, 31, 0.1)),
                row(sent(ETH, 34, 0.1)),
            ],
            status=[
                status(9, "live"),
                status(15.5, "stalled", 2, 1),
                status(33, "live", 0, 3),
            ],
            audit=[Audit(FEED, "failover", 1, at(9), at(17)), gone(BTC, 9, 31, 21)],
        ),
        END,
    )
    (times,) = found
    assert times.detect_s == pytest.approx(5.5)
    assert times.detected_by == "state stalled"
    assert times.takeover_s == pytest.approx(6.005)
    assert (times.hit, times.by_rest, times.attempts) == (2, 1, 3)
    assert times.return_s == pytest.approx(4.005)
    assert times.shown == {"failover": 1, "missed": 21}


def test_rest_that_serves_the_same_rate_has_taken_over() -> None:
    """It leaves no row of its own; the failover tells."""
    fault = Fault(1, "close", FEED, at(10), at(10), {})
    told = [Audit(FEED, "failover", 1, at(9), at(10.5))]
    (times,) = times_of(evidence(faults=[fault], audit=told), END)
    assert times.takeover_s == pytest.approx(0.5)


def test_a_rate_in_other_units_need_not_show() -> None:
    """Nothing in the message is wrong."""
    for field, shown in (("rate", False), ("time", True)):
        fault = Fault(1, "bad-units", FEED, at(10), at(20), {"field": field})
        run = evidence(faults=[fault], missed=[lost(BTC, 12, 0.1)], stored=[row(sent(BTC, 25, 1))])
        (times,) = times_of(run, END)
        failures = _report(times=[times]).failures()
        assert any("nothing showed" in failure for failure in failures) is shown


def test_a_stream_that_does_not_come_back_is_told() -> None:
    """As a criterion that fails."""
    fault = Fault(1, "silence", FEED, at(10), at(30), {})
    (times,) = times_of(evidence(faults=[fault], status=[status(20, "stalled", 2)]), END)
    assert times.return_s is None
    report = _report(times=[times])
    assert any("did not return" in failure for failure in report.failures())


def test_attempts_within_any_minute() -> None:
    """Not only within a full one."""
    told = [status(s, "down", attempts=n) for s, n in ((0, 0), (50, 5), (70, 20), (130, 22))]
    assert most_in_a_minute(told) == 15
    assert most_in_a_minute([]) == 0


def _report(**changes: Any) -> Report:
    rows = [row(sent(BTC, second, 0.1)) for second in range(30)]
    span = (at(1), at(29))
    fresh = freshness(rows, {BTC: span}, span, 10.0)
    good = FeedReport(
        FEED, [], fresh, fresh, Account(FEED, delivered=3), 4, 2, {"/a": 1}, []
    )._replace(**changes)
    return Report([good], [(FEED, "close", "no time left")], 0, 10.0, 60.0)


def test_the_report_names_the_criterion_that_fails() -> None:
    """Each of them."""
    assert _report().failures() == []
    assert "All criteria are met." in markdown(_report())
    stale = freshness([row(sent(BTC, 0, 0.1))], {BTC: (at(1), at(29))}, (at(1), at(29)), 10.0)
    storm = _report(freshness=stale, most_attempts=31)
    assert len(storm.failures()) == 2
    assert "- FAILED: binance-usdm: 31 connection attempts" in markdown(storm)
    broken = Account(FEED, delivered=3)
    broken.fail("sent and not stored", "x")
    assert len(_report(account=broken).failures()) == 1
    assert as_json(storm)["feeds"][FEED]["most_attempts_a_minute"] == 31


def test_calls_between_two_counts() -> None:
    """Of one feed."""
    before = Counter({f"rest:{FEED}/a": 2, "rest:backpack/a": 1})
    after = Counter({f"rest:{FEED}/a": 5, f"rest:{FEED}/b": 1, "rest:backpack/a": 9})
    assert calls_of(before, after, FEED) == {"/a": 3, "/b": 1}
