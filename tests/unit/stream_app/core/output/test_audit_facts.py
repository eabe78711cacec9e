"""What queries read of an audit event stands in its fields, and not in its sentence alone."""

from __future__ import annotations

import json
from typing import Any

import pytest

from schemas.audit_kinds import AuditKind
from schemas.times import US_PER_HOUR, US_PER_MINUTE
from tests.support.partitions import (
    HOUR_US,
    T0,
    Partition,
    S,
    at_z,
    clock,
    item,
    of,
    settled,
    snapshot,
    tick,
)

A, B = "AUSDT", "BUSDT"


def facts_of(partition: Partition, kind: AuditKind, subject: str = "") -> dict[str, Any]:
    """The fields that the newest event of a kind carries, when the minute is over."""
    outputs = partition.run(clock(T0 + 20 * US_PER_MINUTE))
    *_, event = (
        e for e in of(outputs, "audit") if e["kind"] == kind and e["subject"].endswith(subject)
    )
    return {field: event[field] for field in kind.fields if event[field] is not None}


@pytest.mark.parametrize(
    ("kind", "rate", "at"),
    [
        (AuditKind.DUPLICATE, 0.0001, T0),
        (AuditKind.CONFLICT, 0.0002, T0),
        (AuditKind.OUT_OF_ORDER, 0.0003, T0 - 2 * S),
        (AuditKind.LATE, 0.0004, T0 - 40 * S),
        (AuditKind.OUT_OF_RANGE, 0.5, T0 + S),
    ],
)
def test_an_update_that_is_judged_names_its_rate(
    new: Partition, kind: AuditKind, rate: float, at: int
) -> None:
    """Whatever the verdict."""
    new.ticks(tick(A, 0.0001, T0))
    new.ticks(tick(A, rate, at), received_at=T0 + S)
    assert facts_of(new, kind) == {"rate": rate}


def test_a_change_of_status_names_both(new: Partition) -> None:
    """The first one comes after none; the end of trading says the same at once."""
    new.ticks(tick(A, 0.0001, T0))
    new.facts({"symbol": A, "status": "TRADING"}, "exchangeInfo")
    outputs = new.facts({"symbol": A, "status": "SETTLING"}, "exchangeInfo")
    (ended,) = of(outputs, "audit")
    assert (ended["kind"], ended["from_state"], ended["to_state"]) == (
        "trading_ended",
        "trading",
        "delisted",
    )
    expected = {"from_state": "trading", "to_state": "delisted"}
    assert facts_of(new, AuditKind.STATUS_CHANGE) == expected


def test_a_change_of_the_interval_names_both(new: Partition) -> None:
    """In hours."""
    for hours, rate in ((8, 0.0001), (4, 0.0002)):
        new.facts({"symbol": A, "fundingIntervalHours": hours}, "fundingInfo")
        coming = HOUR_US + hours * US_PER_HOUR
        new.ticks(tick(A, rate, T0 + hours, coming=coming), received_at=T0 + S)
        new.ticks(tick(A, rate, T0 + (9 - hours) * S, coming=coming), received_at=T0 + 6 * S)
    expected = {"from_interval_hours": 8.0, "to_interval_hours": 4.0}
    assert facts_of(new, AuditKind.INTERVAL_CHANGE) == expected


def test_a_mismatch_names_both_rates_and_what_may_lie_between(new: Partition) -> None:
    """In the event of the contract and in that of the feed."""
    new.ticks(tick(A, 0.0001, T0))
    new.run(snapshot((A, 0.0002, T0), received_at=T0 + S, purpose="reconcile"))
    expected = {"rate": 0.0002, "other_rate": 0.0001, "tolerance": pytest.approx(1e-6)}
    assert facts_of(new, AuditKind.MISMATCH, A) == expected


def test_what_is_not_compared_has_a_cause(new: Partition) -> None:
    """Here no rate is known yet."""
    new.run(snapshot((A, 0.0002, T0), received_at=T0 + S, purpose="reconcile"))
    assert facts_of(new, AuditKind.NOT_COMPARED) == {"cause": "no_rate"}


def test_two_sources_of_a_settlement_name_both_rates(new: Partition) -> None:
    """The new one, and the one before it."""
    for rate in (0.0009, 0.0008):
        new.settle(settled(A, rate, HOUR_US))
    expected = {"rate": 0.0008, "other_rate": 0.0009}
    assert facts_of(new, AuditKind.SETTLEMENT_DIFFERS) == expected


def test_a_settlement_that_was_estimated_otherwise_names_both_rates(new: Partition) -> None:
    """What was charged, and the last estimate before it."""
    row = json.loads(tick(A, 0.0001, HOUR_US - S)["payload"]) | {"T": HOUR_US // 1_000}
    new.ticks(item(row, HOUR_US - S), received_at=HOUR_US - S)
    new.settle(settled(A, 0.0009, HOUR_US))
    assert facts_of(new, AuditKind.SETTLED_DIFFERS) == {"rate": 0.0009, "other_rate": 0.0001}


def test_a_clock_that_is_ahead_is_told_in_seconds(new: Partition) -> None:
    """By how much the event was ahead of its receipt."""
    new.ticks(tick(A, 0.0001, T0 + 7 * S, lag_us=-7 * S), received_at=T0)
    assert facts_of(new, AuditKind.CLOCK_SKEW) == {"shift_s": 7.0}


def test_an_alert_that_is_held_back_says_of_which_kind(rated: Partition) -> None:
    """An excursion of z that was over soon."""
    for second, z in enumerate((-1.0, -2.5, -1.0)):
        at = T0 + second * S
        rated.ticks(tick(A, at_z(z), at), received_at=at)
    assert facts_of(rated, AuditKind.ALERT_HELD_BACK) == {"cause": "z_cross"}


def test_a_contract_that_was_never_streamed_is_told_from_one_that_fell_silent(
    new: Partition,
) -> None:
    """Both are gaps; the cause of each says which."""
    new.facts({"symbol": B, "status": "TRADING"}, "exchangeInfo")
    new.ticks(tick(A, 0.0001, T0))
    opened = [
        e for e in of(new.run(clock(T0 + 30 * S)), "audit") if e["kind"] == AuditKind.GAP_OPENED
    ]
    assert {e["subject"][-5:]: e["cause"] for e in opened} == {A: "silent", B: "never_streamed"}


def test_the_end_of_trading_is_the_cause_of_a_gaps_end(new: Partition) -> None:
    """Nothing is missing from then on."""
    new.facts({"symbol": A, "status": "TRADING"}, "exchangeInfo")
    new.ticks(tick(A, 0.0001, T0))
    new.run(clock(T0 + 30 * S))
    outputs = new.facts({"symbol": A, "status": "SETTLING"}, "exchangeInfo", T0 + 40 * S)
    (closed,) = (e for e in of(outputs, "audit") if e["kind"] == AuditKind.GAP_CLOSED)
    assert (closed["cause"], closed["rest_updates"]) == ("trading_ended", None)
