"""One suite over every registered exchange: exact cuts, no crash on junk, limits as documented."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from itertools import count, islice
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producers.exchanges import exchange
from producers.exchanges.description import Control, Exchange, RestCall, SocketKind
from producers.history import SETTLED_AFTER_S
from producers.settings import ProducerSettings
from schemas.errors import MalformedInputError
from schemas.feeds import FEEDS, spec
from tests.contract.test_exchange_samples import SAMPLES, Samples

EXCHANGES = [exchange(feed) for feed in FEEDS]
KINDS = [(found, kind) for found in EXCHANGES for kind in found.socket_kinds]
SYMBOL_KINDS = [(found, kind) for found, kind in KINDS if kind.capacity is not None]

each_feed = pytest.mark.parametrize("feed", FEEDS)
each_kind = pytest.mark.parametrize(
    ("found", "kind"), KINDS, ids=[f"{found.feed}-{kind.name}" for found, kind in KINDS]
)


def samples(feed: str) -> Samples:
    """The messages of a feed."""
    return SAMPLES[feed]


@each_feed
def test_an_exchange_is_sampled(feed: str) -> None:
    """A new exchange brings its messages along, or this suite says nothing about it."""
    found = samples(feed)
    assert found.data
    assert found.control
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
            assert _is_enveloped(message, piece.payload)
            json.loads(piece.payload)


@each_feed
def test_control_frames_are_neither_data_nor_published(feed: str) -> None:
    """And they are read as what they are: greeting, ack, error."""
    for message, expected in samples(feed).control:
        frame = exchange(feed).slice_frame(message)
        assert frame.control == expected, message
        assert not frame.slices


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
            assert _is_enveloped(grown, piece.payload)
            json.loads(piece.payload)


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
    with contextlib.suppress(MalformedInputError):
        found.history(["A"], 0, 10**12).take(message)
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
                st.sampled_from(
                    [
                        "s",
                        "d",
                        "T",
                        "data",
                        "stream",
                        "type",
                        "topic",
                        "subject",
                        "channel",
                        "coin",
                        "universe",
                        "name",
                        "code",
                        "symbol",
                        "symbols",
                        "message",
                        "error",
                        "method",
                        "subscription",
                        "result",
                        "time",
                        "timepoint",
                        "fundingTime",
                        "intervalEndTimestamp",
                        "token",
                        "instanceServers",
                        "endpoint",
                    ]
                ),
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
    """One piece for each contract, byte for byte; the perpetuals among the facts are listed."""
    found = exchange(feed)
    calls = {call.resource: call for call in (*found.fact_calls, *found.snapshot_calls([]))}
    for resource, body in samples(feed).replies.items():
        slices = found.slice_reply(calls[resource], body)
        assert [(piece.symbol, piece.payload) for piece in slices] == list(
            samples(feed).pieces[resource]
        )
        assert all(piece.payload in body for piece in slices)
        listings = found.listings(calls[resource], slices)
        if resource in samples(feed).listed:
            assert listings is not None
            assert {entry.symbol: entry.streaming for entry in listings} == dict(
                samples(feed).listed[resource]
            )


def settled_at(row: bytes) -> Any:
    """When a row of settled rates says that it was settled."""
    names = ("fundingTime", "timepoint", "time", "intervalEndTimestamp")
    return next(value for key, value in json.loads(row).items() if key in names)


@each_feed
def test_history_is_walked_to_its_end(feed: str) -> None:
    """The documented page is understood, and an empty one ends the walk."""
    found = exchange(feed)
    walk = found.history([samples(feed).history_symbol], *samples(feed).history_span)
    call = walk.next_call()
    assert call is not None
    page = walk.take(samples(feed).history_page)
    # In the order of their time: the samples of Backpack and KuCoin are newest first.
    assert [piece.payload for piece in page.slices] == sorted(
        samples(feed).history_rows, key=settled_at
    )
    assert {piece.symbol for piece in page.slices} == {samples(feed).history_symbol}
    for _ in range(20):
        if walk.next_call() is None:
            break
        assert not walk.take(samples(feed).history_empty).slices
    assert walk.next_call() is None
    assert walk.progress == 1.0


@each_feed
def test_calls_draw_on_pools_that_exist(feed: str) -> None:
    """And within one window's limit, on paths below the exchange's host."""
    found = exchange(feed)
    ticket_calls = [kind.ticket.call for kind in found.socket_kinds if kind.ticket is not None]
    walk = found.history(["A"], 0, 10**12).next_call()
    assert walk is not None
    calls = [*found.fact_calls, *found.snapshot_calls(["A", "x:B"]), *ticket_calls, walk]
    for call in calls:
        assert call.path.startswith("/")
        assert call.costs
        for pool, units in call.costs.items():
            assert 0 < units <= found.limits[pool].limit / 2
        assert bool(call.body) <= (call.method == "POST")
    assert urlsplit(found.rest_url).scheme == "https"


@each_kind
def test_a_socket_is_replaced_within_a_day_and_judged_by_data(
    found: Exchange, kind: SocketKind
) -> None:
    """Addresses are wss or come by a call; silence ends within the feed's stale threshold.

    A contract's silence is noticed no later than its socket's, and not between two pushes.
    """
    assert bool(kind.urls) != (kind.ticket is not None)
    assert all(urlsplit(url).scheme == "wss" for url in kind.urls)
    assert 0 < kind.max_age_s < 24 * 3600
    assert 0 < kind.silent_s <= spec(found.feed).stale_s
    assert spec(found.feed).cadence_s < found.silent_s < spec(found.feed).stale_s
    assert kind.secondary or found.silent_s <= kind.silent_s


@pytest.mark.parametrize(
    ("found", "kind"),
    SYMBOL_KINDS,
    ids=[f"{found.feed}-{kind.name}" for found, kind in SYMBOL_KINDS],
)
@given(number=st.integers(0, 700))
@settings(max_examples=15)
def test_every_contract_is_subscribed_once(found: Exchange, kind: SocketKind, number: int) -> None:
    """In frames that name their contracts and are JSON; unsubscribing is the same backwards."""
    symbols = [f"Ünit{n}.X_PERP" for n in range(number)]
    for frames in (kind.subscribe(symbols), kind.unsubscribe(symbols)):
        assert [symbol for frame in frames for symbol in frame.symbols] == symbols
        for frame in frames:
            document = json.dumps(json.loads(frame.text), ensure_ascii=False).lower()
            assert all(symbol.lower() in document for symbol in frame.symbols)
            assert len(frame.symbols) <= 100
    assert found.frames_per_s <= 20


def pings(kind: SocketKind) -> Iterator[dict[str, Any]]:
    """The pings of a connection."""
    assert kind.ping is not None
    return (json.loads(kind.ping.text(number)) for number in count(1))


@each_kind
def test_pings_are_json_and_often_enough(found: Exchange, kind: SocketKind) -> None:
    """Within the 60 s after which KuCoin and Hyperliquid close (§3A, §3B, §4.5)."""
    if kind.ping is None:
        assert found.feed.startswith(("binance", "backpack")), "their servers ping"
        return
    assert kind.ping.every_s <= 30
    sent = list(islice(pings(kind), 3))
    assert all("ping" in ping.values() for ping in sent)
    if found.feed == "kucoin":
        assert len({ping["id"] for ping in sent}) == 3


def test_hosts_and_paths_are_the_documented_ones() -> None:
    """exchanges.md §1.1, §2.1, §3A, §4.1, §5.1 and the REST roots."""
    urls = {found.feed: [u for k in found.socket_kinds for u in k.urls] for found in EXCHANGES}
    assert urls == {
        "binance-usdm": ["wss://fstream.binance.com/market/ws/!markPrice@arr@1s"],
        "binance-coinm": [
            "wss://dstream.binance.com/stream",
            "wss://dstream.binance.com/market/stream",
            "wss://fstream.binance.com/market/stream",
        ],
        "kucoin": ["wss://x-push-futures.kucoin.com/"],
        "hyperliquid": ["wss://api.hyperliquid.xyz/ws"] * 2,
        "backpack": ["wss://ws.backpack.exchange/"],
    }
    assert [found.rest_url for found in EXCHANGES] == [
        "https://fapi.binance.com",
        "https://dapi.binance.com",
        "https://api-futures.kucoin.com",
        "https://api.hyperliquid.xyz",
        "https://api.backpack.exchange",
    ]


def call_of(feed: str) -> tuple[RestCall, ...]:
    """Facts and snapshots."""
    found = exchange(feed)
    return (*found.fact_calls, *found.snapshot_calls(["A", "xyz:B"]))


def test_weights_are_the_documented_ones() -> None:
    """exchanges.md §1.9, §2.6, §3.5, §4.9."""
    weights = {f: {c.resource: [*c.costs.values()] for c in call_of(f)} for f in FEEDS}
    assert weights == {
        "binance-usdm": {"exchangeInfo": [1], "fundingInfo": [1], "premiumIndex": [10]},
        "binance-coinm": {"exchangeInfo": [1], "fundingInfo": [1], "premiumIndex": [10]},
        "kucoin": {"contracts/active": [3]},
        "hyperliquid": {"allPerpMetas": [20], "metaAndAssetCtxs": [20]},
        "backpack": {"markets": [1], "markPrices": [1]},
    }


def test_a_healthy_feed_makes_at_most_fifteen_calls_an_hour() -> None:
    """The contract list at the default pace, settlements, what the stream is compared with."""
    refreshes = 3600 / ProducerSettings.model_fields["producer_registry_refresh_s"].default
    for found in EXCHANGES:
        facts = sum(refreshes / call.every for call in found.fact_calls)
        settlements = found.true_up_calls_per_hour or len(SETTLED_AFTER_S)
        snapshot = len(found.snapshot_calls(["BTC", *(f"dex{n}:A" for n in range(4))]))
        assert facts + settlements + snapshot <= 15, found.feed


def test_frames_have_a_time_wherever_the_exchange_sends_one() -> None:
    """exchanges.md §1.6, §2.4, §3A, §5.2; Hyperliquid's have none (§4.6)."""
    for found in EXCHANGES:
        timed = [e.event_us is not None for _, e in samples(found.feed).data if e.published]
        assert any(timed) is not found.timeless, found.feed


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


def test_no_control_frame_claims_a_ping_that_would_be_refused() -> None:
    """More than one ping a second drops a KuCoin connection (§3A)."""
    for wanted in (0, 10, 999, 10**9, -5, 0.5):
        greeting = json.dumps({"message": "welcome", "pingInterval": wanted}).encode()
        assert exchange("kucoin").slice_frame(greeting).control == Control(greeting=True)
