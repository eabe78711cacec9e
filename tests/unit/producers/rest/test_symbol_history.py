"""History contract by contract: each complete for itself, resumed for itself, then slowly round."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, cast

import pytest

from producers.exchanges import exchange
from producers.exchanges.spec import RestCall, Slice
from producers.kafka.publisher import UndeliveredError
from producers.policy.throttle import Throttle
from producers.rest import history, symbol_history
from producers.rest.client import BACKGROUND_SHARE, RestError
from producers.rest.history import MS_PER_DAY, MS_PER_HOUR, OVERLAP_MS, Bookmark
from producers.rest.symbol_history import LATE_MS, SymbolHistory, due
from schemas.clock import now_us
from schemas.control_items import BACKFILL_BEGIN, BACKFILL_END

HOUR_MS = 1_790_000_000_000 // MS_PER_HOUR * MS_PER_HOUR


class FakeRest:
    """Answers as dapi does: one row for each contract; fails those in `broken`."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        self.broken: set[str] = set()

    async def fetch(self, call: RestCall, share: float) -> bytes:
        assert share == BACKGROUND_SHARE
        self.asked.append(dict(call.params))
        if call.params["symbol"] in self.broken:
            raise RestError("HTTP 500", 500)
        row = {"symbol": call.params["symbol"], "fundingTime": int(call.params["startTime"])}
        return json.dumps([row]).encode()


class FakePublisher:
    """Remembers channels and symbols; can fail to deliver."""

    def __init__(self) -> None:
        self.log: list[tuple[str, list[str | None]]] = []
        self.reachable = True

    async def publish(self, slices: list[Slice], *, channel: str, **_rest: Any) -> int:
        self.log.append((channel, [piece.symbol for piece in slices]))
        return len(slices)

    async def acknowledged(self) -> None:
        if not self.reachable:
            raise UndeliveredError("Kafka is away")


