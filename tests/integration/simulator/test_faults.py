"""Each fault on sockets, on each feed: what a client sees of it, and what the truth says."""

from __future__ import annotations

import asyncio
import itertools
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
import websockets

from schemas.feeds import spec
from tests.support.simulator_clients import BY_NAME, CLIENTS, STREAMING, reader, simulated
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

each_client = pytest.mark.parametrize("client", CLIENTS)
each_feed = pytest.mark.parametrize("client", STREAMING)


@each_client
async def test_close_and_cut(tmp_path: Path, client: str) -> None:
    """One socket by its place in the order of opening; then all, without a farewell."""
    async with (
        simulated(tmp_path, client) as to,
        reader(client, to) as first,
        reader(client, to) as second,
        reader(client, to) as third,
    ):
        await eventually(lambda: len(to.server.connections[to.exchange.name]) == 3)
        assert (await to.control("close", code=4321, connection=1))["done"] == 1
        assert await second.closed() == 4321
        await first.more(1)
        assert (await to.control("close", feed=to.exchange.name, abort=True))["done"] == 2
        assert (await first.closed(), await third.closed()) == (1006, 1006)
        assert [line["ended_at"] - line["began_at"] for line in to.truth("faults")] == [0, 0]


@each_client
async def test_half_open(tmp_path: Path, client: str) -> None:
    """The socket that was open hears nothing, PONGs included; a new one works."""
    async with simulated(tmp_path, client) as to, reader(client, to) as old:
        await old.more(1)
        assert (await to.control("half-open"))["done"] == 1
        pong = asyncio.ensure_future(await old.ws.ping())
        async with reader(client, to) as new:
            await new.more(2)
            known = len(old.frames)
            await new.more(4)
            assert len(old.frames) == known
            assert not pong.done()
            await to.control("resume", kind="half-open")
            assert await old.closed() == 1006
            await new.more(2)


@each_client
async def test_silence(tmp_path: Path, client: str) -> None:
    """Answers and pongs go on, data does not, until its time is over."""
    async with simulated(tmp_path, client) as to, reader(client, to) as ws:
        await ws.more(1)
        await to.control("silence", feed=to.exchange.name, seconds=0.4)
        await to.ticks(2)
        known, answers = len(ws.frames), len(ws.answers)
        await ws.ws.send(to.client.question)
        await (await ws.ws.ping())
        await eventually(lambda: len(ws.answers) > answers)
        await to.ticks(3)
        assert len(ws.frames) == known
        await ws.more(2)
        assert to.server.faults.names() == []
        begun, ended = to.truth("faults")
        assert begun["ended_at"] is None
        assert ended["ended_at"] - ended["began_at"] >= 400_000
        assert {**ended, "ended_at": None} == begun


@each_client
async def test_one_contract_silent_among_many(tmp_path: Path, client: str) -> None:
    """By its symbol, and by a share of all; the others' rows are untouched."""
    async with simulated(tmp_path, client, truth_missed=True) as to, reader(client, to) as ws:
        await ws.more(1)
        quiet, *others = to.symbols
        await to.control("silence", symbols=[quiet])
        await to.ticks(3)
        known = len(ws.frames)
        await eventually(lambda: ws.symbols(ws.frames[known:]) >= set(others))
        assert quiet not in ws.symbols(ws.frames[known:])
        missed = to.truth(f"{to.exchange.name}.missed")
        assert {row["contract_id"] for row in missed if row["why"] == "fault"} == {
            f"{to.exchange.name}:{quiet}"
        }
        await to.control("resume")
        await to.control("silence", share=1)
        await to.ticks(3)
        known = len(ws.frames)
        await to.ticks(3)
        assert len(ws.frames) == known


@each_client
async def test_one_of_two_sockets_is_silent(tmp_path: Path, client: str) -> None:
    """And one that opens later is not."""
    async with simulated(tmp_path, client) as to, reader(client, to) as first:
        await first.more(1)
        async with reader(client, to) as second:
            await second.more(1)
            await to.control("silence", feed=to.exchange.name, connection=1)
            await to.ticks(2)
            known = len(second.frames)
            await first.more(3)
            async with reader(client, to) as third:
                await third.more(2)
            assert len(second.frames) == known


