"""REST of simulated MEXC (docs/exchanges/mexc.md §4): bodies and refusals.

It serves detail, funding_rate with its history, ticker and the time below `/api/v1/contract/`. All
errors are HTTP 200.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

from infra.simulator.exchange import RestCall, RestReply
from infra.simulator.market.history import SettlementBook
from infra.simulator.market.listings import Listings
from infra.simulator.market.market import Market, Snapshot
from infra.simulator.mexc import universe
from infra.simulator.mexc.estimates import Estimates
from infra.simulator.mexc.frames import current_row, rate_text, ticker_row
from infra.simulator.mexc.limits import MexcLimits
from infra.simulator.mexc.wire import failure, too_often

API = "/api/v1/contract/"
_HISTORY = "funding_rate/history"
_MAX_ROWS, _DEFAULT_ROWS = 100, 20
_NO_CONTRACT, _BAD_PARAMETER = 1001, 600
_DELISTED = 3


class _RefusedError(Exception):
    """HTTP 200 with a code."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class MexcRest:
    """Answers calls with the rates that were made last, and with the settled history."""

    def __init__(
        self,
        feed: str,
        market: Market,
        book: SettlementBook,
        listings: Listings,
        estimates: Estimates,
        limits: MexcLimits,
        started: Snapshot,
    ) -> None:
        """`started`: prices from before the first tick."""
        self._feed = feed
        self._market = market
        self._contracts = market.contracts
        self._book = book
        self._listings = listings
        self._estimates = estimates
        self._limits = limits
        self._prices = started
        self._rows = {contract.symbol: row for row, contract in enumerate(self._contracts)}
        self._calls: Mapping[str, Callable[[RestCall], str]] = {
            "detail": self._detail,
            "funding_rate": self._current,
            "ticker": self._tickers,
            _HISTORY: self._history,
            "ping": lambda call: str(call.now_ms),
        }

    def show(self, prices: Snapshot, rows: Sequence[int]) -> None:
        """Answer with these prices of some contracts from now on."""
        self._prices = self._prices.updated(prices, rows)

    def answer(self, call: RestCall) -> RestReply:
        """Answer one request, refusals included."""
        name = call.path.removeprefix(API)
        handler = self._calls.get(name)
        if handler is None and name.startswith("funding_rate/"):
            return self._answered(call, "funding_rate", self._one)
        if handler is None or not call.path.startswith(API) or call.method != "GET":
            return RestReply(b"", 404, {}, "text/plain")
        return self._answered(call, name, handler)

    def _answered(self, call: RestCall, name: str, handler: Callable[[RestCall], str]) -> RestReply:
        if not self._limits.charge(call.client_ip, name, call.now_ms):
            return too_often()
        try:
            return RestReply(f'{{"success":true,"code":0,"data":{handler(call)}}}'.encode())
        except _RefusedError as error:
            return failure(error.code, str(error))

    def _known(self, symbol: str | None) -> int:
        if symbol is None:
            raise _RefusedError(_BAD_PARAMETER, "Parameter error")
        if not self._listings.is_known(symbol):
            raise _RefusedError(_NO_CONTRACT, "Contract does not exist!")
        return self._rows[symbol]

    def _detail(self, call: RestCall) -> str:
        symbol = call.query.get("symbol")
        if symbol is not None:
            return _json(self._entry(self._known(symbol)))
        entries = [self._entry(row) for row in self._listings.known_rows()]
        entries += [
            {**entry, "state": 0 if entry["state"] else 4}
            for entry in entries
            if entry["symbol"] in self._listings.twice
        ]
        if self._listings.nameless and entries:
            entries.append({**entries[0], "symbol": ""})
        return _json(entries)

    def _entry(self, row: int) -> dict[str, object]:
        contract = self._contracts[row]
        state = self._listings.state(contract.symbol)
        number = _DELISTED if self._listings.is_delisted(contract.symbol) else 0
        if state is not None and state.name:
            number = int(state.name)
        return universe.detail(contract, number)

    def _current(self, call: RestCall) -> str:
        rows = [self._row(row, call.now_ms) for row in self._listings.known_rows()]
        next_ms = int(self._estimates.next_ms[0])
        rows += [
            f'{{"symbol":"{symbol}","fundingRate":0,"maxFundingRate":0.003,'
            f'"minFundingRate":-0.003,"collectCycle":8,"nextSettleTime":{next_ms},'
            f'"timestamp":{call.now_ms},"idxPrice":0,"fairPrice":0}}'
            for symbol in universe.UNLISTED
        ]
        return f"[{','.join(rows)}]"

    def _one(self, call: RestCall) -> str:
        return self._row(self._known(call.path.rpartition("/")[2]), call.now_ms)

    def _row(self, row: int, now_ms: int) -> str:
        terms = self._market.listed_terms(row, now_ms)
        made = self._estimates
        shown = rate_text(int(made.units[row]), row), int(made.next_ms[row]), int(made.made_ms[row])
        prices = float(self._prices.mark[row]), float(self._prices.index[row])
        return current_row(
            self._contracts[row], shown, prices, (terms.interval_hours, terms.cap_units)
        )

    def _tickers(self, call: RestCall) -> str:
        symbol = call.query.get("symbol")
        if symbol is not None:
            return self._ticker(self._known(symbol))
        return f"[{','.join(map(self._ticker, self._listings.known_rows()))}]"

    def _ticker(self, row: int) -> str:
        rate = rate_text(int(self._estimates.units[row]), row)
        return ticker_row(self._contracts[row], self._prices, row, rate, self._feed)

    def _history(self, call: RestCall) -> str:
        row = self._known(call.query.get("symbol"))
        size = _whole(call.query, "page_size", _DEFAULT_ROWS)
        if size > _MAX_ROWS:  # not cut to the most, but as if none had been named
            size = _DEFAULT_ROWS
        page = _whole(call.query, "page_num", 1)
        settled = self._book.all
        newest_first = self._book.positions(row, None, None)[::-1]
        chosen = newest_first[(page - 1) * size : page * size]
        symbol = self._contracts[row].symbol
        columns = (settled.rate_units, settled.funding_ms, settled.interval_hours)
        rows = [
            f'{{"symbol":"{symbol}","fundingRate":{rate_text(units, row)},'
            f'"settleTime":{funding_ms},"collectCycle":{hours}}}'
            for units, funding_ms, hours in zip(
                *(column[chosen].tolist() for column in columns), strict=True
            )
        ]
        count = len(newest_first)
        return (
            f'{{"pageSize":{size},"totalCount":{count},"totalPage":{-(-count // size)},'
            f'"currentPage":{page},"resultList":[{",".join(rows)}]}}'
        )


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _whole(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and 0 < len(text) < 10 and int(text)):
        raise _RefusedError(_BAD_PARAMETER, "Parameter error")
    return int(text)
