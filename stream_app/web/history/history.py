"""What the page and its API ask of ClickHouse, as typed answers that are shared for some seconds.

Every method raises UnavailableError where ClickHouse does not answer, unless it says otherwise.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeVar, cast, get_type_hints

import msgspec
import numpy as np
import numpy.typing as npt

from schemas.clock import Clock
from schemas.errors import UnavailableError
from schemas.records import ALERT, ZSCORE, Alert, ZScore
from schemas.times import US_PER_DAY, US_PER_HOUR, US_PER_MINUTE, hour_floor
from stream_app.web.history import queries
from stream_app.web.history.answers import (
    BINS,
    AuditRow,
    Bars,
    Distribution,
    Estimates,
    FeedPast,
    Gap,
    PaidLeg,
    Settlements,
)
from stream_app.web.history.clickhouse import ClickHouse
from stream_app.web.history.queries import WINDOW_DAYS
from stream_app.web.history.shared_answers import SharedAnswers
from stream_app.web.history.times_told import iso

_T = TypeVar("_T")

_AHEAD_US = US_PER_MINUTE
"""An event may be so far ahead of our clock and still belong to `now`."""
_KEPT_S = 10.0
_LISTS_KEPT_S = 5.0
_FEEDS_KEPT_S = 60.0
_PAID_KEPT_S = 300.0
_MAX_ANSWERS = 128
_MAX_GAPS_OF_CONTRACT = 500
_MAX_ALERTS_OF_CONTRACT = 200

_Columns2 = tuple[list[str], list[int]]
_GapColumns = tuple[
    list[str], list[str], list[int], list[int | None], list[float], list[str], list[str | None],
    list[str], list[float | None],
]  # fmt: skip


class ContractPast(msgspec.Struct):
    """What is known of a contract's past."""

    begin: int
    end: int
    reason: str = ""
    """Why something is missing; empty: nothing is."""
    estimates: Estimates = msgspec.field(default_factory=Estimates)
    bars: Bars = msgspec.field(default_factory=Bars)
    settlements: Settlements = msgspec.field(default_factory=Settlements)
    distribution: Distribution | None = None
    gaps: list[Gap] = []
    audit: list[AuditRow] = []
    alerts: list[Alert] = []


Days = npt.NDArray[np.float64]
"""A value for each of the last 30 times 24 hours; NaN: nothing is known to have settled."""


class DailyPaid(NamedTuple):
    """What contracts paid in each of the last 30 times 24 hours, up to a full hour."""

    begin: int
    end: int
    days: dict[str, Days]
    """By contract: the sums of its settled rates, oldest first."""


