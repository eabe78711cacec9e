"""The markets of the simulated Backpack: symbols, states, facts.

As docs/exchanges/backpack.md §3 and §5 list them: crypto and equity perpetuals in the proportions
of the real exchange, closed ones between them, prediction and spot markets, and the entries of
`/api/v1/markets`. Nothing here changes with time.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from infra.simulator.market import universe
from infra.simulator.market.terms import Terms
from infra.simulator.market.universe import Asset, Contract

OPEN_PERPS = 91
_CLOSED_OF_OPEN = (12, OPEN_PERPS)  # 103 perpetuals, 12 of them not open
_EQUITY_OF_OPEN = (17, OPEN_PERPS)
_PREDICTIONS = ("FEDCUT.DEC_USDC_PREDICTION", "ELECTION.2028_USDC_PREDICTION")
_SPOTS = ("SOL_USDC", "BTC_USDC")
_K_NAMES = frozenset({"kPEPE", "kBONK", "kSHIB"})
_WIDE_BOUND_BPS, _NARROW_BOUND_BPS = 150, 100  # ±150 on 100 markets, ±100 on 3
_NARROW_MARKETS = 3
_CREATED_AT = "2025-01-21T06:34:54.691858"
_UNITS_PER_BP = 10_000  # of 1e-8


def contracts(open_perps: int, held_back: int) -> tuple[Contract, ...]:
    """All streamed markets: perpetuals, prediction markets, then what is held back.

    `frozen` is a closed market, kind `dated` a prediction market: it has no funding rate.
    """
    closed = open_perps * _CLOSED_OF_OPEN[0] // _CLOSED_OF_OPEN[1]
    equities = max(1, open_perps * _EQUITY_OF_OPEN[0] // _EQUITY_OF_OPEN[1]) + closed
    total = open_perps + closed
    crypto, tradfi = _crypto_assets(), universe.tradfi_assets()
    listed = []
    seen_equities = 0
    for position in range(total):
        is_equity = _nth(position, equities, total)
        # Every other equity is closed until enough are.
        frozen = is_equity and seen_equities % 2 == 0 and seen_equities // 2 < closed
        seen_equities += is_equity
        asset = next(tradfi) if is_equity else next(crypto)
        listed.append(_perpetual(position, asset, frozen=frozen))
    predictions = [_prediction(symbol) for symbol in _PREDICTIONS]
    held = [_perpetual(total + n, next(crypto), frozen=False) for n in range(held_back)]
    return (*listed, *predictions, *held)


def is_halved(contract: Contract) -> bool:
    """Whether its interest rate is half of that of crypto: `0.00000625` (§2)."""
    return contract.asset.tradfi


def market(
    contract: Contract, terms: Terms, order_book: str, *, visible: bool
) -> dict[str, object]:
    """The entry of `/api/v1/markets` of a streamed market; bounds are basis points as text."""
    prediction = contract.kind == "dated"
    bound_bps = terms.cap_units // _UNITS_PER_BP
    created = dt.datetime.fromtimestamp(terms.onboard_ms / 1_000, dt.UTC).replace(tzinfo=None)
    entry: dict[str, object] = {
        "symbol": contract.symbol,
        "baseSymbol": contract.symbol.partition("_")[0],
        "quoteSymbol": contract.quote,
        "marketType": "PREDICTION" if prediction else "PERP",
        "filters": _FILTERS,
        "fundingInterval": None if prediction else terms.interval_ms,
        "fundingRateUpperBound": None if prediction else str(bound_bps),
        "fundingRateLowerBound": None if prediction else str(-bound_bps),
        "orderBookState": order_book,
        "visible": visible,
        "createdAt": created.isoformat() if terms.onboard_ms else _CREATED_AT,
    }
    if contract.asset.tradfi:
        entry["rwaMarketType"] = "INDEX" if contract.asset.commodity else "STOCK"
    return entry


def spot_markets() -> list[dict[str, object]]:
    """Spot markets share the list: no interval, no bounds."""
    return [
        {
            "symbol": symbol,
            "baseSymbol": symbol.partition("_")[0],
            "quoteSymbol": "USDC",
            "marketType": "SPOT",
            "filters": _FILTERS,
            "fundingInterval": None,
            "fundingRateUpperBound": None,
            "fundingRateLowerBound": None,
            "orderBookState": "Open",
            "visible": True,
            "createdAt": "2024-10-01T08:00:00.000001",
        }
        for symbol in _SPOTS
    ]


_FILTERS = {
    "price": {"minPrice": "0.0001", "maxPrice": None, "tickSize": "0.0001"},
    "quantity": {"minQuantity": "0.01", "maxQuantity": None, "stepSize": "0.01"},
}


def _bound_bps(position: int) -> int:
    return _NARROW_BOUND_BPS if position < _NARROW_MARKETS else _WIDE_BOUND_BPS


def _perpetual(position: int, asset: Asset, *, frozen: bool) -> Contract:
    suffix = ".US" if asset.tradfi and not asset.commodity else ""
    return Contract(
        symbol=f"{asset.name}{suffix}_USDC_PERP",
        asset=asset,
        quote="USDC",
        kind="tradfi" if asset.tradfi else "crypto",
        interval_hours=1,
        cap_units=_bound_bps(position) * _UNITS_PER_BP,
        behaviour="resting" if position % 25 == 9 else "active",
        price_usd=universe.price_usd(asset),
        frozen=frozen,
    )


def _prediction(symbol: str) -> Contract:
    return Contract(
        symbol=symbol,
        asset=Asset(symbol.partition("_")[0], tradfi=False),
        quote="USDC",
        kind="dated",
        interval_hours=1,
        cap_units=0,
        behaviour="zero",
        price_usd=0.4,
    )


def _crypto_assets() -> Iterator[Asset]:
    """Crypto assets as Backpack names them: `kPEPE` for 1000 units, ASCII only."""
    for asset in universe.crypto_assets():
        name = asset.name
        if name.startswith("1000") and f"k{name[4:]}" in _K_NAMES:
            name = f"k{name[4:]}"
        if name.isascii() and not name[:2].isdigit() and not name.startswith("1M"):
            yield Asset(name, tradfi=False)


def _nth(position: int, count: int, total: int) -> bool:
    """Whether the position is one of `count` that are spread evenly over `total`."""
    return (position + 1) * count // total > position * count // total