class Scene:
    """A history of some listed contracts over fakes."""

    def __init__(
        self, folder: Path, symbols: list[str], cluster: str = "c", days: int = 30
    ) -> None:
        self.symbols = symbols
        self.rest, self.publisher = FakeRest(), FakePublisher()
        self.bookmark = Bookmark(folder / "f.json", cluster)
        self.history = SymbolHistory(
            exchange("binance-coinm"),
            cast("Any", self.rest),
            cast("Any", self.publisher),
            self.bookmark,
            days,
            lambda: self.symbols,
            Throttle(1e9),
        )

    def asked(self) -> list[str]:
        """The contracts that were asked for, in order."""
        return [params["symbol"] for params in self.rest.asked]


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries follow at once."""
    monkeypatch.setattr(history, "RETRY_S", 0.0)
    monkeypatch.setattr(symbol_history, "ROUND_PAUSE_S", 0.0)


async def test_each_contract_is_complete_for_itself(tmp_path: Path) -> None:
    """All begin, then rows and end of one after the other: its z appears early."""
    scene = Scene(tmp_path, ["A", "B"])
    assert scene.history.complete == 0
    await scene.history._catch_up(scene.symbols)
    assert scene.publisher.log == [
        (BACKFILL_BEGIN, ["A", "B"]),
        ("fundingRate", ["A"]),
        (BACKFILL_END, ["A"]),
        ("fundingRate", ["B"]),
        (BACKFILL_END, ["B"]),
    ]
    assert scene.history.complete == 2
    span = int(scene.rest.asked[0]["endTime"]) - int(scene.rest.asked[0]["startTime"])
    assert abs(span - 30 * MS_PER_DAY) < 60_000


async def test_without_days_of_history_every_contract_is_complete(tmp_path: Path) -> None:
    """None is to come: nobody waits for their baselines."""
    assert Scene(tmp_path, ["A", "B"], days=0).history.complete == 2


async def test_a_restart_goes_on_with_those_that_are_missing(tmp_path: Path) -> None:
    """What is complete is only caught up, after the others, without marks."""
    now_ms = now_us() // 1_000
    before = Bookmark(tmp_path / "f.json", "c")
    before.write_ms(now_ms - 2 * MS_PER_DAY, "A")
    before.write_ms(now_ms - 31 * MS_PER_DAY, "C")
    scene = Scene(tmp_path, ["A", "B", "C"])
    await scene.history._catch_up(scene.symbols)
    assert scene.asked() == ["B", "C", "A"]
    assert [entry for entry in scene.publisher.log if entry[0] == BACKFILL_BEGIN] == [
        (BACKFILL_BEGIN, ["B", "C"])
    ]
    assert (BACKFILL_END, ["A"]) not in scene.publisher.log
    assert int(scene.rest.asked[-1]["startTime"]) == now_ms - 2 * MS_PER_DAY - OVERLAP_MS


async def test_another_cluster_means_everything_again(tmp_path: Path) -> None:
    """A new broker is empty."""
    first = Scene(tmp_path, ["A"])
    await first.history._catch_up(["A"])
    other = Scene(tmp_path, ["A"], cluster="d")
    assert other.history.complete == 0


async def test_a_contract_that_fails_holds_up_no_other(tmp_path: Path) -> None:
    """It is tried again behind them, a few times; then it is released as it is."""
    scene = Scene(tmp_path, ["A", "B", "C"])
    scene.rest.broken = {"A"}
    await scene.history._catch_up(scene.symbols)
    asked = scene.asked()
    assert asked.index("B") == symbol_history.ATTEMPTS
    assert asked.count("A") == symbol_history.ATTEMPTS * symbol_history.ROUNDS
    assert scene.publisher.log[-1] == (BACKFILL_END, ["A"])
    assert scene.bookmark.read_ms("A") is None
    assert not scene.bookmark.begun
    assert scene.history.complete == 2


async def test_a_contract_that_always_fails_takes_turns_like_the_others(tmp_path: Path) -> None:
    """The attempt counts: 20 turns are 5 for each of four contracts. Marks surround its visits."""
    scene = Scene(tmp_path, ["A", "B", "BAD", "C"])
    scene.rest.broken = {"BAD"}
    await scene.history._catch_up(scene.symbols)
    scene.rest.asked.clear()
    scene.publisher.log.clear()
    for _ in range(20):
        await scene.history._true_up()
    asked = Counter(scene.asked())
    assert asked == {"A": 5, "B": 5, "C": 5, "BAD": 5 * symbol_history.ATTEMPTS}
    marks = [entry for entry in scene.publisher.log if entry[0] != "fundingRate"]
    assert marks == [(BACKFILL_BEGIN, ["BAD"]), (BACKFILL_END, ["BAD"])] * 5
    scene.rest.broken.clear()
    for _ in range(4):
        await scene.history._true_up()
    assert scene.history.complete == 4


async def test_a_restart_releases_whom_an_earlier_run_began(tmp_path: Path) -> None:
    """Those that are complete, or gone; the others begin again and end in their turn."""
    before = Bookmark(tmp_path / "f.json", "c")
    before.begin(["DONE", "GONE", "MISSING"])
    before.write_ms(now_us() // 1_000, "DONE")
    scene = Scene(tmp_path, ["DONE", "MISSING"])
    await scene.history._release_left()
    assert scene.publisher.log == [(BACKFILL_END, ["DONE", "GONE"])]
    await scene.history._catch_up(scene.symbols)
    assert scene.publisher.log[1:] == [
        (BACKFILL_BEGIN, ["MISSING"]),
        ("fundingRate", ["MISSING"]),
        (BACKFILL_END, ["MISSING"]),
    ]
    assert not Bookmark(tmp_path / "f.json", "c").begun


async def test_a_contract_that_goes_while_it_waits_is_released(tmp_path: Path) -> None:
    """Nobody else would end what was begun."""
    scene = Scene(tmp_path, ["A", "B"])
    fetch = scene.rest.fetch

    async def delisting(call: RestCall, share: float) -> bytes:
        scene.symbols = ["A"]
        return await fetch(call, share)

    scene.rest.fetch = delisting  # type: ignore[method-assign]
    await scene.history._catch_up(["A", "B"])
    assert scene.publisher.log[-1] == (BACKFILL_END, ["B"])
    assert scene.asked() == ["A"]


async def test_the_slow_round_visits_whom_it_saw_last_longest_ago(tmp_path: Path) -> None:
    """One at a time; a newly listed contract goes first, with all its history."""
    scene = Scene(tmp_path, ["A", "B"])
    now_ms = now_us() // 1_000
    scene.bookmark.write_ms(now_ms - 5 * MS_PER_HOUR, "A")
    scene.bookmark.write_ms(now_ms - 7 * MS_PER_HOUR, "B")
    await scene.history._true_up()
    await scene.history._true_up()
    assert scene.asked() == ["B", "A"]
    scene.symbols = ["A", "B", "NEW"]
    await scene.history._true_up()
    assert scene.asked() == ["B", "A", "NEW"]
    assert scene.publisher.log[-3:] == [
        (BACKFILL_BEGIN, ["NEW"]),
        ("fundingRate", ["NEW"]),
        (BACKFILL_END, ["NEW"]),
    ]


async def test_nobody_listed_is_no_error(tmp_path: Path) -> None:
    """The list may be empty for a while, and a contract may go while it waits for its turn."""
    scene = Scene(tmp_path, [])
    await scene.history._true_up()
    await scene.history._catch_up(["GONE"])
    assert scene.asked() == []


async def test_while_kafka_is_away_the_bookmark_stays(tmp_path: Path) -> None:
    """And the producer goes on: what it published is still on its way."""
    scene = Scene(tmp_path, ["A"])
    scene.publisher.reachable = False
    assert await scene.history._visit("A")
    assert scene.bookmark.read_ms("A") is None


@pytest.mark.parametrize(
    ("through_ms", "now_ms", "expected"),
    [
        (HOUR_MS + LATE_MS, HOUR_MS + LATE_MS + 1, False),
        (HOUR_MS + LATE_MS - 1, HOUR_MS + LATE_MS + 1, True),
        (HOUR_MS + LATE_MS, HOUR_MS + MS_PER_HOUR - 1, False),
        (HOUR_MS + LATE_MS, HOUR_MS + MS_PER_HOUR, True),
    ],
)
def test_only_a_full_hour_brings_something_new(
    through_ms: int,
    now_ms: int,
    expected: bool,  # noqa: FBT001 - pytest passes parameters so
) -> None:
    """A restart within the hour asks for nothing, unless the settlement may have been late."""
    assert due(through_ms, now_ms) is expected


async def test_a_gap_over_a_full_hour_is_filled_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slow round would come to a contract after a day and more; who is up to date is spared."""
    monkeypatch.setattr(symbol_history, "LATE_MS", 0)
    scene = Scene(tmp_path, ["A", "B", "C"])
    # No hour ends meanwhile.
    now = now_us()
    monkeypatch.setattr(symbol_history, "now_us", lambda: now)
    now_ms = now // 1_000
    for symbol, hours in (("A", 3), ("B", 3), ("C", 0)):
        scene.bookmark.write_ms(now_ms - hours * MS_PER_HOUR, symbol)
    await scene.history._pause(0.001)
    assert scene.asked() == []
    scene.history.missed_an_hour()
    await scene.history._pause(10.0)
    assert scene.asked() == ["A", "B"]
    await scene.history._pause(0.001)
    assert scene.asked() == ["A", "B"]