class History:
    """The questions. It is used in one event loop, and closed in it."""

    def __init__(self, clickhouse: ClickHouse, clock: Clock) -> None:
        self._clickhouse = clickhouse
        self._clock = clock
        self._answers = SharedAnswers(clock.monotonic_s, _MAX_ANSWERS)
        self._daily: dict[str, Days] = {}
        self._daily_of: tuple[int, int | None] = (0, None)
        self._daily_asked_s = 0.0
        self._daily_lock = asyncio.Lock()

    def state(self) -> dict[str, Any]:
        """Return whether ClickHouse answered the newest question, and why not."""
        reason = self._clickhouse.reason
        if not reason and not self._clickhouse.answers:
            reason = "not asked yet"
        return {"available": not reason, "reason": reason}

    async def close(self) -> None:
        """End what is being asked, and close the connections."""
        await self._answers.close()
        await self._clickhouse.close()

    async def contract(self, contract_id: str, hours: int) -> ContractPast:
        """Return a contract's last hours; what cannot be had is empty, and `reason` says why."""
        return await self._answers.get(
            ("contract", contract_id, hours),
            _KEPT_S,
            lambda: self._contract(contract_id, hours),
        )

    async def _contract(self, contract_id: str, hours: int) -> ContractPast:
        now = self._clock.now_us()
        end = now + _AHEAD_US
        begin = now - hours * US_PER_HOUR
        of_span: dict[str, Any] = {"contract_id": contract_id, "begin": begin, "end": end}
        hour = hour_floor(now)
        subjects = [contract_id, contract_id.partition(":")[0]]
        ask = self._clickhouse.ask
        parts = (
            self._filled(Estimates, queries.ESTIMATES, **of_span),
            self._filled(Bars, queries.BARS, **{**of_span, "begin": hour_floor(begin)}),
            self._filled(Settlements, queries.SETTLEMENTS, **of_span),
            ask(
                queries.BASELINE,
                tuple[list[float]],
                contract_id=contract_id,
                begin=hour - WINDOW_DAYS * US_PER_DAY + 1,
                end=hour,
            ),
            self._gaps(
                queries.GAPS_OF_CONTRACT,
                settings=queries.of_subjects(subjects),
                subjects=subjects,
                begin=begin,
                end=end,
                limit=_MAX_GAPS_OF_CONTRACT,
            ),
            self._audit(contract_id, begin),
            self._alerts((), (), contract_id, begin, end, _MAX_ALERTS_OF_CONTRACT),
        )
        found = await asyncio.gather(*parts, return_exceptions=True)
        past = ContractPast(begin, now)
        names = ("estimates", "bars", "settlements", "distribution", "gaps", "audit", "alerts")
        for name, value in zip(names, found, strict=True):
            if isinstance(value, UnavailableError):
                past.reason = past.reason or str(value)
            elif isinstance(value, BaseException):
                raise value
            else:
                setattr(past, name, distribution(value[0]) if name == "distribution" else value)
        return past

    async def feeds(self) -> dict[str, FeedPast]:
        """Return what is known of each feed's last day and week."""
        return await self._answers.get("feeds", _FEEDS_KEPT_S, self._feeds)

    async def _feeds(self) -> dict[str, FeedPast]:
        end = self._clock.now_us()
        begin = end - US_PER_DAY
        ask = self._clickhouse.ask
        uptime, missing, observed, compared = await asyncio.gather(
            ask(
                queries.UPTIME,
                tuple[list[str], list[int], list[float], list[float]],
                settings=queries.UPTIME_SETTINGS,
            ),
            ask(
                queries.MISSING,
                tuple[list[str], list[int], list[list[int]], list[list[float]]],
                begin=begin,
                end=end,
            ),
            ask(queries.OBSERVED, _Columns2, begin=begin),
            ask(
                queries.RECONCILIATION,
                tuple[list[str], list[int], list[int], list[int], list[int]],
            ),
        )
        feeds: dict[str, FeedPast] = {}
        weeks: dict[str, tuple[float, float]] = {}
        for feed, first in zip(*observed, strict=True):
            # A gap of the last day that is in no table was none, where a producer reported.
            feeds[feed] = FeedPast(observed_from=first, gaps_24h=0)
        for feed, is_today, share, hours in zip(*uptime, strict=True):
            known = feeds.setdefault(feed, FeedPast())
            if is_today:
                known.uptime_day = share
            up, of = weeks.get(feed, (0.0, 0.0))
            weeks[feed] = up + share * hours, of + hours
            known.uptime_week = weeks[feed][0] / weeks[feed][1] if weeks[feed][1] else None
        for feed, count, quarters, lost_s in zip(*missing, strict=True):
            known = feeds.setdefault(feed, FeedPast())
            known.gaps_24h, known.missing_s = count, dict(zip(quarters, lost_s, strict=True))
        for feed, *numbers in zip(*compared, strict=True):
            known = feeds.setdefault(feed, FeedPast())
            known.matched, known.mismatch, known.settled_matched, known.settled_differs = numbers
        return feeds

    async def gaps(
        self, *, feed: str, subject: str, state: str, begin: int, end: int, limit: int
    ) -> list[Gap]:
        """Return gaps that overlap a span, the newest first.

        `feed`, `subject`, `state` (`open` or `closed`): only of these; empty: of all.
        """
        asked = {
            "feed": feed, "subject": subject, "state": state, "begin": begin, "end": end,
            "limit": limit,
        }  # fmt: skip
        settings = queries.of_subjects([subject, subject.partition(":")[0]]) if subject else {}
        return await self._answers.get(
            ("gaps", *asked.values()),
            _LISTS_KEPT_S,
            lambda: self._gaps(queries.GAPS, settings=settings, **asked),
        )

    async def alerts(
        self,
        *,
        kinds: Sequence[str],
        severities: Sequence[str],
        subject: str,
        begin: int,
        end: int,
        limit: int,
    ) -> list[Alert]:
        """Return alerts of a span, the newest first; empty arguments leave nothing out."""
        question = (tuple(kinds), tuple(severities), subject, begin, end, limit)
        return await self._answers.get(
            ("alerts", *question), _LISTS_KEPT_S, lambda: self._alerts(*question)
        )

    async def paid(self, contract_ids: Sequence[str], begin: int, end: int) -> list[PaidLeg]:
        """Return what settled of each contract within a span, oldest first."""
        ids, times, rates = await self._answers.get(
            ("paid", *contract_ids, begin, end),
            _KEPT_S,
            lambda: self._clickhouse.ask(
                queries.PAID,
                tuple[list[str], list[int], list[float]],
                contract_ids=contract_ids,
                begin=begin,
                end=end,
            ),
        )
        legs = {contract_id: PaidLeg(contract_id, [], []) for contract_id in contract_ids}
        for contract_id, time_us, rate in zip(ids, times, rates, strict=True):
            legs[contract_id].funding_time.append(time_us)
            legs[contract_id].rate.append(rate)
        return list(legs.values())

    async def daily_paid(self, contract_ids: Iterable[str], newest: int | None) -> DailyPaid:
        """Return what contracts paid in each of the last 30 times 24 hours.

        `newest` is the newest settlement that is known to the caller: with another one everything
        is asked anew. Of contracts that are known only the missing ones are asked.
        """
        end = hour_floor(self._clock.now_us())
        begin = end - WINDOW_DAYS * US_PER_DAY
        wanted = list(dict.fromkeys(contract_ids))
        async with self._daily_lock:
            now_s = self._clock.monotonic_s()
            is_old = now_s >= self._daily_asked_s + _PAID_KEPT_S
            if (end, newest) != self._daily_of or is_old:
                self._daily, self._daily_of, self._daily_asked_s = {}, (end, newest), now_s
            missing = [name for name in wanted if name not in self._daily]
            if missing:
                ids, sums = await self._clickhouse.ask(
                    queries.DAILY_PAID,
                    tuple[list[str], list[list[float | None]]],
                    contract_ids=missing,
                    begin=begin,
                    end=end,
                )
                self._daily |= dict.fromkeys(missing, np.full(WINDOW_DAYS, np.nan))
                # numpy reads None as NaN.
                table = np.array(sums, dtype=np.float64).reshape(-1, WINDOW_DAYS)
                self._daily |= dict(zip(ids, table, strict=True))
            return DailyPaid(begin, end, {name: self._daily[name] for name in wanted})

    async def gone(self) -> set[str]:
        """Return the contracts that are delisted, or trade no longer."""
        (found,) = await self._clickhouse.ask(queries.GONE, tuple[list[str]])
        return set(found)

    async def quotes(self) -> dict[str, str]:
        """Return the quote asset of each contract that has had a rate in the last minutes."""
        ids, quotes = await self._clickhouse.ask(queries.QUOTES, tuple[list[str], list[str]])
        return dict(zip(ids, quotes, strict=True))

    async def latest(self) -> list[ZScore]:
        """Return the newest z-score of each contract that has had one within a day."""
        columns = await self._clickhouse.ask(queries.LATEST, _columns_of(ZSCORE.fields, ZScore))
        rows = zip(*columns, strict=True)
        return [cast("ZScore", dict(zip(ZSCORE.fields, row, strict=True))) for row in rows]

    async def _filled(self, kind: type[_T], sql: str, **parameters: Any) -> _T:
        """Return a struct of columns from a query that selects them in the struct's order."""
        hints = [field.type for field in msgspec.structs.fields(cast("Any", kind))]
        columns = await self._clickhouse.ask(sql, _tuple_of(hints), **parameters)
        return kind(*columns)

    async def _gaps(self, sql: str, **parameters: Any) -> list[Gap]:
        columns = await self._clickhouse.ask(sql, _GapColumns, **parameters)
        return [
            Gap(feed, subject, opened, iso(opened), closed, iso(closed), *rest[:2], *rest[2:])
            for feed, subject, opened, closed, *rest in zip(*columns, strict=True)
        ]

    async def _audit(self, contract_id: str, begin: int) -> list[AuditRow]:
        columns = await self._clickhouse.ask(
            queries.AUDIT,
            tuple[list[str], list[int], list[int], list[int], list[str]],
            contract_id=contract_id,
            begin=begin,
        )
        return [
            AuditRow(kind, first, iso(first), last, iso(last), count, detail)
            for kind, first, last, count, detail in zip(*columns, strict=True)
        ]

    async def _alerts(
        self,
        kinds: Sequence[str],
        severities: Sequence[str],
        subject: str,
        begin: int,
        end: int,
        limit: int,
    ) -> list[Alert]:
        columns = await self._clickhouse.ask(
            queries.ALERTS,
            _columns_of(ALERT.fields, Alert),
            kinds=kinds,
            severities=severities,
            subject=subject,
            begin=begin,
            end=end,
            limit=limit,
        )
        rows = zip(*columns, strict=True)
        return [cast("Alert", dict(zip(ALERT.fields, row, strict=True))) for row in rows]


def distribution(rates_8h: Sequence[float]) -> Distribution | None:
    """Return how rates are distributed over bins from the lowest to the highest; None: no rates.

    Where all are equal the bins are around that rate, so that the middle one holds them.
    """
    if not rates_8h:
        return None
    low, high = min(rates_8h), max(rates_8h)
    if low == high:
        half = max(abs(low) * 0.01, 1e-6)
        low, high = low - half, high + half
    counts, _ = np.histogram(np.asarray(rates_8h), BINS, (low, high))
    return Distribution(low, high, counts.tolist(), len(rates_8h))


def _columns_of(fields: Sequence[str], record: type) -> Any:
    """Return the type of the columns of a record's fields."""
    hints = get_type_hints(record)
    return _tuple_of([list.__class_getitem__(hints[name]) for name in fields])


def _tuple_of(types: Sequence[Any]) -> Any:
    return tuple.__class_getitem__(tuple(types))
