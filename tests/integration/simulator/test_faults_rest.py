"""Faults of REST and of what settles, on each feed: what a client sees of them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import requests

from infra.simulator.faults import schedule
from infra.simulator.market.market import HOUR_MS
from schemas.errors import ConfigurationError
from tests.support.faults import WIRES
from tests.support.simulator_clients import FEEDS, Simulated, reader, simulated
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

RUN = ("-m", "infra.cli", "simulator")
each_feed = pytest.mark.parametrize("feed", FEEDS)


def values(body: str, name: str) -> list[float]:
    """The numbers of a field."""
    return [float(text) for text in re.findall(rf'"{name}":"?(-?[\d.eE+-]+)', body)]


def now_ms(to: Simulated) -> int:
    """The simulator's clock."""
    return to.server._wall_ns() // 1_000_000


async def settled(to: Simulated, symbol: str, funding_ms: int) -> bool:
    """Whether the history has the settlement of a funding time."""
    status, body, _ = await to.rest(await to.history_call(symbol, funding_ms - 1))
    assert status == 200
    times = [at for at, _ in to.client.settled(json.loads(body))]
    return any(0 <= at - funding_ms < 60_000 for at in times)


@each_feed
async def test_refused_and_slow_calls(tmp_path: Path, feed: str) -> None:
    """503, TCP cut, each status with its body; then as ever."""
    async with simulated(tmp_path, feed) as to:
        await to.control("refuse-rest", feed=feed)
        assert (await to.rest())[0] == 503
        await to.control("resume")
        await to.control("refuse-rest", how="cut")
        with pytest.raises(aiohttp.ClientError):
            await to.rest()
        await to.control("resume")
        for kind, expected in (("http-429", 429), ("http-418", 418), ("http-403", 403)):
            await to.control(kind, retry_after_s=7)
            status, body, headers = await to.rest()
            assert (status, headers["retry-after"]) == (expected, "7")
            assert body
            await to.control("resume", kind=kind)
        await to.control("http-5xx", status=502)
        status, _, headers = await to.rest()
        assert (status, "retry-after" in headers) == (502, False)
        await to.control("resume")
        await to.control("slow-rest", delay_s=0.1)
        before_s = time.monotonic()
        assert (await to.rest())[0] == 200
        assert time.monotonic() - before_s >= 0.1
        await to.control("resume")
        assert values((await to.rest())[1], to.client.rate)


@pytest.mark.parametrize(
    ("feed", "kind", "body", "header"),
    [
        ("binance-usdm", "http-429", "-1003.*Too many requests", "x-mbx-used-weight-1m"),
        ("binance-coinm", "http-418", r"IP\(127.0.0.1\) banned until \d{13}", ""),
        ("binance-usdm", "http-5xx", "-1016", ""),
        ("kucoin", "http-429", '"code":"429000"', "gw-ratelimit-reset"),
        ("hyperliquid", "http-429", "^null$", ""),
        ("backpack", "http-429", "TOO_MANY_REQUESTS", ""),
    ],
)
async def test_refusals_in_the_exchange_s_words(
    tmp_path: Path, feed: str, kind: str, body: str, header: str
) -> None:
    """docs/exchanges/binance-usdm.md §8, §9, kucoin.md §5, hyperliquid.md §9, backpack.md §4."""
    async with simulated(tmp_path, feed) as to:
        await to.control(kind)
        _, text, headers = await to.rest()
        assert re.search(body, text)
        assert not header or header in headers


@pytest.mark.parametrize(
    ("feed", "call", "says"),
    [
        ("kucoin", "/api/v1/status", '"status": "close"'),
        ("backpack", "/api/v1/status", '"status": "Maintenance"'),
        ("hyperliquid", '/info {"type":"exchangeStatus"}', '"specialStatuses":["System'),
    ],
)
async def test_the_state_call_tells_of_maintenance(
    tmp_path: Path, feed: str, call: str, says: str
) -> None:
    """docs/exchanges/README.md §3 rule 15."""
    async with simulated(tmp_path, feed) as to:
        await to.control("maintenance", seconds=60)
        status, body, _ = await to.rest(call)
        assert status == 200
        assert says in body


