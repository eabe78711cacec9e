"""REST of simulated Hyperliquid, `POST /info` (docs/exchanges/hyperliquid.md §9).

It makes bodies, counts weights and refuses calls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from infra.simulator.exchange import RestCall, RestReply
from infra.simulator.hyperliquid.frames import mids, rate_text, stamps_ms
from infra.simulator.hyperliquid.universe import (
    COLLATERALS,
    DEXS,
    HALVED_DEXS,
    MAIN,
    collateral,
)
from infra.simulator.market.history import SettlementBook
from infra.simulator.market.listings import Listings
from infra.simulator.market.market import HOUR_MS, Market
from infra.simulator.market.minute_budget import MinuteBudget, seconds_left

_HISTORY_ROWS = 500
_ROWS_PER_WEIGHT = 20
_WEIGHT = 20
_LIGHT_WEIGHT = 2
_LIGHT_CALLS = frozenset({"allMids", "exchangeStatus"})
_NULL_FLAG_EVERY = 8  # one live asset in so many has `isDelisted` null instead of no flag (§12)
_NO_PREMIUM_EVERY = 50  # one row in so many lacks `premium`
_UNREADABLE = b"Failed to deserialize the JSON body into the target type"


class _UnknownCoinError(Exception):
    """HTTP 500 with the body `null`."""


class _BadRequestError(Exception):
    """HTTP 422."""


class HyperliquidRest:
    """Answers calls from the contexts that were last streamed, and from the settled history.

    Args:
        market, book, listings: the numbers, and what is listed.
        dex_rows: the rows of each dex in the order of its universe.
        contexts: the newest context of each row.
        budget: the weights per client and minute.
        retry_after: whether a 429 says how long to wait: it may (hyperliquid.md §9).
    """

    def __init__(
        self,
        market: Market,
        book: SettlementBook,
        listings: Listings,
        dex_rows: Mapping[str, Sequence[int]],
        contexts: Callable[[int], bytes],
        budget: MinuteBudget,
        *,
        retry_after: bool,
    ) -> None:
        self._contracts = market.contracts
        self._book = book
        self._listings = listings
        self._dex_rows = dex_rows
        self._contexts = contexts
        self._budget = budget
        self._retry_after = retry_after
        self._rows = {contract.symbol: row for row, contract in enumerate(self._contracts)}
        self._calls: Mapping[str, Callable[[dict[str, Any], int], bytes]] = {
            "allMids": lambda request, _now_ms: msgspec.json.encode(self.mids(_dex(request))),
            "meta": lambda request, _now_ms: self._meta(_dex(request)),
            "metaAndAssetCtxs": lambda request, _now_ms: self._meta_and_contexts(_dex(request)),
            "perpDexs": lambda _request, _now_ms: self._perp_dexs(),
            "allPerpMetas": lambda _request, _now_ms: _array(self._meta(dex) for dex in DEXS),
            "fundingHistory": self._history,
            "predictedFundings": lambda _request, now_ms: self._predicted(now_ms),
            "exchangeStatus": lambda _request, now_ms: _status(now_ms),
            "spotMeta": lambda _request, _now_ms: _NO_SPOT,
            "spotMetaAndAssetCtxs": lambda _request, _now_ms: b"[" + _NO_SPOT + b",[]]",
        }

    def answer(self, call: RestCall) -> RestReply:
        """Answer one request, refusals included."""
        refused = _refused(call)
        if refused is not None:
            return refused
        try:
            request = _request(call.body)
            handler = self._handler(request["type"])
            weight = _LIGHT_WEIGHT if request["type"] in _LIGHT_CALLS else _WEIGHT
            if not self._budget.charge(call.client_ip, weight, call.now_ms):
                return self._too_many(call.now_ms)
            body = handler(request, call.now_ms)
        except _BadRequestError:
            return RestReply(_UNREADABLE, 422, {}, "text/plain")
        except _UnknownCoinError:
            return RestReply(b"null", 500)
        if request["type"] == "fundingHistory":
            # The price of the rows is known when they are: it counts, and refuses the next.
            rows = body.count(b'"time":')
            self._budget.charge(call.client_ip, rows // _ROWS_PER_WEIGHT, call.now_ms)
        return RestReply(body)

    def is_delisted(self, row: int) -> bool:
        """Whether an asset is shown as delisted: from the start, or by control."""
        contract = self._contracts[row]
        return contract.frozen or self._listings.is_delisted(contract.symbol)

    def mids(
        self, dex: str, newer: Mapping[int, tuple[str | None, bytes]] | None = None
    ) -> dict[str, str]:
        """The mid prices of a dex by coin; delisted coins have none.

        Args:
            dex: its name.
            newer: rates and contexts by row that are not shown yet.

        Raises:
            _UnknownCoinError: there is no such dex.
        """
        rows = self._listed_rows(dex)
        ahead = newer or {}
        return mids(
            (self._contracts[row].symbol, ahead[row][1] if row in ahead else self._contexts(row))
            for row in rows
        )

    def _handler(self, kind: str) -> Callable[[dict[str, Any], int], bytes]:
        if kind not in self._calls:
            raise _BadRequestError
        return self._calls[kind]

    def _too_many(self, now_ms: int) -> RestReply:
        headers = {"Retry-After": str(seconds_left(now_ms))} if self._retry_after else {}
        return RestReply(b"null", 429, headers)

    def shown(self, dex: str) -> list[int]:
        """The rows of a dex in the order of its universe, what is not listed yet left out.

        A row that the list names twice, or without its name, comes once more at the end.
        """
        known = set(self._listings.known_rows())
        rows = [row for row in self._dex_rows[dex] if row in known]
        nameless = rows[:1] if self._listings.nameless and dex == MAIN else []
        return [*rows, *self._named_twice(rows), *nameless]

    def _named_twice(self, rows: Sequence[int]) -> list[int]:
        return [row for row in rows if self._contracts[row].symbol in self._listings.twice]

    def _listed_rows(self, dex: str) -> list[int]:
        if dex not in self._dex_rows:
            raise _UnknownCoinError
        return self.shown(dex)

    def _meta(self, dex: str) -> bytes:
        rows = self._listed_rows(dex)
        universe = [self._asset(row) for row in rows]
        if self._listings.nameless and dex == MAIN and universe:
            universe[-1]["name"] = ""
        twice = len(self._named_twice(list(dict.fromkeys(rows))))
        for asset in universe[len(set(rows)) :][:twice]:
            asset["isDelisted"] = not asset.get("isDelisted")
        return msgspec.json.encode(
            {
                "universe": universe,
                "marginTables": [],
                "collateralToken": collateral(dex),
            }
        )

    def _asset(self, row: int) -> dict[str, object]:
        contract = self._contracts[row]
        asset: dict[str, object] = {
            "szDecimals": row % 6,
            "name": contract.symbol,
            "maxLeverage": (40, 25, 20, 10, 5, 3)[row % 6],
            "marginTableId": 50 + row % 7,
        }
        if self.is_delisted(row):
            asset["isDelisted"] = True
        elif row % _NULL_FLAG_EVERY == 1:
            asset["isDelisted"] = None
        return asset

    def _meta_and_contexts(self, dex: str) -> bytes:
        meta = self._meta(dex)
        return _array((meta, _array(self._contexts(row) for row in self.shown(dex))))

    def _perp_dexs(self) -> bytes:
        listed = [_dex_entry(dex, [self._contracts[row].symbol for row in self.shown(dex)])
                  for dex in DEXS if dex != MAIN]  # fmt: skip
        return msgspec.json.encode([None, *listed])

    def _history(self, request: dict[str, Any], now_ms: int) -> bytes:
        coin = request.get("coin")
        if not isinstance(coin, str):
            raise _BadRequestError
        start_ms = _time(request.get("startTime"))
        end_ms = _time(now_ms if request.get("endTime") is None else request["endTime"])
        row = self._rows.get(coin)
        if row is None or not self._listings.is_known(coin):
            raise _UnknownCoinError
        positions = self._book.positions(row, None, None)
        stamps = stamps_ms(row, self._book.all.funding_ms[positions])
        found = (stamps >= start_ms) & (stamps <= end_ms)
        columns = zip(
            stamps[found].tolist()[:_HISTORY_ROWS],
            self._book.all.rate_units[positions][found].tolist()[:_HISTORY_ROWS],
            strict=True,
        )
        return _array(_settled(coin, row, at_ms, units) for at_ms, units in columns)

    def _predicted(self, now_ms: int) -> bytes:
        rows = []
        hour_ms = now_ms // HOUR_MS * HOUR_MS
        for row in self.shown(MAIN):
            if self.is_delisted(row):
                continue
            funding = msgspec.json.decode(self._contexts(row))["funding"]
            # Its time names an hour that is settled already, entries may be null (§9a).
            own = {"fundingRate": funding, "nextFundingTime": hour_ms, "fundingIntervalHours": 1}
            other = {"fundingRate": "0.0001", "nextFundingTime": hour_ms + 8 * HOUR_MS}
            venues = [["BinPerp", other if row % 3 else None], ["HlPerp", own]]
            rows.append([self._contracts[row].symbol, venues])
        return msgspec.json.encode(rows)


_NO_SPOT = msgspec.json.encode(
    {
        "tokens": [
            {"name": name, "szDecimals": 8, "weiDecimals": 8, "index": token}
            for name, token in COLLATERALS.items()
        ],
        "universe": [],
    }
)
"""Spot is not simulated; clients ask for it before they begin, and for the collaterals' names."""


