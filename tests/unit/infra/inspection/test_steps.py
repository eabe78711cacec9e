"""The arithmetic of a z-score is that of the worker, and says what differs."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.inspection.evidence import Evidence, RawRecord, Settlement, baseline_of
from infra.inspection.report import document_of, lines_of, pretty
from infra.inspection.steps import Step, Verdict, steps_of, worst
from schemas.errors import UnavailableError
from schemas.rates import apr, rate_8h
from schemas.records import FundingRate, ZScore
from schemas.times import US_PER_DAY, US_PER_HOUR
from stream_app.core.scoring.statistics import (
    confidence_of,
    percentile_of,
    robust_z_of,
    statistics_of,
    z_of,
)
from stream_app.core.scoring.zones import zone_of
from stream_app.web.history.raw_reader import NotKeptError
from tests.support.sink_stack import rate as rate_row
from tests.support.sink_stack import zscore

AS_OF = 1_790_000_000 * 1_000_000 // US_PER_HOUR * US_PER_HOUR
NOW = AS_OF + US_PER_HOUR
TOPIC = "funding.raw.binance-usdm"
PAYLOAD = (
    '{"e":"markPriceUpdate","E":1790000001000,"s":"S1USDT","p":"1","i":"1","r":"0.00040000",'
    '"T":1790006400000}'
)


def settled(number: int, rate: float, **changes: Any) -> Settlement:
    """The settlement so many intervals before the hour."""
    entry = Settlement(
        funding_time=AS_OF - 8 * number * US_PER_HOUR,
        rate=rate,
        interval_hours=8.0,
        source="history",
        doubtful=False,
        generation=1,
        received_at=AS_OF,
        raw_topic=TOPIC,
        raw_partition=3,
        raw_offset=10,
    )
    return entry._replace(**changes)


RATES = [1e-4 + 1e-5 * (n % 7) for n in range(40)]
SETTLEMENTS = [settled(n, r) for n, r in reversed(list(enumerate(RATES)))]


def scored(rate: float, settlements: list[Settlement], hours: float = 8.0) -> ZScore:
    """The row that the worker makes of a rate and a baseline."""
    window = np.array([s.rate_8h for s in settlements])
    stats, value = statistics_of(window, AS_OF), rate_8h(rate, hours)
    z = z_of(value, stats)
    row = zscore(
        1, rate=rate, interval_hours=hours, rate_8h=value, apr=apr(rate, hours), z=z,
        robust_z=robust_z_of(value, stats), mean=stats.mean, std=stats.std,
        percentile=None if z is None else percentile_of(value, window),
        samples=stats.samples, confidence=confidence_of(stats.samples), stats_as_of=AS_OF,
        zone=zone_of(z), event_time=AS_OF + 1, computed_at=AS_OF + 9, raw_offset=20, raw_item=0,
    )  # fmt: skip
    return cast("ZScore", row)


def evidence_of(
    row: ZScore, settlements: list[Settlement] = SETTLEMENTS, **changes: Any
) -> Evidence:
    """What is known about a row whose payload, rate and row before it are all stored."""
    raw = RawRecord("ws", "stream", "!markPrice@arr@1s", AS_OF, PAYLOAD, len(PAYLOAD), is_cut=False)
    own = cast("FundingRate", rate_row(1, rate=row["rate"], interval_hours=row["interval_hours"]))
    before = cast("ZScore", {**row})
    evidence = Evidence(row, own, before, row["rate"], baseline_of(row, settlements), raw, None)
    return evidence._replace(**changes)


def verdicts(evidence: Evidence) -> dict[str, Verdict]:
    """The verdict about each number."""
    return {step.name: step.verdict for step in steps_of(evidence)}


def differing(evidence: Evidence) -> set[str]:
    """The numbers that are not equal."""
    return {name for name, verdict in verdicts(evidence).items() if verdict is not Verdict.EQUAL}


def step(evidence: Evidence, name: str) -> Step:
    """One step."""
    return next(one for one in steps_of(evidence) if one.name == name)


def test_a_row_that_nothing_has_changed_is_equal_in_every_number() -> None:
    """From the payload to the trigger."""
    evidence = evidence_of(scored(4e-4, SETTLEMENTS))
    assert differing(evidence) == set()
    assert worst(steps_of(evidence)) is Verdict.EQUAL
    assert step(evidence, "rate_8h").numbers == "0.0004 × 8 / 8"


@given(
    st.lists(st.floats(-1e-2, 1e-2), min_size=1, max_size=60),
    st.floats(-1e-2, 1e-2),
    st.sampled_from([1.0, 4.0, 8.0]),
)
def test_it_is_the_workers_arithmetic(rates: list[float], rate: float, hours: float) -> None:
    """Of any baseline, constant and short ones included."""
    settlements = [settled(n, r) for n, r in reversed(list(enumerate(rates)))]
    assert differing(evidence_of(scored(rate, settlements, hours), settlements)) <= {"rate"}


@pytest.mark.parametrize("field", ["rate_8h", "apr", "mean", "std", "z", "robust_z", "percentile"])
def test_a_number_that_is_wrong_differs(field: str) -> None:
    """By one part in a million already."""
    row = cast("dict[str, Any]", scored(4e-4, SETTLEMENTS))
    row[field] *= 1 + 1e-6
    assert verdicts(evidence_of(cast("ZScore", row)))[field] is Verdict.DIFFERS


@pytest.mark.parametrize(("field", "wrong"), [("zone", "normal"), ("confidence", "high")])
def test_a_word_that_is_wrong_differs(field: str, wrong: str) -> None:
    """Zone and confidence follow from numbers."""
    row = cast("ZScore", {**scored(4e-4, SETTLEMENTS), field: wrong})
    assert verdicts(evidence_of(row))[field] is Verdict.DIFFERS


@pytest.mark.parametrize(
    "later",
    [
        {"raw_offset": 21},
        {"raw_topic": "funding.raw.kucoin", "raw_offset": 0, "received_at": AS_OF + 10},
    ],
)
def test_a_settlement_that_was_corrected_since_is_no_difference(later: dict[str, Any]) -> None:
    """It is told by its place in the log, or by its receipt where the log is another one."""
    corrected = [*SETTLEMENTS[:-1], SETTLEMENTS[-1]._replace(rate=9e-4, **later)]
    evidence = evidence_of(scored(4e-4, SETTLEMENTS), corrected)
    assert verdicts(evidence)["mean"] is Verdict.REVISED
    assert verdicts(evidence)["samples"] is Verdict.EQUAL
    assert worst(steps_of(evidence)) is Verdict.REVISED


def test_a_settlement_that_was_corrected_before_differs() -> None:
    """What lay in the log before the row, the worker knew."""
    corrected = [*SETTLEMENTS[:-1], SETTLEMENTS[-1]._replace(rate=9e-4)]
    evidence = evidence_of(scored(4e-4, SETTLEMENTS), corrected)
    assert verdicts(evidence)["mean"] is Verdict.DIFFERS


def test_doubtful_settlements_and_other_lives_of_the_ticker_do_not_count() -> None:
    """They are counted, and one that became doubtful since is a revision."""
    row = scored(4e-4, SETTLEMENTS)
    beside = [settled(50, 1.0, doubtful=True), settled(51, 1.0, generation=2), *SETTLEMENTS]
    assert differing(evidence_of(row, beside)) == set()
    assert (
        "1 of a doubtful interval, 1 of another"
        in step(evidence_of(row, beside), "samples").numbers
    )
    since = [SETTLEMENTS[0]._replace(doubtful=True, raw_offset=21), *SETTLEMENTS[1:]]
    assert verdicts(evidence_of(row, since))["samples"] is Verdict.REVISED


@pytest.mark.parametrize(
    ("changes", "count", "said"),
    [
        ({"interval_doubtful": True}, 40, "contradictory"),
        ({"stats_as_of": None, "samples": 0, "mean": None, "std": None}, 0, "no baseline yet"),
        ({}, 9, "fewer than 10"),
    ],
)
def test_a_rate_without_z_says_why(changes: dict[str, Any], count: int, said: str) -> None:
    """In its step, and nothing differs."""
    settlements = SETTLEMENTS[:count]
    nothing = {"z": None, "robust_z": None, "percentile": None, "zone": "unrated"}
    row = cast("ZScore", {**scored(4e-4, settlements), **nothing, **changes})
    if not count:
        row["confidence"] = "none"
    evidence = evidence_of(row, settlements)
    assert said in step(evidence, "z").note
    assert differing(evidence) == set()


def test_a_constant_baseline_gives_no_z() -> None:
    """A division by a rounding residue would be a huge one."""
    settlements = [settled(n, 1e-4) for n in range(20, 0, -1)]
    evidence = evidence_of(scored(4e-4, settlements), settlements)
    assert "all settlements of the baseline are equal" in step(evidence, "z").note
    assert differing(evidence) == set()


def test_the_rate_is_read_from_the_payload_again() -> None:
    """By the worker's own normaliser; a payload of another rate differs."""
    row = scored(4e-4, SETTLEMENTS)
    raw = evidence_of(row).raw
    assert raw is not None
    other = raw._replace(payload=PAYLOAD.replace("0.00040000", "0.00050000"))
    assert step(evidence_of(row, raw=other), "rate").verdict is Verdict.DIFFERS
    assert step(evidence_of(row, raw=raw._replace(payload="{")), "rate").verdict is Verdict.DIFFERS
    assert step(evidence_of(row, raw=None), "rate").verdict is Verdict.UNCHECKED


