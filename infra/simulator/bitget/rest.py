"""REST of simulated Bitget (docs/exchanges/bitget.md §4): bodies and refusals.

It serves contracts, current-fund-rate, tickers and history-fund-rate below `/api/v2/mix/market/`,
and the time. Errors are HTTP 400 with a code.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

from infra.simulator.bitget import universe
from infra.simulator.bitget.estimates import Estimates
from infra.simulator.bitget.frames import current_row, rate_text, ticker_v2, uncapped_row
from infra.simulator.bitget.limits import BitgetLimits
from infra.simulator.bitget.wire import failure
from infra.simulator.exchange import RestCall, RestReply
from infra.simulator.market.history import SettlementBook
from infra.simulator.market.listings import Listings
from infra.simulator.market.market import Market, Snapshot

MARKET = "/api/v2/mix/market/"
_TIME = "/api/v2/public/time"
_MAX_ROWS, _DEFAULT_ROWS = 100, 20
_NOT_SHOWN = frozenset({"symbolType", "instId"})


class _RefusedError(Exception):
    """HTTP 400 with a code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class BitgetRest:
    """Answers calls with what was pushed last, and with the settled history."""

    def __init__(
        self,
        feed: str,
        market: Market,
        book: SettlementBook,
        listings: Listings,
        estimates: Estimates,
        limits: BitgetLimits,
        started: Snapshot,
    ) -> None:
        """`started`: values from before the first push."""
        self._feed = feed
        self._market = market
        self._contracts = market.contracts
        self._book = book
        self._listings = listings
        self._estimates = estimates
        self._limits = limits
        self._shown = started
        self._seen_version = listings.version
        self._rows = {contract.symbol: row for row, contract in enumerate(self._contracts)}
        self._calls: Mapping[str, Callable[[RestCall], str]] = {
            "contracts": self._lists,
            "current-fund-rate": self._current,
            "tickers": self._tickers,
            "ticker": self._tickers,
            "history-fund-rate": self._history,
        }

    def show(self, snapshot: Snapshot, rows: Sequence[int]) -> None:
        """Answer with these values of some contracts from now on; others keep their last."""
        if self._seen_version != self._listings.version:
            self._seen_version = self._listings.version
            rows = self._listings.rows()
        self._shown = self._shown.updated(snapshot, rows)

    def answer(self, call: RestCall) -> RestReply:
        """Answer one request, refusals included."""
        if call.path == _TIME:
            return _success(f'{{"serverTime":"{call.now_ms}"}}', {})
        name = call.path.removeprefix(MARKET)
        handler = self._calls.get(name)
        if handler is None or not call.path.startswith(MARKET) or call.method != "GET":
            return failure("40404", "Request URL NOT FOUND", 404)
        remain = self._limits.charge(call.client_ip, name, call.now_ms)
        if remain is None:
            return failure("429", "Too Many Requests", 429)
        headers = {"x-mbx-used-remain-limit": str(min(remain, 10**9))}
        try:
            return _success(handler(call), headers)
        except _RefusedError as error:
            return failure(error.code, str(error))

    def _product(self, call: RestCall) -> str:
        product = call.query.get("productType", "").upper()
        if product not in universe.PRODUCTS and product not in universe.DEMO:
            raise _RefusedError("40034", "Parameter productType does not exist")
        return product

    def _of(self, call: RestCall) -> list[int]:
        """The rows that a call asks about: a product, or one contract of it."""
        product, symbol = self._product(call), call.query.get("symbol")
        rows = [
            row
            for row in self._listings.known_rows()
            if universe.product_type(self._contracts[row]) == product
        ]
        if symbol is None:
            return rows
        found = [row for row in rows if self._contracts[row].symbol == symbol.upper()]
        if not found:
            raise _RefusedError("40034", f"Parameter {symbol} does not exist")
        return found

    def _lists(self, call: RestCall) -> str:
        entries = [self._entry(row, call.now_ms) for row in self._of(call)]
        for entry in list(entries):
            if entry["symbol"] in self._listings.twice:
                other = "maintain" if entry["symbolStatus"] == "normal" else "normal"
                entries.append({**entry, "symbolStatus": other})
        if self._listings.nameless and entries:
            entries.append({**entries[0], "symbol": ""})
        if self._product(call) in universe.DEMO:
            entries = [self._demo(call.now_ms)]
        return json.dumps(entries, ensure_ascii=False, separators=(",", ":"))

    def _demo(self, now_ms: int) -> dict[str, object]:
        """A demo product's contract, whose symbol has an S before it (§5)."""
        entry = self._entry(self._rows["BTCUSDT"], now_ms)
        return {**entry, "symbol": "SBTCSUSDT", "baseCoin": "SBTC", "quoteCoin": "SUSDT",
                "supportMarginCoins": ["SUSDT"]}  # fmt: skip

    def _entry(self, row: int, now_ms: int) -> dict[str, object]:
        contract = self._contracts[row]
        state = self._listings.state(contract.symbol)
        status = "off" if self._listings.is_delisted(contract.symbol) else "normal"
        if state is not None and state.name:
            status = state.name
        terms = self._market.listed_terms(row, now_ms)
        return universe.listing(contract, terms, status)

    def _current(self, call: RestCall) -> str:
        rows = self._of(call)
        texts = [
            current_row(
                self._contracts[row], self._shown, row, self._market.listed_terms(row, call.now_ms)
            )
            for row in rows
        ]
        if self._product(call) == universe.USDT and "symbol" not in call.query:
            next_ms = int(self._shown.next_funding_ms[0])
            texts += [uncapped_row(symbol, next_ms) for symbol in universe.TEST_SYMBOLS]
        return f"[{','.join(texts)}]"

    def _tickers(self, call: RestCall) -> str:
        return f"[{','.join(self._ticker(row) for row in self._of(call))}]"

    def _ticker(self, row: int) -> str:
        ticker = ticker_v2(self._contracts[row], self._shown, row, self._feed)
        for name in _NOT_SHOWN:
            ticker.pop(name)
        ticker.pop("nextFundingTime")
        ticker["usdtVolume"] = ticker["quoteVolume"]
        return ticker.text()

    def _history(self, call: RestCall) -> str:
        (row,) = self._of(call) if call.query.get("symbol") else (None,)
        if row is None:
            raise _RefusedError("400172", "Parameter verification failed")
        size = min(_MAX_ROWS, _whole(call.query, "pageSize", _DEFAULT_ROWS))
        page = _whole(call.query, "pageNo", 1)
        settled = self._book.all
        newest_first = self._book.positions(row, None, None)[::-1]
        chosen = newest_first[(page - 1) * size : page * size]
        symbol = self._contracts[row].symbol
        rows = [
            f'{{"symbol":"{symbol}","fundingRate":"{rate_text(units)}",'
            f'"fundingTime":"{funding_ms}"}}'
            for units, funding_ms in zip(
                settled.rate_units[chosen].tolist(), settled.funding_ms[chosen].tolist(),
                strict=True,
            )
        ]  # fmt: skip
        return f"[{','.join(rows)}]"


def _success(data: str, headers: Mapping[str, str]) -> RestReply:
    return RestReply(f'{{"code":"00000","msg":"success","data":{data}}}'.encode(), 200, headers)


def _whole(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and 0 < len(text) < 10 and int(text)):
        raise _RefusedError("400172", f"Parameter {name} verification failed")
    return int(text)
