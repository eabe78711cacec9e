"""REST of simulated WhiteBIT (docs/exchanges/whitebit.md §4): the list, markets, history, time."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from infra.simulator.exchange import RestCall, RestReply
from infra.simulator.market.history import SettlementBook
from infra.simulator.market.liquidity import liquidity
from infra.simulator.market.listings import Listings
from infra.simulator.market.market import HOUR_MS, Market
from infra.simulator.market.minute_budget import MinuteBudget
from infra.simulator.whitebit.frames import Values, price_text, rate_text
from infra.simulator.whitebit.universe import SPOTS, base_of

_PREFIX = "/api/v4/public/"
_HISTORY = "funding-history/"
_DEFAULT_ROWS, _MAX_ROWS = 100, 1_000
_WINDOWS_PER_MINUTE = 6
"""Limits are of ten seconds (§4)."""
_OLDER_EVERY = 20
"""One in so many replies of the list comes from an older copy in the cache (§4a)."""


class _UnprocessableError(Exception):
    """HTTP 422: the parameter, and what is wrong with it."""


class WhiteBitRest:
    """Answers calls from the newest values and the settled history.

    Args:
        name: the feed's id, by which liquidity is drawn.
        market, book, listings: the numbers, and what is listed.
        budget: the requests per client and ten seconds.
        newest_first: the order of the history, which is not documented.
    """

    def __init__(
        self,
        name: str,
        market: Market,
        book: SettlementBook,
        listings: Listings,
        budget: MinuteBudget,
        *,
        newest_first: bool,
    ) -> None:
        self._name = name
        self._market = market
        self._contracts = market.contracts
        self._book = book
        self._listings = listings
        self._budget = budget
        self._newest_first = newest_first
        self._rows = {contract.symbol: row for row, contract in enumerate(self._contracts)}
        self._shown: Values | None = None
        self._older: Values | None = None
        self._replies = 0
        self._calls: Mapping[str, Callable[[RestCall], RestReply]] = {
            "futures": self._futures,
            "markets": self._markets,
            "time": lambda call: _json({"time": call.now_ms // 1_000}),
            "ping": lambda _call: _json(["pong"]),
            # Not simulated; clients ask for them before they begin.
            "assets": lambda _call: _json({}),
        }

    def show(self, values: Values) -> None:
        """Answer with these values from now on."""
        if self._shown is None or values.marks is not self._shown.marks:
            self._older = self._shown
        self._shown = values

    def answer(self, call: RestCall) -> RestReply:
        """Answer one request, refusals included."""
        name = call.path.removeprefix(_PREFIX)
        is_history = name.startswith(_HISTORY)
        handler = self._history if is_history else self._calls.get(name)
        if handler is None or not call.path.startswith(_PREFIX):
            return RestReply(b"", 404, {}, "text/plain")
        if call.method != "GET":
            return RestReply(b"", 405, {"Allow": "GET"}, "text/plain")
        if not self._budget.charge(call.client_ip, 1, call.now_ms * _WINDOWS_PER_MINUTE):
            page = b"<html><head><title>429 Too Many Requests</title></head></html>"
            return RestReply(page, 429, {}, "text/html")
        try:
            return handler(call)
        except _UnprocessableError as error:
            name, reason = error.args
            return _json({name: [reason]}, 422)

    def _listed(self) -> list[int]:
        rows = self._listings.rows()
        return [row for row in rows if self._contracts[row].kind != "foreign"]

    def _futures(self, call: RestCall) -> RestReply:
        assert self._shown is not None
        self._replies += 1
        values = self._shown
        if self._older is not None and self._replies % _OLDER_EVERY == 0:
            values = self._older
        entries = [self._future(row, values, call.now_ms) for row in self._listed()]
        entries += [
            {**entry, "product_type": "Future"}
            for entry in entries
            if entry["ticker_id"] in self._listings.twice
        ]
        if self._listings.nameless and entries:
            entries.append({**entries[0], "ticker_id": ""})
        return _json({"success": True, "message": None, "result": entries})

    def _future(self, row: int, values: Values, now_ms: int) -> dict[str, object]:
        contract = self._contracts[row]
        terms = self._market.listed_terms(row, now_ms)
        traded = liquidity(self._name, contract.symbol, now_ms)
        mark = float(values.marks[row])
        base = base_of(contract)
        return {
            "ticker_id": contract.symbol,
            "stock_currency": base,
            "money_currency": "USDT",
            "last_price": values.marks[row],
            "stock_volume": price_text(traded.turnover_24h / mark),
            "money_volume": price_text(traded.turnover_24h),
            "bid": price_text(mark * 0.9999),
            "ask": price_text(mark * 1.0001),
            "high": price_text(mark * 1.02),
            "low": price_text(mark * 0.98),
            "product_type": "Perpetual",
            "open_interest": price_text(traded.open_interest / mark),
            "index_price": values.indexes[row],
            "index_name": f"{base} future contract",
            "index_currency": base,
            "mark_price": values.marks[row],
            "funding_rate": values.rates[row],
            "next_funding_rate_timestamp": str(values.next_ms[row]),
            "funding_interval_minutes": terms.interval_ms // (HOUR_MS // 60),
            "funding_cap": rate_text(terms.cap_units),
            "funding_floor": rate_text(-terms.cap_units),
            "brackets": {"1": 0, "20": 0, "50": 20, "100": 50},
            "max_leverage": 100,
        }

    def _markets(self, call: RestCall) -> RestReply:
        del call
        contracts = [self._contracts[row] for row in self._listed()]
        entries = [
            _market(
                contract.symbol,
                base_of(contract),
                "tradfiFutures" if contract.kind == "tradfi" else "futures",
            )
            for contract in contracts
        ]
        entries += [_market(symbol, symbol.partition("_")[0], "spot") for symbol in SPOTS]
        return _json(entries)

    def _history(self, call: RestCall) -> RestReply:
        symbol = call.path.removeprefix(_PREFIX + _HISTORY)
        row = self._rows.get(symbol)
        if row is None or row not in self._listed():
            name, reason = "market", "Market is not available."
            raise _UnprocessableError(name, reason)
        start_s, end_s = (_integer(call, name, None) for name in ("startDate", "endDate"))
        limit = _integer(call, "limit", _DEFAULT_ROWS) or _DEFAULT_ROWS
        offset = _integer(call, "offset", 0) or 0
        # Stamps have whole seconds on the wire: those within the last one are in the window.
        positions = self._book.positions(
            row,
            None if start_s is None else start_s * 1_000,
            None if end_s is None else end_s * 1_000 + 999,
        )
        chosen = positions[::-1] if self._newest_first else positions
        settled = self._book.all.take(chosen[offset : offset + min(limit, _MAX_ROWS)])
        marks = self._market.mark_at(settled.row, settled.funding_ms)
        rows = zip(
            settled.funding_ms.tolist(),
            settled.rate_units.tolist(),
            marks.tolist(),
            settled.interval_hours.tolist(),
            strict=True,
        )
        return _json([
            {
                "market": symbol,
                "fundingTime": str(funding_ms // 1_000),
                "fundingRate": rate_text(units),
                "settlementPrice": price_text(mark),
                "rateCalculatedTime": str((funding_ms - hours * HOUR_MS) // 1_000),
            }
            for funding_ms, units, mark, hours in rows
        ])  # fmt: skip


def _market(name: str, base: str, kind: str) -> dict[str, object]:
    return {
        "name": name,
        "stock": base,
        "money": "USDT",
        "stockPrec": "3",
        "moneyPrec": "4",
        "feePrec": "4",
        "makerFee": "0.01",
        "takerFee": "0.055",
        "minAmount": "0.001",
        "minTotal": "5",
        "maxTotal": "1000000000",
        "stepSize": "0.001",
        "tickSize": "0.0001",
        "tradesEnabled": True,
        "isCollateral": True,
        "isTradFiFutures": kind == "tradfiFutures",
        "type": kind,
        "delistedAt": None,
    }


def _integer(call: RestCall, name: str, default: int | None) -> int | None:
    text = call.query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 12):
        reason = f"The {name} must be an integer."
        raise _UnprocessableError(name, reason)
    return int(text)


def _json(value: object, status: int = 200) -> RestReply:
    return RestReply(msgspec.json.encode(value), status)
