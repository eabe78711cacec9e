"""REST of simulated Bybit (docs/exchanges/bybit.md §4): tickers, settled rates, the list.

Errors come with HTTP 200 and a code; too many calls with HTTP 403, and a ban of ten minutes.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

from infra.simulator.bybit import universe
from infra.simulator.bybit.frames import rate_text, row_text, ticker
from infra.simulator.bybit.wire import TOO_FREQUENT
from infra.simulator.exchange import RestCall, RestReply
from infra.simulator.market.history import SettlementBook
from infra.simulator.market.listings import Listings
from infra.simulator.market.market import Market, Snapshot
from infra.simulator.market.universe import Contract

WINDOW_MS = 5_000
BAN_MS = 600_000
TOO_MANY = ("403", "10006")
"""How too many calls are refused: with HTTP 403 and a ban, or with a code of HTTP 200."""
_MAX_CLIENTS = 1_024
_MAX_HISTORY = 200
_DEFAULT_LIST, _MAX_LIST = 500, 1_000
_OTHER_CATEGORIES = frozenset({"spot", "option"})
_PRE_LAUNCH = "PreLaunch"
_LAUNCH_MS = 1_584_230_400_000
_DAY_MS = 86_400_000


class Requests:
    """Counts the requests of an address in windows of 5 s, and bans who makes too many."""

    def __init__(self, limit: int, *, bans: bool) -> None:
        self._limit = limit
        self.bans = bans
        self._used: OrderedDict[str, tuple[int, int, int]] = OrderedDict()

    def charge(self, client_ip: str, now_ms: int) -> bool:
        """Count a request; False: it is refused."""
        window = now_ms // WINDOW_MS
        known, used, banned_ms = self._used.get(client_ip, (window, 0, 0))
        used = used + 1 if known == window else 1
        if used > self._limit and self.bans and now_ms >= banned_ms:
            banned_ms = now_ms + BAN_MS
        self._used[client_ip] = window, used, banned_ms
        self._used.move_to_end(client_ip)
        if len(self._used) > _MAX_CLIENTS:
            self._used.popitem(last=False)
        return used <= self._limit and now_ms >= banned_ms


class _RefusedError(Exception):
    """An error with HTTP 200: a code and a text."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class BybitRest:
    """Answers calls from what was pushed last and from the settled history."""

    def __init__(
        self, market: Market, book: SettlementBook, listings: Listings, requests: Requests
    ) -> None:
        self._market = market
        self._contracts = market.contracts
        self._book = book
        self._listings = listings
        self._requests = requests
        self._rows = {contract.symbol: row for row, contract in enumerate(self._contracts)}
        self.shown: Snapshot
        """What tickers show of each contract."""
        self._calls: Mapping[str, Callable[[RestCall], str]] = {
            "/v5/market/tickers": self._tickers,
            "/v5/market/funding/history": self._history,
            "/v5/market/instruments-info": self._instruments,
            "/v5/market/time": _time,
        }

    def answer(self, call: RestCall) -> RestReply:
        """Answer one request, refusals included."""
        handler = self._calls.get(call.path)
        if handler is None or call.method != "GET":
            return RestReply(b"", 404, {}, "text/plain")
        if not self._requests.charge(call.client_ip, call.now_ms):
            if self._requests.bans:
                return TOO_FREQUENT
            return _failed(10006, "Too many visits!", call.now_ms)
        try:
            result = handler(call)
        except _RefusedError as error:
            return _failed(error.code, str(error), call.now_ms)
        body = f'{{"retCode":0,"retMsg":"OK","result":{result},"retExtInfo":{{}}'
        return RestReply(f'{body},"time":{call.now_ms}}}'.encode())

    def is_shown(self, row: int) -> bool:
        """Whether the exchange lists a contract, whatever its state."""
        symbol = self._contracts[row].symbol
        return self._listings.is_known(symbol) and not self._listings.is_delisted(symbol)

    def _rows_of(self, call: RestCall) -> list[int]:
        """The contracts that a call is about."""
        category, symbol = call.query.get("category"), call.query.get("symbol")
        if category in _OTHER_CATEGORIES:
            return []
        if category not in {universe.LINEAR, universe.INVERSE}:
            raise _RefusedError(10001, "Illegal category")
        found = [
            row
            for row in self._listings.known_rows()
            if self.is_shown(row) and universe.family(self._contracts[row]) == category
        ]
        if symbol is None:
            return found
        if self._rows.get(symbol) not in found:
            raise _RefusedError(10001, "params error: symbol invalid")
        return [self._rows[symbol]]

    def _tickers(self, call: RestCall) -> str:
        rows = [
            row_text(
                ticker(self._contracts[row], self._market.terms(row, call.now_ms), row, self.shown)
            )
            for row in self._rows_of(call)
        ]
        return _listed(call, rows)

    def _history(self, call: RestCall) -> str:
        (row,) = self._rows_of(call) if "symbol" in call.query else (None,)
        if row is None:
            raise _RefusedError(10001, "params error: symbol invalid")
        limit = _integer(call.query, "limit", _MAX_HISTORY)
        start_ms = _integer(call.query, "startTime", None)
        end_ms = _integer(call.query, "endTime", None)
        if start_ms is not None and end_ms is None:
            raise _RefusedError(10001, "endTime is needed with startTime")
        if limit is None or not 1 <= limit <= _MAX_HISTORY:
            raise _RefusedError(10001, "limit is invalid")
        found = self._book.positions(row, None, None)
        settled = self._book.all
        # Stamps are exactly on the grid here.
        times = settled.funding_ms[found].tolist()
        units = settled.rate_units[found].tolist()
        symbol = self._contracts[row].symbol
        rows = [
            f'{{"symbol":"{symbol}","fundingRate":"{rate_text(one)}",'
            f'"fundingRateTimestamp":"{at_ms}"}}'
            for at_ms, one in zip(times, units, strict=True)
            if (start_ms is None or start_ms <= at_ms) and (end_ms is None or at_ms <= end_ms)
        ]
        return _listed(call, rows[::-1][:limit])

    def _instruments(self, call: RestCall) -> str:
        limit = _integer(call.query, "limit", _DEFAULT_LIST)
        begin = _integer(call.query, "cursor", 0)
        if limit is None or begin is None or not 1 <= limit <= _MAX_LIST:
            raise _RefusedError(10001, "limit is invalid")
        # Without `status` what is not launched yet is left out (§4c).
        wanted = call.query.get("status", "")
        rows = [
            row
            for row in self._rows_of(call)
            if (self._status(row) == wanted if wanted else self._status(row) != _PRE_LAUNCH)
        ]
        texts = [self._instrument(row, call.now_ms) for row in rows]
        texts += [
            text.replace('"status":"Trading"', '"status":"Delivering"')
            for row, text in zip(rows, texts, strict=True)
            if self._contracts[row].symbol in self._listings.twice
        ]
        if self._listings.nameless and texts:
            symbol = json.dumps(self._contracts[rows[0]].symbol)
            texts.append(texts[0].replace(f'"symbol":{symbol}', '"symbol":""'))
        page = texts[begin : begin + limit]
        cursor = str(begin + limit) if begin + limit < len(texts) else ""
        return _listed(call, page, f',"nextPageCursor":"{cursor}"')

    def _status(self, row: int) -> str:
        contract = self._contracts[row]
        state = self._listings.state(contract.symbol)
        if state is not None and state.name:
            return state.name
        return _PRE_LAUNCH if universe.is_pre_market(contract) else "Trading"

    def _instrument(self, row: int, now_ms: int) -> str:
        contract, terms = self._contracts[row], self._market.listed_terms(row, now_ms)
        pre_market, dated = universe.is_pre_market(contract), contract.kind == "dated"
        entry: dict[str, object] = {
            "symbol": contract.symbol,
            "contractType": universe.contract_type(contract),
            "status": self._status(row),
            "baseCoin": universe.base_coin(contract),
            "quoteCoin": contract.quote,
            "launchTime": str(terms.onboard_ms or _LAUNCH_MS + row * _DAY_MS),
            "deliveryTime": str(contract.expiry_ms),
            "deliveryFeeRate": "",
            "priceScale": "4",
            **_ORDER_RULES,
            "unifiedMarginTrade": True,
            "fundingInterval": 0 if dated else terms.interval_ms // 60_000,
            "settleCoin": _settle_coin(contract),
            "copyTrading": "none",
            "upperFundingRate": "" if dated else rate_text(terms.cap_units),
            "lowerFundingRate": "" if dated else rate_text(-terms.cap_units),
            "isPreListing": pre_market,
            "preListingInfo": None,
            "symbolId": 100 + row,
        }
        return json.dumps(entry, separators=(",", ":"))


