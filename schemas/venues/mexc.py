"""MEXC futures: USDT, USDC, USD1 and coin-margined perpetuals (docs/exchanges/mexc.md)."""

from __future__ import annotations

from schemas.asset_names import AssetNames, Meant
from schemas.contract_status import ContractStatus
from schemas.feed_spec import FeedSpec

_LISTED = "as its list of contracts displays it (§5)"
_OWN_NAMES = {
    **{
        name: Meant(asset, 1.0, _LISTED)
        for name, asset in (
            ("BIANRENSHENG", "币安人生"),
            ("BUILDONBOB", "BOB"),
            ("FILECOIN", "FIL"),
            ("LUNANEW", "LUNA"),
            ("MONAD", "MON"),
            ("OPENLEDGER", "OPEN"),
            ("PUMPFUN", "PUMP"),
            ("SOONNETWORK", "SOON"),
            ("TRUMPOFFICIAL", "TRUMP"),
            ("WOTAMALAILE", "我踏马来了"),
            ("ZKSYNC", "ZK"),
        )
    },
    **{
        name: Meant(ticker, 1.0, f"the share, by the company's name: {_LISTED}")
        for name, ticker in (
            ("COINBASE", "COIN"),
            ("NVIDIA", "NVDA"),
            ("ROBINHOOD", "HOOD"),
            ("TESLA", "TSLA"),
        )
    },
    **{
        f"{ticker}STOCK": Meant(company, 1.0, f"the share, since {ticker} is a coin here (§5)")
        for ticker, company in (
            ("CAT", "CATERPILLAR"),
            ("CVX", "CHEVRON"),
            ("DASH", "DOORDASH"),
            ("T", "AT&T"),
        )
    },
    # Elsewhere META is the share, which the rule for METASTOCK gives here as well.
    "META": Meant(
        "METACOIN", 1.0, "a coin here, under the ticker that the share has elsewhere (§5)"
    ),
    "SILVER": Meant("XAG", 1.0, "the metal by the ounce, displayed as SILVER(XAG) (§5)"),
}

FEED = FeedSpec(
    "mexc",
    description="producers.exchanges.mexc",
    normaliser="stream_app.normalise.mexc",
    simulator="infra.simulator.mexc.exchange",
    # The stream pushes a rate that changes; one that does not comes by REST (§1).
    stale_s=330.0,
    cadence_s=60.0,
    perpetuals=1184,
    missed_after_s=330.0,
    pushes_changes=True,
    statuses={
        "0": ContractStatus.TRADING,
        "2": ContractStatus.DELISTED,
        "3": ContractStatus.DELISTED,
    },
    # History is asked for contract by contract (§4b); what is charged may differ a little (§3).
    derive_settlements=True,
    # Some 2,000 pages at half of the limit (§4b).
    first_history_min=7,
    # Shares are written with STOCK behind their ticker, but for a few.
    assets=AssetNames(_OWN_NAMES, share_endings=("STOCK",)),
)
COINS = FEED.assets._replace(share_endings=())
"""Its names of what is no share: a coin's name may end in the same letters."""
