"""What a feed that is thinned owes, and what is held against it all the same."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import benchmarks.accounting as accounting_module
from benchmarks.accounting import OTHER_TERMS, SWAPPED, Account, account
from benchmarks.evidence import Audit, Fault, FeedEvidence, Stored, Update
from benchmarks.thinned import in_their_seconds, left_out, owed_of
from schemas.feed_spec import FeedSpec
from schemas.feeds import spec
from schemas.times import US_PER_S

FEED = "binance-usdm"
T0 = 1_790_000_000 * US_PER_S
END = T0 + 600 * US_PER_S
BTC = f"{FEED}:BTCUSDT"


@pytest.fixture(autouse=True)
def _thins(monkeypatch: pytest.MonkeyPatch) -> None:
    def thinned(feed: str) -> FeedSpec:
        return spec(feed)._replace(thinned=True)

    monkeypatch.setattr(accounting_module, "spec", thinned)


def sent(seconds: float, rate: float, contract: str = BTC) -> Update:
    """What the simulator put on a socket."""
    at = T0 + round(seconds * US_PER_S)
    return Update(contract, at, at + 3_000, rate)


def row(update: Update) -> Stored:
    """The row of an update."""
    contract_id, at, sent_at, rate, _ = update
    return Stored(contract_id, at, sent_at + 2_000, rate, "ws", "exchange")


def judged(**given_: Any) -> Account:
    """The account of a run."""
    empty: dict[str, Any] = {
        "delivered": [], "missed": [], "stored": [], "audit": [], "status": [], "faults": [],
    }  # fmt: skip
    return account(FeedEvidence(FEED, **{**empty, **given_}), T0, END)


PUSHES = [sent(1.1, 0.1), sent(1.2, 0.1), sent(1.3, 0.2), sent(1.4, 0.2), sent(2.1, 0.2)]
KEPT = [PUSHES[0], PUSHES[2], PUSHES[4]]


def test_the_first_of_a_second_and_each_new_rate_are_owed() -> None:
    """The others are counted apart, whether they are stored or not."""
    found = judged(delivered=PUSHES, stored=[row(each) for each in KEPT])
    assert (found.delivered, found.stored_once, found.thinned) == (3, 3, 2)
    assert found.failed == found.named == Counter()
    more = judged(delivered=PUSHES, stored=[row(each) for each in PUSHES])
    assert (more.delivered, more.thinned, more.named) == (3, 2, {OTHER_TERMS: 2})
    assert more.failed == Counter()


@pytest.mark.parametrize("missing", range(3))
def test_what_is_owed_and_not_stored_fails(missing: int) -> None:
    """Also a rate that was there for a part of a second."""
    stored = [row(each) for number, each in enumerate(KEPT) if number != missing]
    assert judged(delivered=PUSHES, stored=stored).failed == {"sent and not stored": 1}


def test_a_rate_that_comes_back_within_its_second_is_owed() -> None:
    """Else the newest stored rate would be the wrong one for the rest of the second."""
    pushes = [sent(1.1, 0.1), sent(1.2, 0.2), sent(1.3, 0.1)]
    found = judged(delivered=pushes, stored=[row(each) for each in pushes[:2]])
    assert found.failed == {"sent and not stored": 1}


def test_frames_that_change_places_have_one_of_the_two_stored() -> None:
    """While they are reordered, and not otherwise."""
    pushes = [sent(1.1, 0.1), sent(1.2, 0.1)]
    reordered = Fault(1, "reorder", FEED, T0, T0 + 5 * US_PER_S, {})
    other = [row(pushes[1])]
    assert judged(delivered=pushes, stored=other).failed == {"sent and not stored": 1}
    found = judged(delivered=pushes, stored=other, faults=[reordered])
    assert (found.failed, found.named) == (Counter(), {SWAPPED: 1, OTHER_TERMS: 1})


def test_what_is_lost_and_not_owed_needs_no_gap() -> None:
    """One of many in a second; a second without any is a gap."""
    start = {"delivered": [sent(1.1, 0.1), sent(2.1, 0.1)]}
    stored = [row(each) for each in start["delivered"]]
    one = judged(**start, stored=stored, missed=[sent(1.5, 0.1), sent(2.0, 0.1)])
    assert (one.missed, one.thinned, one.failed) == (0, 2, Counter())
    second = [sent(3.1, 0.1), sent(3.2, 0.1), sent(4.1, 0.1)]
    found = judged(
        delivered=[*start["delivered"], sent(5.1, 0.1)],
        stored=[*stored, row(sent(5.1, 0.1))],
        missed=second,
    )
    assert (found.missed, found.thinned) == (2, 1)
    assert found.failed == {"missed and in no recorded gap": 2}
    gap = Audit(BTC, "missed", 2, second[0].event_time - 1, sent(5.1, 0.1).event_time)
    told = judged(
        delivered=[*start["delivered"], sent(5.1, 0.1)],
        stored=[*stored, row(sent(5.1, 0.1))],
        missed=second,
        audit=[gap],
    )
    assert (told.missed_in_gaps, told.failed) == (2, Counter())


@given(
    st.lists(
        st.tuples(st.integers(0, 40), st.sampled_from([0.1, 0.2])),
        max_size=30,
        unique_by=lambda p: p[0],
    )
)
def test_what_is_left_out_says_nothing_new(pushes: list[tuple[int, float]]) -> None:
    """Its second and rate are those of an update before it that is owed."""
    keys = [(BTC, T0 + at * US_PER_S // 8, rate) for at, rate in sorted(pushes)]
    gone = left_out(keys)
    assert in_their_seconds(gone) <= in_their_seconds(set(keys) - gone)
    owed = owed_of([Update(*key[:2], key[1], key[2]) for key in keys], [])
    assert owed.left_out == gone
    assert not owed.lost_not_owed
