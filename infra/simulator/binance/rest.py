"""REST of simulated Binance: bodies, weights, refusals.

It serves premiumIndex, fundingRate, fundingInfo, exchangeInfo, ticker/24hr, time and ping below
`/fapi/v1/` and `/dapi/v1/` (docs/exchanges/binance-usdm.md §9, binance-coinm.md §6).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from infra.simulator.binance import coinm_universe
from infra.simulator.binance import universe as binance_universe
from infra.simulator.binance.frames import premium_rows
from infra.simulator.binance.limits import RateLimits, Verdict
from infra.simulator.binance.tickers import array, coinm_ticker, usdm_ticker
from infra.simulator.binance.universe import Entry
from infra.simulator.exchange import RestCall, RestReply
from infra.simulator.market.history import SettlementBook
from infra.simulator.market.listings import Listings
from infra.simulator.market.market import Ints, Market, Snapshot
from infra.simulator.market.terms import Terms
from infra.simulator.market.universe import UNITS_PER_ONE, Contract

_SERVER_TIME = binance_universe.SERVER_TIME.encode()
_DEFAULT_ROWS = 100
_MAX_ROWS = 1_000
_ALL_TICKERS = 40  # the weight of ticker/24hr without a symbol


class RestError(Exception):
    """A refusal with Binance's own code."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class BinanceRest:
    """Answers calls of USD-M from the newest tick and the settled history.

    Args:
        market, listings, book, limits: the numbers, what is listed, what has settled, the budgets.
        frozen: the market when the contracts that are not traded any more were last updated.
        retry_after: whether a refusal says how long to wait.
        intervals_listed: which perpetuals fundingInfo lists.
    """

    prefixes: tuple[str, ...] = ("/fapi/v1/",)
    latest_rows = 200
    """Settled rates that are returned at most where no times are given."""
    latest_by_default = 200
    """How many where no limit is given either."""
    pooled = frozenset({"fundingRate", "fundingInfo"})
    """What shares 500 requests in 5 minutes (docs/exchanges/binance-usdm.md §9b)."""

    def __init__(
        self,
        market: Market,
        listings: Listings,
        book: SettlementBook,
        limits: RateLimits,
        *,
        frozen: Snapshot,
        retry_after: bool,
        intervals_listed: binance_universe.IntervalsListed = "adjusted",
    ) -> None:
        self._market = market
        self._contracts = market.contracts
        self._listings = listings
        self._book = book
        self._limits = limits
        self._retry_after = retry_after
        self._intervals_listed = intervals_listed
        self._frozen_ms = frozen.at_ms
        self._rows: dict[str, int] = {}
        texts = self._premium_texts(frozen, [frozen.at_ms] * len(self._contracts))
        self._frozen_rows = {
            row: texts[row] for row, contract in enumerate(self._contracts) if contract.frozen
        }
        self._version: tuple[int, tuple[int, int]] | None = None
        self._seen_version = -1
        self._info_body = b""
        self._funding_body = b""
        self._shown: tuple[Snapshot, Callable[[], Sequence[int]]] | None = None
        self._premium: list[bytes] | None = None
        self._calls = self._handlers()

    def _handlers(self) -> Mapping[str, Callable[[RestCall], bytes]]:
        """What answers each call, by the path behind the prefix. Raises RestError."""
        return {
            "premiumIndex": self._premium_index,
            "fundingRate": self._funding_rate,
            "fundingInfo": self._funding_info,
            "exchangeInfo": self._exchange_info,
            "ticker/24hr": self._tickers,
            "time": lambda call: b'{"serverTime":%d}' % call.now_ms,
            "ping": lambda _call: b"{}",
        }

    def show(self, snapshot: Snapshot, event_ms: Callable[[], Sequence[int]]) -> None:
        """Answer premiumIndex from this tick from now on; what is delisted keeps its last row."""
        self._refresh(snapshot.at_ms)
        if self._seen_version != self._listings.version:
            self._seen_version = self._listings.version
            self._freeze_what_is_delisted()
        self._shown = snapshot, event_ms
        self._premium = None

    def _freeze_what_is_delisted(self) -> None:
        for symbol, row in self._rows.items():
            state = self._listings.state(symbol)
            if self._listings.is_listed(symbol) or (state is not None and state.dead):
                if not self._contracts[row].frozen:
                    self._frozen_rows.pop(row, None)
            elif row not in self._frozen_rows:
                self._frozen_rows[row] = self._premium_row(row)

    def answer(self, call: RestCall) -> RestReply:
        """Answer one request, refusals included."""
        prefix = next(filter(call.path.startswith, self.prefixes), None)
        name = call.path.removeprefix(prefix or "")
        handler = None if prefix is None else self._calls.get(name)
        if handler is None:
            return RestReply(b"<html><body>404 Not Found</body></html>", 404, {}, "text/html")
        if call.method != "GET":
            return RestReply(_error(-1000, f"Request method '{call.method}' not supported"), 405)
        verdict = self._limits.charge(
            call.client_ip,
            self._weight(name, call.query),
            call.now_ms,
            pooled=name in self.pooled,
        )
        headers = self._headers(verdict)
        if verdict.status != 200:
            return RestReply(_error(-1003, verdict.message), verdict.status, headers)
        self._refresh(call.now_ms)
        try:
            return RestReply(handler(call), 200, headers)
        except RestError as error:
            return RestReply(_error(error.code, str(error)), 400, headers)

    def _weight(self, name: str, query: Mapping[str, str]) -> int:
        if name in {"fundingRate", "fundingInfo"}:
            return 0
        if "symbol" in query:
            return 1
        return {"premiumIndex": 10, "ticker/24hr": _ALL_TICKERS}.get(name, 1)

    def _headers(self, verdict: Verdict) -> dict[str, str]:
        headers = {"X-MBX-USED-WEIGHT-1M": str(verdict.used_weight)}
        if self._retry_after and verdict.retry_after_s:
            headers["Retry-After"] = str(verdict.retry_after_s)
        return headers

    def _refresh(self, now_ms: int) -> None:
        """Follow the listings and the terms: what is not listed yet is not shown at all."""
        version = self._listings.version, self._market.listed_version(now_ms)
        if self._version == version:
            return
        self._version = version
        self._rows = {
            self._contracts[row].symbol: row
            for row in self._listings.known_rows()
            if self._contracts[row].kind != "foreign"
        }
        self._info_body = self._info(self._entries(now_ms))
        self._funding_body = self._funding_rows(now_ms)

    def _entries(self, now_ms: int) -> list[Entry]:
        """What exchangeInfo names, oddities included."""
        entries = [self._entry(row, now_ms) for row in self._rows.values()]
        entries += [
            entry._replace(status="SETTLING" if entry.status == "TRADING" else "TRADING")
            for entry in entries
            if entry.contract.symbol in self._listings.twice
        ]
        if self._listings.nameless and entries:
            first = entries[0]
            entries.append(first._replace(contract=replace(first.contract, symbol="")))
        return entries

    def _entry(self, row: int, now_ms: int) -> Entry:
        contract = self._contracts[row]
        state = self._listings.state(contract.symbol)
        status = "TRADING" if self._listings.is_listed(contract.symbol) else "SETTLING"
        if contract.frozen:
            status = "SETTLING"
        elif state is not None:
            status = state.name or "TRADING"
        return Entry(row, contract, status, self._market.listed_terms(row, now_ms).onboard_ms)

    def _info(self, known: Sequence[Entry]) -> bytes:
        return binance_universe.exchange_info(known, self._frozen_ms)

    def _premium_texts(self, snapshot: Snapshot, event_ms: Sequence[int]) -> list[bytes]:
        return premium_rows(self._contracts, snapshot, event_ms, dead=self._dead())

    def _dead(self) -> list[int]:
        """The rows that trade no more and are shown with zeros."""
        states = ((row, self._listings.state(symbol)) for symbol, row in self._rows.items())
        return [row for row, state in states if state is not None and state.dead]

    def _premium_row(self, row: int) -> bytes:
        if row in self._frozen_rows:
            return self._frozen_rows[row]
        if self._shown is None:
            raise RestError(-1016, "This service is no longer available.")
        if self._premium is None:
            snapshot, event_ms = self._shown
            self._premium = self._premium_texts(snapshot, event_ms())
        return self._premium[row]

    def _premium_index(self, call: RestCall) -> bytes:
        row = self._row(call.query)
        if row is not None:
            return self._premium_row(row)
        return b"[" + b",".join(map(self._premium_row, self._rows.values())) + b"]"

    def _funding_rate(self, call: RestCall) -> bytes:
        row = self._row(call.query)
        start_ms = _integer(call.query, "startTime")
        end_ms = _integer(call.query, "endTime")
        limit = _integer(call.query, "limit")
        if limit is not None and not 1 <= limit <= _MAX_ROWS:
            raise RestError(-1130, "Data sent for parameter 'limit' is not valid.")
        if start_ms is not None and end_ms is not None and start_ms > end_ms:
            raise RestError(-1023, "Start time is greater than end time.")
        found = self._book.positions(row, start_ms, end_ms)
        if start_ms is None and end_ms is None:
            found = found[-min(limit or self.latest_by_default, self.latest_rows) :]
        else:
            found = found[: limit or _DEFAULT_ROWS]
        return self._settled_rows(found)

    def _settled_rows(self, positions: Ints) -> bytes:
        """The rows of fundingRate, as of 2026-10 (docs/exchanges/binance-usdm.md §9b)."""
        settled = self._book.all
        rows = settled.row[positions]
        raw_ms = settled.raw_ms[positions].tolist()
        kinds = [
            "Special" if self._book.is_special(row, at) else "Regular"
            for row, at in zip(rows.tolist(), raw_ms, strict=True)
        ]
        columns = zip(
            rows.tolist(),
            raw_ms,
            kinds,
            (settled.rate_units[positions] / UNITS_PER_ONE).tolist(),
            self._market.mark_at(rows, settled.funding_ms[positions]).tolist(),
            strict=True,
        )
        body = ",".join(
            f'{{"symbol":"{self._contracts[row].symbol}","fundingTime":{raw_ms},'
            f'"fundingRate":"{rate:.8f}","markPrice":"{mark:.8f}","rateType":"{kind}"}}'
            for row, raw_ms, kind, rate, mark in columns
        )
        return f"[{body}]".encode()

    def _plain_settled_rows(self, positions: Ints) -> bytes:
        """The rows of fundingRate with nothing but contract, time and rate."""
        settled = self._book.all
        columns = zip(
            settled.row[positions].tolist(),
            settled.raw_ms[positions].tolist(),
            (settled.rate_units[positions] / UNITS_PER_ONE).tolist(),
            strict=True,
        )
        body = ",".join(
            f'{{"symbol":"{self._contracts[row].symbol}","fundingTime":{raw_ms},'
            f'"fundingRate":"{rate:.8f}"}}'
            for row, raw_ms, rate in columns
        )
        return f"[{body}]".encode()

    def _funding_info(self, call: RestCall) -> bytes:
        del call
        return self._funding_body

    def _funding_rows(self, now_ms: int) -> bytes:
        rows = [
            self._funding_row(contract, terms, now_ms)
            for row in self._rows.values()
            for contract, terms in ((self._contracts[row], self._market.listed_terms(row, now_ms)),)
            # What has been adjusted is listed in any case.
            if (
                binance_universe.in_funding_info(row, contract, listed=self._intervals_listed)
                or (terms.interval_hours, terms.cap_units)
                != (contract.interval_hours, contract.cap_units)
            )
            and self._is_shown_as_trading(contract.symbol)
        ]
        return json.dumps(rows, ensure_ascii=False, separators=(",", ":")).encode()

    def _funding_row(self, contract: Contract, terms: Terms, now_ms: int) -> dict[str, object]:
        """A row of fundingInfo as of a time."""
        del now_ms
        return {
            "symbol": contract.symbol,
            "adjustedFundingRateCap": f"{terms.cap_units / UNITS_PER_ONE:.8f}",
            "adjustedFundingRateFloor": f"{-terms.cap_units / UNITS_PER_ONE:.8f}",
            "fundingIntervalHours": terms.interval_hours,
            "disclaimer": False,
        }

    def _is_shown_as_trading(self, symbol: str) -> bool:
        state = self._listings.state(symbol)
        return self._listings.is_listed(symbol) or (state is not None and not state.name)

    def _tickers(self, call: RestCall) -> bytes:
        row = self._row(call.query)
        if row is not None:
            return array([self._ticker(row, call.now_ms)])[1:-1]
        return array([self._ticker(row, call.now_ms) for row in self._rows.values()])

    def _ticker(self, row: int, now_ms: int) -> dict[str, object]:
        return usdm_ticker(self._market.feed, self._contracts[row], now_ms)

    def _exchange_info(self, call: RestCall) -> bytes:
        return self._info_body.replace(_SERVER_TIME, str(call.now_ms).encode(), 1)

    def _row(self, query: Mapping[str, str]) -> int | None:
        symbol = query.get("symbol")
        if symbol is None:
            return None
        row = self._rows.get(symbol)
        if row is None:
            raise RestError(-1121, "Invalid symbol.")
        return row


