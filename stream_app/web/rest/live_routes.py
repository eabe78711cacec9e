"""The routes that the Fleet alone answers: contracts, sparklines, the summary."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from heapq import nlargest
from typing import Any, get_args

import msgspec

from schemas.clock import Clock
from schemas.feeds import FEEDS, spec
from schemas.records import Confidence, Zone
from schemas.text import one_line
from schemas.times import US_PER_HOUR, US_PER_S
from stream_app.web.fleet import Fleet, Published
from stream_app.web.history.times_told import iso
from stream_app.web.past import HOURS_KEPT
from stream_app.web.rest import rows
from stream_app.web.rest.answers import (
    ContractRow,
    Contracts,
    Sparklines,
    Summary,
)
from stream_app.web.rest.parameters import Parameter, RefusedError
from stream_app.web.rest.route import Route
from stream_app.web.rest.sparklines import levels

MAX_LIMIT = 5_000
_DEFAULT_LIMIT = 500
_MAX_OFFSET = 100_000
PIECE = 200
"""Contracts that are handled before others have their turn in the event loop."""
_SPARKLINES_KEPT_S = 15.0
_MAX_TOLD_CHARS = 100
_TOP = 10
_OF_TOP = ("contract_id", "z", "rate", "apr")
_OF_FEED = ("feed", "state", "detail", "since", "contracts_expected", "contracts_live")

EXAMPLE_ID = f"{FEEDS[0]}:BTCUSDT"
CONTRACT_ID = Parameter(
    "contract_id", "`<feed>:<symbol>`, percent-encoded.", is_path=True, example=EXAMPLE_ID
)
NO_CONTRACT = {404: "There is no such contract with a rate of the last day."}


def limit(most: int, default: int) -> Parameter:
    """Return the parameter `limit` of a list."""
    return Parameter(
        "limit", "How many rows at most.", kind="integer", least=1, most=most, default=default
    )


OFFSET = Parameter(
    "offset",
    "How many rows to leave out before the first.",
    kind="integer",
    most=_MAX_OFFSET,
    default=0,
)
_CONTRACTS = (
    Parameter("feed", "Of these feeds.", choices=FEEDS, several=True),
    Parameter("base", "Of these base assets.", several=True),
    Parameter("quote", "Of these quote assets.", several=True),
    Parameter("zone", "In these zones.", choices=get_args(Zone), several=True),
    Parameter(
        "interval_hours", "Of these funding intervals.", kind="number", several=True, most=10_000
    ),
    Parameter("confidence", "Of this confidence.", choices=get_args(Confidence), several=True),
    Parameter("min_abs_z", "Of a z of at least this size.", kind="number", most=1e9),
    Parameter(
        "min_turnover_24h",
        "Traded for at least this in 24 hours, in the quote asset.",
        kind="number",
        most=1e18,
    ),
    Parameter("q", "With this text in the contract's id or base, in small or capital letters."),
    Parameter("contract_id", "These contracts.", several=True),
    Parameter(
        "sort",
        "The field to sort by; `-` before it: the largest first. Rows without it are last.",
        choices=rows.SORTS,
        default=rows.DEFAULT_SORT,
    ),
    Parameter("fields", "Only these fields of each row.", choices=rows.FIELDS, several=True),
    limit(MAX_LIMIT, _DEFAULT_LIMIT),
    OFFSET,
)


def known_contract(fleet: Fleet, contract_id: str) -> Published:
    """Return a contract of the Fleet. Raises RefusedError where it has none of that id."""
    found = fleet.contracts.get(contract_id)
    if found is None:
        shown = one_line(contract_id, _MAX_TOLD_CHARS)
        raise RefusedError(
            404,
            f"contract {shown!r} has had no rate within a day: /api/v1/contracts lists those "
            "that have",
        )
    return found


class LiveRoutes:
    """The handlers, and their declarations."""

    def __init__(self, fleet: Fleet, clock: Clock, status: Callable[[], Mapping[str, Any]]) -> None:
        self._fleet = fleet
        self._clock = clock
        self._status = status

    def routes(self) -> tuple[Route, ...]:
        """Return the declarations."""
        return (
            Route(
                "/contracts",
                "Contracts with a rate of the last day, the largest |z| first.",
                _CONTRACTS,
                Contracts,
                self._contracts,
                rows="contracts",
            ),
            Route(
                "/contracts/{contract_id}",
                "One contract.",
                (CONTRACT_ID,),
                ContractRow,
                self._contract,
                refusals=NO_CONTRACT,
            ),
            Route(
                "/sparklines",
                "The closes of the last 48 closed hours of all contracts.",
                (),
                Sparklines,
                self._sparklines,
                kept_s=_SPARKLINES_KEPT_S,
            ),
            Route("/summary", "The state at a glance.", (), Summary, self._summary),
        )

    async def _contracts(self, asked: Mapping[str, Any]) -> Contracts:
        found = rows.in_order(rows.wanted(self._fleet.contracts.values(), asked), asked["sort"])
        page = found[asked["offset"] :][: asked["limit"]]
        fields = asked["fields"] or rows.FIELDS
        made: list[Any] = []
        for begin in range(0, len(page), PIECE):
            made += [rows.row(each, fields) for each in page[begin : begin + PIECE]]
            await asyncio.sleep(0)
        return Contracts(made, len(found), asked["limit"], asked["offset"])

    async def _contract(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        return rows.row(known_contract(self._fleet, asked["contract_id"]))

    async def _sparklines(self, _asked: Mapping[str, Any]) -> Sparklines:
        fleet = self._fleet
        newest = fleet.newest_hour
        answer = Sparklines(newest, iso(newest), HOURS_KEPT, [], [], [], [])
        if newest is None:
            return answer
        for number, contract_id in enumerate(list(fleet.contracts)):
            if number % PIECE == 0:
                await asyncio.sleep(0)
            ring = fleet.bars(contract_id)
            since = newest - (HOURS_KEPT - 1) * US_PER_HOUR
            drawn = None if ring is None else levels(ring.since(since), newest)
            if drawn is not None:
                low, high, text = drawn
                answer.contract_id.append(contract_id)
                answer.low.append(low)
                answer.high.append(high)
                answer.levels.append(text)
        return answer

    async def _summary(self, _asked: Mapping[str, Any]) -> Summary:
        fleet = self._fleet
        zscores = [each.zscore for each in fleet.contracts.values()]
        zones = [zscore["zone"] for zscore in zscores]
        reports = [fleet.feeds[feed] for feed in FEEDS if feed in fleet.feeds]
        now = self._clock.now_us()
        oldest = {feed: now - spec(feed).stale_s * US_PER_S for feed in FEEDS}
        answer = {
            **self._status(),
            "contracts": len(zscores),
            "rated": len(zones) - zones.count("unrated"),
            "high": zones.count("high"),
            "stale": sum(zscore["event_time"] < oldest[zscore["feed"]] for zscore in zscores),
            "updates": sum(report["updates"] for report in reports),
            "feeds": [
                {name: report[name] for name in _OF_FEED} | {"since_iso": iso(report["since"])}  # type: ignore[literal-required]
                for report in reports
            ],
            "top": [rows.row(each, _OF_TOP) for each in self._extremes()],
            "alerts_24h": len(fleet.alerts()),
            "newest_hour": fleet.newest_hour,
            "newest_hour_iso": iso(fleet.newest_hour),
            "newest_settlement": fleet.newest_settlement,
            "newest_settlement_iso": iso(fleet.newest_settlement),
        }
        return msgspec.convert(answer, Summary)

    def _extremes(self) -> list[Published]:
        rated = [each for each in self._fleet.contracts.values() if each.zscore["z"] is not None]
        # Cut first: they are few, and all the others need no order.
        largest = nlargest(_TOP, rated, key=rows.size_of_z)
        return rows.in_order(largest, rows.DEFAULT_SORT)
