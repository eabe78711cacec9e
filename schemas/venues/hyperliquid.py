"""Hyperliquid perpetuals (docs/exchanges/hyperliquid.md)."""

from __future__ import annotations

from schemas.asset_names import AssetNames, Meant
from schemas.contract_status import ContractStatus
from schemas.feed_spec import FeedSpec

FEED = FeedSpec(
    "hyperliquid",
    description="producers.exchanges.hyperliquid",
    normaliser="stream_app.normalise.hyperliquid",
    simulator="infra.simulator.hyperliquid.exchange",
    stale_s=15.0,
    cadence_s=1.0,
    perpetuals=326,
    # Coins are pushed 0.8 to 1.8 s apart (§6): a single late push has lost nothing.
    missed_after_s=2.5,
    # The exchange says only whether a coin is delisted; these are the normaliser's words (§9a).
    statuses={"trading": ContractStatus.TRADING, "delisted": ContractStatus.DELISTED},
    # No source of settlements is timely (§7).
    derive_settlements=True,
    first_history_min=45,
    timeless=True,
    # A cap of 4 % an hour, which a builder may multiply by up to 10 (§8).
    max_settled_rate=0.40,
    # The markets of builders spell metals out; GOLD is also the ticker of a share (§8).
    assets=AssetNames(
        {
            name: Meant(code, 1.0, "the metal by the ounce, which others list by its code (§8)")
            for name, code in (
                ("GOLD", "XAU"),
                ("SILVER", "XAG"),
                ("PLATINUM", "XPT"),
                ("PALLADIUM", "XPD"),
            )
        }
    ),
)
