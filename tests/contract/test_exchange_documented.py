"""One suite over every registered exchange: sockets, pings, calls and limits as documented."""

from __future__ import annotations

import json
import re
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.hourly_calls import calls_of
from benchmarks.venues import MOST_CALLS_AN_HOUR
from producers.exchanges import exchange
from producers.exchanges.spec import Control, Exchange, RestCall, SocketKind
from producers.websocket.config import DEFAULT_CONFIG
from schemas.feeds import spec
from tests.support.every_exchange import SYMBOL_KINDS, each_feed, each_kind
from tests.venues.samples import documented, samples


@each_feed
def test_calls_draw_on_pools_that_exist(feed: str) -> None:
    """And within one window's limit, on paths below the exchange's host."""
    found = exchange(feed)
    ticket_calls = [kind.ticket.call for kind in found.socket_kinds if kind.ticket is not None]
    walk = found.history(["A"], 0, 10**12, {"A": "7"}).next_call()
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

    A contract's silence is noticed no later than its socket's, and not between two pushes; one that
    is pushed when it changes may be silent for longer than a socket of many.
    """
    assert bool(kind.urls) != (kind.ticket is not None)
    assert all(urlsplit(url).scheme == "wss" for url in kind.urls)
    assert 0 < kind.max_age_s < 24 * 3600
    assert 0 < kind.silent_s <= spec(found.feed).stale_s
    assert spec(found.feed).cadence_s < found.silent_s < spec(found.feed).stale_s
    on_change = spec(found.feed).pushes_changes
    assert kind.secondary or on_change or found.silent_s <= kind.silent_s


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
            words = re.split(r"[ ,]", frame.identity)
            assert all(word in frame.text for word in words)
        named = [frame.identity for frame in frames if frame.identity]
        assert len(set(named)) == len(named)
    assert found.frames_per_s <= 20


@each_kind
def test_pings_are_often_enough(found: Exchange, kind: SocketKind) -> None:
    """Within the minute or less after which exchanges close a socket that says nothing."""
    if kind.ping is None:
        assert documented(found.feed).server_pings
        return
    assert kind.ping.every_s <= 30
    assert all("ping" in kind.ping.text(number) for number in (1, 2, 3))


def test_pings_of_kucoin_are_told_apart() -> None:
    """Each is answered under its own id (docs/exchanges/kucoin.md §A)."""
    (kind,) = [kind for kind in exchange("kucoin").socket_kinds if kind.ping][:1]
    assert kind.ping is not None
    assert len({json.loads(kind.ping.text(number))["id"] for number in (1, 2, 3)}) == 3


def test_hyperliquid_s_limits_of_an_address_are_kept() -> None:
    """Connections, new ones, subscriptions, messages (docs/exchanges/hyperliquid.md §4).

    With a spare of each socket, and one more that is being rotated.
    """
    found = exchange("hyperliquid")
    sockets = sum(kind.max_sockets for kind in found.socket_kinds)
    connections = 2 * sockets + 1
    assert connections <= 10
    assert DEFAULT_CONFIG.attempts_per_s * 60 <= 30
    room = [(kind.capacity or 0) * kind.max_sockets for kind in found.socket_kinds]
    assert all(room)
    assert sum(room) <= 1_000
    pings_per_minute = sum(60 / kind.ping.every_s for kind in found.socket_kinds if kind.ping)
    assert found.frames_per_s * 60 + 2 * pings_per_minute <= 2_000


@each_feed
def test_what_rest_shows_of_a_quiet_contract_can_be_compared(feed: str) -> None:
    """Where the stream pushes changes alone, each row has its rate; some contracts have none."""
    found, replies = exchange(feed), samples(feed).replies
    if found.quiet_every_s is None:
        return
    (call,) = [call for call in found.snapshot_calls([]) if call.resource in replies][:1]
    rows = [piece for piece in found.slice_reply(call, replies[call.resource]) if piece.symbol]
    rates = [found.shown_rate(call.resource, row.payload) for row in rows]
    assert any(rate != b'""' for rate in rates)
    for row, rate in zip(rows, rates, strict=True):
        assert re.fullmatch(rb'""|"?-?[0-9.]+(E-\d+)?"?', rate)
        changed = re.sub(b":" + re.escape(rate) + b"(?=[,}])", b':"0.0077"', row.payload)
        assert found.shown_rate(call.resource, changed) == b'"0.0077"'


@each_feed
def test_hosts_and_paths_are_the_documented_ones(feed: str) -> None:
    """Those of the venue's page."""
    found, page = exchange(feed), documented(feed)
    assert [url for kind in found.socket_kinds for url in kind.urls] == list(page.sockets)
    assert found.rest_url == page.rest_url


def call_of(feed: str) -> tuple[RestCall, ...]:
    """Facts and snapshots."""
    found = exchange(feed)
    return (*found.fact_calls, *found.snapshot_calls(["A", "xyz:B"]))


@each_feed
def test_weights_are_the_documented_ones(feed: str) -> None:
    """Those of the venue's page."""
    drawn = {call.resource: list(call.costs.values()) for call in call_of(feed)}
    assert drawn == {resource: list(costs) for resource, costs in documented(feed).costs.items()}


@each_feed
def test_a_healthy_feed_makes_few_calls_an_hour(feed: str) -> None:
    """The contract list at the default pace, settlements, what the stream is compared with.

    The worst hour of quiet contracts included: some of every family are quiet all the time.
    """
    found = exchange(feed)
    assert calls_of(feed).most <= MOST_CALLS_AN_HOUR
    assert spec(feed).pushes_changes == (found.quiet_every_s is not None)
    if found.quiet_every_s is not None:
        assert found.silent_s + found.quiet_every_s <= spec(feed).stale_s


@each_feed
def test_frames_have_a_time_wherever_the_exchange_sends_one(feed: str) -> None:
    """Of the frame, or of its pieces; a feed that sends none is timeless."""
    published = [expected for _, expected in samples(feed).data if expected.published]
    cut = [exchange(feed).slice_frame(message) for message, _ in samples(feed).data]
    timed = [expected.event_us is not None for expected in published]
    timed += [piece.event_us is not None for frame in cut for piece in frame.slices]
    assert any(timed) is not spec(feed).timeless


def test_no_control_frame_claims_a_ping_that_would_be_refused() -> None:
    """More than one ping a second drops a KuCoin connection (docs/exchanges/kucoin.md §A)."""
    for wanted in (0, 10, 999, 10**9, -5, 0.5):
        greeting = json.dumps({"message": "welcome", "pingInterval": wanted}).encode()
        assert exchange("kucoin").slice_frame(greeting).control == Control(greeting=True)
