"""REST of simulated Pacifica (docs/exchanges/pacifica.md §9): bodies, credits and refusals.

It serves info, info/prices and funding_rate/history below `/api/v1/`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping

import msgspec

from infra.simulator.exchange import RestCall, RestReply
from infra.simulator.market.history import SettlementBook
from infra.simulator.market.listings import Listings
from infra.simulator.market.market import HOUR_MS, Market
from infra.simulator.market.minute_budget import seconds_left
from infra.simulator.pacifica import universe
from infra.simulator.pacifica.frames import (
    Values,
    price_row,
    price_text,
    rate_text,
    reply,
    spot_rows,
)
from infra.simulator.pacifica.wire import TOO_MANY

_PREFIX = "/api/v1/"
_DEFAULT_ROWS, _MAX_ROWS = 200, 4_000
_CREDITS = {"info": 1, "info/prices": 1, "funding_rate/history": 12}
_PER_CREDIT = 10
_SHOWN_LIMIT = 10**8  # without limits headers go on showing a number
_MINUTE_MS = 60_000
_MAX_CLIENTS = 1_024
_CREATED_MS = 1_748_881_333_944


class _InvalidParameterError(Exception):
    """HTTP 400."""


class Credits:
    """Credits of each client in minutes of the clock; of 1,024 clients at most."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def charge(self, client: str, amount: int, now_ms: int) -> int | None:
        """Book an amount and return what is left; None when it is too much."""
        minute = now_ms // _MINUTE_MS
        known, used = self._used.get(client, (minute, 0))
        used = used if known == minute else 0
        if used + amount > self._limit:
            return None
        self._used[client] = minute, used + amount
        self._used.move_to_end(client)
        if len(self._used) > _MAX_CLIENTS:
            self._used.popitem(last=False)
        return self._limit - used - amount

    def headers(self, left: int, now_ms: int) -> dict[str, str]:
        """The headers of usage, which count tenths of credits."""
        shown, whole = (min(n, _SHOWN_LIMIT) * _PER_CREDIT for n in (left, self._limit))
        return {
            "ratelimit": f'"credits";r={shown};t={seconds_left(now_ms)}',
            "ratelimit-policy": f'"credits";q={whole};w=60',
        }


