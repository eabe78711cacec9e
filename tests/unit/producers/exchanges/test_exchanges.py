"""What is particular to one exchange: envelopes, joins by index, headers, changes of facts."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.exchanges import exchange
from producers.exchanges.json_slicing import envelope, surroundings
from producers.exchanges.spec import RestCall, Slice
from schemas.contract_status import ContractStatus
from schemas.errors import ConfigurationError, MalformedInputError

KUCOIN, HYPERLIQUID, BACKPACK = map(exchange, ("kucoin", "hyperliquid", "backpack"))

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["d", "T", "P", 'q"', "\\"]), inner, max_size=3)
    ),
    max_leaves=6,
)
SPACE = st.text(" \t\r\n", max_size=2)


@given(
    before=st.dictionaries(st.sampled_from(["T", "P", 'd"', "\\d", "x"]), values, max_size=3),
    after=st.dictionaries(st.sampled_from(["N", "t:", "}"]), values, max_size=2),
    rows=st.lists(values, max_size=4),
    ascii_only=st.booleans(),
    pad=SPACE,
)
def test_an_envelope_is_what_stands_around_the_array(
    before: dict[str, Any],
    after: dict[str, Any],
    rows: list[Any],
    ascii_only: bool,  # noqa: FBT001 - hypothesis passes it so
    pad: str,
) -> None:
    """Whatever other keys hold, the same array or the same key deeper down included."""
    array = json.dumps(rows, ensure_ascii=ascii_only).encode()
    parts = [f"{json.dumps(k)}{pad}:{pad}{json.dumps(v)}" for k, v in before.items()]
    parts.append(f'"d"{pad}:{pad}')
    lead = ("{" + f",{pad}".join(parts)).encode()
    trail = "".join(f",{json.dumps(k)}:{json.dumps(v)}" for k, v in after.items()).encode() + b"}"
    around = envelope(lead + array + trail, "d", array)
    assert around.head == lead + b"["
    assert around.tail == b"]" + trail
    assert json.loads(around.around(b"7"))["d"] == [7]


@given(
    before=st.dictionaries(st.sampled_from(["T", "P", 'd"', "\\d", "x"]), values, max_size=3),
    after=st.dictionaries(st.sampled_from(["N", "t:", "}"]), values, max_size=2),
    row=st.dictionaries(st.sampled_from(["d", "s", "T"]), values, max_size=3),
    twice=st.booleans(),
)
def test_what_stands_around_a_row_is_found_wherever_its_bytes_stand_again(
    before: dict[str, Any],
    after: dict[str, Any],
    row: dict[str, Any],
    twice: bool,  # noqa: FBT001 - hypothesis passes it so
) -> None:
    """Another key may hold the same row, or an object with one."""
    if twice:
        before = {"x": {"d": row}, **before}
    text = json.dumps({**before, "d": row, **after}).encode()
    raw = msgspec.json.decode(text, type=dict[str, msgspec.Raw])["d"]
    around = surroundings(text, "d", raw)
    assert around.around(bytes(raw)) == text
    assert json.loads(around.around(b"7")) == {**before, "d": 7, **after}


@pytest.mark.parametrize("frame", [b"", b"[1]", b'{"e":{"d":[1]}}', b'{"d":[2]}', b'"d":[1]'])
def test_an_array_that_is_not_there_is_malformed(frame: bytes) -> None:
    """An array of that name inside another object is not the one that is asked for."""
    with pytest.raises(MalformedInputError):
        envelope(frame, "d", b"[1]")


def test_contexts_and_names_must_agree_in_number() -> None:
    """A listing between the two halves would shift every name (docs/exchanges/hyperliquid.md §9a,
    README.md §8.3).
    """
    call = HYPERLIQUID.snapshot_calls([])[0]
    body = b'[{"universe":[{"name":"BTC"},{"name":"ETH"}]},[{"funding":"0.1"}]]'
    with pytest.raises(MalformedInputError, match="1 contexts for 2 assets"):
        HYPERLIQUID.slice_reply(call, body)


def test_each_live_dex_is_asked_for() -> None:
    """The main one without a name (docs/exchanges/hyperliquid.md §9a); its coins get the prefix
    where they lack it.
    """
    calls = HYPERLIQUID.snapshot_calls(["BTC", "xyz:NVDA", "xyz:TSLA", "para:A"])
    assert [json.loads(call.body) for call in calls] == [
        {"type": "metaAndAssetCtxs"},
        {"type": "metaAndAssetCtxs", "dex": "para"},
        {"type": "metaAndAssetCtxs", "dex": "xyz"},
    ]
    body = b'[{"universe":[{"name":"NVDA"},{"name":"xyz:TSLA"}]},[{"funding":"1"},{"funding":"2"}]]'
    slices = HYPERLIQUID.slice_reply(calls[2], body)
    assert [piece.symbol for piece in slices] == ["xyz:NVDA", "xyz:TSLA"]


def test_a_builder_s_coin_without_a_dex_is_not_listed() -> None:
    """Subscribing it would close the socket (docs/exchanges/hyperliquid.md §3); the main dex is
    listed all the same.
    """
    call = HYPERLIQUID.fact_calls[0]
    slices = HYPERLIQUID.slice_reply(
        call, b'[{"universe":[{"name":"BTC"}]},{"universe":[{"name":"NVDA"},{"name":"x:A"}]}]'
    )
    listings = HYPERLIQUID.listings(call, slices)
    assert listings is not None
    assert [entry.symbol for entry in listings] == ["BTC", "x:A"]


def test_a_fact_of_hyperliquid_names_the_token_in_which_its_dex_settles() -> None:
    """It is the quote (docs/exchanges/hyperliquid.md §8). Entry and token are as they were sent;
    margin tables, which are not about one coin, are left out.
    """
    call = HYPERLIQUID.fact_calls[0]
    entries = [b'{ "name":"SOL" }', b'{"name":"q:GOLD","isDelisted":true}', b'{"name":"r:OIL"}']
    metas = (
        b'[{"universe":[%s],"marginTables":[[7,{}]],"collateralToken": 41 },'
        b'{"collateralToken":null,"universe":[%s]},{"universe":[%s]}]' % tuple(entries)
    )
    slices = HYPERLIQUID.slice_reply(call, metas)
    assert slices == [
        Slice("SOL", b'{"universe":[{ "name":"SOL" }],"collateralToken":41}'),
        Slice("q:GOLD", b'{"universe":[{"name":"q:GOLD","isDelisted":true}]}'),
        Slice("r:OIL", b'{"universe":[{"name":"r:OIL"}]}'),
    ]
    listings = HYPERLIQUID.listings(call, slices)
    assert listings is not None
    assert {entry.symbol: entry.status for entry in listings} == {
        "SOL": ContractStatus.TRADING,
        "q:GOLD": ContractStatus.DELISTED,
        "r:OIL": ContractStatus.TRADING,
    }
    later = metas.replace(b"[[7,{}]]", b"[[8,{}]]")
    assert HYPERLIQUID.slice_reply(call, later) == slices, "no fact has changed"


def test_main_and_builders_coins_are_on_sockets_of_their_own() -> None:
    """A bad HIP-3 name cannot take the main ones along (docs/exchanges/hyperliquid.md §10)."""
    main, hip3 = HYPERLIQUID.socket_kinds
    for symbol in ("BTC", "kPEPE"):
        assert (main.takes(symbol), hip3.takes(symbol)) == (True, False)
    assert (main.takes("xyz:NVDA"), hip3.takes("xyz:NVDA")) == (False, True)
    assert (main.capacity or 0) + (hip3.capacity or 0) <= 1000


@pytest.mark.parametrize(
    ("headers", "used", "retry_s"),
    [
        (
            {
                "gw-ratelimit-limit": "2000",
                "gw-ratelimit-remaining": "1234",
                "gw-ratelimit-reset": "7500",
            },
            {"weight": 766},
            7.5,
        ),
        ({}, {}, None),
        ({"gw-ratelimit-limit": "2000", "gw-ratelimit-remaining": "x"}, {}, None),
        ({"gw-ratelimit-limit": "5", "gw-ratelimit-remaining": "9"}, {"weight": 0}, None),
        ({"gw-ratelimit-reset": "-1"}, {}, None),
    ],
)
def test_kucoin_s_usage_headers(
    headers: dict[str, str], used: dict[str, int], retry_s: float | None
) -> None:
    """Used is what is not remaining; the reset is in ms (docs/exchanges/kucoin.md §5)."""
    assert KUCOIN.used(headers) == used
    assert KUCOIN.retry_after_s(headers, b"", 0) == retry_s


@pytest.mark.parametrize(
    ("body", "failed"),
    [
        (b'{"code":"200000","data":[]}', False),
        (b'{"code":"200003","msg":"symbol not exists"}', True),
        (b'{"code":"429000"}', True),
        (b"<html>", False),
    ],
)
def test_kucoin_s_business_errors(body: bytes, failed: bool) -> None:  # noqa: FBT001
    """They come with HTTP 200; what is no reply at all is told by its reader."""
    assert (KUCOIN.fault(KUCOIN.fact_calls[0], {}, body) is not None) is failed


def test_a_kucoin_fact_changes_with_its_interval_and_not_with_its_price() -> None:
    """contracts/active mixes both in one row (docs/exchanges/kucoin.md §5a)."""
    row = {"symbol": "XBTUSDTM", "markPrice": 1.5, "fundingRateGranularity": 28800000}
    same = {**row, "markPrice": 2.5, "nextFundingRateTime": 7}
    null = {**row, "fundingRateCap": None, "firstOpenDate": None}
    other = {**row, "fundingRateGranularity": 14400000}
    again = {**row, "firstOpenDate": 1_795_000_000_000}
    first, second, third, *changed = (
        KUCOIN.fact_identity("contracts/active", json.dumps(r).encode())
        for r in (row, same, null, other, again)
    )
    assert first == second == third
    assert first not in changed


@pytest.mark.parametrize(
    ("resource", "headers", "refused"),
    [
        ("markPrices", {"age": "6"}, True),
        ("markPrices", {"age": "5"}, False),
        ("markPrices", {}, False),
        ("markPrices", {"age": "x"}, False),
        ("markets", {"age": "900"}, False),
    ],
)
def test_an_old_backpack_snapshot_is_refused(
    resource: str,
    headers: dict[str, str],
    refused: bool,  # noqa: FBT001 - pytest passes parameters so
) -> None:
    """The CDN serves stale replies for up to an hour (docs/exchanges/backpack.md §4a); markets may
    be 15 min old.
    """
    assert (BACKPACK.fault(RestCall(resource, "/x"), headers, b"[]") is not None) is refused


def test_an_unknown_feed_is_told_with_the_known_ones() -> None:
    """As a person typed it."""
    with pytest.raises(ConfigurationError, match=r"'kukoin'.*binance-usdm.*backpack"):
        exchange("kukoin")
