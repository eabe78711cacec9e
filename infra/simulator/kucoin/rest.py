"""REST of simulated KuCoin Futures (docs/exchanges/kucoin.md §5): bodies, weights, refusals.

It serves contracts, current and settled rates (classic and UTA), tokens, time and status. Business
errors are HTTP 200 with a code.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from infra.simulator.exchange import RestCall, RestReply
from infra.simulator.kucoin import universe as kucoin_universe
from infra.simulator.kucoin.classic import Tokens
from infra.simulator.kucoin.estimates import (
    Shown,
    decimal_text,
    number_text,
    price_text,
    uses_exponents,
)
from infra.simulator.kucoin.limits import KucoinLimits
from infra.simulator.kucoin.state import KucoinState
from infra.simulator.kucoin.tick import KucoinTick
from infra.simulator.market.history import SettlementBook
from infra.simulator.market.liquidity import liquidity
from infra.simulator.market.universe import Contract

_MAX_ROWS = 100  # the newest records that history returns (§5b: about 100)
_LATEST_STAMP_MS = 3  # a stamp is at most so late (market.py)
_FIRST_OPEN_MS = 1_585_555_200_000
CLASSIC_PATH = "/classic/"


class BusinessError(Exception):
    """A refusal that arrives as HTTP 200."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class _Route:
    weight: int
    answer: Callable[[RestCall], str]
    method: str = "GET"


