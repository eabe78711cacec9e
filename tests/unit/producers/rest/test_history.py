"""Settled history: bookmarked per Kafka cluster, marked while it is partial, resumed after it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest

from producers.exchanges.binance_usdm import EXCHANGE
from producers.exchanges.spec import RestCall, Slice
from producers.kafka.publisher import UndeliveredError
from producers.policy.throttle import Throttle
from producers.rest import history as history_module
from producers.rest.history import OVERLAP_MS, RECENT_MS, UNREADABLE_ATTEMPTS, Bookmark, History
from schemas.clock import now_us
from schemas.control_items import BACKFILL_BEGIN, BACKFILL_END, UNREADABLE

DAY_MS = 86_400_000


class FakeRest:
    """Answers each page with the same rows; remembers what was asked."""

    def __init__(self, body: bytes = b"[]", *later: bytes) -> None:
        self.bodies = [body, *later]
        self.asked: list[dict[str, str]] = []

    async def fetch(self, call: RestCall, _share: float) -> bytes:
        self.asked.append(dict(call.params))
        return self.bodies.pop(0) if len(self.bodies) > 1 else self.bodies[0]


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


def history_of(
    path: Path, cluster: str, rest: FakeRest, publisher: FakePublisher, days: int = 30
) -> History:
    """The history of two listed contracts."""
    return History(
        EXCHANGE,
        cast("Any", rest),
        cast("Any", publisher),
        Bookmark(path, cluster),
        days,
        lambda: ["AUSDT", "BUSDT"],
        Throttle(1e9),
    )


def test_a_bookmark_is_read_back_for_the_same_cluster_only(tmp_path: Path) -> None:
    """Another Kafka cluster does not have the rows."""
    path = tmp_path / "deep" / "binance-usdm.json"
    assert Bookmark(path, "cluster-a").read_ms() is None
    Bookmark(path, "cluster-a").write_ms(1_700_000_000_123)
    assert Bookmark(path, "cluster-a").read_ms() == 1_700_000_000_123
    assert Bookmark(path, "cluster-b").read_ms() is None
    Bookmark(path, "cluster-b").write_ms(5)
    assert Bookmark(path, "cluster-a").read_ms() is None


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "7", '{"cluster_id":"c"}', '{"cluster_id":"c","through_ms":null}',
     '{"cluster_id":"c","through_ms":"soon"}'],
)  # fmt: skip
def test_a_damaged_bookmark_is_no_bookmark(tmp_path: Path, text: str) -> None:
    """Fetching again is safe, failing to start is not."""
    path = tmp_path / "bookmark.json"
    path.write_text(text, encoding="utf-8")
    assert Bookmark(path, "c").read_ms() is None


def test_a_bookmark_of_bytes_is_no_bookmark(tmp_path: Path) -> None:
    """Nor is a directory in its place."""
    path = tmp_path / "bookmark.json"
    path.write_bytes(b"\xff\xfe\x00")
    assert Bookmark(path, "c").read_ms() is None
    assert Bookmark(tmp_path, "c").read_ms() is None


def test_without_days_of_history_every_contract_is_complete(tmp_path: Path) -> None:
    """None is to come: nobody waits for their baselines."""
    rest, publisher = FakeRest(b"[]"), FakePublisher()
    assert history_of(tmp_path / "b.json", "c", rest, publisher, days=0).complete == 2
    assert history_of(tmp_path / "b.json", "c", rest, publisher, days=1).complete == 0


async def test_a_first_start_fetches_30_days_between_marks(tmp_path: Path) -> None:
    """Begin, rows, everything delivered, then end: in between the baseline counts as partial."""
    body = json.dumps([{"symbol": s, "fundingTime": now_us() // 1_000} for s in ("AUSDT", "X")])
    rest, publisher = FakeRest(body.encode()), FakePublisher()
    before_ms = now_us() // 1_000
    history = history_of(tmp_path / "b.json", "c", rest, publisher)
    await history._catch_up()
    assert publisher.log == [
        (BACKFILL_BEGIN, ["AUSDT", "BUSDT"]),
        ("fundingRate", ["AUSDT"]),
        ("delivered", []),
        (BACKFILL_END, ["AUSDT", "BUSDT"]),
        ("delivered", []),
    ]
    assert not Bookmark(tmp_path / "b.json", "c").begun
    since_ms = int(rest.asked[0]["startTime"])
    assert before_ms - 30 * DAY_MS <= since_ms <= now_us() // 1_000 - 30 * DAY_MS
    through_ms = Bookmark(tmp_path / "b.json", "c").read_ms()
    assert through_ms == int(rest.asked[0]["endTime"])
    assert history.progress == 1.0


async def test_a_restart_fetches_from_the_bookmark_with_an_overlap(tmp_path: Path) -> None:
    """Without marks: the baseline on Kafka is complete, z need not be withheld."""
    through_ms = now_us() // 1_000 - 2 * DAY_MS
    Bookmark(tmp_path / "b.json", "c").write_ms(through_ms)
    rest, publisher = FakeRest(), FakePublisher()
    await history_of(tmp_path / "b.json", "c", rest, publisher)._catch_up()
    assert int(rest.asked[0]["startTime"]) == through_ms - OVERLAP_MS
    assert {channel for channel, _ in publisher.log} == {"fundingRate", "delivered"}


@pytest.mark.parametrize(("cluster", "age_days"), [("other", 1), ("c", 31)])
async def test_another_cluster_or_an_old_bookmark_means_everything_again(
    tmp_path: Path, cluster: str, age_days: int
) -> None:
    """A new broker is empty, and after a month nothing of the window is there."""
    Bookmark(tmp_path / "b.json", cluster).write_ms(now_us() // 1_000 - age_days * DAY_MS)
    rest, publisher = FakeRest(), FakePublisher()
    await history_of(tmp_path / "b.json", "c", rest, publisher)._catch_up()
    assert publisher.log[0][0] == BACKFILL_BEGIN
    span_ms = int(rest.asked[0]["endTime"]) - int(rest.asked[0]["startTime"])
    assert abs(span_ms - 30 * DAY_MS) < 60_000


async def test_the_bookmark_moves_only_behind_delivered_rows(tmp_path: Path) -> None:
    """What Kafka has not acknowledged is fetched again after a restart."""
    publisher = FakePublisher()
    publisher.reachable = False
    await history_of(tmp_path / "b.json", "c", FakeRest(), publisher)._catch_up()
    assert Bookmark(tmp_path / "b.json", "c").read_ms() is None


def rows_of(*symbols: str) -> bytes:
    """A page that holds a settlement of each."""
    at = now_us() // 1_000
    return json.dumps([{"symbol": symbol, "fundingTime": at} for symbol in symbols]).encode()


@pytest.fixture
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries follow at once."""
    monkeypatch.setattr(history_module, "UNREADABLE_RETRY_S", 0.0)


