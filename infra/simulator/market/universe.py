"""Names and properties of simulated contracts, the same for every exchange.

Responsible for: which assets exist, in which order, and what each contract's interval, caps,
behaviour and price level are. Everything follows from a position in an endless list, so that a
larger simulator is a superset of a smaller one.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

Behaviour = Literal["active", "calm", "resting", "zero"]
Kind = Literal["crypto", "tradfi", "dated", "foreign"]

UNITS_PER_ONE = 100_000_000  # rates are counted in units of 1e-8
HOUR_MS = 3_600_000

_TURN_MS = 20 * 24 * HOUR_MS
_TURN_AT_MS = 13 * HOUR_MS + HOUR_MS // 2
_TURNS_BEFORE, _TURNS_AFTER = 6, 60

_CRYPTO = (
    "BTC ETH 1000PEPE SOL 币安人生 XRP BNB DOGE ADA 1000SHIB AVAX LINK DOT TRX TON LTC BCH SUI APT "
    "NEAR 1000BONK ARB OP ATOM FIL INJ SEI TIA WLD AAVE UNI ETC XLM HBAR ICP RUNE LDO ENA WIF "
    "1000FLOKI ORDI STX IMX GRT ALGO 1000000MOG SUSHI SAND MANA AXS GALA CRV MKR SNX COMP DYDX GMX "
    "PENDLE JUP PYTH STRK ZRO EIGEN ONDO 1000SATS 1MBABYDOGE KAS TAO RENDER FET VIRTUAL TRUMP "
    "MELANIA PENGU HYPE S BERA KAITO IP 0G ASTER LINEA XPL 1000LUNC ZEC DASH XMR 我踏马来了"
)
_TRADFI = (
    "NVDA TSLA XAU AAPL MSTR XAG AMZN GOOGL META MSFT COIN HOOD PLTR INTC CRCL AMD QQQ SPY TSM "
    "NFLX XPT XPD BABA GME ORCL MU AVGO SMCI COPPER NATGAS ARM EWJ EWY IBM JPM DIS UBER SHOP"
)
_PRICES_USD = {
    "BTC": 85_000.0, "ETH": 2_800.0, "SOL": 140.0, "BNB": 880.0, "XRP": 2.1, "DOGE": 0.16,
    "1000PEPE": 0.0048, "NVDA": 182.0, "TSLA": 410.0, "XAU": 4_080.0, "XAG": 50.0,
}  # fmt: skip
_COMMODITIES = frozenset({"XAU", "XAG", "XPT", "XPD", "COPPER", "NATGAS"})


@dataclass(frozen=True, slots=True)
class Asset:
    """What is traded: a name as exchanges print it, and whether it is a stock or a commodity."""

    name: str
    tradfi: bool

    @property
    def commodity(self) -> bool:
        """Whether a TradFi asset is a commodity rather than an equity."""
        return self.name in _COMMODITIES


class ClockChange(NamedTuple):
    """From `since_ms` on a contract settles at another interval or offset."""

    since_ms: int
    interval_hours: int
    offset_ms: int


@dataclass(frozen=True, slots=True)
class Contract:
    """One simulated contract; everything in it is constant for the life of a simulator.

    Attributes:
        symbol: as the exchange spells it.
        asset: what it is on.
        quote: the quote currency.
        kind: `dated` contracts carry no rate; `foreign` rows belong to another feed.
        interval_hours: between two settlements, before the first of `clock_changes`.
        cap_units: highest rate, in 1e-8; the floor is its negative.
        behaviour: how the rate moves (market.py).
        price_usd: the level that the prices stay near.
        expiry_ms: delivery time of a dated contract, 0 for a perpetual.
        frozen: SETTLING: still listed, no longer updated.
        grid_offset_ms: how far its funding times are past multiples of the interval, likewise.
        clock_changes: when it settles otherwise, ascending.
    """

    symbol: str
    asset: Asset
    quote: str
    kind: Kind
    interval_hours: int
    cap_units: int
    behaviour: Behaviour
    price_usd: float
    expiry_ms: int = 0
    frozen: bool = False
    grid_offset_ms: int = 0
    clock_changes: tuple[ClockChange, ...] = ()


def crypto_assets() -> Iterator[Asset]:
    """Crypto assets in a fixed order without end: well-known names first, then made-up ones."""
    for name in _names(_CRYPTO.split(), length=5, taken=_TRADFI.split()):
        yield Asset(name, tradfi=False)


def tradfi_assets() -> Iterator[Asset]:
    """Stocks and commodities in a fixed order without end."""
    for name in _names(_TRADFI.split(), length=4, taken=_CRYPTO.split()):
        yield Asset(name, tradfi=True)


def interval_hours(position: int) -> int:
    """The interval of the contract at a position: 50 % 8 h, 44 % 4 h, 6 % 1 h."""
    spread = position * 7 % 50
    if spread < 25:
        return 8
    return 4 if spread < 47 else 1


def turns(start_ms: int, one: tuple[int, int], other: tuple[int, int]) -> tuple[ClockChange, ...]:
    """Changes between two clocks, in turn every 20 days at 13:30 UTC.

    They stand at fixed points of absolute time, so that a simulator that starts later has the same
    past, and the newest is at most 20 days old.

    Args:
        start_ms: when the simulator starts; changes reach from 120 days before to years after it.
        one: interval in hours, and offset in hours.
        other: the same.
    """
    first = start_ms // _TURN_MS
    return tuple(
        ClockChange(number * _TURN_MS + _TURN_AT_MS, hours, offset_hours * HOUR_MS)
        for number in range(first - _TURNS_BEFORE, first + _TURNS_AFTER)
        for hours, offset_hours in ((one, other)[number % 2],)
    )


def behaviour(position: int) -> Behaviour:
    """How the rate at a position moves: 4 % never, 1 % zero, 14 % mostly at rest, else freely."""
    if position % 25 == 9:
        return "resting"
    if position % 100 == 12:
        return "zero"
    return "calm" if position % 7 == 6 else "active"


def cap_units(position: int, asset: Asset) -> int:
    """The cap in 1e-8, in the classes that a large exchange publishes."""
    if asset.name in {"BTC", "ETH"}:
        return 300_000
    if asset.tradfi:
        return 50_000 if position % 3 == 0 else 2_000_000
    return (2_000_000, 3_000_000, 750_000)[position % 3]


def price_usd(asset: Asset) -> float:
    """A price level for an asset: the known one, or one between 0.02 and 400 from its name.

    `kPEPE` and `PEPE1000` are the same contract of a thousand as `1000PEPE`.
    """
    thousand = _thousand(asset.name)
    name = f"1000{thousand[1] or thousand[2]}" if thousand else asset.name
    known = _PRICES_USD.get(name)
    if known is not None:
        return known
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return float(0.02 * 20_000.0 ** (int.from_bytes(digest, "big") / 2**64))


_thousand = re.compile(r"k([A-Z0-9]+)|([A-Z]{2,})1000").fullmatch


def quarter_ends_ms(start_ms: int) -> tuple[int, int]:
    """08:00 UTC on the last Friday of the running quarter and of the next, both ahead."""
    now = dt.datetime.fromtimestamp(start_ms / 1_000, dt.UTC)
    found: list[int] = []
    year, month = now.year, (now.month - 1) // 3 * 3 + 3
    while len(found) < 2:
        first_after = dt.datetime(year + month // 12, month % 12 + 1, 1, 8, tzinfo=dt.UTC)
        last_day = first_after - dt.timedelta(days=1)
        friday = last_day - dt.timedelta(days=(last_day.weekday() - 4) % 7)
        if friday > now:
            found.append(int(friday.timestamp() * 1_000))
        year, month = (year, month + 3) if month < 12 else (year + 1, 3)
    return found[0], found[1]


def _names(known: Sequence[str], *, length: int, taken: Sequence[str]) -> Iterator[str]:
    yield from known
    seen = {*known, *taken}
    letters = "BCDFGHKLMNPRSTVWXZ", "AEIOU"
    for count in itertools.count():
        # Made-up names of the two kinds differ in their length, so that they never meet.
        digest = hashlib.blake2b(f"{length}/{count}".encode(), digest_size=length).digest()
        name = "".join(letters[i % 2][b % len(letters[i % 2])] for i, b in enumerate(digest))
        if name not in seen:
            seen.add(name)
            yield name