class KucoinRest:
    """Answers calls, until `show` with the prices of `tick`.

    `epoch_times`: whether contracts/active has nextFundingRateDateTime.
    """

    def __init__(
        self,
        exchange: KucoinState,
        book: SettlementBook,
        tokens: Tokens,
        limits: KucoinLimits,
        tick: KucoinTick,
        *,
        epoch_times: bool,
    ) -> None:
        self._exchange = exchange
        self._book = book
        self._tokens = tokens
        self._limits = limits
        self._epoch_times = epoch_times
        self._tick = tick
        self._closed_prices: dict[int, tuple[str, str]] = {}
        self._seen_version = -1
        self._facts = [_facts(contract) for contract in exchange.contracts]
        self._routes: Mapping[str, _Route] = {
            "/api/v1/contracts/active": _Route(3, self._active),
            "/api/v1/contract/funding-rates": _Route(5, self._history),
            "/api/v1/bullet-public": _Route(10, self._bullet, "POST"),
            "/api/v1/timestamp": _Route(0, lambda call: str(call.now_ms)),
            "/api/v1/status": _Route(4, lambda _call: '{"status":"open","msg":""}'),
            "/api/ua/v2/market/funding-rate": _Route(3, self._uta_current),
            "/api/ua/v1/market/funding-rate-history": _Route(5, self._uta_history),
        }

    def show(self, tick: KucoinTick) -> None:
        """Answer with the prices of this tick from now on; a closed contract keeps its last."""
        listings = self._exchange.listings
        # Only what is listed or closed meanwhile changes who keeps their prices.
        if self._seen_version != listings.version:
            self._seen_version = listings.version
            for row in listings.known_rows():
                if listings.is_listed(self._exchange.contracts[row].symbol):
                    self._closed_prices.pop(row, None)
                elif row not in self._closed_prices:
                    self._closed_prices[row] = self._prices(row)
        self._tick = tick

    def answer(self, call: RestCall) -> RestReply:
        """Answer one request, refusals included."""
        route = self._routes.get(call.path) or self._by_symbol(call.path)
        if route is None or route.method != call.method:
            missing = b'{"code":"404","msg":"Not Found","retry":false,"success":false}'
            return RestReply(missing, 404)
        headers = {}
        if route.weight:
            quota = self._limits.charge(call.client_ip, route.weight, call.now_ms)
            headers = quota.headers()
            if quota.refused:
                return RestReply(_failure("429000", "Too Many Requests"), 429, headers)
        try:
            body = f'{{"code":"200000","data":{route.answer(call)}}}'.encode()
        except BusinessError as error:
            body = _failure(error.code, str(error))
        return RestReply(body, 200, headers)

    def _by_symbol(self, path: str) -> _Route | None:
        parts = path.removeprefix("/api/v1/").split("/")
        if len(parts) == 3 and (parts[0], parts[2]) == ("funding-rate", "current"):
            return _Route(2, lambda call: self._current(parts[1], call.now_ms))
        if len(parts) == 2 and parts[0] == "contracts":
            return _Route(3, lambda call: self._contract(parts[1], call.now_ms))
        return None

    def _active(self, call: RestCall) -> str:
        shown = self._exchange.estimates.at(call.now_ms)
        listings, contracts = self._exchange.listings, self._exchange.contracts
        rows = listings.known_rows()
        texts = [self._active_row(row, shown, call.now_ms) for row in rows]
        for row, text in list(zip(rows, texts, strict=True)):
            if contracts[row].symbol in listings.twice:
                other = "Paused" if '"status":"Open"' in text else "Open"
                texts.append(re.sub('"status":"[^"]+"', f'"status":"{other}"', text))
        if listings.nameless and texts:
            texts.append(re.sub('"symbol":"[^"]+"', '"symbol":""', texts[0]))
        return f"[{','.join(texts)}]"

    def _contract(self, symbol: str, now_ms: int) -> str:
        row = self._exchange.known_row(symbol)
        if row is None:
            message = "The contract information you requested does not exist."
            raise BusinessError("404000", message)
        return self._active_row(row, self._exchange.estimates.at(now_ms), now_ms)

    def _active_row(self, row: int, shown: Shown, now_ms: int) -> str:
        exchange = self._exchange
        symbol = exchange.contracts[row].symbol
        status = "Open" if exchange.listings.is_listed(symbol) else "Closed"
        state = exchange.listings.state(symbol)
        if state is not None:
            status = state.name
        opened_ms = exchange.market.listed_terms(row, now_ms).onboard_ms or _FIRST_OPEN_MS
        mark, index = self._closed_prices.get(row) or self._prices(row)
        return (
            f'{{{self._facts[row]},"firstOpenDate":{opened_ms},"status":"{status}",'
            f"{self._funding(row, shown, now_ms)}{self._liquidity(row, mark, now_ms)}"
            f'"markPrice":{mark},"indexPrice":{index},"lastTradePrice":{mark}}}'
        )

    def _liquidity(self, row: int, mark: str, now_ms: int) -> str:
        """Open interest in lots, turnover in the quote currency; of an inverse one in coins."""
        contract, price = self._exchange.contracts[row], float(mark)
        traded, held = liquidity(self._exchange.market.feed, contract.symbol, now_ms)
        coins = kucoin_universe.multiplier(contract)
        if coins < 0:
            lots, turnover = held, traded / price
        else:
            lots, turnover = held / (coins * price), traded
        return (
            f'"openInterest":"{lots:.0f}","turnoverOf24h":{turnover:.6f},'
            f'"volumeOf24h":{traded / price:.6f},'
        )

    def _prices(self, row: int) -> tuple[str, str]:
        """The mark and the index price of the newest tick."""
        prices = self._tick.prices
        return price_text(float(prices.mark[row])), price_text(float(prices.index[row]))

    def _funding(self, row: int, shown: Shown, now_ms: int) -> str:
        """The funding fields: none on dated contracts, no values on those that are closed."""
        contract = self._exchange.contracts[row]
        if contract.kind == "dated":
            return ""
        terms = self._exchange.market.listed_terms(row, now_ms)
        interval_ms, cap = terms.interval_ms, terms.cap_units
        begins = terms.since_ms if terms.since_ms > 0 else "null"
        live = self._exchange.is_rated(row)
        rate, last, left_ms, next_ms = (
            (
                _number(row, int(shown.rate_units[row])),
                _number(row, int(shown.last_units[row])),
                str(shown.next_ms[row] - now_ms),
                str(shown.next_ms[row]),
            )
            if live
            else ("null",) * 4
        )
        date_time = f'"nextFundingRateDateTime":{next_ms},' if self._epoch_times else ""
        return (
            f'"fundingFeeRate":{rate},"predictedFundingFeeRate":null,'
            f'"lastTimeFundingRate":{last},"fundingRateGranularity":{interval_ms},'
            f'"currentFundingRateGranularity":{interval_ms},'
            f'"effectiveFundingRateCycleStartTime":{begins},'
            f'"fundingRateSymbol":"{self._rate_symbol(row, terms.interval_hours)}",'
            f'"fundingRateCap":{decimal_text(cap)},"fundingRateFloor":{decimal_text(-cap)},'
            f'"nextFundingRateTime":{left_ms},{date_time}'
        )

    def _current(self, symbol: str, now_ms: int) -> str:
        row = self._rated_row(symbol, "415000", "funding rate is not supported")
        shown, terms = self._exchange.estimates.at(now_ms), self._exchange.market.terms(row, now_ms)
        interval_ms, cap = terms.interval_ms, terms.cap_units
        return (
            f'{{"symbol":"{self._rate_symbol(row, terms.interval_hours)}",'
            f'"granularity":{interval_ms},"timePoint":{shown.start_ms[row]},'
            f'"value":{number_text(int(shown.rate_units[row]), exponent=True)},'
            f'"lastTimeFundingRate":{number_text(int(shown.last_units[row]), exponent=True)},'
            f'"dailyInterestRate":3.0E-4,"fundingRateCap":{decimal_text(cap)},'
            f'"fundingRateFloor":{decimal_text(-cap)},"period":1,'
            f'"fundingTime":{shown.next_ms[row]}}}'
        )

    def _uta_current(self, call: RestCall) -> str:
        symbol = call.query.get("symbol")
        rows = self._exchange.rated_rows()
        if symbol is not None:
            rows = [self._rated_row(symbol, "200003", "Invalid symbol.")]
        shown = self._exchange.estimates.at(call.now_ms)
        return f"[{','.join(self._uta_row(row, shown, call.now_ms) for row in rows)}]"

    def _uta_row(self, row: int, shown: Shown, now_ms: int) -> str:
        contract, terms = self._exchange.contracts[row], self._exchange.market.terms(row, now_ms)
        return (
            f'{{"symbol":"{contract.symbol}",'
            f'"nextFundingRate":"{decimal_text(int(shown.rate_units[row]))}",'
            f'"fundingTime":{shown.next_ms[row]},'
            f'"fundingRateCap":"{decimal_text(terms.cap_units)}",'
            f'"fundingRateFloor":"{decimal_text(-terms.cap_units)}",'
            f'"currentGranularity":{terms.interval_ms}}}'
        )

    def _history(self, call: RestCall) -> str:
        found = self._settled(call.query, "from", "to")
        symbol = call.query["symbol"]
        rows = (
            f'{{"symbol":"{symbol}","fundingRate":{number_text(units, exponent=True)},'
            f'"timepoint":{funding_ms}}}'
            for funding_ms, units in found
        )
        return f"[{','.join(rows)}]"

    def _uta_history(self, call: RestCall) -> str:
        found = self._settled(call.query, "startAt", "endAt")
        rows = ",".join(
            f'{{"ts":{funding_ms},"fundingRate":{number_text(units, exponent=True)}}}'
            for funding_ms, units in found
        )
        return f'{{"symbol":"{call.query["symbol"]}","list":[{rows}]}}'

    def _settled(self, query: Mapping[str, str], start: str, end: str) -> list[tuple[int, int]]:
        """Funding time and rate within a window, both ends included, newest first."""
        row = self._exchange.known_row(query.get("symbol", ""))
        if row is None:
            raise BusinessError("200003", "Invalid symbol.")
        start_ms, end_ms = _time(query, start), _time(query, end)
        found = self._book.positions(row, start_ms, end_ms + _LATEST_STAMP_MS)
        funding_ms = self._book.all.funding_ms[found]
        found = found[(funding_ms >= start_ms) & (funding_ms <= end_ms)][::-1][:_MAX_ROWS]
        times, units = self._book.all.funding_ms[found], self._book.all.rate_units[found]
        return list(zip(np.asarray(times).tolist(), np.asarray(units).tolist(), strict=True))

    def _bullet(self, call: RestCall) -> str:
        secure = call.base_url.startswith("https")
        endpoint = f"ws{call.base_url.removeprefix('http')}{CLASSIC_PATH}"
        server = {
            "endpoint": endpoint,
            "encrypt": secure,
            "protocol": "websocket",
            "pingInterval": 18_000,
            "pingTimeout": 10_000,
        }
        return json.dumps({"token": self._tokens.issue(call.now_ms), "instanceServers": [server]})

    def _rate_symbol(self, row: int, hours: int) -> str:
        return f".{self._exchange.contracts[row].symbol}FPI{hours}H"

    def _rated_row(self, symbol: str, code: str, message: str) -> int:
        row = self._exchange.live_row(symbol)
        if row is None or not self._exchange.is_rated(row):
            raise BusinessError(code, message)
        return row


