"""Hyperliquid: one subscription per coin, REST by POST, replies joined by index.

The facts are in docs/exchanges/hyperliquid.md.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from producers.exchanges.history_paging import Forward, PerSymbolWalk, SettledRow, Span
from producers.exchanges.json_slicing import ABSENT, Rows, decoder, json_text, present, slices_of
from producers.exchanges.spec import (
    NO_KEYS,
    ClientPing,
    Control,
    Exchange,
    Frame,
    HistoryWalk,
    Listing,
    PayloadFields,
    RateLimit,
    RestCall,
    Slice,
    SocketKind,
    SubscribeFrame,
    optional,
    piece_of,
)
from schemas.errors import MalformedInputError
from schemas.venues.hyperliquid import FEED

CHANNEL = "activeAssetCtx"
HISTORY_LIMIT = 500
_URL = "wss://api.hyperliquid.xyz/ws"
_WEIGHT = "weight"
_INFO_WEIGHT = 20
_ROWS_PER_WEIGHT = 20
"""fundingHistory costs 1 more for each so many rows (§9b)."""
SILENT_S = 10.0
CONTRACT_SILENT_S = 6.0
"""Coins are pushed about once a second, quiet ones less often; stale after 15 s
(docs/exchanges/README.md §8)."""
FALLBACK_S = 7.0
"""Twice within 15 s; with five dexs the limits make it 8.3 s (polling.SHARE)."""
MAX_AGE_S = 23 * 3600.0
"""No maximum is published (§4); issues tell of subscriptions that die after a day (§13)."""
MAIN_COINS, DEX_COINS = 600, 400
"""Together the 1000 subscriptions of an address (§4)."""


class _Coin(msgspec.Struct, gc=False):
    coin: str


class _Message(msgspec.Struct, gc=False):
    channel: str
    data: msgspec.Raw = ABSENT


class _Subscription(msgspec.Struct, gc=False):
    type: str
    coin: str | None = None


class _Response(msgspec.Struct, gc=False):
    method: str
    subscription: _Subscription


class _Asset(msgspec.Struct, gc=False, rename="camel"):
    name: str
    is_delisted: bool | None = None


class _Meta(msgspec.Struct, gc=False, rename="camel"):
    universe: msgspec.Raw
    collateral_token: msgspec.Raw = ABSENT


class _OneListed(msgspec.Struct, gc=False):
    """A fact as it is published: a dex's meta with a single asset."""

    universe: tuple[_Asset]


class _Settled(msgspec.Struct, gc=False):
    time: int


_message: Callable[[Any], _Message] = decoder(_Message)
_coin: Callable[[Any], _Coin] = decoder(_Coin)
_response: Callable[[Any], _Response] = decoder(_Response)
_one_listed: Callable[[Any], _OneListed] = decoder(_OneListed)
_assets_of = Rows(_Asset)
_metas = Rows(_Meta)
_meta_and_contexts: Callable[[Any], tuple[_Meta, list[msgspec.Raw]]] = decoder(
    tuple[_Meta, list[msgspec.Raw]]
)
_settled = Rows(_Settled)

_CONTEXT_FIELDS = (
    *("funding", "openInterest", "prevDayPx", "dayNtlVlm", "premium", "oraclePx", "markPx"),
    *("midPx", "impactPxs", "dayBaseVlm"),
)
"""docs/exchanges/hyperliquid.md §6."""


def dex_of(symbol: str) -> str:
    """Return the builder's dex of a HIP-3 coin (`xyz:NVDA`), "" for the main one (§8)."""
    dex, colon, _ = symbol.partition(":")
    return dex if colon else ""


def _info(resource: str, weight: int = _INFO_WEIGHT, **more: str | int) -> RestCall:
    """Return a call of POST /info (§9)."""
    body = json_text({"type": resource, **more}).encode()
    return RestCall(resource, "/info", costs={_WEIGHT: weight}, method="POST", body=body)


def _frames(method: str, symbols: Sequence[str]) -> list[SubscribeFrame]:
    """One subscription per frame (§3)."""
    return [
        SubscribeFrame(
            json_text({"method": method, "subscription": {"type": CHANNEL, "coin": symbol}}),
            (symbol,),
        )
        for symbol in symbols
    ]


def _kind(name: str, capacity: int, takes: Callable[[str], bool]) -> SocketKind:
    return SocketKind(
        name,
        SILENT_S,
        MAX_AGE_S,
        urls=(_URL,),
        capacity=capacity,
        max_sockets=1,
        takes=takes,
        subscribe=lambda symbols: _frames("subscribe", symbols),
        unsubscribe=lambda symbols: _frames("unsubscribe", symbols),
        ping=ClientPing(30.0, lambda _number: '{"method":"ping"}'),
        quarantines=True,
    )


def _assets(meta: _Meta, dex: str = "") -> list[tuple[_Asset | None, bytes]]:
    """Read a universe; names of a builder's dex get its prefix where they lack it (§8)."""
    read = _assets_of(meta.universe)
    for asset, _ in read:
        if asset is not None and dex and asset.name and not dex_of(asset.name):
            asset.name = f"{dex}:{asset.name}"
    return read


def _symbol_of(asset: _Asset) -> str:
    """Return an asset's symbol; "", which can be none, where the name of dex or coin is empty."""
    return asset.name if all(asset.name.split(":")) else ""


def _call(symbol: str, span: Span) -> RestCall:
    rows = min(HISTORY_LIMIT, span.hours)
    weight = _INFO_WEIGHT - -rows // _ROWS_PER_WEIGHT
    return _info("fundingHistory", weight, coin=symbol, startTime=span.from_ms, endTime=span.to_ms)