class CoinmRest(BinanceRest):
    """Answers calls of COIN-M, where they differ (docs/exchanges/binance-coinm.md §6)."""

    prefixes = ("/dapi/v1/",)
    pooled = frozenset()

    def _weight(self, name: str, query: Mapping[str, str]) -> int:
        if name == "premiumIndex":
            return 10
        return _ALL_TICKERS if name == "ticker/24hr" and "symbol" not in query else 1

    def _info(self, known: Sequence[Entry]) -> bytes:
        return coinm_universe.exchange_info(known)

    def _premium_texts(self, snapshot: Snapshot, event_ms: Sequence[int]) -> list[bytes]:
        return premium_rows(self._contracts, snapshot, event_ms, pairs=True, dead=self._dead())

    def _tickers(self, call: RestCall) -> bytes:
        """Always an array."""
        body = super()._tickers(call)
        return body if body.startswith(b"[") else b"[" + body + b"]"

    def _ticker(self, row: int, now_ms: int) -> dict[str, object]:
        return coinm_ticker(self._market.feed, self._contracts[row], now_ms)

    def _premium_index(self, call: RestCall) -> bytes:
        """Always an array; `pair` is ignored, as one production user found."""
        body = super()._premium_index(call)
        return body if body.startswith(b"[") else b"[" + body + b"]"

    def _funding_rate(self, call: RestCall) -> bytes:
        if not call.query.get("symbol"):
            message = "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed."
            raise RestError(-1102, message)
        return super()._funding_rate(call)

    def _settled_rows(self, positions: Ints) -> bytes:
        return self._plain_settled_rows(positions)


def _integer(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        message = f"Illegal characters found in parameter '{name}'; legal range is '[0-9]{{1,20}}'."
        raise RestError(-1100, message)
    return int(text)


def _error(code: int, message: str) -> bytes:
    return json.dumps({"code": code, "msg": message}, separators=(",", ":")).encode()
