"""The runner of settled history: pages to Kafka, marks around backfills, bookmarks behind both."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from producers.exchanges import exchange
from producers.exchanges.spec import HistoryWalk, RestCall, Slice
from producers.kafka.publisher import UndeliveredError
from producers.policy.history.actions import OVERLAP_MS, HistorySchedule
from producers.policy.history.bulk_schedule import RECENT_MS, BulkSchedule
from producers.policy.history.catch_up import ATTEMPTS
from producers.policy.history.contract_schedule import ContractSchedule
from producers.policy.throttle import Throttle
from producers.rest.bookmark import Bookmark
from producers.rest.client import BACKGROUND_SHARE, RestError
from producers.rest.history import HistoryRunner, PageRetries
from schemas.control_items import BACKFILL_BEGIN, BACKFILL_END, UNREADABLE
from schemas.times import MS_PER_DAY, MS_PER_HOUR, US_PER_S
from tests.support.clock import ManualClock

RETRIES = PageRetries(failed_s=0.0, unreadable_s=0.0)
CONTRACTS = ["AUSDT", "BUSDT"]


class FakeRest:
    """Answers calls by a script, the last entry of it for ever; remembers what was asked."""

    def __init__(self, *bodies: bytes | RestError) -> None:
        self.bodies = list(bodies) or [b"[]"]
        self.asked: list[dict[str, str]] = []
        self.on_call: Callable[[], None] = lambda: None

    async def fetch(self, call: RestCall, share: float) -> bytes:
        assert share == BACKGROUND_SHARE
        self.asked.append(dict(call.params))
        self.on_call()
        body = self.bodies.pop(0) if len(self.bodies) > 1 else self.bodies[0]
        if isinstance(body, RestError):
            raise body
        return body


class FakePublisher:
    """Remembers channels and symbols; can fail to deliver."""

    def __init__(self) -> None:
        self.log: list[tuple[str, list[str | None]]] = []
        self.odd: list[Slice] = []
        self.reachable = True

    async def publish(self, slices: Any, *, channel: str, purpose: str, **_rest: Any) -> int:
        assert purpose == "history"
        pieces: list[Slice] = list(slices)
        self.log.append((channel, [piece.symbol for piece in pieces]))
        self.odd += [piece for piece in pieces if not piece.readable]
        return len(pieces)

    async def acknowledged(self) -> None:
        if not self.reachable:
            raise UndeliveredError("Kafka is away")
        self.log.append(("delivered", []))


class Scene:
    """The history of some contracts over fakes, with a bookmark in a real file."""

    def __init__(
        self,
        folder: Path,
        *bodies: bytes | RestError,
        feed: str = "binance-usdm",
        contracts: Sequence[str] = CONTRACTS,
    ) -> None:
        self.clock = ManualClock()
        self.contracts = list(contracts)
        self.rest, self.publisher = FakeRest(*bodies), FakePublisher()
        self.path = folder / "f.json"
        self.bookmark = Bookmark(self.path, "c")
        bulk = feed == "binance-usdm"
        self.schedule: HistorySchedule = BulkSchedule(30) if bulk else ContractSchedule(30, 40)
        self.history = HistoryRunner(
            exchange(feed),
            cast("Any", self.rest),
            cast("Any", self.publisher),
            self.bookmark,
            self.schedule,
            lambda: self.contracts,
            Throttle(1e9),
            self.clock,
            RETRIES,
            released=lambda: self.publisher.log.append(("told", [])),
        )

    @property
    def now_ms(self) -> int:
        """The wall clock."""
        return self.clock.now_us() // 1_000

    @property
    def stored(self) -> Bookmark:
        """What a restart would read."""
        return Bookmark(self.path, "c")

    def rows(self, *symbols: str) -> bytes:
        """A page that holds a settlement of each."""
        rows = [{"symbol": symbol, "fundingTime": self.now_ms} for symbol in symbols]
        return json.dumps(rows).encode()

    def set_after_hour(self, seconds: float, hours: int = 0) -> None:
        """Set the wall clock so long after the full hour."""
        hour_ms = (self.now_ms // MS_PER_HOUR + hours) * MS_PER_HOUR
        self.clock.set_wall(hour_ms * 1_000 + round(seconds * US_PER_S))


async def test_a_first_start_fetches_30_days_between_marks(tmp_path: Path) -> None:
    """Begin, rows, everything delivered, then end: in between the baseline counts as partial."""
    scene = Scene(tmp_path)
    scene.rest.bodies = [scene.rows("AUSDT", "OTHER")]
    await scene.history.fill()
    assert scene.publisher.log == [
        (BACKFILL_BEGIN, ["AUSDT", "BUSDT"]),
        ("fundingRate", ["AUSDT"]),
        ("delivered", []),
        (BACKFILL_END, ["AUSDT", "BUSDT"]),
        ("delivered", []),
        ("told", []),
    ]
    (asked,) = scene.rest.asked
    assert int(asked["startTime"]) == scene.now_ms - 30 * MS_PER_DAY
    assert (scene.stored.feed_ms, scene.stored.announced) == (int(asked["endTime"]), frozenset())
    assert (scene.history.progress, scene.history.complete) == (1.0, 2)
    assert (scene.history.rows, scene.history.calls) == (2, 1)


async def test_a_restart_fetches_from_the_bookmark_with_an_overlap(tmp_path: Path) -> None:
    """Without marks: the baseline on Kafka is complete, z need not be withheld."""
    scene = Scene(tmp_path)
    through_ms = scene.now_ms - 2 * MS_PER_DAY
    scene.bookmark.move_feed(through_ms)
    await scene.history.fill()
    assert int(scene.rest.asked[0]["startTime"]) == through_ms - OVERLAP_MS
    assert {channel for channel, _ in scene.publisher.log} == {"fundingRate", "delivered"}


@pytest.mark.parametrize(("feed", "key"), [("binance-usdm", ""), ("binance-coinm", "AUSDT")])
async def test_after_an_upgrade_all_days_are_fetched_once_more(
    tmp_path: Path, feed: str, key: str
) -> None:
    """The version before published one of two settlements of a stamp, and did not tell special
    ones apart: its bookmark, which names no version, holds no longer.
    """
    yesterday_ms = ManualClock().now_us() // 1_000 - MS_PER_DAY
    old = {"cluster_id": "c", "through_ms": {key: yesterday_ms}, "begun": []}
    (tmp_path / "f.json").write_text(json.dumps(old), encoding="utf-8")
    for begun in (1, 0):
        scene = Scene(tmp_path, feed=feed, contracts=["AUSDT"])
        scene.rest.bodies = [scene.rows("AUSDT")]
        await scene.history.fill()
        channels = [channel for channel, _ in scene.publisher.log]
        assert channels.count(BACKFILL_BEGIN) == begun, "a restart fetches what is new"
        if begun:
            (asked,) = scene.rest.asked
            assert int(asked["startTime"]) == scene.now_ms - 30 * MS_PER_DAY


async def test_the_bookmark_moves_only_behind_delivered_rows(tmp_path: Path) -> None:
    """What Kafka has not acknowledged is fetched, and ended, again after a restart."""
    scene = Scene(tmp_path)
    scene.publisher.reachable = False
    scene.rest.bodies = [scene.rows("AUSDT")]
    await scene.history.fill()
    assert scene.stored.feed_ms is None
    assert scene.stored.announced == {"AUSDT", "BUSDT"}


async def test_who_is_announced_stands_in_the_file_before_kafka_has_it(tmp_path: Path) -> None:
    """So that a restart knows whom to release."""
    scene = Scene(tmp_path)
    stored = []
    scene.rest.on_call = lambda: stored.append(scene.stored.announced)
    await scene.history.fill()
    assert stored == [{"AUSDT", "BUSDT"}]


async def test_a_page_that_fails_is_asked_for_until_it_comes(tmp_path: Path) -> None:
    """Where all contracts come in one walk there is nothing else to do."""
    scene = Scene(tmp_path)
    scene.rest.bodies = [*[RestError("HTTP 500", 500)] * 9, scene.rows("AUSDT")]
    await scene.history.fill()
    assert scene.history.calls == 10
    assert scene.history.progress == 1.0


async def test_a_page_that_nobody_can_read_ends_the_walk(tmp_path: Path) -> None:
    """After a few attempts, each a dead letter; z is withheld no longer."""
    scene = Scene(tmp_path, b"<html>", b"[7]", b"<html>")
    await scene.history.fill()
    assert len(scene.rest.asked) == RETRIES.unreadable_attempts
    channels = [channel for channel, _ in scene.publisher.log]
    assert channels.count(UNREADABLE) == RETRIES.unreadable_attempts
    assert channels[0] == BACKFILL_BEGIN
    assert (BACKFILL_END, ["AUSDT", "BUSDT"]) in scene.publisher.log
    assert (scene.stored.feed_ms, scene.history.complete) == (None, 0)
    assert scene.history.progress < 1.0


async def test_what_settles_is_fetched_while_the_walk_is_unfinished(tmp_path: Path) -> None:
    """The bookmark stays until the walk is begun again and finished."""
    scene = Scene(tmp_path, *[b"<html>"] * RETRIES.unreadable_attempts, b"[]")
    scene.set_after_hour(10)
    await scene.history.fill()
    asked = len(scene.rest.asked)
    scene.set_after_hour(20)
    scene.rest.bodies = [scene.rows("AUSDT")]
    await scene.history.step()
    assert [int(call["startTime"]) for call in scene.rest.asked[asked:]] == [
        scene.now_ms - RECENT_MS
    ]
    assert ("fundingRate", ["AUSDT"]) in scene.publisher.log
    assert scene.history.complete == 0
    scene.set_after_hour(20, hours=1)
    scene.rest.bodies = [scene.rows("AUSDT")]
    await scene.history.fill()
    for _ in range(3):
        await scene.history.step()
    assert scene.stored.feed_ms == scene.now_ms
    assert scene.history.complete == 2


async def test_no_settlement_at_all_is_no_complete_history(tmp_path: Path) -> None:
    """An exchange in maintenance answers an empty list: nothing is marked as fetched."""
    scene = Scene(tmp_path)
    await scene.history.fill()
    assert (scene.stored.feed_ms, scene.history.complete) == (None, 0)


async def test_an_odd_row_goes_to_the_dead_letters_and_the_others_on(tmp_path: Path) -> None:
    """The walk is finished, and the row is among what is published."""
    scene = Scene(tmp_path)
    odd = b'{"symbol":"AUSDT","fundingTime":null}'
    scene.rest.bodies = [b"[" + odd + b"," + scene.rows("BUSDT", "OTHER")[1:]]
    await scene.history.fill()
    assert sorted(scene.publisher.log[1][1], key=str) == ["BUSDT", None]
    assert scene.publisher.odd == [Slice(None, odd, readable=False)]
    assert scene.stored.feed_ms is not None


async def test_contracts_that_are_asked_for_one_by_one_have_bookmarks_each(tmp_path: Path) -> None:
    """Each is released, and complete, once its rows are on Kafka."""
    scene = Scene(tmp_path, feed="binance-coinm", contracts=["A", "B"])
    scene.rest.bodies = [scene.rows("A"), scene.rows("B")]
    await scene.history.fill()
    assert [call["symbol"] for call in scene.rest.asked] == ["A", "B"]
    assert [entry for entry in scene.publisher.log if entry[0] != "delivered"] == [
        (BACKFILL_BEGIN, ["A", "B"]),
        ("fundingRate", ["A"]),
        (BACKFILL_END, ["A"]),
        ("told", []),
        ("fundingRate", ["B"]),
        (BACKFILL_END, ["B"]),
        ("told", []),
    ]
    assert scene.stored.contract_ms == {"A": scene.now_ms, "B": scene.now_ms}
    assert (scene.history.complete, scene.history.progress) == (2, 1.0)


async def test_a_contract_whose_pages_fail_is_left_after_a_few_attempts(tmp_path: Path) -> None:
    """Its bookmark stays, and the next contract has its turn."""
    scene = Scene(tmp_path, feed="binance-coinm", contracts=["A", "B"])
    scene.rest.bodies = [*[RestError("HTTP 500", 500)] * ATTEMPTS, scene.rows("B"), b"[]"]
    await scene.history.fill()
    assert [call["symbol"] for call in scene.rest.asked][: ATTEMPTS + 2] == [*"A" * ATTEMPTS, *"BA"]
    assert "B" in scene.stored.contract_ms


async def test_a_missed_hour_ends_the_wait(tmp_path: Path) -> None:
    """The contracts are asked for at once where the hour's settlements have appeared."""
    scene = Scene(tmp_path, feed="binance-coinm", contracts=["A", "B"])
    scene.set_after_hour(400)
    for symbol in scene.contracts:
        scene.bookmark.move_contract(symbol, scene.now_ms)
    await scene.history.fill()
    asked = len(scene.rest.asked)
    waiting = asyncio.create_task(scene.history.step())
    await asyncio.sleep(0)
    assert not waiting.done()
    scene.set_after_hour(400, hours=2)
    scene.history.missed_an_hour()
    async with asyncio.timeout(10):
        await waiting
    for _ in range(2):
        await scene.history.step()
    assert [call["symbol"] for call in scene.rest.asked[asked:]] == ["A", "B"]


async def test_a_walk_is_told_what_requests_call_the_contracts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the registry has it when the walk begins."""
    scene, asked = Scene(tmp_path), list[object]()
    scene.rest.bodies = [scene.rows("AUSDT")]
    found = exchange("binance-usdm")
    walks = found.history

    def history(symbols: Sequence[str], since_ms: int, until_ms: int, keys: object) -> HistoryWalk:
        asked.append(keys)
        return walks(symbols, since_ms, until_ms)

    monkeypatch.setattr(type(found), "history", staticmethod(history))
    monkeypatch.setattr(scene.history, "_keys", lambda: {"AUSDT": "7"})
    await scene.history.fill()
    assert asked == [{"AUSDT": "7"}]
