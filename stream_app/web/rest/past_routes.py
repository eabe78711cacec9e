"""The routes that ask ClickHouse or the raw log, and say so where they get no answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, get_args

from schemas.alert_kinds import AlertKind
from schemas.clock import Clock
from schemas.errors import FundingStreamError, UnavailableError
from schemas.feeds import FEEDS
from schemas.records import Alert, Severity
from schemas.times import US_PER_DAY
from stream_app.web.fleet import Fleet, newest_first
from stream_app.web.history.answers import Bars, Estimates, PaidLeg, Settlements
from stream_app.web.history.history import ContractPast, Days, History
from stream_app.web.history.queries import WINDOW_DAYS
from stream_app.web.history.raw_reader import NotKeptError, RawReader
from stream_app.web.history.times_told import iso
from stream_app.web.rest.answers import (
    AlertRow,
    Alerts,
    ContractHistory,
    Feeds,
    Gaps,
    Paid,
    Raw,
    Spreads,
    told_times,
)
from stream_app.web.rest.feed_rows import Ages, feed_row
from stream_app.web.rest.live_routes import (
    CONTRACT_ID,
    EXAMPLE_ID,
    NO_CONTRACT,
    OFFSET,
    known_contract,
    limit,
)
from stream_app.web.rest.pairs import best_pairs
from stream_app.web.rest.parameters import Parameter, RefusedError
from stream_app.web.rest.route import Route
from stream_app.web.rest.spread_rows import spread_rows

_MAX_HOURS = WINDOW_DAYS * 24
_WEEK_HOURS = 168
_MAX_LIST = 1_000
_LIST = 200
_MAX_PAIRS = 2_000
_SPREADS_KEPT_S = 2.0
_PAIRS = 100
_PAST_KEPT_S = 5.0
_RAW_KEPT_S = 5.0
_AHEAD_US = 60_000_000

_BEGIN = Parameter("from", "Not before this time (µs).", kind="integer")
_END = Parameter("to", "Not after this time (µs).", kind="integer")


class PastRoutes:
    """The handlers, and their declarations."""

    def __init__(self, fleet: Fleet, history: History, raw: RawReader, clock: Clock) -> None:
        self._fleet = fleet
        self._history = history
        self._raw_reader = raw
        self._clock = clock

    def routes(self) -> tuple[Route, ...]:
        """Return the declarations."""
        return (
            Route(
                "/contracts/{contract_id}/history",
                "What has become of a contract's rate.",
                (
                    CONTRACT_ID,
                    Parameter(
                        "hours",
                        "How far back.",
                        kind="integer",
                        least=1,
                        most=_MAX_HOURS,
                        default=_WEEK_HOURS,
                    ),
                ),
                ContractHistory,
                self._contract_history,
                kept_s=_PAST_KEPT_S,
                refusals=NO_CONTRACT,
            ),
            Route(
                "/contracts/{contract_id}/raw",
                "The bytes of the exchange behind a contract's newest z-score.",
                (CONTRACT_ID,),
                Raw,
                self._raw,
                kept_s=_RAW_KEPT_S,
                refusals={404: "There is no such contract, or the raw log no longer has it."},
            ),
            Route(
                "/feeds",
                "The feeds: state, ages, uptime, gaps and reconciliation.",
                (),
                Feeds,
                self._feeds,
                rows="feeds",
            ),
            Route(
                "/spreads",
                "Per base the pair of two feeds whose rates lie furthest apart.",
                (Parameter("base", "Of these base assets.", several=True),
                 Parameter(
                     "min_turnover_24h", "Of legs of at least this turnover, each in its quote "
                     "asset.", kind="number", most=1e18,
                 ),
                 limit(_MAX_PAIRS, _PAIRS), OFFSET),
                Spreads,
                self._spreads,
                rows="spreads",
                kept_s=_SPREADS_KEPT_S,
            ),
            Route(
                "/spreads/paid",
                "What settled of two contracts.",
                (
                    Parameter(
                        "high", "The contract that is sold.", required=True, example=EXAMPLE_ID
                    ),
                    Parameter(
                        "low", "The contract that is bought.", required=True, example=EXAMPLE_ID
                    ),
                    Parameter(
                        "days", "How far back.", kind="integer", least=1, most=WINDOW_DAYS,
                        default=WINDOW_DAYS,
                    ),
                ),
                Paid,
                self._paid,
                kept_s=_PAST_KEPT_S,
                refusals=NO_CONTRACT,
            ),
            Route(
                "/alerts",
                "Alerts, the newest first.",
                (
                    Parameter("kind", "Of these kinds.", choices=tuple(AlertKind), several=True),
                    Parameter(
                        "severity", "Of these severities.", choices=get_args(Severity),
                        several=True,
                    ),
                    Parameter("subject", "About this contract, or this feed and its contracts."),
                    _BEGIN, _END, limit(_MAX_LIST, _LIST),
                ),
                Alerts,
                self._alerts,
                rows="alerts",
            ),
            Route(
                "/gaps",
                "Gaps of contracts' streams and of feeds' connections, the newest first.",
                (
                    Parameter("feed", "Of this feed.", choices=FEEDS),
                    Parameter("contract_id", "Of this contract."),
                    Parameter("open", "Only those that are open, or that are not.", kind="flag"),
                    _BEGIN, _END, limit(_MAX_LIST, _LIST),
                ),
                Gaps,
                self._gaps,
                rows="gaps",
            ),
        )  # fmt: skip

    async def _contract_history(self, asked: Mapping[str, Any]) -> ContractHistory:
        contract_id = asked["contract_id"]
        known_contract(self._fleet, contract_id)
        past = await self._history.contract(contract_id, asked["hours"])
        if past.reason:
            self._fill(past, contract_id)
        return ContractHistory(
            contract_id=contract_id,
            from_=past.begin,
            from_iso=iso(past.begin),
            to=past.end,
            to_iso=iso(past.end),
            available=not past.reason,
            reason=past.reason,
            estimates=past.estimates,
            bars=past.bars,
            settlements=past.settlements,
            distribution=past.distribution,
            gaps=past.gaps,
            audit=past.audit,
            alerts=_alert_rows(past.alerts),
        )

    def _fill(self, past: ContractPast, contract_id: str) -> None:
        """Put what the topics told where ClickHouse gave nothing."""
        begin = past.begin
        zscore = self._fleet.contracts[contract_id].zscore
        if not past.estimates.time:
            past.estimates = Estimates([zscore["event_time"]], [zscore["rate_8h"]], [zscore["z"]])
        ring = self._fleet.bars(contract_id)
        if not past.bars.hour and ring is not None:
            bars = ring.since(begin)
            past.bars = Bars(*(bars[name].tolist() for name in Bars.__struct_fields__))
        settled = self._fleet.settled(contract_id)
        if not past.settlements.rate and settled is not None:
            found = settled.since(begin)
            past.settlements = Settlements(
                [each.funding_time for each in found],
                [each.rate for each in found],
                [
                    None if each.interval_hours is None else each.rate * 8 / each.interval_hours
                    for each in found
                ],
                [each.interval_hours for each in found],
                [each.kind for each in found],
                [each.source for each in found],
            )
        if not past.alerts:
            past.alerts = [
                alert
                for alert in self._fleet.alerts()
                if alert["subject"] == contract_id and alert["event_time"] >= begin
            ]

    async def _raw(self, asked: Mapping[str, Any]) -> Raw:
        zscore = known_contract(self._fleet, asked["contract_id"]).zscore
        try:
            item = await self._raw_reader.read(zscore)
        except NotKeptError as error:
            raise RefusedError(404, str(error)) from error
        except FundingStreamError as error:
            raise RefusedError(503, str(error), **{"Retry-After": "5"}) from error
        return Raw(
            contract_id=zscore["contract_id"],
            raw_topic=zscore["raw_topic"],
            raw_partition=zscore["raw_partition"],
            raw_offset=zscore["raw_offset"],
            raw_item=zscore["raw_item"],
            transport=item.transport,
            purpose=item.purpose,
            channel=item.channel,
            received_at=item.received_at,
            received_at_iso=iso(item.received_at),
            payload=item.payload,
            bytes=item.bytes,
            truncated=item.truncated,
        )

    async def _feeds(self, _asked: Mapping[str, Any]) -> Feeds:
        reason = ""
        try:
            past = await self._history.feeds()
        except UnavailableError as error:
            past, reason = {}, str(error)
        now = self._clock.now_us()
        ages = Ages((each.zscore for each in self._fleet.contracts.values()), now)
        reports = [self._fleet.feeds[feed] for feed in FEEDS if feed in self._fleet.feeds]
        made = [feed_row(report, ages, past.get(report["feed"]), now) for report in reports]
        return Feeds(made, not reason, reason)

    async def _spreads(self, asked: Mapping[str, Any]) -> Spreads:
        now = self._clock.now_us()
        contracts, least = self._fleet.contracts, asked["min_turnover_24h"]
        legs = (
            each.zscore
            for each in contracts.values()
            if least is None or each.trades_at_least(least)
        )
        pairs = best_pairs(legs, now)
        if asked["base"] is not None:
            pairs = [pair for pair in pairs if pair.base in asked["base"]]
        page = pairs[asked["offset"] :][: asked["limit"]]
        reason = ""
        days: Mapping[str, Days] = {}
        try:
            found = await self._history.daily_paid(
                (leg["contract_id"] for pair in page for leg in (pair.high, pair.low)),
                self._fleet.newest_settlement,
            )
            days = found.days
        except UnavailableError as error:
            reason = str(error)
        made = await spread_rows(page, contracts, days, now)
        return Spreads(made, len(pairs), asked["limit"], asked["offset"], not reason, reason)

    async def _paid(self, asked: Mapping[str, Any]) -> Paid:
        names = [asked["high"], asked["low"]]
        for name in names:
            known_contract(self._fleet, name)
        # A full minute, so that a question is the same for those who ask within it.
        end = self._clock.now_us() // _AHEAD_US * _AHEAD_US
        begin = end - asked["days"] * US_PER_DAY
        reason = ""
        try:
            legs = await self._history.paid(tuple(dict.fromkeys(names)), begin, end)
        except UnavailableError as error:
            reason = str(error)
            legs = [self._settled_leg(name, begin) for name in names]
        of = {leg.contract_id: leg for leg in legs}
        return Paid(
            high=of[asked["high"]],
            low=of[asked["low"]],
            from_=begin,
            from_iso=iso(begin),
            to=end,
            to_iso=iso(end),
            available=not reason,
            reason=reason,
        )

    def _settled_leg(self, contract_id: str, begin: int) -> PaidLeg:
        settled = self._fleet.settled(contract_id)
        found = [] if settled is None else settled.since(begin)
        return PaidLeg(
            contract_id, [each.funding_time for each in found], [each.rate for each in found]
        )

    async def _alerts(self, asked: Mapping[str, Any]) -> Alerts:
        begin, end = self._span(asked)
        kinds, severities = asked["kind"] or (), asked["severity"] or ()
        subject = asked["subject"] or ""
        found = {
            alert["alert_id"]: alert
            for alert in self._fleet.alerts()
            if begin <= alert["event_time"] <= end
            and (not kinds or alert["kind"] in kinds)
            and (not severities or alert["severity"] in severities)
            and (
                not subject
                or alert["subject"] == subject
                or alert["subject"].startswith(f"{subject}:")
            )
        }
        reason = ""
        try:
            stored = await self._history.alerts(
                kinds=kinds,
                severities=severities,
                subject=subject,
                begin=begin,
                end=end,
                limit=asked["limit"],
            )
            found = {alert["alert_id"]: alert for alert in stored} | found
        except UnavailableError as error:
            reason = str(error)
        newest = newest_first(list(found.values()))[: asked["limit"]]
        return Alerts(_alert_rows(newest), not reason, reason)

    async def _gaps(self, asked: Mapping[str, Any]) -> Gaps:
        begin, end = self._span(asked)
        is_open = asked["open"]
        state = "" if is_open is None else "open" if is_open else "closed"
        try:
            found = await self._history.gaps(
                feed=asked["feed"] or "",
                subject=asked["contract_id"] or "",
                state=state,
                begin=begin,
                end=end,
                limit=asked["limit"],
            )
        except UnavailableError as error:
            return Gaps([], available=False, reason=str(error))
        return Gaps(found, available=True, reason="")

    def _span(self, asked: Mapping[str, Any]) -> tuple[int, int]:
        """Return begin and end of a list: of the last 30 days where the request names neither.

        A full minute ahead, so that a question is the same for those who ask within it.
        """
        now = self._clock.now_us()
        end = asked["to"] if asked["to"] is not None else now // _AHEAD_US * _AHEAD_US + _AHEAD_US
        begin = asked["from"] if asked["from"] is not None else end - WINDOW_DAYS * US_PER_DAY
        return max(begin, 0), end


def _alert_rows(alerts: Iterable[Alert]) -> list[Any]:
    return [{**alert, **told_times(alert, AlertRow)} for alert in alerts]