@each_client
async def test_dropped_and_doubled_frames(tmp_path: Path, client: str) -> None:
    """With a probability, by a seed; doubled ones are in the truth once."""
    async with simulated(tmp_path, client, truth_missed=True) as to, reader(client, to) as ws:
        await ws.more(1)
        await to.control("drop", p=0.5, seed=3)
        await to.ticks(6)
        missed = [row for row in to.truth(f"{to.exchange.name}.missed") if row["why"] == "fault"]
        assert missed
        await to.control("resume")
        await to.control("duplicate")
        await to.ticks(2)
        frames = (await ws.more(9))[-8:]
        assert any(one == two for one, two in itertools.pairwise(frames))
        assert max(frames.count(frame) for frame in frames) == 2
        await to.control("resume")
        await to.ticks(1)
        sent = [(row["contract_id"], row["event_time"]) for row in to.truth(to.exchange.name)]
        assert len(sent) == len(set(sent))
        lost = {(row["contract_id"], row["event_time"]) for row in missed}
        assert not lost & set(sent)


@each_client
async def test_reordered_frames(tmp_path: Path, client: str) -> None:
    """Each comes after the next one: no frame is more than one place off, and none is lost."""
    async with simulated(tmp_path, client) as to, reader(client, to) as wrong:
        await wrong.more(1)
        async with reader(client, to) as right:
            await right.more(1)
            await to.control("reorder", connection=0)
            await to.ticks(3)
            known = len(wrong.everything)
            await wrong.more(8)
            moved = wrong.everything[known : known + 8]
            await eventually(lambda: set(moved) <= set(right.everything))
            order = [right.everything.index(frame) for frame in moved]
            assert order != sorted(order)
            assert all(abs(order.index(n) - sorted(order).index(n)) <= 1 for n in order[1:-1])


@each_client
async def test_a_delayed_socket(tmp_path: Path, client: str) -> None:
    """It gets the same frames in the same order, later; and answers as late."""
    async with simulated(tmp_path, client) as to, reader(client, to) as late:
        await late.more(1)
        async with reader(client, to) as prompt:
            await prompt.more(1)
            await to.control("delay", delay_s=0.3, connection=0)
            await to.ticks(2)
            pong = asyncio.ensure_future(await late.ws.ping())
            known = len(prompt.frames)
            await prompt.more(2)
            first = prompt.frames[known]
            assert first not in late.frames
            assert not pong.done()
            await eventually(lambda: first in late.frames)
            await pong
            await late.more(3)
            got = late.frames[late.frames.index(first) :]
            order = [prompt.frames.index(frame) for frame in got]
            assert order == sorted(order)
            await to.control("resume")
            await late.more(3)


@each_client
async def test_corrupt_frames(tmp_path: Path, client: str) -> None:
    """No JSON, yet the socket stays; nothing of it is in the truth."""
    async with simulated(tmp_path, client, truth_missed=True) as to, reader(client, to) as ws:
        await ws.more(1)
        await to.control("corrupt", p=0.5, how="cut")
        await to.control("corrupt", how="flip")
        await to.ticks(2)
        sent = len(to.truth(to.exchange.name))
        frames = await ws.more(4)
        assert all(ws.rows(frame) is None for frame in frames)
        assert len(to.truth(to.exchange.name)) == sent
        assert any(row["why"] == "fault" for row in to.truth(f"{to.exchange.name}.missed"))
        await to.control("resume")
        await to.ticks(2)
        assert ws.rows((await ws.more(2))[-1])


@each_client
async def test_rates_in_percent(tmp_path: Path, client: str) -> None:
    """Every rate of a frame, times and prices untouched; such updates count as missed."""
    async with (
        simulated(tmp_path, client, truth_missed=True) as to,
        reader(client, to) as ws,
    ):
        await ws.more(1)
        await to.control("bad-units", field="rate")
        await to.ticks(2)
        frames = await ws.more(len(to.symbols))
        await eventually(lambda: bool(to.truth(f"{to.exchange.name}.missed")))
        missed = to.truth(f"{to.exchange.name}.missed")
        true_rates: dict[str, set[float]] = {}
        for row in missed:
            true_rates.setdefault(row["contract_id"], set()).add(row["rate"])
        for frame in frames[:-1]:
            for told in ws.rows(frame) or ():
                true = true_rates.get(f"{to.exchange.name}:{told.symbol}", set())
                right = any(float(told.rate or 0) == pytest.approx(100 * one) for one in true)
                assert right or not told.rate


@pytest.mark.parametrize("client", [c for c in CLIENTS if not spec(BY_NAME[c][0]).timeless])
async def test_times_in_seconds(tmp_path: Path, client: str) -> None:
    """Event times, of whatever unit they were."""
    async with simulated(tmp_path, client) as to, reader(client, to) as ws:
        await ws.more(1)
        await to.control("bad-units", field="time")
        await to.ticks(2)
        now_s = to.server._wall_ns() / 1e9
        for frame in (await ws.more(3))[-2:]:
            for row in ws.rows(frame) or ():
                assert row.event is not None
                assert abs(row.event - now_s) < 120


