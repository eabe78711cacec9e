"""One suite over every registered exchange: exact cuts, and no crash on junk."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producers.exchanges import exchange
from producers.exchanges.spec import Exchange
from producers.policy.merging import Merging
from producers.policy.polling import affordable_s
from schemas.errors import MalformedInputError
from schemas.feeds import FEEDS, spec
from tests.support.every_exchange import each_feed
from tests.venues.samples import in_its_frame, samples


@each_feed
def test_an_exchange_is_sampled(feed: str) -> None:
    """A new exchange brings its messages along, or this suite says nothing about it."""
    found = samples(feed)
    streams = bool(exchange(feed).socket_kinds)
    assert bool(found.data) == bool(found.control) == streams
    assert found.replies
    assert exchange(feed).feed == feed


def _is_enveloped(frame: bytes, payload: bytes) -> bool:
    """Whether a payload is the frame's head, a part of it, and its tail: nothing is invented."""
    head = len(_common_prefix(frame, payload))
    tail = len(_common_prefix(frame[::-1], payload[::-1]))
    return head + tail >= len(payload) or payload[head : len(payload) - tail] in frame


def _common_prefix(one: bytes, other: bytes) -> bytes:
    length = next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), None)
    return one[:length] if length is not None else min(one, other, key=len)


@each_feed
def test_pieces_are_exact_bytes_of_the_frame_and_none_is_lost(feed: str) -> None:
    """Each names its contract; what is published is parsed to what was sent about it."""
    for message, expected in samples(feed).data:
        frame = exchange(feed).slice_frame(message)
        assert frame.control is None
        assert frame.channel == expected.channel
        assert frame.published == expected.published
        assert frame.event_us == expected.event_us
        assert [piece.symbol for piece in frame.slices] == list(expected.symbols)
        for piece, text in zip(frame.slices, expected.payloads(message), strict=True):
            assert piece.payload == text
            assert _is_enveloped(message, in_its_frame(piece))
            json.loads(in_its_frame(piece))


@each_feed
def test_rows_of_changes_are_completed_to_what_is_published(feed: str) -> None:
    """The fields that a description keeps are in its messages, and the terms are among them."""
    found = exchange(feed)
    assert set(found.row_terms) <= found.row_fields
    merging = Merging(found.row_fields, found.row_terms)
    partial = False
    for message, expected in samples(feed).data:
        slices = found.slice_frame(message).slices
        partial = partial or any(piece.partial for piece in slices)
        done = merging.complete("connection", slices)
        left_out = [piece.symbol for piece in done.slices] + done.incomplete
        assert sorted(map(str, left_out)) == sorted(map(str, expected.symbols))
        assert all(piece.readable and json.loads(piece.payload) for piece in done.slices)
    assert partial == bool(found.row_fields)


@each_feed
def test_control_frames_are_neither_data_nor_published(feed: str) -> None:
    """And they are read as what they are: greeting, ack, error."""
    for message, expected in samples(feed).control:
        frame = exchange(feed).slice_frame(message)
        assert frame.control == expected, message
        assert not frame.slices


@each_feed
def test_an_unknown_event_is_named_and_nothing_else(feed: str) -> None:
    """Neither data nor control, and no dead letter: exchanges add events without notice."""
    for message, name in samples(feed).unknown:
        frame = exchange(feed).slice_frame(message)
        assert frame.unknown == name
        assert not frame.slices
        assert frame.control is None
    for message, _ in (*samples(feed).data, *samples(feed).control):
        assert exchange(feed).slice_frame(message).unknown is None


def with_more(value: Any, extra: Any, depth: int = 3) -> Any:
    """A message with an unknown key in each object."""
    if depth == 0:
        return value
    if isinstance(value, dict):
        grown = {key: with_more(inner, extra, depth - 1) for key, inner in value.items()}
        return {"zzNew": extra, **grown}
    if isinstance(value, list):
        return [with_more(inner, extra, depth) for inner in value]
    return value


@each_feed
@given(extra=st.none() | st.integers() | st.text() | st.just({"s": "NO", "d": [{"s": "NO"}]}))
@settings(max_examples=15)
def test_unknown_keys_change_nothing(feed: str, extra: Any) -> None:
    """Exchanges add fields without notice (`ap`, `st`, `rateType` came so)."""
    for message, expected in samples(feed).data:
        grown = json.dumps(with_more(json.loads(message), extra)).encode()
        frame = exchange(feed).slice_frame(grown)
        assert frame.channel == expected.channel
        assert [piece.symbol for piece in frame.slices] == list(expected.symbols)
        for piece in frame.slices:
            assert _is_enveloped(grown, in_its_frame(piece))
            json.loads(in_its_frame(piece))


