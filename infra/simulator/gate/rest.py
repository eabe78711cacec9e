"""REST of simulated Gate: contracts, tickers and settled rates of three families (§9)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from infra.simulator.exchange import RestCall, RestReply
from infra.simulator.gate import universe
from infra.simulator.gate.frames import compact, contract_row, rate_text, ticker_row
from infra.simulator.gate.limits import EndpointLimits
from infra.simulator.gate.state import Shown
from infra.simulator.market.history import DAY_MS, SettlementBook
from infra.simulator.market.listings import Listings
from infra.simulator.market.market import Market

_PREFIX = "/api/v4/futures/"
_MAX_PAGE = 100
_WINDOW_S = 30 * 86_400
_KEPT_MS = 180 * DAY_MS
_NEWEST_ROWS = 90
_LATEST_MS = 4_000


class _RefusedError(Exception):
    """A refusal with Gate's own label."""

    def __init__(self, label: str, message: str) -> None:
        super().__init__(message)
        self.label = label


class GateRest:
    """Answers calls from what is shown, and from the settled history."""

    def __init__(
        self,
        market: Market,
        listings: Listings,
        book: SettlementBook,
        shown: Shown,
        limits: EndpointLimits,
    ) -> None:
        self._market = market
        self._contracts = market.contracts
        self._listings = listings
        self._book = book
        self._shown = shown
        self._limits = limits
        self._rows = {contract.symbol: row for row, contract in enumerate(self._contracts)}
        self._calls: Mapping[str, Callable[[str, RestCall], object]] = {
            "contracts": self._all_contracts,
            "tickers": self._tickers,
            "funding_rate": self._funding_rate,
        }

    def answer(self, call: RestCall) -> RestReply:
        """Answer one request, refusals included."""
        if call.path == "/api/v4/spot/time":
            return RestReply(compact({"server_time": call.now_ms}))
        settle, _, rest = call.path.removeprefix(_PREFIX).partition("/")
        name, _, one = rest.partition("/")
        handler = self._calls.get(name)
        is_known = settle in universe.FAMILIES and call.path.startswith(_PREFIX)
        if handler is None or not is_known or (one and name != "contracts"):
            return _refused("NOT_FOUND", "404 Not Found", 404)
        if call.method != "GET":
            return _refused("METHOD_NOT_ALLOWED", "Method not allowed", 405)
        charge = self._limits.charge(call.client_ip, name, call.now_ms)
        if not charge.passes:
            message = "Request rate limit exceeded"
            return _refused("TOO_MANY_REQUESTS", message, 429, charge.headers)
        try:
            body = self._one(settle, one, call.now_ms) if one else handler(settle, call)
        except _RefusedError as error:
            return _refused(error.label, str(error), 400, charge.headers)
        return RestReply(compact(body), 200, charge.headers)

    def is_live(self, row: int) -> bool:
        """Whether a contract has rates."""
        return self._listings.is_listed(self._contracts[row].symbol)

    def _known(self, settle: str) -> list[int]:
        return [
            row
            for row in self._listings.known_rows()
            if universe.family(self._contracts[row]) == settle
        ]

    def _all_contracts(self, settle: str, call: RestCall) -> object:
        rows = [self._contract(row, call.now_ms) for row in self._known(settle)]
        rows += [
            {**row, "status": "delisting" if row["status"] == "trading" else "trading"}
            for row in rows
            if row["name"] in self._listings.twice
        ]
        if self._listings.nameless and rows:
            rows.append({**rows[0], "name": ""})
        return _page(rows, call.query)

    def _one(self, settle: str, name: str, now_ms: int) -> object:
        row = self._rows.get(name)
        if row is None or row not in self._known(settle):
            raise _RefusedError("CONTRACT_NOT_FOUND", f"contract {name} not found")
        return self._contract(row, now_ms)

    def _contract(self, row: int, now_ms: int) -> dict[str, object]:
        contract, terms = self._contracts[row], self._market.listed_terms(row, now_ms)
        state = self._listings.state(contract.symbol)
        status = "trading" if self.is_live(row) else "delisted"
        if state is not None:
            status = state.name or "trading"
        lasting = universe.row_of(contract, row, terms, status)
        return contract_row(lasting, row, self._shown.snapshot, contract)

    def _tickers(self, settle: str, call: RestCall) -> object:
        wanted = call.query.get("contract")
        return [
            ticker_row(self._contracts[row], row, self._shown.snapshot)
            for row in self._known(settle)
            if wanted in {None, self._contracts[row].symbol}
        ]

    def _funding_rate(self, settle: str, call: RestCall) -> object:
        """The 30 days that follow `from`, whatever `limit`; newest first, stamps up to 3 s late."""
        name = call.query.get("contract", "")
        row = self._rows.get(name)
        if row is None or row not in self._known(settle):
            raise _RefusedError("CONTRACT_NOT_FOUND", f"contract {name} not found")
        limit = _integer(call.query, "limit", 100)
        if not 1 <= limit <= 1_000:
            raise _RefusedError("INVALID_PARAM_VALUE", "limit must in (0, 1000]")
        from_s, to_s = _integer(call.query, "from", 0), _integer(call.query, "to", 2**40)
        if "from" in call.query and from_s * 1_000 < call.now_ms - _KEPT_MS:
            raise _RefusedError("INVALID_PARAM_VALUE", "from time exceeds 180-day limit")
        to_s = min(to_s, from_s + _WINDOW_S) if "from" in call.query else to_s
        settled = self._book.all
        at = self._book.positions(row, from_s * 1_000 - _LATEST_MS, to_s * 1_000)[::-1]
        stamps = settled.funding_ms[at] // 1_000 + settled.raw_ms[at] - settled.funding_ms[at]
        inside = np.flatnonzero((stamps >= from_s) & (stamps <= to_s))
        if "from" not in call.query:
            inside = inside[: min(limit, _NEWEST_ROWS)]
        return [
            {"r": rate_text(units), "t": stamp}
            for units, stamp in zip(
                settled.rate_units[at][inside].tolist(), stamps[inside].tolist(), strict=True
            )
        ]


def _page(rows: list[dict[str, object]], query: Mapping[str, str]) -> list[dict[str, object]]:
    """All rows where no limit is given; a limit is 100 at most (§9a)."""
    if "limit" not in query:
        return rows
    limit, offset = _integer(query, "limit", 0), _integer(query, "offset", 0)
    if not 1 <= limit <= _MAX_PAGE:
        raise _RefusedError("INVALID_PARAM_VALUE", "limit must in (0, 100]")
    return rows[offset : offset + limit]


def _integer(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 13):
        raise _RefusedError("INVALID_PARAM_VALUE", f"invalid argument {name}")
    return int(text)


def _refused(
    label: str, message: str, status: int, headers: Mapping[str, str] | None = None
) -> RestReply:
    return RestReply(compact({"label": label, "message": message}), status, headers or {})
