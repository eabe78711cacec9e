"""REST of simulated Backpack (docs/exchanges/backpack.md §4): bodies and refusals.

It serves markPrices, fundingRates, markets, tickers, openInterest, time, status and ping below
`/api/v1/`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from infra.simulator.backpack import universe
from infra.simulator.backpack.frames import history_text, iso, mark_price_row, rate_text
from infra.simulator.exchange import RestCall, RestReply
from infra.simulator.market.history import SettlementBook
from infra.simulator.market.liquidity import liquidity
from infra.simulator.market.listings import Listings
from infra.simulator.market.market import Market, Snapshot
from infra.simulator.market.minute_budget import MinuteBudget, seconds_left
from infra.simulator.market.universe import Contract

_PREFIX = "/api/v1/"
_DEFAULT_ROWS = 100
_MAX_ROWS = 10_000
_MARKET_TYPES = frozenset({"SPOT", "PERP", "IPERP", "DATED", "PREDICTION", "RFQ"})


class _InvalidRequestError(Exception):
    """HTTP 400 with INVALID_CLIENT_REQUEST."""


class BackpackRest:
    """Answers calls from the newest tick and the settled history.

    Args:
        market, book, listings: the numbers, and what is listed.
        frozen: what closed markets have stopped at.
        budget: the requests per client and minute.
        age_s: how old the CDN's copy of markPrices is, told in the header `age`; None: no copy.
        retry_after: whether a 429 says how long to wait (UNVERIFIED in backpack.md §4).
    """

    def __init__(
        self,
        market: Market,
        book: SettlementBook,
        listings: Listings,
        frozen: Snapshot,
        budget: MinuteBudget,
        *,
        age_s: int | None,
        retry_after: bool,
    ) -> None:
        self._market = market
        self._contracts = market.contracts
        self._book = book
        self._listings = listings
        self._budget = budget
        self._age_s = age_s
        self._retry_after = retry_after
        self._rows = {contract.symbol: row for row, contract in enumerate(self._contracts)}
        self._stopped: dict[int, bytes] = {
            row: self._row(frozen, row)
            for row, contract in enumerate(self._contracts)
            if contract.frozen
        }
        self._shown = frozen
        self._seen_version = -1
        self._calls: Mapping[str, Callable[[RestCall], RestReply]] = {
            "markPrices": self._mark_prices,
            "fundingRates": self._funding_rates,
            "markets": self._markets,
            "tickers": self._tickers,
            "openInterest": self._open_interest,
            "time": lambda call: RestReply(str(call.now_ms).encode(), 200, {}, "text/plain"),
            "status": lambda _call: RestReply(b'{"message":null,"status":"Ok"}'),
            "ping": lambda _call: RestReply(b"pong", 200, {}, "text/plain"),
            # Not simulated; clients ask for them before they begin.
            "assets": lambda _call: RestReply(b"[]"),
            "securities": lambda _call: RestReply(b"[]"),
        }

    def show(self, snapshot: Snapshot, rows: Sequence[int]) -> None:
        """Answer with these values of some markets from now on.

        What has been delisted keeps its last values. When something is listed, all that is listed
        is shown with the values of now.
        """
        if self._seen_version == self._listings.version:
            self._shown = self._shown.updated(snapshot, rows)
            return
        self._seen_version = self._listings.version
        for row in self._listings.known_rows():
            if self._contracts[row].frozen:
                continue
            if self._listings.is_listed(self._contracts[row].symbol):
                self._stopped.pop(row, None)
            elif row not in self._stopped:
                self._stopped[row] = self._row(self._shown, row)
        self._shown = snapshot

    def answer(self, call: RestCall) -> RestReply:
        """Answer one request, refusals included."""
        handler = self._calls.get(call.path.removeprefix(_PREFIX))
        if handler is None or not call.path.startswith(_PREFIX):
            return RestReply(b"", 404, {}, "text/plain")
        if call.method != "GET":
            return RestReply(b"", 405, {"Allow": "GET"}, "text/plain")
        if not self._budget.charge(call.client_ip, 1, call.now_ms):
            headers = {"Retry-After": str(seconds_left(call.now_ms))} if self._retry_after else {}
            return RestReply(_error("TOO_MANY_REQUESTS", "Too many requests"), 429, headers)
        try:
            return handler(call)
        except _InvalidRequestError as error:
            return RestReply(_error("INVALID_CLIENT_REQUEST", str(error)), 400)

    def is_open(self, row: int) -> bool:
        """Whether a market's order book is open: only such markets stream (§3)."""
        contract = self._contracts[row]
        return not contract.frozen and self._listings.is_listed(contract.symbol)

    def _mark_prices(self, call: RestCall) -> RestReply:
        wanted = call.query.get("marketType", "PERP")
        if wanted not in _MARKET_TYPES:
            raise _InvalidRequestError("Invalid market type")
        symbol = call.query.get("symbol")
        rows = [self._known(symbol)] if symbol is not None else self._rows_of(wanted)
        snapshot, headers = self._shown, {}
        if self._age_s is not None:
            snapshot = self._market.snapshot(snapshot.at_ms - self._age_s * 1_000)
            headers = {"age": str(self._age_s), "cache-control": "s-maxage=1"}
        texts = [self._stopped.get(row) or self._row(snapshot, row) for row in rows]
        return RestReply(b"[" + b",".join(texts) + b"]", 200, headers)

    def _rows_of(self, market_type: str) -> list[int]:
        kinds = {"PERP": {"crypto", "tradfi"}, "PREDICTION": {"dated"}}.get(market_type, set())
        return [row for row in self._listings.known_rows() if self._contracts[row].kind in kinds]

    def _row(self, snapshot: Snapshot, row: int) -> bytes:
        contract = self._contracts[row]
        has_rate = contract.kind != "dated"
        rate = rate_text(contract, int(snapshot.rate_units[row])) if has_rate else None
        return mark_price_row(contract, snapshot, row, rate)

    def _funding_rates(self, call: RestCall) -> RestReply:
        row = self._known(call.query.get("symbol"))
        limit = _integer(call.query, "limit", _DEFAULT_ROWS)
        offset = _integer(call.query, "offset", 0)
        if not 1 <= limit <= _MAX_ROWS:
            raise _InvalidRequestError("Invalid limit")
        contract, settled = self._contracts[row], self._book.all
        positions = self._book.positions(row, None, None)[::-1]
        rates = settled.rate_units[positions].tolist()
        ends_ms = settled.funding_ms[positions].tolist()
        if self.is_open(row) and contract.kind != "dated":
            # The first row is the interval that is still running (§4b).
            rates.insert(0, int(self._market.snapshot(call.now_ms).rate_units[row]))
            ends_ms.insert(0, int(self._market.next_funding_ms(call.now_ms)[row]))
        body = [
            {
                "fundingRate": history_text(rate_text(contract, units)),
                "intervalEndTimestamp": iso(end_ms),
                "symbol": contract.symbol,
            }
            for units, end_ms in zip(
                rates[offset : offset + limit], ends_ms[offset : offset + limit], strict=True
            )
        ]
        headers = {
            "X-PAGE-COUNT": str(-(-len(rates) // limit)),
            "X-CURRENT-PAGE": str(offset // limit + 1),
            "X-PAGE-SIZE": str(limit),
            "X-TOTAL": str(len(rates)),
        }
        return RestReply(msgspec.json.encode(body), 200, headers)

    def _markets(self, call: RestCall) -> RestReply:
        wanted = call.query.get("marketType")
        if wanted is not None and wanted not in _MARKET_TYPES:
            raise _InvalidRequestError("Invalid market type")
        known = self._listings.known_rows()
        markets = [self._market_entry(row, call.now_ms) for row in known]
        markets += [
            {**entry, "orderBookState": "Closed" if entry["orderBookState"] == "Open" else "Open"}
            for entry in markets
            if entry["symbol"] in self._listings.twice
        ]
        if self._listings.nameless and markets:
            markets.append({**markets[0], "symbol": ""})
        markets += universe.spot_markets()
        found = [m for m in markets if wanted is None or m["marketType"] == wanted]
        return RestReply(msgspec.json.encode(found))

    def _market_entry(self, row: int, now_ms: int) -> dict[str, object]:
        contract, terms = self._contracts[row], self._market.listed_terms(row, now_ms)
        state = self._listings.state(contract.symbol)
        order_book = "Open" if self.is_open(row) else "Closed"
        if state is not None:
            order_book = state.name
        return universe.market(contract, terms, order_book, visible=self.is_open(row))

    def _tickers(self, call: RestCall) -> RestReply:
        """Of all markets, whatever their type (§4e)."""
        rows = self._rows_of("PERP")
        return RestReply(msgspec.json.encode([self._ticker(row, call.now_ms) for row in rows]))

    def _ticker(self, row: int, now_ms: int) -> dict[str, str]:
        contract = self._contracts[row]
        turnover = liquidity(self._market.feed, contract.symbol, now_ms).turnover_24h
        price = f"{contract.price_usd:.6f}"
        return {
            "symbol": contract.symbol,
            **dict.fromkeys(("firstPrice", "lastPrice", "high", "low"), price),
            "priceChange": "0",
            "priceChangePercent": "0",
            "volume": f"{turnover / contract.price_usd:.6f}",
            "quoteVolume": f"{turnover:.6f}",
            "trades": "10000",
        }

    def _open_interest(self, call: RestCall) -> RestReply:
        """Of all perpetuals, in units of the base asset (§4e)."""
        held = [
            {
                "symbol": contract.symbol,
                "openInterest": f"{self._units_held(contract, call.now_ms):.6f}",
                "timestamp": call.now_ms,
            }
            for contract in (self._contracts[row] for row in self._rows_of("PERP"))
        ]
        return RestReply(msgspec.json.encode(held))

    def _units_held(self, contract: Contract, now_ms: int) -> float:
        held = liquidity(self._market.feed, contract.symbol, now_ms).open_interest
        return held / contract.price_usd

    def _known(self, symbol: str | None) -> int:
        if symbol is None or not self._listings.is_known(symbol):
            raise _InvalidRequestError("Symbol not found")
        return self._rows[symbol]


def _integer(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        message = f"Invalid {name}"
        raise _InvalidRequestError(message)
    return int(text)


def _error(code: str, message: str) -> bytes:
    return msgspec.json.encode({"code": code, "message": message})