def _number(row: int, units: int) -> str:
    return number_text(units, exponent=uses_exponents(row))


def _time(query: Mapping[str, str], name: str) -> int:
    text = query.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise BusinessError("200003", f"Invalid {name}.")
    return int(text)


def _failure(code: str, message: str) -> bytes:
    return json.dumps({"msg": message, "code": code}, separators=(",", ":")).encode()


def _facts(contract: Contract) -> str:
    """What never changes in a row of contracts/active, without its braces."""
    inverse = contract.quote == "USD"
    base = kucoin_universe.currency(contract.asset.name)
    settle = base if inverse else contract.quote
    dated = contract.kind == "dated"
    facts: dict[str, object] = {
        "symbol": contract.symbol,
        "rootSymbol": settle,
        "type": "FFICSX" if dated else "FFWCSX",
        "expireDate": contract.expiry_ms or None,
        "settleDate": contract.expiry_ms or None,
        "baseCurrency": base,
        "quoteCurrency": contract.quote,
        "settleCurrency": settle,
        "maxOrderQty": 1_000_000,
        "maxPrice": 1_000_000.0,
        "lotSize": 1,
        "tickSize": 0.1 if contract.price_usd > 1_000 else 0.000001,
        "indexPriceTickSize": 0.01,
        "multiplier": kucoin_universe.multiplier(contract),
        "makerFeeRate": 0.0002,
        "takerFeeRate": 0.0006,
        "isInverse": inverse,
        "marketStage": "PRE_MARKET" if kucoin_universe.pre_market(contract) else "NORMAL",
        "maxLeverage": 125,
    }
    return json.dumps(facts, separators=(",", ":"))[1:-1]
