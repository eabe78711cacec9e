"""Normalising never raises anything but MalformedInputError, whatever the bytes.

An exception that escapes would be a bug met again and again on the same record.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas.feeds import FEEDS
from schemas.times import US_PER_DAY, US_PER_HOUR
from stream_app.normalise import normaliser
from tests.fuzz.samples import SAMPLES, normaliser_of
from tests.fuzz.targets import read_or_refuse
from tests.venues.samples import RECEIVED_AT_US, Sample

numbers_as_text = st.from_regex(r"-?[0-9]{1,3}(\.[0-9]{1,3})?([eE]-?[0-9]{1,3})?", fullmatch=True)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(10**12, 10**19)
    | st.integers(10**12, 10**19).map(str)
    | st.floats()
    | st.sampled_from([1e308, 1e999, -0.0, "NaN", "inf", "1e999", "-0", 10**400, 2**64])
    | st.text(max_size=8)
    | numbers_as_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
BY_FEED = {feed: [sample for sample in SAMPLES if sample.feed == feed] for feed in FEEDS}
each_feed = pytest.mark.parametrize("feed", FEEDS)


def test_every_registered_feed_has_samples_and_a_normaliser() -> None:
    """A feed that is registered is normalised, and is among those that are tested here."""
    for feed in FEEDS:
        assert BY_FEED[feed]
        assert normaliser(feed) is normaliser_of(feed)


@pytest.mark.parametrize(
    "sample", SAMPLES, ids=lambda sample: f"{sample.feed} {sample.purpose} {sample.channel}"
)
def test_a_sample_is_read(sample: Sample) -> None:
    """What the mutations below start from is valid."""
    assert read_or_refuse(sample, sample.payload, RECEIVED_AT_US)


@each_feed
@settings(max_examples=60, deadline=None)
@given(payload=st.binary(max_size=80))
@example(payload=b"[" * 100_000)
def test_any_bytes_are_read_or_refused(feed: str, payload: bytes) -> None:
    """Random bytes on every channel."""
    for sample in BY_FEED[feed]:
        read_or_refuse(sample, payload, RECEIVED_AT_US)


def mutate(value: Any, data: st.DataObject) -> Any:
    """The value with some of its parts, at any depth, replaced by any other JSON or gone."""
    if isinstance(value, list):
        return [mutate(element, data) for element in value]
    if not isinstance(value, dict):
        return value
    mutated = {key: mutate(element, data) for key, element in value.items()}
    replaced = data.draw(st.dictionaries(st.sampled_from(sorted(value)), json_values, max_size=2))
    gone = data.draw(st.sets(st.sampled_from(sorted(value)), max_size=1))
    return {key: element for key, element in {**mutated, **replaced}.items() if key not in gone}


@each_feed
@settings(max_examples=80, deadline=None)
@given(data=st.data(), received_at_us=st.integers(0, 2**62))
def test_a_row_with_other_values_is_read_or_refused(
    feed: str, data: st.DataObject, received_at_us: int
) -> None:
    """Valid rows with some values replaced by any other JSON, and some keys gone."""
    sample = data.draw(st.sampled_from(BY_FEED[feed]))
    row = mutate(sample.row, data)
    read_or_refuse(sample, json.dumps(row, allow_nan=True).encode(), received_at_us)


@each_feed
@settings(max_examples=80, deadline=None)
@given(
    index=st.integers(0, 99),
    cuts=st.lists(st.integers(0, 300), min_size=2, max_size=2).map(sorted),
    middle=st.binary(max_size=6) | st.sampled_from([b"\\ud83d", b"\xed\xa0\x80", b"{", b"9" * 400]),
)
def test_a_row_with_damaged_bytes_is_read_or_refused(
    feed: str, index: int, cuts: list[int], middle: bytes
) -> None:
    """Valid rows with a stretch of bytes replaced."""
    sample = BY_FEED[feed][index % len(BY_FEED[feed])]
    payload = sample.payload
    read_or_refuse(sample, payload[: cuts[0]] + middle + payload[cuts[1] :], RECEIVED_AT_US)


@each_feed
@given(extra=st.dictionaries(st.text(min_size=9, max_size=12), json_values, max_size=3))
@settings(max_examples=20, deadline=None)
def test_keys_that_nobody_knows_change_nothing(feed: str, extra: dict[str, Any]) -> None:
    """Exchanges add keys without notice."""
    unknown = {f"{key} unknown": _finite(value) for key, value in extra.items()}
    for sample in BY_FEED[feed]:
        payload = json.dumps({**unknown, **sample.row}).encode()
        read = read_or_refuse(sample, payload, RECEIVED_AT_US)
        assert read == read_or_refuse(sample, sample.payload, RECEIVED_AT_US)


def _finite(value: Any) -> Any:
    """The value as valid JSON: without NaN and infinities, which are no JSON."""
    return json.loads(json.dumps(value), parse_constant=str)


@settings(max_examples=200, deadline=None)
@given(received_at_us=st.integers(10**15, 10**16))
def test_hyperliquids_next_funding_is_the_next_full_hour(received_at_us: int) -> None:
    """Later than the receipt, by at most an hour (docs/exchanges/hyperliquid.md §6)."""
    sample = next(s for s in SAMPLES if (s.feed, s.purpose) == ("hyperliquid", "stream"))
    (update,) = read_or_refuse(sample, sample.payload, received_at_us)
    at = getattr(update, "next_funding_time", None)
    assert at is not None
    assert at % US_PER_HOUR == 0
    assert 0 < at - received_at_us <= US_PER_HOUR


@settings(max_examples=200, deadline=None)
@given(countdown_ms=st.integers(0, 24 * 3_600_000), received_at_us=st.integers(10**15, 4 * 10**15))
def test_a_countdown_ends_on_the_minute_that_is_nearest(
    countdown_ms: int, received_at_us: int
) -> None:
    """Without nextFundingRateDateTime (docs/exchanges/kucoin.md §5a)."""
    sample = next(s for s in SAMPLES if (s.feed, s.purpose) == ("kucoin", "fallback"))
    row = {**sample.row, "nextFundingRateDateTime": None, "nextFundingRateTime": countdown_ms}
    (update,) = read_or_refuse(sample, json.dumps(row).encode(), received_at_us)
    at = getattr(update, "next_funding_time", None)
    assert at is not None
    assert at % 60_000_000 == 0
    assert abs(at - (received_at_us + countdown_ms * 1_000)) <= 30_000_000
    assert at - received_at_us <= US_PER_DAY + 30_000_000
