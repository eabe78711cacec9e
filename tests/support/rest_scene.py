"""`/api/v1` on a Fleet that is filled by hand: with records of a made-up market, and a server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from infra.embedded.ports import free_port
from schemas.clock import Clock
from schemas.config.settings import SharedSettings
from schemas.rates import apr, rate_8h
from schemas.records import Alert, FeedStatus, HourlyBar, Settlement, ZScore
from schemas.times import US_PER_HOUR, US_PER_S
from stream_app.core.scoring.zones import zone_of
from stream_app.settings import ClickHouseSettings
from stream_app.web.fleet import Fleet
from stream_app.web.history.clickhouse import ClickHouse
from stream_app.web.history.history import History
from stream_app.web.history.raw_reader import RawReader
from stream_app.web.rest.mount import add_rest
from tests.support.clock import START_US, ManualClock

STATUS = {
    "market": "simulated",
    "caught_up": True,
    "baselines": {"loaded": 3, "expected": 4},
    "delay_p50_s": 0.1,
    "delay_p99_s": None,
    "records_behind": 0,
    "history": {"available": True, "reason": ""},
}


def zscore(contract_id: str, rate: float, z: float | None, **changes: Any) -> ZScore:
    """A z-score of a contract, with an interval of 8 hours."""
    feed, _, symbol = contract_id.partition(":")
    hours = changes.get("interval_hours", 8.0)
    record = {
        "contract_id": contract_id, "feed": feed, "symbol": symbol, "base": symbol[:3],
        "rate": rate, "interval_hours": hours, "rate_8h": rate_8h(rate, hours),
        "apr": apr(rate, hours), "z": z, "robust_z": z, "percentile": None if z is None else 0.5,
        "mean": None if z is None else 1e-4, "std": None if z is None else 2e-5,
        "samples": 0 if z is None else 90, "confidence": "none" if z is None else "high",
        "stats_as_of": None if z is None else START_US // US_PER_HOUR * US_PER_HOUR,
        "zone": zone_of(z), "trigger": "flush", "crossed": None, "mark_price": 97_412.5,
        "next_funding_time": START_US + US_PER_HOUR, "event_time": START_US - US_PER_S,
        "received_at": START_US - US_PER_S + 200, "computed_at": START_US - US_PER_S + 300,
        "transport": "ws", "interval_source": "payload", "interval_doubtful": False,
        "generation": 1, "rate_kind": "estimate", "quote": None, "multiplier": 1.0,
        "raw_topic": f"funding.raw.{feed}", "raw_partition": 0, "raw_offset": 0,
        "raw_item": 0,
    }  # fmt: skip
    return cast("ZScore", record | changes)


def bar(contract_id: str, hour: int, close: float, **changes: Any) -> HourlyBar:
    """A closed hour of a contract whose 8-hour rate ended at `close`."""
    feed, _, symbol = contract_id.partition(":")
    rates = dict.fromkeys(("open", "high", "low", "close", "mean"), close)
    nothing = dict.fromkeys(("z_min", "z_max", "z_close", "mark_close"))
    record = {
        "contract_id": contract_id, "feed": feed, "symbol": symbol, "base": symbol[:3],
        "hour": hour, "std": 0.0, "covered_s": 3600.0, "updates": 7, "late_updates": 0,
        "interval_hours": 8.0, "ws_s": 3600.0, "rest_s": 0.0, **rates, **nothing,
    }  # fmt: skip
    return cast("HourlyBar", record | changes)


def settled(contract_id: str, funding_time: int, rate: float, **changes: Any) -> Settlement:
    """A settled rate of a contract, with an interval of 8 hours."""
    feed, _, symbol = contract_id.partition(":")
    record = {
        "contract_id": contract_id, "feed": feed, "symbol": symbol, "funding_time": funding_time,
        "funding_time_raw": funding_time + 5, "rate": rate, "interval_hours": 8.0,
        "rate_8h": rate, "source": "history", "received_at": funding_time + US_PER_S,
        "kind": "regular", "interval_source": "payload", "interval_doubtful": False,
        "generation": 1, "raw_topic": f"funding.raw.{feed}", "raw_partition": 0, "raw_offset": 1,
        "raw_item": 0,
    }  # fmt: skip
    return cast("Settlement", record | changes)


def alert(alert_id: str, subject: str, created_at: int, **changes: Any) -> Alert:
    """An alert about a contract."""
    record = {
        "alert_id": alert_id, "subject": subject, "kind": "z_cross", "severity": "critical",
        "value": 3.2, "threshold": 3.0, "message": f"z of {subject} is beyond 3",
        "event_time": created_at - US_PER_S, "created_at": created_at, "raw_topic": None,
        "raw_partition": None, "raw_offset": None, "raw_item": None,
    }  # fmt: skip
    return cast("Alert", record | changes)


def report(feed: str, at: int, **changes: Any) -> FeedStatus:
    """What a producer reports."""
    counts = (
        "connects", "frames", "updates", "rest_calls", "backfill_done", "contracts_by_rest",
        "connect_attempts", "rest_failures", "repeated", "contracts_quiet",
    )  # fmt: skip
    record = {
        "feed": feed, "state": "live", "transport": "ws", "since": at - US_PER_HOUR,
        "reported_at": at, "last_data_at": at - 100, "contracts_expected": 2,
        "contracts_live": 2, "connections": 3, "detail": "", "mode": "stream",
        "simulated": True, "limit_used": None, **dict.fromkeys(counts, 0),
    }  # fmt: skip
    return cast("FeedStatus", record | changes)


BTC, ETH, COIN, HYPER, NEW = (
    "binance-usdm:BTCUSDT", "binance-usdm:ETHUSDT", "kucoin:XBTUSDTM", "hyperliquid:BTC",
    "backpack:NEW_USDC_PERP",
)  # fmt: skip


def small_market() -> Fleet:
    """Five contracts of four feeds: one of an hour's interval, one without a z."""
    fleet = Fleet()
    for each in (
        zscore(BTC, 3e-4, 2.5),
        zscore(ETH, -1e-4, -3.5, transport="rest", event_time=START_US - 90 * US_PER_S),
        zscore(COIN, 1e-4, 0.25, base="BTC", event_time=START_US - 5 * US_PER_S),
        zscore(HYPER, -1e-5, -1.0, interval_hours=1.0),
        zscore(NEW, 2e-4, None),
    ):
        fleet.take_zscore(each, START_US - US_PER_S + 400)
    fleet.take_feed(b"binance-usdm", report("binance-usdm", START_US))
    fleet.take_feed(b"kucoin", report("kucoin", START_US, state="down", transport=None))
    return fleet