def _dex_entry(dex: str, coins: Sequence[str]) -> dict[str, object]:
    multipliers = [[coin, "0.5"] for coin in coins] if dex in HALVED_DEXS else []
    return {"name": dex, "fullName": dex.upper(), "assetToFundingMultiplier": multipliers}


def _settled(coin: str, row: int, at_ms: int, rate_units: int) -> bytes:
    rate = rate_text(coin, rate_units)
    hour = at_ms // HOUR_MS
    premium = f"{(hour * 7_919 + row * 104_729) % 200_001 / 1e8 - 1e-3:.8f}"
    shown = "" if (hour + row) % _NO_PREMIUM_EVERY == 0 else f'"premium":"{premium}",'
    return f'{{"coin":"{coin}","fundingRate":"{rate}",{shown}"time":{at_ms}}}'.encode()


def _status(now_ms: int) -> bytes:
    return b'{"specialStatuses":null,"time":%d}' % now_ms


def _refused(call: RestCall) -> RestReply | None:
    """What is answered before the body is looked at (§9)."""
    if call.path != "/info":
        return RestReply(b"", 404, {}, "text/plain")
    if call.method != "POST":
        return RestReply(b"", 405, {"Allow": "POST"}, "text/plain")
    # A call that does not tell its type is taken for JSON.
    if getattr(call, "content_type", "application/json") != "application/json":
        message = b"Expected request with `Content-Type: application/json`"
        return RestReply(message, 415, {}, "text/plain")
    return None


def _request(body: bytes) -> dict[str, Any]:
    try:
        request = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        raise _BadRequestError from None
    if not isinstance(request, dict) or not isinstance(request.get("type"), str):
        raise _BadRequestError
    return request


def _dex(request: dict[str, Any]) -> str:
    dex = request.get("dex", MAIN)
    if dex is not None and not isinstance(dex, str):
        raise _BadRequestError
    return dex or MAIN


def _time(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**53:
        raise _BadRequestError
    return value


def _array(items: Any) -> bytes:
    return b"[" + b",".join(items) + b"]"
