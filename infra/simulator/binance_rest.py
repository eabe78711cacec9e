"""REST of simulated Binance USD-M (exchanges.md 1.9): bodies, weights, refusals.

Responsible for: `/fapi/v1/` premiumIndex, fundingRate, fundingInfo, exchangeInfo, time and ping.
Not responsible for: sockets; counting (binance_limits.py).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

from infra.simulator import binance_universe
from infra.simulator.binance_frames import premium_rows
from infra.simulator.binance_limits import RateLimits, Verdict
from infra.simulator.feed import RestCall, RestReply
from infra.simulator.history import SettlementBook
from infra.simulator.market import Ints, Market, Snapshot
from infra.simulator.universe import UNITS_PER_ONE

_SERVER_TIME = binance_universe.SERVER_TIME.encode()
_PREFIX = "/fapi/v1/"
_DEFAULT_ROWS = 100
_MAX_ROWS = 1_000
_LATEST_ROWS = 200  # what fundingRate returns when no times are given


class RestError(Exception):
    """A refusal with Binance's own code."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class BinanceRest:
    """Answers calls from the newest tick and the settled history."""

    def __init__(
        self,
        market: Market,
        book: SettlementBook,
        limits: RateLimits,
        *,
        frozen: Snapshot,
        retry_after: bool,
    ) -> None:
        self._market = market
        self._contracts = market.contracts
        self._book = book
        self._limits = limits
        self._retry_after = retry_after
        self._frozen_rows = premium_rows(
            self._contracts, frozen, [frozen.at_ms] * len(self._contracts)
        )
        self._rows = {
            contract.symbol: row
            for row, contract in enumerate(self._contracts)
            if contract.kind != "foreign"
        }
        self._info_body = binance_universe.exchange_info(self._contracts, frozen.at_ms)
        self._funding_body = self._funding_rows()
        self._shown: tuple[Snapshot, Callable[[], Sequence[int]]] | None = None
        self._premium: list[bytes] | None = None
        self._calls: Mapping[str, Callable[[RestCall], bytes]] = {
            "premiumIndex": self._premium_index,
            "fundingRate": self._funding_rate,
            "fundingInfo": self._funding_info,
            "exchangeInfo": self._exchange_info,
            "time": lambda call: b'{"serverTime":%d}' % call.now_ms,
            "ping": lambda _call: b"{}",
        }

    def show(self, snapshot: Snapshot, event_ms: Callable[[], Sequence[int]]) -> None:
        """Answer premiumIndex from this tick from now on."""
        self._shown = snapshot, event_ms
        self._premium = None

    def answer(self, call: RestCall) -> RestReply:
        """Answer one request, refusals included."""
        name = call.path.removeprefix(_PREFIX)
        handler = self._calls.get(name) if call.path.startswith(_PREFIX) else None
        if handler is None:
            return RestReply(b"<html><body>404 Not Found</body></html>", 404, {}, "text/html")
        if call.method != "GET":
            return RestReply(_error(-1000, f"Request method '{call.method}' not supported"), 405)
        pooled = name in {"fundingRate", "fundingInfo"}
        verdict = self._limits.charge(
            call.client_ip, _weight(name, call.query), call.now_ms, pooled=pooled
        )
        headers = self._headers(verdict)
        if verdict.status != 200:
            return RestReply(_error(-1003, verdict.message), verdict.status, headers)
        try:
            return RestReply(handler(call), 200, headers)
        except RestError as error:
            return RestReply(_error(error.code, str(error)), 400, headers)

    def _headers(self, verdict: Verdict) -> dict[str, str]:
        headers = {"X-MBX-USED-WEIGHT-1M": str(verdict.used_weight)}
        if self._retry_after and verdict.retry_after_s:
            headers["Retry-After"] = str(verdict.retry_after_s)
        return headers

    def _premium_index(self, call: RestCall) -> bytes:
        if self._shown is None:
            raise RestError(-1016, "This service is no longer available.")
        if self._premium is None:
            snapshot, event_ms = self._shown
            rows = premium_rows(self._contracts, snapshot, event_ms())
            self._premium = [
                old if contract.frozen else new
                for contract, new, old in zip(self._contracts, rows, self._frozen_rows, strict=True)
            ]
        row = self._row(call.query)
        if row is not None:
            return self._premium[row]
        return b"[" + b",".join(self._premium[r] for r in self._rows.values()) + b"]"

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
            found = found[-min(limit or _LATEST_ROWS, _LATEST_ROWS) :]
        else:
            found = found[: limit or _DEFAULT_ROWS]
        return self._settled_rows(found)

    def _settled_rows(self, positions: Ints) -> bytes:
        settled = self._book.all
        rows = settled.row[positions]
        columns = zip(
            rows.tolist(),
            settled.raw_ms[positions].tolist(),
            (settled.rate_units[positions] / UNITS_PER_ONE).tolist(),
            self._market.mark_at(rows, settled.funding_ms[positions]).tolist(),
            strict=True,
        )
        body = ",".join(
            f'{{"symbol":"{self._contracts[row].symbol}","fundingTime":{raw_ms},'
            f'"fundingRate":"{rate:.8f}","markPrice":"{mark:.8f}","rateType":"Regular"}}'
            for row, raw_ms, rate, mark in columns
        )
        return f"[{body}]".encode()

    def _funding_info(self, call: RestCall) -> bytes:
        del call
        return self._funding_body

    def _funding_rows(self) -> bytes:
        rows = [
            {
                "symbol": contract.symbol,
                "adjustedFundingRateCap": f"{contract.cap_units / UNITS_PER_ONE:.8f}",
                "adjustedFundingRateFloor": f"{-contract.cap_units / UNITS_PER_ONE:.8f}",
                "fundingIntervalHours": contract.interval_hours,
                "disclaimer": False,
            }
            for position, contract in enumerate(self._contracts)
            if binance_universe.in_funding_info(position, contract)
        ]
        return json.dumps(rows, ensure_ascii=False, separators=(",", ":")).encode()

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


def _weight(name: str, query: Mapping[str, str]) -> int:
    if name in {"fundingRate", "fundingInfo"}:
        return 0
    return 10 if name == "premiumIndex" and "symbol" not in query else 1


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
