"""Hyperliquid payloads: asset contexts, settled rates, universe entries.

Every estimate is per hour and for the coming full hour; no payload carries a time or a next one.
The producers have joined contexts and names by index. The facts are in
docs/exchanges/hyperliquid.md.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from schemas.errors import MalformedInputError
from schemas.times import US_PER_HOUR, hour_floor
from schemas.venues.hyperliquid import FEED
from stream_app.model import (
    InstrumentUpdate,
    NoRate,
    RateUpdate,
    SettlementUpdate,
    Update,
)
from stream_app.normalise.assets import canonical_asset
from stream_app.normalise.columns import ColumnReader, settled_rows
from stream_app.normalise.numbers import (
    Flag,
    Number,
    Time,
    amount,
    flag,
    number,
    optional,
    price,
    product,
    time_us,
)
from stream_app.normalise.payloads import ChannelNormaliser, Item, PayloadReader, with_faults

INTERVAL_HOURS = 1.0
RATE_CAP = 0.04
"""Per hour (§7). Builders' dexs may set other clamps, so theirs are not known."""
QUOTE = "USDC"
_TOKENS: dict[float, str] = {0: QUOTE, 235: "USDE", 360: "USDH"}
"""Quotes of builders' dexs by the index of their collateral token (§8); others are not known."""


class _Context(msgspec.Struct, gc=False, rename="camel"):
    """An asset context, §6. The rate is the hourly one already (§7)."""

    funding: Number = None
    mark_px: Number = None
    oracle_px: Number = None
    mid_px: Number = None
    premium: Number = None
    day_ntl_vlm: Number = None
    open_interest: Number = None


class _NamedContext(msgspec.Struct, gc=False):
    coin: str
    ctx: _Context


class _ActiveAssetCtx(msgspec.Struct, gc=False):
    """A frame of `activeAssetCtx`, §6."""

    channel: str
    data: _NamedContext


class _FundingHistory(msgspec.Struct, gc=False, rename="camel"):
    """A row of fundingHistory, §9b; `premium` may be missing and is not read."""

    coin: str
    time: Time
    funding_rate: Number = None


class _PlainFundingHistory(msgspec.Struct, gc=False, rename="camel"):
    """A _FundingHistory with the types that the exchange sends."""

    coin: str
    time: int
    funding_rate: float | str


class _UniverseEntry(msgspec.Struct, gc=False, rename="camel"):
    """An entry of `universe` in meta, §9a and c."""

    name: str
    is_delisted: Flag = None


class _Universe(msgspec.Struct, gc=False, rename="camel"):
    """A meta cut to one entry, or an entry alone, as producers before published it.

    An entry alone has the fields of _UniverseEntry, a meta those of the first two lines.
    """

    universe: tuple[_UniverseEntry] | None = None
    collateral_token: Number = None
    name: str | None = None
    is_delisted: Flag = None


def _rate(symbol: str, context: _Context, received_at_us: int) -> Sequence[Update]:
    """Stamped on receipt: `event_time` stays None (§6)."""
    rate = number(context.funding, "funding")
    if rate is None:
        return (NoRate(symbol, "no funding rate"),)
    if rate == 0.0 and context.premium is None and context.mid_px is None:
        # The list says which of the two it is: a delisted coin is not halted beside (§9a).
        return (NoRate(symbol, "no order book: halted or delisted", halted=True),)
    faults: list[str] = []
    update = RateUpdate(
        symbol,
        rate,
        mark_price=optional(price, context.mark_px, "markPx", faults),
        index_price=optional(price, context.oracle_px, "oraclePx", faults),
        next_funding_time=hour_floor(received_at_us) + US_PER_HOUR,
        interval_hours=INTERVAL_HOURS,
    )
    return with_faults(symbol, faults, update)


def _frame(frame: _ActiveAssetCtx, item: Item) -> Sequence[Update]:
    if frame.channel != "activeAssetCtx":
        raise MalformedInputError(f"not an activeAssetCtx: channel is {frame.channel!r:.60}")
    return _rate(frame.data.coin, frame.data.ctx, item.received_at_us)