def triggered(trigger: str, before: dict[str, Any], previous_rate: float | None) -> Verdict:
    """The verdict about a trigger, by the row before it and the rate before it."""
    row = cast("ZScore", {**scored(4e-4, SETTLEMENTS), "trigger": trigger})
    previous = cast("ZScore", {**row, **before})
    return verdicts(evidence_of(row, previous=previous, previous_rate=previous_rate))["trigger"]


def test_a_trigger_follows_from_the_row_before_it() -> None:
    """Each of them, right and wrong."""
    assert triggered("cross", {"z": 1.0}, 1e-4) is Verdict.EQUAL
    assert triggered("cross", {}, 1e-4) is Verdict.DIFFERS
    assert triggered("zone", {}, 3.9e-4) is Verdict.EQUAL
    assert triggered("zone", {}, 4e-4) is Verdict.DIFFERS
    assert triggered("zone", {}, None) is Verdict.UNCHECKED
    assert triggered("rate_change", {"rate": 3e-4}, 4e-4) is Verdict.EQUAL
    assert triggered("flush", {}, 4e-4) is Verdict.EQUAL
    assert triggered("flush", {"rate": 1e-4}, 4e-4) is Verdict.DIFFERS
    assert triggered("first", {}, None) is Verdict.UNCHECKED


