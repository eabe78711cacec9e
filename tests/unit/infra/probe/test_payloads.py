"""What a probe tells of payloads: fields, types, ranges, pace, and what is not as documented."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.probe.observation import MAX_NAMES, Call, Observation, Socket
from infra.probe.payloads import MAX_FIELDS, Channel, paths_of
from infra.probe.report import document_of, lines_of
from producers.exchanges import exchange
from producers.exchanges.spec import PayloadFields
from schemas.feeds import FEEDS
from schemas.times import US_PER_S
from tests.venues.samples import samples

DOCUMENTED = PayloadFields(("s", "d[].r"), sometimes=("x", "y"), every_s=1.0)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=12,
)


def channel_of(*payloads: Any, documented: PayloadFields | None = DOCUMENTED) -> Channel:
    """A channel that has brought these payloads of one contract, a second apart."""
    channel = Channel(documented)
    for number, payload in enumerate(payloads):
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        channel.frame(len(body))
        channel.take("A", body, number * US_PER_S)
    return channel


def seen_of(channel: Channel, seconds: float = 5.0, **changes: Any) -> Observation:
    """A probe that has heard of one contract by this channel."""
    seen = Observation("a-feed", True, seconds, {"rates": DOCUMENTED}, {"weight": 100})
    seen.listed = frozenset({"A", "B"})
    seen.sockets = [Socket("one", 12.0, 34.0)]
    seen.calls = [Call("/list", 200, 7.0, {"weight": 3})]
    seen.streams = {"rates": channel}
    for name, value in changes.items():
        setattr(seen, name, value)
    return seen


def test_a_field_has_its_types_and_its_range() -> None:
    """A number in a text counts as one, and is told from others."""
    channel = channel_of({"r": "0.5"}, {"r": -2}, {"r": ""}, {"r": None}, {"r": "nan"})
    field = channel.fields["r"]
    assert dict(field.types) == {"number as text": 1, "integer": 1, "text": 2, "null": 1}
    assert (field.least, field.most, field.seen) == (-2, 0.5, 5)


def test_an_integer_beyond_all_floats_is_an_integer_without_a_range() -> None:
    """An exchange may send any number of digits; the probe goes on."""
    field = channel_of(b'{"r": 1' + b"0" * 400 + b"}", {"r": 2}).fields["r"]
    assert dict(field.types) == {"integer": 2}
    assert (field.least, field.most) == (2, 2)


def test_kinds_of_frames_without_data_are_bounded() -> None:
    """An exchange may name each frame anew; all are counted."""
    seen = seen_of(channel_of())
    for number in range(2 * MAX_NAMES):
        seen.without_data(f"unknown: {number}")
    assert len(seen.control) == MAX_NAMES + 1
    assert seen.control.total() == 2 * MAX_NAMES


def test_what_is_not_as_documented_is_told() -> None:
    """Missing from some, in none, and new; what leads to a documented field is not new."""
    gaps = channel_of({"s": "A", "d": [{"r": 1}]}, {"s": "A", "d": [], "n": {"m": 1}}).gaps()
    assert gaps is not None
    assert (gaps.missing, gaps.unseen, gaps.new) == (["d[].r"], ["x", "y"], ["n", "n.m"])
    deep = channel_of({"s": "A", "d": [{"r": {"inner": 1}}], "x": [1]}).gaps()
    assert deep is not None
    assert deep.new == []


def test_without_documentation_or_payloads_nothing_is_missing() -> None:
    """There is nothing to compare."""
    assert channel_of({"a": 1}, documented=None).gaps() is None
    assert channel_of().gaps() is None


def test_the_pace_is_that_of_a_contract() -> None:
    """Median and maximum of the spans between two of its payloads."""
    channel = channel_of(*[{}] * 3)
    assert channel.pace_s() == (1.0, 1.0)
    channel.take("A", b"{}", 12 * US_PER_S)
    channel.take("B", b"{}", 99 * US_PER_S)
    assert channel.pace_s() == (1.0, 10.0)
    assert channel.contracts == {"A", "B"}


@given(st.lists(JSON, max_size=5))
def test_any_payload_can_be_taken(payloads: list[Any]) -> None:
    """Each field is seen in as many payloads as have it."""
    channel = channel_of(*payloads)
    for path, field in channel.fields.items():
        assert field.seen == sum(path in dict(paths_of(payload)) for payload in payloads)


def test_hostile_payloads_are_bounded_and_counted() -> None:
    """Thousands of names, deep nesting, and what is no JSON."""
    many = {f"name{n}": n for n in range(MAX_FIELDS + 50)}
    channel = channel_of(many, b"[" * 100_000, b"\xff")
    assert len(channel.fields) == MAX_FIELDS
    assert (channel.left_out, channel.unreadable) == (50, 2)


def test_a_stream_that_had_the_time_and_brought_nothing_is_missing() -> None:
    """With less time it is only not heard of."""
    silent = seen_of(channel_of({}), streams={})
    assert silent.missing() == [
        "stream rates: brought nothing, though it is documented to every 1 s"
    ]
    short = seen_of(channel_of({}), seconds=1.0, streams={})
    assert short.missing() == []
    assert any("take more --seconds" in line for line in lines_of(short))


def test_of_an_exchange_that_is_away_nothing_is_missing() -> None:
    """The problem is told, and no verdict about what it documents."""
    away = seen_of(channel_of(), streams={}, sockets=[], problems=["no answer"])
    assert (away.is_unreachable, away.missing()) == (True, [])
    assert list(lines_of(away))[-1] == "Problem: no answer"


def test_the_report_says_what_was_seen() -> None:
    """For people, without a character that steers a terminal, and for scripts."""
    channel = channel_of({"s": "A\x1b[2J", "d": [{"r": "0.25"}], "new": 1}, {"s": "A"})
    seen = seen_of(channel)
    text = "\n".join(lines_of(seen))
    assert "a-feed (SIMULATED), 5 s" in text
    assert "/list: HTTP 200 in 7 ms, 3 of 100 weight used" in text
    assert "d[].r: number as text, 0.25 to 0.25, in 1 of 2" in text
    assert "new: integer, 1 to 1, in 1 of 2, NEW: not documented" in text
    assert "Contracts: 1 heard of 2 listed\n  not heard: B" in text
    assert "MISSING: rates: field d[].r is missing" in text
    assert "\x1b" not in text
    document = json.loads(json.dumps(document_of(seen)))
    assert document["missing"] == ["rates: field d[].r is missing"]
    assert document["streams"]["rates"]["fields"]["d[].r"]["most"] == 0.25


@pytest.mark.parametrize("feed", FEEDS)
def test_each_feed_says_what_its_stream_documents(feed: str) -> None:
    """At least one channel that it sends, and no field twice."""
    documented = exchange(feed).documented
    assert documented.keys() & {expected.channel for _, expected in samples(feed).data}
    for fields in documented.values():
        names = [*fields.always, *fields.sometimes]
        assert len(names) == len(set(names)) > 0
