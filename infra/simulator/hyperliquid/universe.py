"""The contracts of the simulated Hyperliquid: coins, dexs, delisted assets.

As docs/exchanges/hyperliquid.md §8 and §12 list them: the main dex and the HIP-3 dexs in the
proportions of the real exchange, delisted assets between the live ones, dexs of which nothing is
left, names with a `k`. Nothing here changes with time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from infra.simulator.market import universe
from infra.simulator.market.universe import Asset, Contract

MAIN = ""
"""The name of the main dex in requests and in `allDexsAssetCtxs`."""

_LIVE = {MAIN: 178, "xyz": 109, "para": 27, "mkts": 4, "io": 8}
_DEAD_DEXS = ("flx", "vntl", "hyna", "km", "abcd", "cash")
_DELISTED_MAIN = 56  # of 234, hyperliquid.md §8
_PER_DEAD_DEX = 2
DEXS = (MAIN, "xyz", *_DEAD_DEXS, "para", "mkts", "io")
"""All dexs in the order of `perpDexs` (§8)."""

HALVED_DEXS = frozenset({"xyz"})
"""Dexs whose `assetToFundingMultiplier` is 0.5 (§7)."""

COLLATERALS = {"USDC": 0, "USDE": 235, "USDT0": 268, "USDH": 360}
"""What dexs are settled in, with its token number (§8; that of USDT0 is UNVERIFIED)."""

_OTHER_COLLATERAL = {"flx": "USDH", "vntl": "USDH", "km": "USDH", "hyna": "USDE", "cash": "USDT0"}

_CAP_UNITS = 4_000_000  # 4 %/h, hyperliquid.md §7
_K_NAMES = frozenset({"kPEPE", "kSHIB", "kBONK", "kLUNC", "kFLOKI", "kNEIRO"})


@dataclass(frozen=True, slots=True)
class Coins:
    """What is traded, held back contracts last; each list is parallel to `contracts`.

    Attributes:
        contracts: `symbol` is the coin as the exchange spells it, `frozen` a delisted one.
        dexs: the dex of each.
    """

    contracts: tuple[Contract, ...]
    dexs: tuple[str, ...]


def collateral(dex: str) -> int:
    """The token number of what a dex is settled in."""
    return COLLATERALS[_OTHER_COLLATERAL.get(dex, "USDC")]


def dex_of(coin: str) -> str:
    """The dex of a coin: the prefix of `xyz:NVDA`, the main dex without one."""
    return coin.rpartition(":")[0]


def coins(live: int, held_back: int) -> Coins:
    """The exchange with `live` listed contracts, and `held_back` more at the end of the order.

    A contract that is listed later stands last in its dex's universe, as on the exchange: whoever
    joins by index with an old universe is one name short, and not one off.
    """
    named = [_coin(dex, asset, frozen=frozen) for dex, asset, frozen in _members(live, held_back)]
    contracts = tuple(
        Contract(
            symbol=coin,
            asset=asset,
            quote="USD",
            kind="tradfi" if asset.tradfi else "crypto",
            interval_hours=1,
            cap_units=_CAP_UNITS,
            behaviour="resting" if position % 25 == 9 else "active",
            price_usd=universe.price_usd(asset),
            frozen=frozen,
        )
        for position, (coin, asset, frozen) in enumerate(named)
    )
    return Coins(contracts, tuple(dex_of(coin) for coin, _, _ in named))


def _members(live: int, held_back: int) -> Iterator[tuple[str, Asset, bool]]:
    """Dex, asset and whether it is delisted, in the order of the market."""
    main = _main_assets()
    stocks = {dex: universe.tradfi_assets() for dex in DEXS if dex != MAIN}
    for dex, count in _shares(live).items():
        delisted = round(count * _DELISTED_MAIN / _LIVE[MAIN]) if dex == MAIN else 0
        for position in range(count + delisted):
            frozen = _is_delisted(position, count + delisted, delisted)
            yield dex, next(main if dex == MAIN else stocks[dex]), frozen
    for dex in _DEAD_DEXS:
        for _ in range(_PER_DEAD_DEX):
            yield dex, next(stocks[dex]), True
    for number in range(held_back):
        dex = (MAIN, "xyz")[number % 2]
        yield dex, next(main if dex == MAIN else stocks[dex]), False


def _shares(live: int) -> dict[str, int]:
    """The live contracts of each dex; the main one and xyz have at least one."""
    total = sum(_LIVE.values())
    found = {dex: live * count // total for dex, count in _LIVE.items()}
    found["xyz"] = max(found["xyz"], 1)
    found[MAIN] = live - sum(count for dex, count in found.items() if dex != MAIN)
    return found


def _is_delisted(position: int, total: int, delisted: int) -> bool:
    """Spread the delisted ones evenly, none of them first: the index join must be exact."""
    return (position + 1) * delisted // total > position * delisted // total and position > 0


def _main_assets() -> Iterator[Asset]:
    """Crypto assets as the main dex names them: `kPEPE` for 1000 units, ASCII only."""
    for asset in universe.crypto_assets():
        name = asset.name
        if name.startswith("1000") and f"k{name[4:]}" in _K_NAMES:
            name = f"k{name[4:]}"
        if name.isascii() and not name[:2].isdigit() and not name.startswith("1M"):
            yield Asset(name, tradfi=False)


def _coin(dex: str, asset: Asset, *, frozen: bool) -> tuple[str, Asset, bool]:
    return (f"{dex}:{asset.name}" if dex else asset.name), asset, frozen


def rows_by_dex(dexs: Sequence[str]) -> dict[str, list[int]]:
    """The rows of each dex in the order of its universe."""
    found: dict[str, list[int]] = {dex: [] for dex in DEXS}
    for row, dex in enumerate(dexs):
        found[dex].append(row)
    return found
