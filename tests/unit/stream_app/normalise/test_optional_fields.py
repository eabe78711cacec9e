"""What an optional field of any venue may be: null is as good as absent, and a value of a wrong
type costs that field alone.

The fields are those of the structs that payloads are decoded into, so that a field added to a venue
is held to this without another line.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from schemas.errors import MalformedInputError
from stream_app.model import (
    MAX_AMOUNT,
    InstrumentUpdate,
    RateUpdate,
    SettlementUpdate,
    Unreadable,
    Update,
)
from tests.fuzz.samples import SAMPLES, normaliser_of
from tests.support.optional_fields import OptionalField, optional_fields
from tests.venues.samples import RECEIVED_AT_US, Sample

RATES = {
    *("r", "f", "fr", "funding", "fundingRate", "lastFundingRate", "fundingFeeRate"),
    *("rate", "current_funding_rate", "realizedRate", "next_funding", "funding_rate"),
    "nextFundingRate",
}
"""An update without its rate is none: a row may lack it, but not have a bad one."""
IDENTITY = {"universe", "name", "ticker"}
"""Of two forms of a row, one has the first and one the second; whose row it is must be known."""
NEXT_TIMES = {
    *("T", "nextFundingTime", "n", "nextFundingTimestamp", "nt"),
    *(
        "next_funding_rate_timestamp",
        "nextFundingRateTime",
        "nextFundingRateDateTime",
        "nextUpdate",
        "nextSettleTime",
        "funding_next_apply",
        "funding_next_apply",
    ),
}
"""Dropped without a word where they are out of place: exchanges put other things there."""
STATES = {"rateType", "isDelisted", "contractStatus", "oraclePrice"}
"""Their absence says something, which a value that cannot be read does not: then a settlement is
special, and the known status stays. The tests of the venues say so."""
NAMED_OTHERWISE = {
    "p": "mark price",
    "i": "index price",
    "markPrice": "mark price",
    "indexPrice": "index price",
}
"""Fields that one reader reads of several kinds of rows, by the name that it has for them."""
WRONG: tuple[object, ...] = ({}, {"a": 1}, [], [1], True, False, "text?!")

Case = tuple[Sample, OptionalField]
CASES: list[Case] = [(sample, field) for sample in SAMPLES for field in optional_fields(sample)]
OTHERS = [case for case in CASES if case[1].name not in RATES | IDENTITY]


def of_cases(cases: list[Case]) -> pytest.MarkDecorator:
    """Run a test for each of the cases."""
    ids = [f"{s.feed} {s.purpose} {s.channel} {field.name}" for s, field in cases]
    return pytest.mark.parametrize(("sample", "field"), cases, ids=ids)


def outcome(sample: Sample, payload: bytes) -> Sequence[Update] | None:
    """The readings of a payload in the sample's place; None if it is malformed."""
    try:
        return normaliser_of(sample.feed)(
            sample.purpose, sample.channel, sample.symbol, payload, RECEIVED_AT_US
        )
    except MalformedInputError:
        return None


def parted(updates: Sequence[Update]) -> tuple[list[Update], list[str]]:
    """The good updates, and the reasons of the unreadable ones."""
    good: list[Update] = [update for update in updates if not isinstance(update, Unreadable)]
    return good, [update.reason for update in updates if isinstance(update, Unreadable)]


def rates_of(updates: Sequence[Update]) -> list[float]:
    """The rates among the updates."""
    return [u.rate for u in updates if isinstance(u, RateUpdate | SettlementUpdate)]


def without_next_time(updates: Sequence[Update]) -> list[Update]:
    """The updates without the times of the next funding."""
    return [
        msgspec.structs.replace(u, next_funding_time=None) if isinstance(u, RateUpdate) else u
        for u in updates
    ]


def wrong_values(field: OptionalField) -> list[object]:
    """Values that are none of the field's type."""
    fitting: dict[str, tuple[type, ...]] = {"Text": (str,), "Flag": (bool,)}
    return [value for value in WRONG if not isinstance(value, fitting.get(field.kind, ()))]