def _context(context: _Context, item: Item) -> Sequence[Update]:
    return _rate(item.symbol, context, item.received_at_us)


def _liquidity(context: _Context, item: Item) -> Sequence[Update]:
    faults: list[str] = []
    return with_faults(item.symbol, faults, _liquidity_of(context, item.symbol, faults, faults))


def _liquidity_of(
    context: _Context, symbol: str, faults: list[str], mark_faults: list[str]
) -> InstrumentUpdate:
    """Turnover in dollars, and open interest in coins at the mark price beside it (§6).

    `mark_faults`: where it is told that the mark price cannot be read.
    """
    coins = optional(amount, context.open_interest, "openInterest", faults)
    mark = optional(price, context.mark_px, "markPx", mark_faults)
    return InstrumentUpdate(
        symbol,
        turnover_24h=optional(amount, context.day_ntl_vlm, "dayNtlVlm", faults),
        open_interest=product(coins, mark),
    )


def _compared(context: _Context, item: Item) -> Sequence[Update]:
    """The hourly snapshot of each dex tells liquidity beside the rate."""
    faults: list[str] = []
    facts = _liquidity_of(context, item.symbol, faults, [])
    return with_faults(item.symbol, faults, *_context(context, item), facts)


def _settlement(row: _FundingHistory, _item: Item) -> Sequence[Update]:
    rate = number(row.funding_rate, "fundingRate")
    if rate is None:
        return (NoRate(row.coin, "no settled rate"),)
    # The history reaches back to a time when it was settled every 8 h.
    return (SettlementUpdate(row.coin, time_us(row.time, "time"), rate),)


def _facts(row: _Universe, item: Item) -> Sequence[Update]:
    dex, _, coin = item.symbol.rpartition(":")
    if row.universe is not None:
        (entry,) = row.universe
    elif row.name is not None:
        entry = _UniverseEntry(row.name, row.is_delisted)
    else:
        raise MalformedInputError("neither a coin nor a meta of one")
    # No source shows whether a builder dex's own meta repeats the prefix of its names.
    symbol = item.symbol if entry.name == coin else entry.name
    base, multiplier = canonical_asset(coin, FEED.assets)
    faults: list[str] = []
    token = optional(number, row.collateral_token, "collateralToken", faults)
    is_delisted = optional(flag, entry.is_delisted, "isDelisted", faults)
    word = {True: "delisted", False: "trading", None: None}[is_delisted]
    facts = InstrumentUpdate(
        symbol,
        base=base,
        quote=_quote(dex, token),
        multiplier=multiplier,
        status=FEED.status_of(word) if word else None,
        interval_hours=INTERVAL_HOURS,
        rate_cap=None if dex else RATE_CAP,
        rate_floor=None if dex else -RATE_CAP,
    )
    return with_faults(symbol, faults, facts)


def _quote(dex: str, token: float | None) -> str:
    """Return the quote of a dex with a collateral token; empty where it is not known."""
    if token is None:
        return "" if dex else QUOTE
    return _TOKENS.get(token, "")


def split_symbol(symbol: str) -> tuple[str, str]:
    """Return the coin of a symbol, of which a dex may stand before a colon, and no quote."""
    return symbol.rpartition(":")[2], ""


_read_context = PayloadReader(_Context, _context)
_read_facts = PayloadReader(_Universe, _facts)
normalise = ChannelNormaliser(
    {
        ("stream", "activeAssetCtx"): PayloadReader(_ActiveAssetCtx, _frame),
        ("fallback", "metaAndAssetCtxs"): _read_context,
        ("reconcile", "metaAndAssetCtxs"): PayloadReader(_Context, _compared),
        ("history", "fundingHistory"): PayloadReader(_FundingHistory, _settlement),
        ("contract", "metaAndAssetCtxs"): PayloadReader(_Context, _liquidity),
        ("contract", "meta"): _read_facts,
        ("contract", "allPerpMetas"): _read_facts,
    },
    settled_readers={"fundingHistory": ColumnReader(_PlainFundingHistory, settled_rows)},
)