class Site:
    """The routes behind a server on a free port of this machine."""

    def __init__(self, fleet: Fleet, session: aiohttp.ClientSession, url: str) -> None:
        self.fleet = fleet
        self.session = session
        self.url = url

    async def get(
        self, path: str, *, method: str = "GET", **options: Any
    ) -> tuple[aiohttp.ClientResponse, bytes]:
        """A response, and its body as it is after decompression."""
        async with self.session.request(method, f"{self.url}{path}", **options) as reply:
            return reply, await reply.read()

    async def json(self, path: str, **options: Any) -> Any:
        """The JSON of an answer that must be one."""
        reply, body = await self.get(path, **options)
        assert reply.status == 200, (path, reply.status, body)
        return await reply.json()

    async def error(self, path: str, **options: Any) -> tuple[int, str]:
        """Status and reason of a request that must be refused."""
        reply, _ = await self.get(path, **options)
        assert reply.status >= 400, path
        assert reply.content_type == "application/json"
        return reply.status, (await reply.json())["error"]


def application(
    fleet: Fleet, clock: Clock, clickhouse: ClickHouseSettings, kafka: SharedSettings
) -> web.Application:
    """A web application with the routes alone. It is made in its event loop."""
    history = History(ClickHouse(clickhouse, clock), clock)
    app = web.Application()
    add_rest(app, fleet, history, RawReader(kafka), clock, lambda: STATUS)

    async def close(_app: web.Application) -> None:
        await history.close()

    app.on_cleanup.append(close)
    return app


def nobody() -> ClickHouseSettings:
    """Settings by which neither Kafka, nor the registry, nor ClickHouse answers."""
    return ClickHouseSettings(
        clickhouse_url=f"http://127.0.0.1:{free_port()}",
        kafka_bootstrap=f"127.0.0.1:{free_port()}",
        registry_url=f"http://127.0.0.1:{free_port()}",
    )


@asynccontextmanager
async def served(
    fleet: Fleet,
    clock: Clock | None = None,
    clickhouse: ClickHouseSettings | None = None,
    kafka: SharedSettings | None = None,
) -> AsyncIterator[Site]:
    """The routes for the time of the `async with` block; without settings nothing answers."""
    silent = nobody()
    app = application(fleet, clock or ManualClock(), clickhouse or silent, kafka or silent)
    server = TestServer(app)
    await server.start_server()
    try:
        # Paths go out as they are written, `..` and all.
        async with aiohttp.ClientSession() as session:
            yield Site(fleet, session, str(server.make_url("")).rstrip("/"))
    finally:
        await server.close()


async def served_description() -> Any:
    """What a server says of itself."""
    async with served(Fleet()) as site:
        return await site.json("/api/v1/openapi.json")
