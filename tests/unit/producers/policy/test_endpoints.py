"""Where sockets and REST lead: the exchange over TLS, or the simulator's root and nothing else."""

from __future__ import annotations

import json

import pytest

from producers.exchanges import exchange
from producers.policy.endpoints import Endpoints
from schemas.errors import MalformedInputError

ROOT = "http://127.0.0.1:9443"


def test_without_a_root_addresses_are_the_exchange_s_own() -> None:
    """Untouched."""
    endpoints = Endpoints("kucoin", "")
    assert endpoints.rest("https://api-futures.kucoin.com") == "https://api-futures.kucoin.com"
    assert (
        endpoints.socket("wss://ws.kucoin.com/?token=a%2Bb") == "wss://ws.kucoin.com/?token=a%2Bb"
    )


@pytest.mark.parametrize(
    "url", ["ws://ws.kucoin.com/", "http://x/", "", "wss://", "wss://[bad/", "javascript:1"]
)
def test_what_is_no_tls_socket_is_refused(url: str) -> None:
    """A reply may say anything."""
    with pytest.raises(MalformedInputError) as caught:
        Endpoints("kucoin", "").socket(url)
    assert "token" not in str(caught.value)


@pytest.mark.parametrize(
    ("root", "url", "expected"),
    [
        (ROOT, "wss://dstream.binance.com/stream", "ws://127.0.0.1:9443/feed/stream"),
        (f"{ROOT}/", "wss://a.b/ws/!m@arr@1s", "ws://127.0.0.1:9443/feed/ws/!m@arr@1s"),
        (ROOT, "wss://a.b?token=t", "ws://127.0.0.1:9443/feed/?token=t"),
        (ROOT, "ws://127.0.0.1:9443/feed/c/?t=1", "ws://127.0.0.1:9443/feed/c/?t=1"),
        (ROOT, "ws://127.0.0.1:9444/feed/c/", "ws://127.0.0.1:9443/feed/feed/c/"),
        ("https://sim:1/x", "wss://a.b/c", "wss://sim:1/x/feed/c"),
        ("https://sim:1/x", "wss://sim:1/x/feed/c", "wss://sim:1/x/feed/c"),
    ],
)
def test_below_a_root_only_path_and_query_count(root: str, url: str, expected: str) -> None:
    """No reply leads to another host."""
    assert Endpoints("feed", root).socket(url) == expected


def test_rest_goes_below_the_root() -> None:
    """Whatever the exchange's host."""
    assert Endpoints("feed", ROOT).rest("https://api.x") == "http://127.0.0.1:9443/feed"


def test_the_classic_ticket_is_an_address_with_a_quoted_token() -> None:
    """docs/exchanges/kucoin.md §B; characters of a token may mean something else in a URL."""
    ticket = exchange("kucoin").socket_kinds[1].ticket
    assert ticket is not None
    server = {"endpoint": "wss://ws-api-futures.kucoin.com/", "pingInterval": 18000}
    data = {"token": "2neA+/=&x", "instanceServers": [server]}
    body = json.dumps({"code": "200000", "data": data}).encode()
    assert ticket.url(body, "17") == (
        "wss://ws-api-futures.kucoin.com/?token=2neA%2B%2F%3D%26x&connectId=17"
    )
    data["instanceServers"] = []
    with pytest.raises(MalformedInputError):
        ticket.url(json.dumps({"code": "200000", "data": data}).encode(), "17")
