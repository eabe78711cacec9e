"""Texts of Bitget: rates, tickers of both sockets, rows of REST (docs/exchanges/bitget.md §2, §4).

All numbers are text, and so are times within rows.
"""

from __future__ import annotations

from infra.simulator.bitget.universe import product_type
from infra.simulator.market.liquidity import liquidity
from infra.simulator.market.market import Snapshot
from infra.simulator.market.terms import Terms
from infra.simulator.market.universe import Contract

PUSHED_AFTER_MS = 4
"""A frame's own time is so much later than that of its row."""
_UNITS_DECIMALS = 8


def rate_text(units: int) -> str:
    """A rate of the market's units, without zeros at its end."""
    digits = str(abs(units)).zfill(_UNITS_DECIMALS + 1)
    text = f"{digits[:-_UNITS_DECIMALS]}.{digits[-_UNITS_DECIMALS:]}".rstrip("0").rstrip(".")
    return f"-{text}" if units < 0 else text


def price_text(value: float) -> str:
    """A price with at most 8 decimals."""
    return f"{value:.8f}".rstrip("0").rstrip(".")


class Row(dict[str, str]):
    """A row of strings, as JSON text."""

    def text(self) -> str:
        """The row as the exchange prints it."""
        return "{" + ",".join(f'"{key}":"{value}"' for key, value in self.items()) + "}"


def ticker_v2(contract: Contract, snapshot: Snapshot, row: int, feed: str) -> Row:
    """A row of the v2 ticker; dated contracts have a rate and a next time of 0 (§2)."""
    mark, dated = float(snapshot.mark[row]), contract.kind == "dated"
    amounts = liquidity(feed, contract.symbol, snapshot.at_ms)
    return Row(
        instId=contract.symbol,
        lastPr=price_text(mark * 0.9999),
        bidPr=price_text(mark * 0.9998),
        askPr=price_text(mark * 1.0001),
        bidSz="1.2043",
        askSz="4.5377",
        open24h=price_text(mark * 0.98),
        high24h=price_text(mark * 1.03),
        low24h=price_text(mark * 0.97),
        change24h="0.0204",
        fundingRate="0" if dated else rate_text(int(snapshot.rate_units[row])),
        nextFundingTime="0" if dated else str(snapshot.next_funding_ms[row]),
        markPrice=price_text(mark),
        indexPrice=price_text(float(snapshot.index[row])),
        holdingAmount=price_text(amounts.open_interest / mark),
        baseVolume=price_text(amounts.turnover_24h / mark),
        quoteVolume=price_text(amounts.turnover_24h),
        openUtc=price_text(mark * 0.99),
        symbolType="2" if dated else "1",
        symbol=contract.symbol,
        ts=str(snapshot.at_ms),
    )


def ticker_v3(row: Row, expiry_ms: int) -> Row:
    """The same row of the v3 socket, which names neither contract nor time (§2)."""
    dated = row["nextFundingTime"] == "0"
    return Row(
        highPrice24h=row["high24h"],
        lowPrice24h=row["low24h"],
        openPrice24h=row["open24h"],
        lastPrice=row["lastPr"],
        turnover24h=row["quoteVolume"],
        volume24h=row["baseVolume"],
        bid1Price=row["bidPr"],
        ask1Price=row["askPr"],
        bid1Size=row["bidSz"],
        ask1Size=row["askSz"],
        price24hPcnt=row["change24h"],
        indexPrice=row["indexPrice"],
        markPrice=row["markPrice"],
        fundingRate="" if dated else row["fundingRate"],
        openInterest=row["holdingAmount"],
        deliveryTime=str(expiry_ms) if dated else "",
        deliveryStartTime="",
        deliveryStatus="",
        nextFundingTime="" if dated else row["nextFundingTime"],
    )


def frame_v2(contract: Contract, row: Row, action: str, at_ms: int) -> bytes:
    """A ticker frame of the v2 socket."""
    arg = (
        f'{{"instType":"{product_type(contract)}","channel":"ticker","instId":"{contract.symbol}"}}'
    )
    return _frame(arg, row, action, at_ms + PUSHED_AFTER_MS)


def frame_v3(contract: Contract, row: Row, action: str, at_ms: int) -> bytes:
    """A ticker frame of the v3 socket, whose time is that of the row."""
    arg = (
        f'{{"instType":"{product_type(contract).lower()}","topic":"ticker",'
        f'"symbol":"{contract.symbol}"}}'
    )
    return _frame(arg, ticker_v3(row, contract.expiry_ms), action, at_ms)


def _frame(arg: str, row: Row, action: str, at_ms: int) -> bytes:
    return f'{{"action":"{action}","arg":{arg},"data":[{row.text()}],"ts":{at_ms}}}'.encode()


def current_row(contract: Contract, snapshot: Snapshot, row: int, terms: Terms) -> str:
    """A row of `current-fund-rate`; dated contracts have a rate and a next time of 0 (§4a)."""
    cap, dated = rate_text(terms.cap_units), contract.kind == "dated"
    return Row(
        symbol=contract.symbol,
        fundingRate="0" if dated else rate_text(int(snapshot.rate_units[row])),
        fundingRateInterval="0" if dated else str(terms.interval_hours),
        nextUpdate="0" if dated else str(snapshot.next_funding_ms[row]),
        minFundingRate=f"-{cap}",
        maxFundingRate=cap,
    ).text()


def uncapped_row(symbol: str, next_ms: int) -> str:
    """A row of `current-fund-rate` about a symbol that is in no list: it has no caps (§4a)."""
    return (
        f'{{"symbol":"{symbol}","fundingRate":"0.0001","fundingRateInterval":"8",'
        f'"nextUpdate":"{next_ms}","minFundingRate":null,"maxFundingRate":null}}'
    )
