"""Texts of simulated Bybit: rows of tickers, and the frames that bring them (bybit.md §2, §4a).

All values are texts. A row has its fields in the order in which they were seen.
"""

from __future__ import annotations

from collections.abc import Mapping

from infra.simulator.bybit import universe
from infra.simulator.market.liquidity import liquidity
from infra.simulator.market.market import Snapshot
from infra.simulator.market.terms import Terms
from infra.simulator.market.universe import UNITS_PER_ONE, Contract

FEED = "bybit"
Row = dict[str, str]
"""A row of tickers: the texts of its fields, without quotes."""


def rate_text(units: int) -> str:
    """A rate as printed, without trailing zeros: `0.0001`, `-0.00001874`, `0`."""
    text = f"{units / UNITS_PER_ONE:.8f}".rstrip("0").rstrip(".")
    return "0" if text in {"", "-0"} else text


def price_text(price: float) -> str:
    """A price, with fewer decimals for larger ones."""
    if price >= 1_000.0:
        return f"{price:.2f}"
    return f"{price:.4f}" if price >= 1.0 else f"{price:.8f}"


def ticker(contract: Contract, terms: Terms, row: int, snapshot: Snapshot) -> Row:
    """The row of a contract at a moment."""
    mark, at_ms = float(snapshot.mark[row]), snapshot.at_ms
    shown = price_text(mark)
    fields = {
        "symbol": contract.symbol,
        "lastPrice": shown,
        "markPrice": shown,
        "indexPrice": price_text(float(snapshot.index[row])),
        **_amounts(contract, mark, at_ms),
        **_funding(contract, terms, int(snapshot.rate_units[row]), snapshot, row),
        "bid1Price": shown,
        "bid1Size": str(1 + (at_ms * 31 + row * 7_919) % 9_973),
        "ask1Price": shown,
        "ask1Size": str(1 + (at_ms * 17 + row * 104_729) % 9_967),
        "preOpenPrice": "",
        "preQty": "",
        "curPreListingPhase": "",
    }
    if universe.is_pre_market(contract):
        fields |= {"preOpenPrice": shown, "curPreListingPhase": "ContinuousTrading"}
    return fields


def _amounts(contract: Contract, mark: float, at_ms: int) -> Row:
    """What is traded and held: both sides, and one side alone; of inverse ones in USD (§3)."""
    amounts = liquidity(FEED, contract.symbol, at_ms)
    coins, coins_traded = amounts.open_interest / mark, amounts.turnover_24h / mark
    if universe.family(contract) == universe.INVERSE:
        held, value = f"{2 * amounts.open_interest:.0f}", f"{2 * coins:.4f}"
        one, one_value = f"{amounts.open_interest:.0f}", f"{coins:.4f}"
        turnover, volume = f"{coins_traded:.4f}", f"{amounts.turnover_24h:.0f}"
    else:
        held, value = f"{2 * coins:.3f}", f"{2 * amounts.open_interest:.2f}"
        one, one_value = f"{coins:.3f}", f"{amounts.open_interest:.2f}"
        turnover, volume = f"{amounts.turnover_24h:.4f}", f"{coins_traded:.3f}"
    return {
        "openInterest": held,
        "openInterestValue": value,
        "turnover24h": turnover,
        "volume24h": volume,
        "singleOpenInterest": one,
        "singleOpenInterestValue": one_value,
    }


def _funding(
    contract: Contract, terms: Terms, units: int, snapshot: Snapshot, row: int
) -> Mapping[str, str]:
    if contract.kind == "dated":
        return {
            "deliveryTime": str(contract.expiry_ms),
            "fundingIntervalHour": "",
            "nextFundingTime": "0",
            "fundingRate": "",
        }
    return {
        "deliveryTime": "0",
        "fundingIntervalHour": str(terms.interval_hours),
        "fundingCap": rate_text(terms.cap_units),
        "nextFundingTime": str(snapshot.next_funding_ms[row]),
        "fundingRate": rate_text(units),
    }


def whole_frame(row: Row, at_ms: int) -> bytes:
    """The first frame of a topic on a connection: the whole row."""
    return _frame("snapshot", row, at_ms)


def change_frame(before: Row, row: Row, at_ms: int) -> bytes | None:
    """What has changed since the row before; None: nothing has."""
    changed = {name: text for name, text in row.items() if before.get(name) != text}
    return _frame("delta", {"symbol": row["symbol"], **changed}, at_ms) if changed else None


def row_text(row: Row) -> str:
    """A row as JSON."""
    return "{" + ",".join([f'"{name}":"{text}"' for name, text in row.items()]) + "}"


def _frame(kind: str, row: Row, at_ms: int) -> bytes:
    return (
        f'{{"topic":"tickers.{row["symbol"]}","type":"{kind}","data":{row_text(row)},'
        f'"cs":{at_ms * 97},"ts":{at_ms}}}'
    ).encode()