@each_feed
async def test_rows_in_bad_units(tmp_path: Path, feed: str) -> None:
    """Current rates in percent or times in seconds; the history is left alone."""
    async with simulated(tmp_path, feed) as to:
        await to.control("silence")
        symbol = to.symbols[0]
        call = await to.history_call(symbol, now_ms(to) - 30 * HOUR_MS)
        history = to.client.settled(json.loads((await to.rest(call))[1]))
        largest = max(map(abs, values((await to.rest())[1], to.client.rate)))
        await to.control("bad-units", field="rate")
        rates = values((await to.rest())[1], to.client.rate)
        assert max(map(abs, rates)) > 20 * largest
        assert to.client.settled(json.loads((await to.rest(call))[1])) == history
        await to.control("resume")
        if not to.client.funding_time:
            return
        for unit, digits in (("s", 10), ("us", 16)):
            await to.control("bad-units", field="time", unit=unit)
            shown = [int(at) for at in values((await to.rest())[1], to.client.funding_time) if at]
            assert shown
            assert {len(str(at)) for at in shown} == {digits}
            await to.control("resume")


@pytest.mark.parametrize(
    ("feed", "call"),
    [
        ("binance-usdm", "/fapi/v1/time"),
        ("kucoin", "/api/v1/timestamp"),
        ("hyperliquid", '/info {"type":"exchangeStatus"}'),
        ("backpack", "/api/v1/time"),
    ],
)
async def test_the_exchange_s_clock(tmp_path: Path, feed: str, call: str) -> None:
    """An hour ahead, in the body as in the header; settled rows keep their times."""
    async with simulated(tmp_path, feed) as to:
        began_ms = now_ms(to)
        history = await to.history_call(to.symbols[0], began_ms - 30 * HOUR_MS)
        before = (await to.rest(history))[1]
        await to.control("clock-skew", skew_s=3_600)
        (at,) = re.findall(r"\d{13}", (await to.rest(call))[1])
        assert 0 <= int(at) - began_ms - HOUR_MS < 60_000
        assert (await to.rest(history))[1] == before


