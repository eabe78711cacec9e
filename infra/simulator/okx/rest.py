"""REST of simulated OKX (docs/exchanges/okx.md §4): current and settled rates, lists, liquidity.

Errors come with HTTP 200 and a code; too many calls with HTTP 429.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import NamedTuple

from infra.simulator.exchange import RestCall, RestReply
from infra.simulator.market.history import SettlementBook
from infra.simulator.market.liquidity import liquidity
from infra.simulator.market.listings import Listings
from infra.simulator.market.market import Market
from infra.simulator.market.universe import Contract
from infra.simulator.okx import universe
from infra.simulator.okx.frames import predicted_text, price_text, rate_text
from infra.simulator.okx.wire import failed

FEED = "okx"
WINDOW_MS = 2_000
MAX_HISTORY = 400
HISTORY_DAYS = 90
TOO_MANY = ("429", "200")
"""The HTTP status of the refusal of too many calls."""
_MAX_CLIENTS = 4_096
_LISTED_MS = 1_573_557_408_000
_DAY_MS = 86_400_000


class Calls:
    """Counts calls by what their limits are of, in windows of 2 s."""

    def __init__(self) -> None:
        self._used: OrderedDict[tuple[str, ...], tuple[int, int]] = OrderedDict()

    def charge(self, key: tuple[str, ...], limit: int, now_ms: int) -> bool:
        """Count a call; False: it is one too many."""
        window = now_ms // WINDOW_MS
        known, used = self._used.get(key, (window, 0))
        used = used + 1 if known == window else 1
        self._used[key] = window, used
        self._used.move_to_end(key)
        if len(self._used) > _MAX_CLIENTS:
            self._used.popitem(last=False)
        return used <= limit


class _Route(NamedTuple):
    limit: int
    by_contract: bool
    answer: Callable[[RestCall], list[str]]


class _RefusedError(Exception):
    """An error with HTTP 200: a code and a text."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class OkxRest:
    """Answers calls from what was pushed last and from the settled history."""

    def __init__(
        self,
        market: Market,
        book: SettlementBook,
        listings: Listings,
        rows: dict[int, str],
        *,
        limited: bool,
        too_many: str,
    ) -> None:
        """`rows`: of each contract the row of rates that was pushed last."""
        self._market = market
        self._contracts = market.contracts
        self._book = book
        self._listings = listings
        self._shown = rows
        self._limited = limited
        self._too_many = too_many
        self._calls = Calls()
        self._rows = {contract.symbol: row for row, contract in enumerate(self._contracts)}
        self._routes: Mapping[str, _Route] = {
            "/api/v5/public/funding-rate": _Route(10, True, self._rates),
            "/api/v5/public/funding-rate-history": _Route(10, True, self._history),
            "/api/v5/public/instruments": _Route(20, False, self._instruments),
            "/api/v5/public/mark-price": _Route(10, False, self._marks),
            "/api/v5/public/open-interest": _Route(20, False, self._held),
            "/api/v5/market/tickers": _Route(20, False, self._tickers),
            "/api/v5/public/time": _Route(10, False, _time),
            "/api/v5/system/status": _Route(1, False, lambda _call: []),
        }

    def answer(self, call: RestCall) -> RestReply:
        """Answer one request, refusals included."""
        route = self._routes.get(call.path)
        if route is None or call.method != "GET":
            return failed("50404", "Not Found", 404)
        contract = call.query.get("instId", "") if route.by_contract else ""
        key = (call.client_ip, call.path, contract)
        if self._limited and not self._calls.charge(key, route.limit, call.now_ms):
            return failed("50011", "Too Many Requests", int(self._too_many))
        try:
            rows = route.answer(call)
        except _RefusedError as error:
            return failed(error.code, str(error))
        return RestReply(f'{{"code":"0","data":[{",".join(rows)}],"msg":""}}'.encode())

    def is_shown(self, row: int) -> bool:
        """Whether the exchange lists a contract, whatever its state."""
        symbol = self._contracts[row].symbol
        return self._listings.is_known(symbol) and not self._listings.is_delisted(symbol)

    def _known(self) -> list[int]:
        return [row for row in self._listings.known_rows() if self.is_shown(row)]

    def _one(self, symbol: str | None) -> int:
        if not symbol:
            raise _RefusedError("50014", "Parameter instId can not be empty.")
        row = self._rows.get(symbol)
        if row is None or not self.is_shown(row):
            raise _RefusedError("51001", "Instrument ID doesn't exist.")
        return row

    def _of_type(self, call: RestCall) -> list[int]:
        """The contracts of the type, and of the id where it is given."""
        wanted = call.query.get("instType")
        if wanted not in {"SWAP", "FUTURES", "SPOT", "OPTION", "MARGIN"}:
            raise _RefusedError("51000", "Parameter instType error")
        found = [row for row in self._known() if universe.inst_type(self._contracts[row]) == wanted]
        symbol = call.query.get("instId")
        return found if symbol is None else [self._one(symbol)]

    def _rates(self, call: RestCall) -> list[str]:
        symbol = call.query.get("instId")
        rows = self._known() if symbol == "ANY" else [self._one(symbol)]
        return [self._shown[row] for row in rows]

    def _history(self, call: RestCall) -> list[str]:
        row = self._one(call.query.get("instId"))
        limit = _integer(call.query, "limit", MAX_HISTORY)
        older_ms = _integer(call.query, "after", call.now_ms + 1)
        newer_ms = _integer(call.query, "before", call.now_ms - HISTORY_DAYS * _DAY_MS)
        if not 1 <= limit <= MAX_HISTORY:
            raise _RefusedError("51000", "Parameter limit error")
        found = self._book.positions(row, None, None)
        # Stamps are exactly on the grid here.
        times = self._book.all.funding_ms[found].tolist()
        units = self._book.all.rate_units[found].tolist()
        contract = self._contracts[row]
        rows = [
            _settled_row(contract, at_ms, one)
            for at_ms, one in zip(times, units, strict=True)
            if newer_ms < at_ms < older_ms
        ]
        return rows[::-1][:limit]

    def _instruments(self, call: RestCall) -> list[str]:
        rows = self._of_type(call)
        texts = [self._instrument(row, call.now_ms) for row in rows]
        texts += [
            text.replace('"state":"live"', '"state":"suspend"')
            for row, text in zip(rows, texts, strict=True)
            if self._contracts[row].symbol in self._listings.twice
        ]
        if self._listings.nameless and texts:
            symbol = json.dumps(self._contracts[rows[0]].symbol)
            texts.append(texts[0].replace(f'"instId":{symbol}', '"instId":""'))
        return texts

    def _instrument(self, row: int, now_ms: int) -> str:
        contract = self._contracts[row]
        onboard_ms = self._market.listed_terms(row, now_ms).onboard_ms
        state = self._listings.state(contract.symbol)
        named = state.name if state is not None and state.name else ""
        inverse = contract.quote == "USD"
        entry: dict[str, object] = {
            "instType": universe.inst_type(contract),
            "instId": contract.symbol,
            "uly": universe.family(contract),
            "instFamily": universe.family(contract),
            "baseCcy": "",
            "quoteCcy": "",
            "settleCcy": contract.asset.name if inverse else contract.quote,
            "ctVal": "100" if inverse else "0.01",
            "ctMult": "1",
            "ctValCcy": "USD" if inverse else contract.asset.name,
            "ctType": "inverse" if inverse else "linear",
            "listTime": str(onboard_ms or _LISTED_MS + row * _DAY_MS),
            "expTime": str(contract.expiry_ms) if universe.is_x_perp(contract) else "",
            "lever": "100",
            "tickSz": "0.0000000001",
            "lotSz": "0.01",
            "minSz": "0.01",
            "ruleType": universe.rule_type(contract),
            "state": named or ("test" if contract.symbol == universe.TEST else "live"),
        }
        return json.dumps(entry, separators=(",", ":"))

    def _marks(self, call: RestCall) -> list[str]:
        marks = self._market.snapshot(call.now_ms).mark
        return [
            f'{{"instType":"{universe.inst_type(self._contracts[row])}",'
            f'"instId":"{self._contracts[row].symbol}","markPx":"{price_text(float(marks[row]))}",'
            f'"ts":"{call.now_ms}"}}'
            for row in self._of_type(call)
        ]

    def _tickers(self, call: RestCall) -> list[str]:
        marks = self._market.snapshot(call.now_ms).mark
        rows = []
        for row in self._of_type(call):
            contract, last = self._contracts[row], float(marks[row])
            coins = liquidity(FEED, contract.symbol, call.now_ms).turnover_24h / last
            rows.append(
                f'{{"instType":"{universe.inst_type(contract)}","instId":"{contract.symbol}",'
                f'"last":"{price_text(last)}","vol24h":"{_lots(contract, coins, last):.2f}",'
                f'"volCcy24h":"{coins:.8f}","ts":"{call.now_ms}"}}'
            )
        return rows

    def _held(self, call: RestCall) -> list[str]:
        marks = self._market.snapshot(call.now_ms).mark
        rows = []
        for row in self._of_type(call):
            contract, last = self._contracts[row], float(marks[row])
            usd = liquidity(FEED, contract.symbol, call.now_ms).open_interest
            rows.append(
                f'{{"instType":"{universe.inst_type(contract)}","instId":"{contract.symbol}",'
                f'"oi":"{_lots(contract, usd / last, last):.2f}","oiCcy":"{usd / last:.8f}",'
                f'"oiUsd":"{usd:.8f}","ts":"{call.now_ms}"}}'
            )
        return rows


def _lots(contract: Contract, coins: float, price: float) -> float:
    """An amount of coins in contracts."""
    return coins * price / 100 if contract.quote == "USD" else coins * 100


def _settled_row(contract: Contract, at_ms: int, units: int) -> str:
    symbol = contract.symbol
    return (
        f'{{"formulaType":"withRate","fundingRate":"{predicted_text(symbol, units)}",'
        f'"fundingTime":"{at_ms}","instId":"{symbol}","instType":"{universe.inst_type(contract)}",'
        f'"method":"current_period","realizedRate":"{rate_text(symbol, units)}"}}'
    )


def _time(call: RestCall) -> list[str]:
    return [f'{{"ts":"{call.now_ms}"}}']


def _integer(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name)
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise _RefusedError("51000", f"Parameter {name} error")
    return int(text)