@pytest.mark.usefixtures("_no_pauses")
async def test_a_page_that_nobody_can_read_ends_the_walk(tmp_path: Path) -> None:
    """After a few attempts; z is withheld no longer, and what settles meanwhile is fetched."""
    path, publisher = tmp_path / "b.json", FakePublisher()
    rest = FakeRest(b"<html>", b"[7]", b"<html>", rows_of("AUSDT"), rows_of("AUSDT", "BUSDT"))
    history = history_of(path, "c", rest, publisher)
    await history._catch_up()
    assert len(rest.asked) == UNREADABLE_ATTEMPTS
    channels = [channel for channel, _ in publisher.log]
    assert channels.count(UNREADABLE) == UNREADABLE_ATTEMPTS
    assert channels[0] == BACKFILL_BEGIN
    assert (BACKFILL_END, ["AUSDT", "BUSDT"]) in publisher.log
    assert Bookmark(path, "c").read_ms() is None
    assert history.complete == 0

    await history._follow()
    assert len(rest.asked) == UNREADABLE_ATTEMPTS + 1, "the walk is not begun again before long"
    assert now_us() // 1_000 - int(rest.asked[-1]["startTime"]) <= RECENT_MS + 60_000
    assert ("fundingRate", ["AUSDT"]) in publisher.log
    assert Bookmark(path, "c").read_ms() is None

    history._again_s = 0.001
    await history._follow()
    assert len(rest.asked) == UNREADABLE_ATTEMPTS + 2
    assert Bookmark(path, "c").read_ms() is not None
    assert history.complete == 2


async def test_no_settlement_at_all_is_no_complete_history(tmp_path: Path) -> None:
    """An exchange in maintenance answers an empty list: nothing is marked as fetched."""
    history = history_of(tmp_path / "b.json", "c", FakeRest(), FakePublisher())
    await history._catch_up()
    assert Bookmark(tmp_path / "b.json", "c").read_ms() is None
    assert history.complete == 0


async def test_an_odd_row_goes_to_the_dead_letters_and_the_others_on(tmp_path: Path) -> None:
    """The walk is finished, and the row is among what is published."""
    publisher = FakePublisher()
    odd = b'{"symbol":"AUSDT","fundingTime":null}'
    body = b"[" + odd + b"," + rows_of("BUSDT", "OTHER")[1:]
    await history_of(tmp_path / "b.json", "c", FakeRest(body), publisher)._catch_up()
    assert sorted(publisher.log[1][1], key=str) == ["BUSDT", None]
    assert publisher.odd == [Slice(None, odd, readable=False)]
    assert Bookmark(tmp_path / "b.json", "c").read_ms() is not None


async def test_a_restart_ends_what_was_begun(tmp_path: Path) -> None:
    """Killed between bookmark and end, or a contract delisted meanwhile: each is released."""
    path, publisher = tmp_path / "b.json", FakePublisher()
    before = Bookmark(path, "c")
    before.write_ms(now_us() // 1_000 - DAY_MS)
    before.begin(["AUSDT", "GONEUSDT"])
    await history_of(path, "c", FakeRest(), publisher)._catch_up()
    assert (BACKFILL_END, ["AUSDT", "GONEUSDT"]) in publisher.log
    assert not Bookmark(path, "c").begun


async def test_what_kafka_does_not_have_is_ended_again(tmp_path: Path) -> None:
    """The end may have been lost with the process."""
    publisher = FakePublisher()
    publisher.reachable = False
    body = rows_of("AUSDT")
    await history_of(tmp_path / "b.json", "c", FakeRest(body), publisher)._catch_up()
    assert Bookmark(tmp_path / "b.json", "c").begun == {"AUSDT", "BUSDT"}
    assert not Bookmark(tmp_path / "b.json", "other").begun


def test_a_bookmark_that_cannot_be_written_costs_no_feed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A full disk: it goes on from memory and says so."""
    (tmp_path / "file").touch()
    bookmark = Bookmark(tmp_path / "file" / "b.json", "c")
    bookmark.write_ms(7)
    bookmark.begin(["A"])
    assert bookmark.read_ms() == 7
    assert bookmark.begun == {"A"}
    assert "a restart will fetch again" in caplog.text