def _read(body: bytes) -> list[SettledRow]:
    return [SettledRow(row.time if row else None, piece) for row, piece in _settled(body)]


def _fact(meta: _Meta, entry: bytes) -> bytes:
    """Return the fact of an asset: its entry, and the token in which its dex settles, as sent.

    The token stands beside the universe and is the quote of each of its assets (§8). The margin
    tables stand there, too: no fact holds them, or each of their changes would be a change of all.
    """
    token = b""
    if present(meta.collateral_token):
        token = b',"collateralToken":' + bytes(meta.collateral_token)
    return b'{"universe":[' + entry + b"]" + token + b"}"


def _entries(index: int, meta: _Meta | None, payload: bytes) -> list[Slice]:
    """Cut the universe of the main dex (index 0) or of a builder's; what is none is one piece."""

    def symbol(asset: _Asset) -> str | None:
        name = _symbol_of(asset)
        # A builder's coin that does not say its dex cannot be subscribed.
        return name if not index or dex_of(name) or not name else None

    if meta is not None:
        with contextlib.suppress(MalformedInputError):
            return [
                piece._replace(payload=_fact(meta, piece.payload)) if piece.readable else piece
                for piece in slices_of(_assets(meta), symbol)
            ]
    return [Slice(None, payload, readable=False)]


class Hyperliquid(Exchange):
    """The description. Main and builders' coins apart: a bad name closes its socket (§10)."""

    feed = FEED.name
    rest_url = "https://api.hyperliquid.xyz"
    silent_s = CONTRACT_SILENT_S
    fallback_s = FALLBACK_S
    limits: Mapping[str, RateLimit] = {_WEIGHT: RateLimit(1200, 60.0)}
    limits_group = "hyperliquid"
    fact_calls = (
        _info("allPerpMetas"),
        # For the liquidity of the main dex; that of the others comes with the hourly snapshots.
        optional(replace(_info("metaAndAssetCtxs"), every=2)),
    )
    documented: Mapping[str, PayloadFields] = {
        CHANNEL: PayloadFields(
            ("channel", "data.coin", *(f"data.ctx.{name}" for name in _CONTEXT_FIELDS)), every_s=1.8
        ),
        "metaAndAssetCtxs": PayloadFields(_CONTEXT_FIELDS),
        "fundingHistory": PayloadFields(("coin", "fundingRate", "time"), sometimes=("premium",)),
    }
    frames_per_s = 20.0
    true_up_calls_per_hour = 3
    socket_kinds = (
        _kind("main", MAIN_COINS, lambda symbol: not dex_of(symbol)),
        _kind("hip3", DEX_COINS, lambda symbol: bool(dex_of(symbol))),
    )

    def snapshot_calls(self, symbols: Sequence[str]) -> Sequence[RestCall]:
        """One call for each dex that one of the coins belongs to (§9a); none: the main dex."""
        dexs = sorted({dex_of(symbol) for symbol in symbols} or {""})
        return [
            _info("metaAndAssetCtxs", dex=dex) if dex else _info("metaAndAssetCtxs") for dex in dexs
        ]

    def slice_frame(self, data: bytes) -> Frame:
        """A context is one piece; its frame has no time (§6)."""
        message = _message(data)
        if message.channel == CHANNEL:
            return Frame(CHANNEL, [piece_of(_coin(message.data).coin, data)])
        if message.channel == "subscriptionResponse":
            response = _response(message.data)
            coin = response.subscription.coin if response.method == "subscribe" else None
            named = () if coin is None else (coin,)
            return Frame("control", (), Control(acknowledged=named))
        if message.channel in {"pong", "error"}:
            return Frame("control", (), Control(refused=message.channel == "error"))
        return Frame(message.channel, (), unknown=message.channel)

    def slice_reply(self, call: RestCall, body: bytes) -> Sequence[Slice]:
        """Cut universes into facts; join contexts to names by index (§9a)."""
        if call.resource == "allPerpMetas":
            return [
                piece
                for index, (meta, payload) in enumerate(_metas(body))
                for piece in _entries(index, meta, payload)
            ]
        meta, contexts = _meta_and_contexts(body)
        assets = _assets(meta, msgspec.json.decode(call.body).get("dex", ""))
        if len(assets) != len(contexts):
            raise MalformedInputError(
                f"{len(contexts)} contexts for {len(assets)} assets cannot be joined by index"
            )
        return slices_of(
            (
                (asset, bytes(context))
                for (asset, _), context in zip(assets, contexts, strict=True)
                if asset is None or not asset.is_delisted
            ),
            _symbol_of,
        )

    def listings(self, call: RestCall, slices: Sequence[Slice]) -> Iterable[Listing] | None:
        """Every asset of every universe, streaming unless `isDelisted`."""
        if call.resource != "allPerpMetas":
            return None
        found = []
        for piece in slices:
            if piece.symbol is not None:
                (asset,) = _one_listed(piece.payload).universe
                word = "delisted" if asset.is_delisted else "trading"
                found.append(Listing(piece.symbol, FEED.status_of(word)))
        return found

    def history(
        self,
        symbols: Sequence[str],
        since_ms: int,
        until_ms: int,
        keys: Mapping[str, str] = NO_KEYS,
    ) -> HistoryWalk:
        """Walk one coin, ascending, 500 rows a page (§9b): 33 days are two calls."""
        del keys
        (symbol,) = symbols
        return PerSymbolWalk(symbol, Span(since_ms, until_ms), Forward(HISTORY_LIMIT), _call, _read)


EXCHANGE = Hyperliquid()
