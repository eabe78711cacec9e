"""Faults about single contracts and the lists of them, against a running simulator."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from infra.simulator.market.market import HOUR_MS
from tests.support.simulator_clients import (
    BY_NAME,
    FEEDS,
    STREAMING,
    Reader,
    Simulated,
    reader,
    simulated,
)
from tests.support.waiting import eventually
from tests.venues.clients import Row

pytestmark = pytest.mark.integration

each_feed = pytest.mark.parametrize("feed", FEEDS)
each_stream = pytest.mark.parametrize("feed", STREAMING)


async def listed(to: Simulated) -> list[tuple[str, Any]]:
    """Name and status of each row of the contract list."""
    return list(to.client.listed(json.loads((await to.rest(to.client.contracts))[1])))


async def replies(to: Simulated) -> str:
    """What REST says of current rates and of contracts."""
    current = (await to.rest())[1]
    if to.client.contracts == to.client.current:
        return current
    return current + (await to.rest(to.client.contracts))[1]


async def facts(to: Simulated, symbol: str) -> tuple[int, float]:
    """Interval in hours and cap of a contract, as the exchange's list has them."""
    feed = to.exchange.name
    if feed == "kucoin":
        rows = json.loads((await to.rest(to.client.contracts))[1])["data"]
        row = next(row for row in rows if row["symbol"] == symbol)
        assert row["fundingRateGranularity"] == row["currentFundingRateGranularity"]
        return row["fundingRateGranularity"] // HOUR_MS, row["fundingRateCap"]
    if feed == "backpack":
        rows = json.loads((await to.rest(to.client.contracts))[1])
        row = next(row for row in rows if row["symbol"] == symbol)
        return row["fundingInterval"] // HOUR_MS, float(row["fundingRateUpperBound"]) / 10_000
    prefix = "fapi" if feed == "binance-usdm" else "dapi"
    rows = json.loads((await to.rest(f"/{prefix}/v1/fundingInfo"))[1])
    row = next(row for row in rows if row["symbol"] == symbol)
    return row["fundingIntervalHours"], float(row["adjustedFundingRateCap"])