def test_the_report_says_what_is_gone_and_shows_the_rest() -> None:
    """Expired rows and records, and Kafka that is away."""
    row = scored(4e-4, SETTLEMENTS)
    gone = evidence_of(row, rate_row=None, raw=None, raw_missing=NotKeptError("gone"))
    later = NOW + 8 * US_PER_DAY
    text = "\n".join(lines_of(gone, steps_of(gone), later))
    assert text.count("expired: ") == 2
    assert "(rate_8h − mean) / std" in text
    away = gone._replace(raw_missing=UnavailableError("Kafka is away"))
    document = document_of(away, steps_of(away), NOW)
    assert document["raw_missing"] == "unavailable: Kafka is away"
    assert document["rate_missing"].startswith("missing")
    assert document["verdict"] == "equal"


def test_a_payload_is_shown_as_the_exchange_wrote_it_and_cannot_steer_the_terminal() -> None:
    """Digits stay; control characters and marks of direction become escapes; it has an end."""
    raw = evidence_of(scored(4e-4, SETTLEMENTS)).raw
    assert raw is not None
    assert '  "r": "0.00040000",' in pretty(raw)
    hostile = raw._replace(payload='{"a":1.50, "b":"\u202e\x1b[2J')
    assert "\n".join(pretty(hostile)) == '{"a":1.50, "b":"\\u202e\\x1b[2J'
    long = pretty(raw._replace(payload="x" * 60_000, size_bytes=60_000))
    assert len("".join(long)) < 5_000
    assert "60000 bytes" in long[-1]