def test_every_venue_has_optional_fields() -> None:
    """Prices, next times, bounds: the cases below are not empty for any of them."""
    assert {sample.feed for sample in SAMPLES} == {sample.feed for sample, _ in OTHERS}
    assert {"p", "markPrice", "gl", "isDelisted", "fundingInterval", "onboardDate"} <= {
        field.name for _, field in OTHERS
    }


@of_cases(CASES)
def test_null_is_as_good_as_absent(sample: Sample, field: OptionalField) -> None:
    """It means the same, and is no fault."""
    absent = outcome(sample, field.absent(sample.row))
    assert outcome(sample, field.written(sample.row, None)) == absent
    if absent is not None:
        assert parted(absent)[1] == []


@of_cases(OTHERS)
def test_a_value_of_a_wrong_type_costs_its_field_alone(
    sample: Sample, field: OptionalField
) -> None:
    """The rest of the row is read as if the field were absent, and the field is named."""
    whole = outcome(sample, sample.payload)
    assert whole
    absent = outcome(sample, field.absent(sample.row))
    for value in wrong_values(field):
        updates = outcome(sample, field.written(sample.row, value))
        assert updates is not None, value
        good, reasons = parted(updates)
        assert rates_of(good) == rates_of(whole) or rates_of(good) == rates_of(absent or ())
        if field.name in NEXT_TIMES:
            assert good in (list(absent or ()), list(whole), without_next_time(whole)), value
            assert reasons == []
        elif good == list(whole) and not reasons:
            assert list(absent or ()) == good, f"{field.name} is read, and took {value!r}"
        else:
            names = (field.name, NAMED_OTHERWISE.get(field.name, field.name))
            assert [r for r in reasons if r.startswith(tuple(f"{n} is " for n in names))], value
            assert len(reasons) == 1
            if field.name not in STATES:
                assert good == list(absent or ()), value


AMOUNTS = ("turnover_24h", "open_interest", "open_interest_units")


def amounts_of(updates: Sequence[Update] | None) -> dict[str, float]:
    """The amounts that the updates tell."""
    facts = [update for update in updates or () if isinstance(update, InstrumentUpdate)]
    told = {name: getattr(update, name) for name in AMOUNTS for update in facts}
    return {name: amount for name, amount in told.items() if amount is not None}


LIQUIDITY = [
    case
    for case in OTHERS
    if case[1].kind == "Number" and amounts_of(outcome(case[0], case[0].payload))
]


@of_cases(LIQUIDITY)
@pytest.mark.parametrize("value", [-1.0, 1e30, 1e308])
def test_an_amount_that_is_none_costs_itself_alone(
    value: float, sample: Sample, field: OptionalField
) -> None:
    """The core refuses an update with such an amount, and with it the good one beside it."""
    before = amounts_of(outcome(sample, sample.payload))
    without = amounts_of(outcome(sample, field.absent(sample.row)))
    found = amounts_of(outcome(sample, field.written(sample.row, value)))
    assert all(0 <= amount <= MAX_AMOUNT for amount in found.values())
    unconcerned = dict(before.items() & without.items())
    assert unconcerned.items() <= found.items()


@of_cases([case for case in CASES if case[1].name in RATES])
def test_a_rate_of_a_wrong_type_is_never_a_rate(sample: Sample, field: OptionalField) -> None:
    """The row is malformed; what else it tells may be kept, with the rate named as unreadable."""
    whole = outcome(sample, sample.payload)
    assert whole
    absent = outcome(sample, field.absent(sample.row))
    for value in wrong_values(field):
        updates = outcome(sample, field.written(sample.row, value))
        if updates is None or list(updates) == list(whole) == list(absent or ()):
            continue
        good, reasons = parted(updates)
        assert len(rates_of(good)) < len(rates_of(whole))
        assert [reason.startswith(f"{field.name} is ") for reason in reasons] == [True]
