"""REST of simulated dYdX (docs/exchanges/dydx.md §4): markets, settled rates, time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping

import msgspec

from infra.simulator.dydx.frames import iso, price_text, settled_text
from infra.simulator.dydx.wire import TOO_MANY
from infra.simulator.exchange import RestCall, RestReply
from infra.simulator.market.history import SettlementBook
from infra.simulator.market.listings import Listings
from infra.simulator.market.market import HOUR_MS, Market
from infra.simulator.market.minute_budget import MinuteBudget

_PREFIX = "/v4/"
_HISTORY = "historicalFunding/"
_MAX_ROWS = 1_000
_WINDOWS_PER_MINUTE = 6
"""Limits are of ten seconds (§4)."""
_LATE_FROM_MS, _LATE_MS = 100, 500
"""Settlements are stamped 0.1 to 0.6 s late (§4b)."""


class _BadRequestError(Exception):
    """HTTP 400: what is wrong with a parameter, its name and its value."""


class DydxRest:
    """Answers calls.

    Args:
        market, book, listings: the numbers, and what is listed.
        row_of: the row of a market as it is shown now, by position and time.
        budget: the requests per client and ten seconds.
    """

    def __init__(
        self,
        market: Market,
        book: SettlementBook,
        listings: Listings,
        row_of: Callable[[int, int], bytes],
        budget: MinuteBudget,
    ) -> None:
        self._market = market
        self._contracts = market.contracts
        self._book = book
        self._listings = listings
        self._row_of = row_of
        self._budget = budget
        self._rows = {contract.symbol: row for row, contract in enumerate(self._contracts)}
        self._calls: Mapping[str, Callable[[RestCall], RestReply]] = {
            "perpetualMarkets": self._markets,
            "time": lambda call: _json({"iso": iso(call.now_ms), "epoch": call.now_ms / 1_000}),
            "height": lambda call: _json(
                {"height": str(call.now_ms // 1_000), "time": iso(call.now_ms)}
            ),
        }

    def answer(self, call: RestCall) -> RestReply:
        """Answer one request, refusals included."""
        name = call.path.removeprefix(_PREFIX)
        handler = self._history if name.startswith(_HISTORY) else self._calls.get(name)
        if handler is None or not call.path.startswith(_PREFIX):
            return _json({"errors": [{"msg": "Not Found"}]}, 404)
        if call.method != "GET":
            return _json({"errors": [{"msg": "Not Found"}]}, 404)
        if not self._budget.charge(call.client_ip, 1, call.now_ms * _WINDOWS_PER_MINUTE):
            return RestReply(TOO_MANY, 429)
        try:
            return handler(call)
        except _BadRequestError as error:
            message, name, value = error.args
            told = {"msg": message, "param": name, "value": value}
            return _json({"errors": [told]}, 400)

    def _markets(self, call: RestCall) -> RestReply:
        rows = self._listings.known_rows()
        wanted = call.query.get("ticker")
        if wanted is not None:
            rows = [self._known(wanted)]
        members = [(self._contracts[row].symbol, self._row_of(row, call.now_ms)) for row in rows]
        for symbol in sorted(self._listings.twice):
            entry = msgspec.json.decode(self._row_of(self._rows[symbol], call.now_ms))
            other = "PAUSED" if entry["status"] == "ACTIVE" else "ACTIVE"
            members.append((f"{symbol}#2", msgspec.json.encode({**entry, "status": other})))
        if self._listings.nameless and members:
            entry = msgspec.json.decode(members[0][1])
            members.append(("", msgspec.json.encode({**entry, "ticker": ""})))
        body = b",".join(msgspec.json.encode(name) + b":" + row for name, row in members)
        return RestReply(b'{"markets":{' + body + b"}}")

    def _history(self, call: RestCall) -> RestReply:
        row = self._known(call.path.removeprefix(_PREFIX + _HISTORY))
        limit = _integer(call, "limit", _MAX_ROWS)
        until_ms = _time_ms(call, "effectiveBeforeOrAt")
        positions = self._book.positions(row, None, until_ms)[::-1]
        settled = self._book.all.take(positions)
        marks = self._market.mark_at(settled.row, settled.funding_ms)
        rows = []
        for funding_ms, units, price in zip(
            settled.funding_ms.tolist(),
            settled.rate_units.tolist(),
            marks.tolist(),
            strict=True,
        ):
            at_ms = funding_ms + late_ms(row, funding_ms)
            if until_ms is not None and at_ms > until_ms:
                continue
            rows.append({
                "ticker": self._contracts[row].symbol,
                "rate": settled_text(units),
                "price": price_text(price),
                "effectiveAtHeight": str(funding_ms // 1_000),
                "effectiveAt": iso(at_ms),
            })  # fmt: skip
            if len(rows) == limit:
                break
        return _json({"historicalFunding": rows})

    def _known(self, ticker: str) -> int:
        if not self._listings.is_known(ticker):
            message, name = "ticker must be a valid ticker (BTC-USD, etc)", "ticker"
            raise _BadRequestError(message, name, ticker)
        return self._rows[ticker]


def late_ms(row: int, funding_ms: int) -> int:
    """How late a settlement is stamped."""
    mixed = (funding_ms // HOUR_MS * 2_654_435_761 + row * 40_503) >> 7
    return _LATE_FROM_MS + mixed % _LATE_MS


def _integer(call: RestCall, name: str, most: int) -> int:
    text = call.query.get(name)
    if text is None:
        return most
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 0 < int(text) <= most):
        message = f"{name} must be a positive integer that is not greater than max: {most}"
        raise _BadRequestError(message, name, text)
    return int(text)


def _time_ms(call: RestCall, name: str) -> int | None:
    text = call.query.get(name)
    if text is None:
        return None
    try:
        at = dt.datetime.fromisoformat(text)
    except ValueError:
        message = f"{name} must be a valid ISO 8601 time"
        raise _BadRequestError(message, name, text) from None
    return round(at.timestamp() * 1_000)


def _json(value: object, status: int = 200) -> RestReply:
    return RestReply(msgspec.json.encode(value), status)