async def history(to: Simulated, symbol: str) -> list[tuple[int, float]]:
    """Funding time (ms, to the hour) and rate of what REST says has settled."""
    status, text, _ = await to.rest(await to.history_call(symbol, 0))
    assert status == 200
    rows = to.client.settled(json.loads(text))
    return [(at // HOUR_MS * HOUR_MS, rate) for at, rate in rows if at <= now_ms(to)]


def now_ms(to: Simulated) -> int:
    """The simulator's clock."""
    return to.server._wall_ns() // 1_000_000


def longest(to: Simulated) -> str:
    """A contract with the longest interval of all."""
    market = to.exchange.market
    rows = {c.symbol: row for row, c in enumerate(market.contracts)}
    return max(to.symbols, key=lambda symbol: market.interval_hours(rows[symbol], now_ms(to)))


async def next_row(ws: Reader, symbol: str, having: str = "") -> Row:
    """A contract's row in a frame that is still to come; one with a field, where it is named."""
    known = len(ws.frames)

    def found() -> list[Row]:
        rows = (ws.row(frame, symbol) for frame in ws.frames[known:])
        return [row for row in rows if row and (not having or having in row.fields)]

    await eventually(lambda: bool(found()))
    return found()[0]


@pytest.mark.parametrize("feed", ["binance-usdm", "binance-coinm", "kucoin", "backpack"])
async def test_an_interval_of_which_the_list_tells_later(tmp_path: Path, feed: str) -> None:
    """The stream at once, the list after its lag; the first settlement is off the old grid."""
    async with simulated(tmp_path, feed) as to, reader(feed, to) as ws:
        symbol = longest(to)
        before, _ = await facts(to, symbol)
        hours = 4 if before != 4 else 8
        await to.control(
            "interval-change", feed=feed, symbol=symbol, interval_hours=hours, grid="next-hour",
            list_lag_s=1_000,
        )  # fmt: skip
        await to.ticks(2)
        row = await next_row(ws, symbol)
        assert row.funding == now_ms(to) // HOUR_MS * HOUR_MS + HOUR_MS
        assert row.fields.get("gl", hours * HOUR_MS) == hours * HOUR_MS
        assert (await facts(to, symbol))[0] == before
        await to.control("interval-change", feed=feed, symbol=symbol, interval_hours=2)
        assert (await facts(to, symbol))[0] == 2


@pytest.mark.parametrize("feed", ["binance-usdm", "kucoin"])
async def test_a_clock_that_moves(tmp_path: Path, feed: str) -> None:
    """Other funding times, the same interval."""
    async with simulated(tmp_path, feed) as to, reader(feed, to) as ws:
        symbol = longest(to)
        hours, _ = await facts(to, symbol)
        await to.control("clock-move", feed=feed, symbol=symbol, offset_hours=hours - 1)
        await to.ticks(2)
        at_ms = (await next_row(ws, symbol)).funding
        assert at_ms is not None
        assert at_ms % (hours * HOUR_MS) == (hours - 1) * HOUR_MS
        assert (await facts(to, symbol))[0] == hours
        status, reply = await to.asked(
            "clock-move", {"feed": feed, "symbol": symbol, "offset_hours": hours - 1}
        )
        assert (status, "already" in reply["error"]) == (400, True)


@each_feed
async def test_a_settlement_that_is_missing(tmp_path: Path, feed: str) -> None:
    """In REST while the fault runs; the truth has it, and the history afterwards."""
    async with simulated(tmp_path, feed) as to:
        symbol = to.symbols[0]
        before = await history(to, symbol)
        await to.control("missing-settlement", feed=feed, symbol=symbol)
        (fault,) = to.truth("faults")
        at_ms = fault["parameters"]["funding_ms"]
        assert at_ms == max(at for at, _ in before)
        oldest_ms = min(at for at, _ in before)

        async def since_then() -> list[tuple[int, float]]:
            # A page of so many rows goes back one further when one is missing.
            return [row for row in await history(to, symbol) if row[0] >= oldest_ms]

        assert await since_then() == [row for row in before if row[0] != at_ms]
        assert any(
            (line["contract_id"], line["funding_time"]) == (f"{feed}:{symbol}", at_ms * 1_000)
            for line in to.truth("settlements")
        )
        await to.control("resume")
        assert await history(to, symbol) == before
        earlier_ms = sorted(at for at, _ in before)[-3]
        await to.control("missing-settlement", feed=feed, symbol=symbol, funding_ms=earlier_ms)
        assert await since_then() == [row for row in before if row[0] != earlier_ms]


async def test_the_stream_does_not_tell_a_missing_settlement(tmp_path: Path) -> None:
    """KuCoin's push names the settlement before it as the last one."""
    async with simulated(tmp_path, "kucoin") as to, reader("kucoin", to) as ws:
        symbol = to.symbols[0]
        last, before = sorted(await history(to, symbol))[:-3:-1]
        row = await next_row(ws, symbol)
        assert (row.fields["ft"], float(row.fields["lfr"])) == last
        await to.control("missing-settlement", feed="kucoin", symbol=symbol)
        await to.ticks(2)
        row = await next_row(ws, symbol)
        assert (row.fields["ft"], float(row.fields["lfr"])) == before


async def test_a_special_settlement(tmp_path: Path) -> None:
    """Beside the regular one, some ms later, with a rate beyond any cap; once in the truth."""
    feed = "binance-usdm"
    async with simulated(tmp_path, feed) as to:
        symbol = to.symbols[1]
        call = f"/fapi/v1/fundingRate?symbol={symbol}&startTime=1&limit=1000"
        await to.control("special-settlement", feed=feed, symbol=symbol, rate=-0.21)
        await eventually(lambda: any(s["kind"] == "special" for s in to.truth("settlements")))
        rows = json.loads((await to.rest(call))[1])
        assert {row["rateType"] for row in rows[:-1]} == {"Regular"}
        regular, special = rows[-2:]
        assert (special["rateType"], special["fundingRate"]) == ("Special", "-0.21000000")
        assert 0 < special["fundingTime"] - regular["fundingTime"] < 20
        own = [s for s in to.truth("settlements") if s["contract_id"] == f"{feed}:{symbol}"]
        assert [s["rate"] for s in own if s["kind"] == "special"] == [-0.21]
        assert own[-1]["funding_time"] == own[-2]["funding_time"]
        assert own[-1]["interval_hours"] == own[-2]["interval_hours"]
        assert len(own) == len(rows)
    async with simulated(tmp_path / "other", "backpack") as to:
        status, reply = await to.asked("special-settlement", {"feed": "backpack"})
        assert (status, "not known to do that" in reply["error"]) == (400, True)


@pytest.mark.parametrize(
    ("feed", "state", "rated"),
    [
        ("binance-usdm", "PENDING_TRADING", False),
        ("binance-coinm", "PRE_DELISTING", False),
        ("kucoin", "Paused", False),
        ("kucoin", "CancelOnly", True),
        ("hyperliquid", "halted", False),
        ("backpack", "PostOnly", True),
        ("backpack", "CancelOnly", True),
        ("backpack", "Closed", False),
    ],
)
async def test_a_halted_contract(tmp_path: Path, feed: str, state: str, *, rated: bool) -> None:
    """Listed as halted; with its rates or without; as ever when it is over."""
    async with simulated(tmp_path, feed) as to, reader(feed, to) as ws:
        symbol = to.symbols[1]
        await next_row(ws, symbol)
        before = dict(await listed(to))[symbol]
        await to.control("halt", feed=feed, symbol=symbol, state=state)
        await to.ticks(6)
        known = len(ws.frames)
        await to.ticks(6)
        rows = [row for row in (ws.row(f, symbol) for f in ws.frames[known:]) if row]
        if feed == "hyperliquid":
            assert not dict(await listed(to))[symbol]
            contexts = [row.fields for row in rows]
            assert {(c["funding"], c["premium"], c["midPx"]) for c in contexts} == {
                ("0.0", None, None)
            }
            assert all(float(c["markPx"]) > 0 < float(c["oraclePx"]) for c in contexts)
        else:
            assert dict(await listed(to))[symbol] == state
            assert bool(rows) is rated
        await to.control("resume", kind="halt")
        await to.ticks(6)
        await next_row(ws, symbol)
        assert dict(await listed(to))[symbol] == before


async def test_a_state_that_the_exchange_has_not(tmp_path: Path) -> None:
    """400 names those that it has."""
    async with simulated(tmp_path, "backpack") as to:
        status, reply = await to.asked("halt", {"feed": "backpack", "state": "Paused"})
        assert (status, "PostOnly" in reply["error"]) == (400, True)
        assert to.truth("faults") == []


@pytest.mark.parametrize(("feed", "prefix"), [("binance-usdm", "fapi"), ("binance-coinm", "dapi")])
async def test_a_contract_that_trades_no_more(tmp_path: Path, feed: str, prefix: str) -> None:
    """Zeros with a current time while the list says TRADING; then the list knows."""
    async with simulated(tmp_path, feed) as to, reader(feed, to) as ws:
        await to.control("zombie", feed=feed)
        symbol = to.truth("faults")[0]["parameters"]["symbol"]
        await to.ticks(4)
        known, began_ms = len(ws.frames), now_ms(to)
        await to.ticks(4)
        assert not any(ws.row(frame, symbol) for frame in ws.frames[known:])
        assert dict(await listed(to))[symbol] == "TRADING"
        rows = json.loads((await to.rest(f"/{prefix}/v1/premiumIndex"))[1])
        dead = next(row for row in rows if row["symbol"] == symbol)
        assert (dead["lastFundingRate"], dead["estimatedSettlePrice"]) == ("0.00000000",) * 2
        assert dead["time"] >= began_ms
        alive = [row for row in rows if row["symbol"] != symbol]
        assert all(float(row["estimatedSettlePrice"]) > 0 for row in alive)
        await to.control("resume")
        assert dict(await listed(to))[symbol] == "SETTLING"


@pytest.mark.parametrize("feed", [feed for feed in STREAMING if BY_NAME[feed][1].bad_field[0]])
async def test_an_impossible_value_beside_good_ones(tmp_path: Path, feed: str) -> None:
    """One field of one contract; its rate is as good as ever."""
    async with simulated(tmp_path, feed) as to, reader(feed, to) as ws:
        name, value = to.client.bad_field
        symbol, other = to.symbols[1], to.symbols[0]
        await to.control("bad-field", feed=feed, symbol=symbol)
        await to.ticks(2)
        spoilt, whole = await next_row(ws, symbol, name), await next_row(ws, other, name)
        assert str(spoilt.fields[name]) == value
        assert str(whole.fields[name]) != value
        assert abs(float(spoilt.rate or 0)) < 0.05
        if to.client.bad_text:
            assert (await replies(to)).count(to.client.bad_text) == 1


@pytest.mark.parametrize("feed", ["binance-usdm", "binance-coinm", "kucoin", "backpack"])
async def test_a_cap_of_which_the_list_tells_later(tmp_path: Path, feed: str) -> None:
    """Rates beyond the listed cap."""
    async with simulated(tmp_path, feed) as to, reader(feed, to) as ws:
        symbol = longest(to)
        _, before = await facts(to, symbol)
        await to.control("cap-raise", feed=feed, symbol=symbol, factor=3, list_lag_s=1_000)
        await to.ticks(2)
        # KuCoin shows the estimate of a moment ago.
        known = len(ws.frames)
        await eventually(
            lambda: any(
                (row := ws.row(frame, symbol)) and float(row.rate) > before
                for frame in ws.frames[known:]
            )
        )
        assert (await facts(to, symbol))[1] == before
        await to.control("cap-raise", feed=feed, symbol=symbol, factor=2)
        assert (await facts(to, symbol))[1] == pytest.approx(6 * before)


@each_stream
async def test_a_ticker_that_is_used_again(tmp_path: Path, feed: str) -> None:
    """Delisted, then listed with rates of its own; what settled before stays in the history."""
    async with simulated(tmp_path, feed) as to, reader(feed, to) as ws:
        symbol = to.symbols[1]
        before = await history(to, symbol)
        status, reply = await to.asked("relist", {"feed": feed, "symbol": symbol})
        assert (status, "not a delisted" in reply["error"]) == (400, True)
        await to.control("delist", feed=feed, symbol=symbol)
        await to.ticks(6)
        since_ms = now_ms(to)
        assert await to.control("relist", feed=feed) == {"symbol": symbol}
        await to.ticks(6)
        await next_row(ws, symbol)
        assert await history(to, symbol) == before
        if to.client.listed_at_ms is not None:
            document = json.loads((await to.rest(to.client.contracts))[1])
            assert since_ms <= to.client.listed_at_ms(document, symbol) <= now_ms(to)


@each_feed
async def test_lists_that_name_a_contract_twice_or_not_at_all(tmp_path: Path, feed: str) -> None:
    """Twice with two statuses; an entry without a name; then as ever."""
    async with simulated(tmp_path, feed) as to:
        before, symbol = await listed(to), to.symbols[1]
        await to.control("listed-twice", feed=feed, symbol=symbol)
        await to.ticks(2)
        both = [status for name, status in await listed(to) if name == symbol]
        assert len(both) == 2
        assert bool(both[0]) != bool(both[1]) if feed == "hyperliquid" else len(set(both)) == 2
        if feed == "hyperliquid":
            meta, contexts = json.loads((await to.rest())[1])
            assert len(meta["universe"]) == len(contexts)
        await to.control("empty-symbol", feed=feed)
        await to.ticks(2)
        assert [name for name, _ in await listed(to)].count("") == 1
        await to.control("resume")
        await to.ticks(2)
        assert await listed(to) == before


@pytest.mark.parametrize("feed", [feed for feed in STREAMING if BY_NAME[feed][1].null_field])
async def test_optional_fields_that_are_null(tmp_path: Path, feed: str) -> None:
    """In frames and in REST; what must be there stays."""
    async with simulated(tmp_path, feed) as to, reader(feed, to) as ws:
        symbol = to.symbols[0]
        before = (await replies(to)).count("null")
        await to.control("null-fields", feed=feed)
        await to.ticks(2)
        row = await next_row(ws, symbol, to.client.null_field)
        assert row.fields[to.client.null_field] is None
        assert abs(float(row.rate or 0)) < 1
        assert (await replies(to)).count("null") > before


async def test_some_coins_have_a_null_flag(tmp_path: Path) -> None:
    """Always: null means that the flag is not set."""
    async with simulated(tmp_path, "hyperliquid", contracts=20) as to:
        universe = json.loads((await to.rest(to.client.contracts))[1])["universe"]
        null = [row["name"] for row in universe if row.get("isDelisted", "") is None]
        assert null
        assert set(null) <= set(to.symbols)


@pytest.mark.parametrize("feed", ["binance-usdm", "binance-coinm"])
async def test_an_event_that_nobody_knows(tmp_path: Path, feed: str) -> None:
    """One frame; the stream goes on."""
    async with simulated(tmp_path, feed) as to, reader(feed, to) as ws:
        await ws.more(1)
        assert (await to.control("unknown-event", feed=feed))["done"] == 1
        await eventually(lambda: any(b"serverShutdown" in frame for frame in ws.everything))
        frame = next(frame for frame in ws.everything if b"serverShutdown" in frame)
        assert json.loads(frame)["e"] == "serverShutdown"
        await ws.more(2)


async def test_a_ban_that_says_retry_at_once(tmp_path: Path) -> None:
    """Retry-After 0 in the header, and in the body a ban until a time that is to come."""
    async with simulated(tmp_path, "binance-usdm") as to:
        await to.control("http-418", retry_after_s=0)
        status, text, headers = await to.rest()
        assert (status, headers["retry-after"]) == (418, "0")
        until = re.search(r"banned until (\d{13})", text)
        assert until is not None
        assert int(until[1]) > now_ms(to) + 60_000