_ORDER_RULES: Mapping[str, object] = {
    "leverageFilter": {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"},
    "priceFilter": {"minPrice": "0.00000001", "maxPrice": "1999999", "tickSize": "0.00000001"},
    "lotSizeFilter": {
        "maxOrderQty": "1190.000",
        "minOrderQty": "0.001",
        "qtyStep": "0.001",
        "postOnlyMaxOrderQty": "1190.000",
        "maxMktOrderQty": "119.000",
        "minNotionalValue": "5",
    },
}


def _settle_coin(contract: Contract) -> str:
    return universe.base_coin(contract) if contract.quote == "USD" else contract.quote


def _listed(call: RestCall, rows: Sequence[str], more: str = "") -> str:
    category = call.query.get("category")
    return f'{{"category":"{category}","list":[{",".join(rows)}]{more}}}'


def _time(call: RestCall) -> str:
    return f'{{"timeSecond":"{call.now_ms // 1_000}","timeNano":"{call.now_ms * 1_000_000}"}}'


def _integer(query: Mapping[str, str], name: str, default: int | None) -> int | None:
    text = query.get(name)
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise _RefusedError(10001, f"{name} is invalid")
    return int(text)


def _failed(code: int, text: str, now_ms: int) -> RestReply:
    body = {"retCode": code, "retMsg": text, "result": {}, "retExtInfo": {}, "time": now_ms}
    return RestReply(json.dumps(body, separators=(",", ":")).encode())