class PacificaRest:
    """Answers calls from what was last pushed and from the settled history.

    Args:
        market, book, listings: the numbers, and what is listed.
        values: the newest numbers of each row.
        allowance: the credits per client and minute.
        late_ms: rows of the history are written within so long after the hour (UNVERIFIED).
    """

    def __init__(
        self,
        market: Market,
        book: SettlementBook,
        listings: Listings,
        values: Callable[[int], Values],
        allowance: Credits,
        late_ms: int,
    ) -> None:
        self._contracts = market.contracts
        self._book = book
        self._market = market
        self._listings = listings
        self._values = values
        self._allowance = allowance
        self._late_ms = late_ms
        self._rows = {contract.symbol: row for row, contract in enumerate(self._contracts)}
        self._calls: Mapping[str, Callable[[RestCall], bytes]] = {
            "info": lambda _call: self._info(),
            "info/prices": self._prices,
            "funding_rate/history": self._history,
        }

    def answer(self, call: RestCall) -> RestReply:
        """Answer one request, refusals included."""
        name = call.path.removeprefix(_PREFIX)
        handler = self._calls.get(name)
        if handler is None or not call.path.startswith(_PREFIX):
            return RestReply(b"", 404, {}, "text/plain")
        if call.method != "GET":
            return RestReply(b"", 405, {"Allow": "GET"}, "text/plain")
        left = self._allowance.charge(call.client_ip, _CREDITS[name], call.now_ms)
        headers = self._allowance.headers(left or 0, call.now_ms)
        if left is None:
            return RestReply(TOO_MANY, 429, headers)
        try:
            return RestReply(handler(call), 200, headers)
        except _InvalidParameterError as error:
            refused = {"success": False, "data": None, "error": str(error), "code": 400}
            return RestReply(msgspec.json.encode(refused), 400, headers)

    def shown(self) -> list[int]:
        """The rows that the list has now: what is delisted is gone."""
        return [
            row
            for row in self._listings.known_rows()
            if self._listings.is_listed(self._contracts[row].symbol)
        ]

    def _info(self) -> bytes:
        markets = [
            universe.market(self._contracts[row], self._values(row).rates(), _CREATED_MS + row)
            for row in self.shown()
        ]
        markets += [
            {**market, "instrument_type": "spot"}
            for market in markets
            if market["symbol"] in self._listings.twice
        ]
        if self._listings.nameless and markets:
            markets.append({**markets[0], "symbol": ""})
        return reply(msgspec.json.encode([*markets, *universe.spot_markets(_CREATED_MS)]))

    def _prices(self, call: RestCall) -> bytes:
        rows = [price_row(self._contracts[row].symbol, self._values(row)) for row in self.shown()]
        return reply(b"[%b]" % b",".join([*rows, *spot_rows(call.now_ms)]))

    def _history(self, call: RestCall) -> bytes:
        row = self._rows.get(call.query.get("symbol", ""))
        if row is None or not self._listings.is_known(self._contracts[row].symbol):
            raise _InvalidParameterError("Invalid symbol")
        limit = _integer(call.query, "limit", _DEFAULT_ROWS)
        if not 1 <= limit <= _MAX_ROWS:
            raise _InvalidParameterError("Invalid limit")
        begin = _place(call.query.get("cursor", ""))
        positions = self._book.positions(row, None, None)[::-1]
        newest_ms = int(self._book.all.funding_ms[positions[0]]) if len(positions) else 0
        if self._written_ms(row, newest_ms) > call.now_ms:
            positions = positions[1:]
        # A cursor names the row that a page ended with, so that a new one shifts nothing.
        older = positions[positions < begin] if begin is not None else positions
        page = older[:limit]
        newer = self._values(row).units if begin is None else self._rate_units(begin)
        estimate = rate_text(newer)
        rows = []
        for position in page.tolist():
            at_ms = int(self._book.all.funding_ms[position])
            rate = rate_text(self._rate_units(position))
            rows.append(self._settled(row, at_ms, rate, estimate))
            # What was predicted for the next settlement, when this one was written.
            estimate = rate
        has_more = len(older) > len(page)
        cursor = f'"{_PLACE}{int(page[-1])}"' if has_more else "null"
        return (
            b'{"success":true,"data":[%b],"next_cursor":%b,"has_more":%b,"error":null,"code":null}'
            % (b",".join(rows), cursor.encode(), b"true" if has_more else b"false")
        )

    def _rate_units(self, position: int) -> int:
        units = self._book.all.rate_units
        return int(units[min(position, len(units) - 1)])

    def _settled(self, row: int, at_ms: int, rate: str, estimate: str) -> bytes:
        price = self._contracts[row].price_usd
        return (
            f'{{"oracle_price":"{price_text(price)}","bid_impact_price":"{price_text(price)}",'
            f'"ask_impact_price":"{price_text(price * 1.0002)}","funding_rate":"{rate}",'
            f'"next_funding_rate":"{estimate}","created_at":{self._written_ms(row, at_ms)}}}'
        ).encode()

    def _written_ms(self, row: int, at_ms: int) -> int:
        """When the row of a settlement is written."""
        return at_ms + (at_ms // HOUR_MS * 2_654_435_761 + row * 40_503 >> 7) % self._late_ms


_PLACE = "11114L"
"""How cursors begin: they are words of the exchange, not numbers to be counted with."""


def _place(cursor: str) -> int | None:
    if not cursor:
        return None
    number = cursor.removeprefix(_PLACE)
    if not cursor.startswith(_PLACE) or not (number.isascii() and number.isdigit()):
        raise _InvalidParameterError("Invalid cursor")
    return int(number[:15])


def _integer(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        message = f"Invalid {name}"
        raise _InvalidParameterError(message)
    return int(text)