def survives(found: Exchange, message: bytes) -> None:
    """Read a message in all ways, accepting MalformedInputError and nothing else."""
    with contextlib.suppress(MalformedInputError):
        found.slice_frame(message)
    calls = [*found.fact_calls, *found.snapshot_calls([])]
    for call in calls:
        with contextlib.suppress(MalformedInputError):
            slices = found.slice_reply(call, message)
            for piece in slices:
                found.fact_identity(call.resource, piece.payload)
            found.listings(call, slices)
        found.fault(call, {"age": "9" * 40}, message)
        found.barred_s(call, {"age": "9" * 40}, message)
        found.retry_after_s({"Retry-After": "9" * 40}, message, 10**12)
    with contextlib.suppress(MalformedInputError):
        found.history(["A"], 0, 10**12, {"A": "7"}).take(message)
    for kind in found.socket_kinds:
        if kind.ticket is not None:
            with contextlib.suppress(MalformedInputError):
                kind.ticket.url(message, "1")


KEYS = (
    *("s", "d", "T", "data", "stream", "type", "topic", "subject", "channel", "coin", "universe"),
    *("name", "code", "symbol", "symbols", "message", "error", "method", "subscription", "result"),
    *("time", "timepoint", "fundingTime", "intervalEndTimestamp", "token", "instanceServers"),
    "endpoint",
)
junk = (
    st.binary(max_size=60)
    | st.text(max_size=30).map(str.encode)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(KEYS),
                inner,
                max_size=4,
            )
        ),
        max_leaves=8,
    )
    .map(json.dumps)
    .map(str.encode)
)


@each_feed
@given(message=junk)
@settings(max_examples=80)
def test_junk_raises_nothing_but_malformed_input(feed: str, message: bytes) -> None:
    """Whatever comes from outside ends as a dead letter, never as a crash."""
    survives(exchange(feed), message)


@each_feed
@given(data=st.data())
@settings(max_examples=40)
def test_damaged_messages_raise_nothing_but_malformed_input(feed: str, data: st.DataObject) -> None:
    """Cut short, or with a byte changed."""
    found = samples(feed)
    message = data.draw(
        st.sampled_from(
            [m for m, _ in found.data] + [m for m, _ in found.control] + [*found.replies.values()]
        )
    )
    at = data.draw(st.integers(0, len(message) - 1))
    survives(exchange(feed), message[:at])
    survives(exchange(feed), message[:at] + data.draw(st.binary(max_size=2)) + message[at + 1 :])


@each_feed
def test_replies_are_cut_into_exact_rows(feed: str) -> None:
    """One piece for each contract, of what was sent; the perpetuals among the facts are listed."""
    found = exchange(feed)
    calls = {call.resource: call for call in (*found.fact_calls, *found.snapshot_calls([]))}
    for resource, body in samples(feed).replies.items():
        slices = found.slice_reply(calls[resource], body)
        assert [(piece.symbol, piece.payload) for piece in slices] == list(
            samples(feed).pieces[resource]
        )
        assert resource in samples(feed).composed or all(piece.payload in body for piece in slices)
        listings = found.listings(calls[resource], slices)
        if resource in samples(feed).listed:
            assert listings is not None
            assert {entry.symbol: entry.streaming for entry in listings} == dict(
                samples(feed).listed[resource]
            )


@each_feed
def test_history_is_walked_to_its_end(feed: str) -> None:
    """The documented page is understood, and an empty one ends the walk."""
    found = exchange(feed)
    symbol = samples(feed).history_symbol
    walk = found.history([symbol], *samples(feed).history_span, {symbol: "7"})
    call = walk.next_call()
    assert call is not None
    page = walk.take(samples(feed).history_page)
    # In the order of their time: some exchanges send the newest first.
    assert [piece.payload for piece in page.slices] == sorted(
        samples(feed).history_rows, key=lambda row: json.loads(row)[samples(feed).history_time]
    )
    assert {piece.symbol for piece in page.slices} == {samples(feed).history_symbol}
    for _ in range(20):
        if walk.next_call() is None:
            break
        assert not walk.take(samples(feed).history_empty).slices
    assert walk.next_call() is None
    assert walk.progress == 1.0


@each_feed
@pytest.mark.parametrize("time", [b"null", b'""', b"true", b"1.5", b"1e400", b"-1", b"[]"])
def test_an_odd_time_costs_no_more_than_its_row(feed: str, time: bytes) -> None:
    """It is read as one, or is malformed input; never anything else."""
    for message, expected in samples(feed).data:
        for key in (b'"E":', b'"P":'):
            head, found_key, rest = message.partition(key)
            if not found_key or not rest[:1].isdigit():
                continue
            odd = head + key + time + rest.lstrip(b"0123456789")
            with contextlib.suppress(MalformedInputError):
                frame = exchange(feed).slice_frame(odd)
                assert len(frame.slices) == len(expected.symbols)


@pytest.mark.parametrize("feed", [feed for feed in FEEDS if not exchange(feed).socket_kinds])
def test_a_feed_without_a_stream_is_polled_in_time(feed: str) -> None:
    """Within the limits, and twice before a contract counts as silent."""
    found, known = exchange(feed), spec(feed)
    symbols = [f"A{number}" for number in range(known.max_contracts)]
    assert affordable_s(found.snapshot_calls(symbols), found.limits) <= found.fallback_s
    assert found.fallback_s <= known.cadence_s < known.missed_after_s
    assert 2 * found.fallback_s < found.silent_s < known.stale_s
