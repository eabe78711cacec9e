"""Bookmarks: kept in a file that belongs to one Kafka cluster; a damaged one is no bookmark."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from producers.rest.bookmark import VERSION, Bookmark


def test_a_bookmark_is_read_back_for_the_same_cluster_only(tmp_path: Path) -> None:
    """Another Kafka cluster does not have the rows."""
    path = tmp_path / "deep" / "binance-usdm.json"
    assert Bookmark(path, "cluster-a").feed_ms is None
    Bookmark(path, "cluster-a").move_feed(1_700_000_000_123)
    assert Bookmark(path, "cluster-a").feed_ms == 1_700_000_000_123
    assert Bookmark(path, "cluster-b").feed_ms is None
    Bookmark(path, "cluster-b").move_feed(5)
    assert Bookmark(path, "cluster-a").feed_ms is None


def test_contracts_have_bookmarks_of_their_own(tmp_path: Path) -> None:
    """They are read back beside the feed's, and so is who was announced."""
    path = tmp_path / "b.json"
    bookmark = Bookmark(path, "c")
    bookmark.move_contract("A", 7)
    bookmark.move_feed(9)
    bookmark.announce(["A", "B"])
    bookmark.release(["B", "OTHER"])
    again = Bookmark(path, "c")
    assert (again.feed_ms, dict(again.contract_ms)) == (9, {"A": 7})
    assert again.announced == {"A"}


def test_a_file_of_this_version_is_read_as_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its form stays, so that an update fetches nothing again."""
    path = tmp_path / "b.json"
    stored = {
        "version": VERSION,
        "cluster_id": "c",
        "through_ms": {"": 5, "A": 6},
        "begun": ["A"],
    }
    path.write_text(json.dumps(stored), encoding="utf-8")
    bookmark = Bookmark(path, "c")
    assert (bookmark.feed_ms, dict(bookmark.contract_ms)) == (5, {"A": 6})
    assert bookmark.announced == {"A"}
    bookmark.announce([])
    assert json.loads(path.read_text(encoding="utf-8")) == stored
    assert not caplog.messages


@pytest.mark.parametrize(
    "version", [{}, {"version": 1}, {"version": VERSION + 1}, {"version": "x"}]
)
def test_a_file_of_another_version_has_nothing_published(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, version: dict[str, object]
) -> None:
    """So all history is fetched once more, and the log says why. Who was announced is still to be
    released: else the worker would wait for the history of one that is delisted by now.
    """
    path = tmp_path / "b.json"
    stored = {**version, "cluster_id": "c", "through_ms": {"": 5, "A": 6}, "begun": ["B"]}
    path.write_text(json.dumps(stored), encoding="utf-8")
    bookmark = Bookmark(path, "c")
    assert (bookmark.feed_ms, dict(bookmark.contract_ms)) == (None, {})
    assert bookmark.announced == {"B"}
    (message,) = caplog.messages
    assert "are fetched once more" in message
    bookmark.move_contract("A", 9)
    assert dict(Bookmark(path, "c").contract_ms) == {"A": 9}
    assert len(caplog.messages) == 1, "once"


def test_an_empty_file_of_an_earlier_version_is_no_news(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor is another cluster's: nothing is fetched that would not be anyway."""
    path = tmp_path / "b.json"
    for cluster, through_ms in (("c", {}), ("d", {"A": 6})):
        stored = {"cluster_id": cluster, "through_ms": through_ms, "begun": []}
        path.write_text(json.dumps(stored), encoding="utf-8")
        assert Bookmark(path, "c").contract_ms == {}
    assert not caplog.messages


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "7", '{"cluster_id":"c"}', '{"cluster_id":"c","through_ms":null}',
     '{"cluster_id":"c","through_ms":"soon"}', '{"cluster_id":"c","through_ms":{"":1},"begun":7}'],
)  # fmt: skip
def test_a_damaged_bookmark_is_no_bookmark(tmp_path: Path, text: str) -> None:
    """Fetching again is safe, failing to start is not."""
    path = tmp_path / "bookmark.json"
    path.write_text(text, encoding="utf-8")
    bookmark = Bookmark(path, "c")
    assert (bookmark.feed_ms, bookmark.contract_ms, bookmark.announced) == (None, {}, frozenset())


def test_a_bookmark_of_bytes_is_no_bookmark(tmp_path: Path) -> None:
    """Nor is a directory in its place."""
    path = tmp_path / "bookmark.json"
    path.write_bytes(b"\xff\xfe\x00")
    assert Bookmark(path, "c").feed_ms is None
    assert Bookmark(tmp_path, "c").feed_ms is None


def test_a_bookmark_that_cannot_be_written_costs_no_feed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A full disk: it goes on from memory and says so."""
    (tmp_path / "file").touch()
    bookmark = Bookmark(tmp_path / "file" / "b.json", "c")
    bookmark.move_feed(7)
    bookmark.announce(["A"])
    assert bookmark.feed_ms == 7
    assert bookmark.announced == {"A"}
    assert "a restart will fetch again" in caplog.text