def shift_to(hours: int, before_ms: int) -> int:
    """How far a clock must run ahead to be shortly before a funding time; in ms."""
    now_ms = time.time_ns() // 1_000_000
    grid_ms = hours * HOUR_MS
    return (now_ms // grid_ms + 1) * grid_ms - now_ms - before_ms


@each_feed
async def test_settlements_are_shown_late(tmp_path: Path, feed: str) -> None:
    """Settled for the truth at once, in the history when the fault lets them."""
    shift_ms = shift_to(8, before_ms=1_500)
    async with simulated(tmp_path, feed, shift_ms=shift_ms) as to:
        funding_ms = (to.server._wall_ns() // 1_000_000 // (8 * HOUR_MS) + 1) * 8 * HOUR_MS
        symbol = to.symbols[0]
        await to.control("settle-late", delay_s=1_000)
        await eventually(
            lambda: any(r["funding_time"] == funding_ms * 1_000 for r in to.truth("settlements"))
        )
        assert not await settled(to, symbol, funding_ms)
        await to.control("resume")
        # Hyperliquid stamps its settlements a little after the hour, and shows none of the future.
        await eventually(lambda: settled(to, symbol, funding_ms))


@each_feed
async def test_the_newest_settlement_before_the_one_before_it(tmp_path: Path, feed: str) -> None:
    """Wrong order: while the newest is young, its predecessor is not there."""
    async with simulated(tmp_path, feed, shift_ms=shift_to(8, before_ms=1_500)) as to:
        symbol = to.symbols[0]
        funding_ms = (to.server._wall_ns() // 1_000_000 // (8 * HOUR_MS) + 1) * 8 * HOUR_MS
        market = to.exchange.market
        row = [contract.symbol for contract in market.contracts].index(symbol)
        earlier_ms = funding_ms - market.interval_hours(row, funding_ms - 1) * HOUR_MS
        await to.control("settle-late", delay_s=1_000, order="newest-first")
        assert await settled(to, symbol, earlier_ms)
        await eventually(
            lambda: any(r["funding_time"] == funding_ms * 1_000 for r in to.truth("settlements"))
        )
        await eventually(lambda: settled(to, symbol, funding_ms))
        assert not await settled(to, symbol, earlier_ms)
        await to.control("resume")
        assert await settled(to, symbol, earlier_ms)


@pytest.mark.parametrize("feed", ["binance-usdm", "binance-coinm", "kucoin"])
async def test_another_interval(tmp_path: Path, feed: str) -> None:
    """Facts, the next funding time, and what settles: of one contract, as the exchange shows it."""
    # Shortly before a full hour that is no multiple of 4 h.
    shift_ms = shift_to(4, before_ms=0) + HOUR_MS - 1_000
    async with simulated(tmp_path, feed, shift_ms=shift_ms) as to, reader(feed, to) as ws:
        market, symbols = to.exchange.market, to.symbols
        rows = {c.symbol: row for row, c in enumerate(market.contracts)}
        funding_ms = (to.server._wall_ns() // 1_000_000 // HOUR_MS + 1) * HOUR_MS
        symbol = next(s for s in symbols if market.interval_hours(rows[s], funding_ms - 1) == 8)
        before = (await to.rest(await to.history_call(symbol, 0)))[1]
        await to.control("interval-change", feed=feed, symbol=symbol, interval_hours=1)
        assert (await to.rest(await to.history_call(symbol, 0)))[1] == before
        await to.ticks(2)
        known = len(ws.frames)
        await eventually(lambda: any(ws.row(frame, symbol) for frame in ws.frames[known:]))
        texts = [frame for frame in ws.frames[known:] if ws.row(frame, symbol)]
        assert str(funding_ms).encode() in texts[0]
        assert await _hours(to, symbol) == 1
        await eventually(
            lambda: any(
                (line["contract_id"], line["funding_time"], line["interval_hours"])
                == (f"{feed}:{symbol}", funding_ms * 1_000, 1)
                for line in to.truth("settlements")
            )
        )
        assert await settled(to, symbol, funding_ms)
        status, reply = await to.asked(
            "interval-change", {"feed": feed, "symbol": symbol, "interval_hours": 1}
        )
        assert (status, reply["error"]) == (400, f"{symbol} settles every 1 h already")


async def _hours(to: Simulated, symbol: str) -> float:
    """A contract's interval as the exchange's facts have it."""
    if to.exchange.name == "kucoin":
        body = json.loads((await to.rest("/api/v1/contracts/active"))[1])
        row: dict[str, Any] = next(row for row in body["data"] if row["symbol"] == symbol)
        assert row["fundingRateSymbol"] == f".{symbol}FPI1H"
        return float(row["currentFundingRateGranularity"]) / HOUR_MS
    prefix = "fapi" if to.exchange.name == "binance-usdm" else "dapi"
    rows = json.loads((await to.rest(f"/{prefix}/v1/fundingInfo"))[1])
    return float(next(row for row in rows if row["symbol"] == symbol)["fundingIntervalHours"])


def test_faults_from_a_file(tmp_path: Path) -> None:
    """Read by the command, followed from its start on."""
    plan = tmp_path / "faults.json"
    plan.write_text('[{"at_s": 0, "kind": "http-5xx", "feed": "backpack", "status": 599}]')
    arguments = ["--port", "0", "--feeds", "backpack", "--contracts", "4"]
    arguments += ["--data-dir", str(tmp_path), "--faults", str(plan), "--truth-missed"]
    with subprocess.Popen(
        [sys.executable, *RUN, *arguments], stdout=subprocess.PIPE, text=True
    ) as child:
        try:
            assert child.stdout is not None
            url = child.stdout.readline().split()[-1]
            status, until_s = 0, time.monotonic() + 10
            while status != 599 and time.monotonic() < until_s:
                status = requests.get(f"{url}/backpack/api/v1/markPrices", timeout=5).status_code
        finally:
            child.terminate()
            child.wait(10)
    lines = (tmp_path / "truth" / "faults.ndjson").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["kind"] for line in lines] == ["http-5xx"] * 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not JSON"),
        ('[{"at_s": 1, "kind": "delay"}]', "entry 1: delay needs delay_s"),
        ('[{"at_s": 1, "kind": "close"}, {"at_s": 2}]', "entry 2: kind"),
        ('[{"at_s": 1, "kind": "close", "feed": "nosuch"}]', "entry 1: unknown feed"),
        (None, "cannot read"),
    ],
)
def test_a_wrong_file(tmp_path: Path, text: str | None, says: str) -> None:
    """Refused before anything runs; names the file and the entry."""
    path = tmp_path / "plan.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigurationError, match=says) as error:
        schedule.read(path, WIRES)
    assert "plan.json" in str(error.value)
