"""REST of simulated Lighter (docs/exchanges/lighter.md §9): bodies and refusals.

It serves funding-rates, orderBookDetails and fundings below `/api/v1/`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import msgspec
import numpy as np

from infra.simulator.exchange import RestCall, RestReply
from infra.simulator.lighter import universe
from infra.simulator.lighter.frames import Values, details, fraction_text, percent_text
from infra.simulator.lighter.wire import TOO_MANY
from infra.simulator.market.history import SettlementBook
from infra.simulator.market.listings import Listings
from infra.simulator.market.market import HOUR_MS, Market
from infra.simulator.market.minute_budget import MinuteBudget, seconds_left

_PREFIX = "/api/v1/"
_MAX_ROWS = 750
_HOURS = 8  # what /funding-rates states the rate of (§9a)
_OTHERS = ("binance", "okx", "bybit", "hyperliquid")
_MS_FROM = 10**11  # a time from here on is in ms


class _InvalidParameterError(Exception):
    """HTTP 400 with code 20001."""


class LighterRest:
    """Answers calls from what was last pushed and from the settled history.

    Args:
        market, book, listings: the numbers, and what is listed.
        values: the newest numbers of each row.
        budget: the requests per client and minute.
        limit_status: the HTTP status of a refusal: 429, or 200 with the code alone.
        retry_after: whether a refusal says how long to wait.
    """

    def __init__(
        self,
        market: Market,
        book: SettlementBook,
        listings: Listings,
        values: Callable[[int], Values],
        budget: MinuteBudget,
        *,
        limit_status: int,
        retry_after: bool,
    ) -> None:
        self._market = market
        self._contracts = market.contracts
        self._book = book
        self._listings = listings
        self._values = values
        self._budget = budget
        self._limit_status = limit_status
        self._retry_after = retry_after
        self._rows = {universe.market_id(c.symbol): row for row, c in enumerate(self._contracts)}
        self._calls: Mapping[str, Callable[[RestCall], object]] = {
            "funding-rates": lambda _call: self._funding_rates(),
            "orderBookDetails": self._details,
            "fundings": self._fundings,
        }

    def answer(self, call: RestCall) -> RestReply:
        """Answer one request, refusals included."""
        handler = self._calls.get(call.path.removeprefix(_PREFIX))
        if handler is None or not call.path.startswith(_PREFIX):
            return RestReply(b"404 page not found", 404, {}, "text/plain")
        if call.method != "GET":
            return RestReply(b"", 405, {"Allow": "GET"}, "text/plain")
        if not self._budget.charge(call.client_ip, 1, call.now_ms):
            headers = {"Retry-After": str(seconds_left(call.now_ms))} if self._retry_after else {}
            return RestReply(TOO_MANY, self._limit_status, headers)
        try:
            body = handler(call)
        except _InvalidParameterError as error:
            refused = {"code": 20001, "message": f"invalid param: {error}"}
            return RestReply(msgspec.json.encode(refused), 400)
        return RestReply(body if isinstance(body, bytes) else msgspec.json.encode(body))

    def is_active(self, row: int) -> bool:
        """Whether a market trades: only such ones are pushed."""
        contract = self._contracts[row]
        return not contract.frozen and self._listings.is_listed(contract.symbol)

    def row_of(self, number: int) -> int | None:
        """The row of a market id; None: there is none in the list."""
        row = self._rows.get(number)
        return row if row is not None and row in self._listings.known_rows() else None

    def _funding_rates(self) -> bytes:
        rows = []
        for row in self._listings.known_rows():
            if not self.is_active(row):
                continue
            symbol = self._contracts[row].symbol
            number = universe.market_id(symbol)
            rate = float(fraction_text(self._values(row).units)) * _HOURS
            # Half of them end in the noise of a division.
            shown = math.nextafter(rate, 0.0) if row % 2 else rate
            rows.append(_rate(number, "lighter", symbol, shown))
            if not self._contracts[row].asset.tradfi:
                rows += [
                    _rate(number, other, symbol, 1e-4 + at * 1e-5 + row * 1e-7)
                    for at, other in enumerate(_OTHERS)
                    if (row + at) % 3
                ]
        return b'{"code":200,"funding_rates":[%b]}' % b",".join(rows)

    def _details(self, call: RestCall) -> object:
        wanted = call.query.get("filter", "all")
        if wanted not in {"all", "perp", "spot"}:
            raise _InvalidParameterError("filter")
        rows = self._listings.known_rows()
        if "market_id" in call.query:
            row = self.row_of(_integer(call.query, "market_id"))
            rows = [] if row is None else [row]
        markets = [self._entry(row) for row in rows] if wanted != "spot" else []
        markets += [
            {**entry, "status": "inactive" if entry["status"] == "active" else "active"}
            for entry in markets
            if entry["symbol"] in self._listings.twice
        ]
        if self._listings.nameless and markets:
            markets.append({**markets[0], "symbol": ""})
        spots = universe.spot_markets() if wanted != "perp" else []
        return {"code": 200, "order_book_details": markets, "spot_order_book_details": spots}

    def _entry(self, row: int) -> dict[str, object]:
        status = "active" if self.is_active(row) else "inactive"
        contract = self._contracts[row]
        return universe.market(contract, status, details(self._values(row)))

    def _fundings(self, call: RestCall) -> object:
        row = self.row_of(_integer(call.query, "market_id"))
        if row is None:
            raise _InvalidParameterError("market_id")
        if call.query.get("resolution") != "1h":
            raise _InvalidParameterError("resolution")
        start_ms = _ms(_integer(call.query, "start_timestamp"))
        end_ms = _ms(_integer(call.query, "end_timestamp"))
        count = _integer(call.query, "count_back") or _MAX_ROWS
        positions = self._book.positions(row, None, None)
        times_ms = self._book.all.funding_ms[positions]
        found = (times_ms >= start_ms) & (times_ms <= end_ms)
        shown = times_ms[found][: min(count, _MAX_ROWS)]
        units = self._book.all.rate_units[positions][found][: len(shown)]
        hours = shown // HOUR_MS * HOUR_MS
        marks = self._market.mark_at(np.full(len(shown), row, dtype=np.int64), hours)
        rows = [
            {
                "timestamp": at_ms // 1_000,
                "value": f"{abs(float(fraction_text(unit))) * mark:.8f}",
                "rate": percent_text(abs(unit)),
                "direction": "short" if unit < 0 else "long",
            }
            for at_ms, unit, mark in zip(
                shown.tolist(), units.tolist(), marks.tolist(), strict=True
            )
        ]
        return {"code": 200, "resolution": "1h", "fundings": rows}


def _rate(number: int, exchange: str, symbol: str, rate: float) -> bytes:
    shown = np.format_float_positional(rate, trim="0")
    return (
        f'{{"market_id":{number},"exchange":"{exchange}","symbol":"{symbol}","rate":{shown}}}'
    ).encode()


def _integer(query: Mapping[str, str], name: str) -> int:
    text = query.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise _InvalidParameterError(name)
    return int(text)


def _ms(time: int) -> int:
    """A time of a request in ms: seconds are taken as well."""
    return time if time >= _MS_FROM else time * 1_000