@each_client
async def test_a_skewed_clock(tmp_path: Path, client: str) -> None:
    """An hour behind; the truth has the times that were sent, the REST clock agrees."""
    async with simulated(tmp_path, client) as to, reader(client, to) as ws:
        await ws.more(1)
        _, _, true = await to.rest()
        await to.control("clock-skew", skew_s=-3_600)
        await to.ticks(2)
        now_us = to.server._wall_ns() // 1_000
        frames = (await ws.more(4))[-3:]
        await to.ticks(1)
        sent = {(row["contract_id"], row["event_time"]) for row in to.truth(to.exchange.name)}
        for frame in frames:
            for row in ws.rows(frame) or ():
                if row.event is None:
                    continue
                event_us = _microseconds(row.event)
                assert -120e6 < event_us - now_us + 3_600e6 < 60e6
                assert (f"{to.exchange.name}:{row.symbol}", event_us) in sent
        _, _, headers = await to.rest()
        moved = parsedate_to_datetime(headers["date"]) - parsedate_to_datetime(true["date"])
        assert -3_601 <= moved.total_seconds() < -3_590


@each_feed
async def test_maintenance(tmp_path: Path, client: str) -> None:
    """Open sockets are closed, new ones are refused, and REST answers 503 until the fault ends."""
    async with simulated(tmp_path, client, truth_missed=True) as to, reader(client, to) as ws:
        await ws.more(1)
        assert (await to.control("maintenance"))["done"] == 1
        assert await ws.closed() == 1012
        assert ws.ws.close_reason == "service restart"
        with pytest.raises(websockets.InvalidStatus):
            async with reader(client, to):
                pass
        assert (await to.rest())[0] == 503
        known = len(to.truth(f"{client}.missed"))
        await to.ticks(3)
        assert {row["why"] for row in to.truth(f"{client}.missed")[known:]} == {"fault"}
        await to.control("resume")
        async with reader(client, to) as again:
            await again.more(1)


@each_feed
@pytest.mark.parametrize("how", ["503", "cut"])
async def test_refused_sockets(tmp_path: Path, client: str, how: str) -> None:
    """Open sockets stay, new ones get a 503 or nothing."""
    async with simulated(tmp_path, client) as to, reader(client, to) as ws:
        await ws.more(1)
        await to.control("refuse-ws", how=how)
        with pytest.raises((websockets.InvalidStatus, websockets.InvalidMessage, OSError)) as error:
            async with reader(client, to):
                pass
        assert isinstance(error.value, websockets.InvalidStatus) is (how == "503")
        await ws.more(2)


@each_client
async def test_every_update_is_sent_or_missed(tmp_path: Path, client: str) -> None:
    """Each update is recorded either as sent, or as missed with the reason."""
    feed = BY_NAME[client][0]
    async with simulated(tmp_path, client, truth_missed=True) as to:
        await to.ticks(2)
        assert {row["why"] for row in to.truth(f"{feed}.missed")} == {"no socket"}
        async with reader(client, to, subscribe=False):
            await eventually(lambda: bool(to.server.connections[feed]))
            await to.ticks(2)
            known = len(to.truth(f"{feed}.missed"))
            await to.ticks(2)
            assert {r["why"] for r in to.truth(f"{feed}.missed")[known:]} == {"unsubscribed"}
        async with reader(client, to) as ws:
            await ws.more(2)
            await to.ticks(2)
            known = len(to.truth(f"{feed}.missed"))
            await to.ticks(3)
            assert to.truth(f"{feed}.missed")[known:] == []
            await to.control("reorder")
            await to.ticks(4)
            await to.control("resume")
            await ws.more(2)
            await to.ticks(1)
            assert to.truth(f"{feed}.missed")[known:] == []
            await to.control("delay", delay_s=30)
            await to.ticks(3)
            assert to.truth(f"{feed}.missed")[known:] == []
            await to.control("close", abort=True)
            await eventually(lambda: len(to.truth(f"{feed}.missed")) > known)
            assert to.truth(f"{feed}.missed")[known]["why"] == "fault"
        sent = {(r["contract_id"], r["event_time"]) for r in to.truth(feed)}
        missed = [(r["contract_id"], r["event_time"]) for r in to.truth(f"{feed}.missed")]
        assert len(missed) == len(set(missed))
        assert not sent & set(missed)
        assert {key for key, _ in missed} == {f"{feed}:{symbol}" for symbol in to.symbols}


def _microseconds(at: float) -> int:
    if at < 10**11:
        return round(at * 1_000_000)
    whole = int(at)
    if whole > 10**17:
        return whole // 1_000
    return whole if whole > 10**14 else whole * 1_000
