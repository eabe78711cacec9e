"""The frames of /live: whoever applies a snapshot and the deltas after it has the Fleet."""

from __future__ import annotations

import json
import zlib
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.web.fleet import Fleet
from stream_app.web.live.frames import FrameMaker
from tests.support.fleet_records import (
    FEED,
    NOW_US,
    alert,
    contract_facts,
    feed_status,
    notification,
    worker_status,
    zscore,
)

STATUS = {"market": "simulated"}
EPOCH = "9f3a"


def opened(frame: bytes) -> dict[str, Any]:
    """A frame as a page reads it."""
    found: dict[str, Any] = json.loads(zlib.decompress(frame, -15))
    return found


class Reader:
    """What a page makes of frames: contracts by number, the rest by name."""

    def __init__(self) -> None:
        self.rows: dict[int, dict[str, Any]] = {}
        self.feeds: dict[str, Any] = {}
        self.alerts: dict[str, Any] = {}
        self.sequence = -1

    def apply(self, data: bytes) -> dict[str, Any]:
        """Apply a frame."""
        frame = opened(data)
        if frame["type"] == "snapshot":
            self.rows, self.feeds, self.alerts = {}, {}, {}
        else:
            assert frame["seq"] == self.sequence + 1
        self.sequence = frame["seq"]
        for section in ("contracts", "facts", "values", "ticks"):
            columns = dict(frame.get(section, {"index": []}))
            for at, number in enumerate(columns.pop("index")):
                row = self.rows.setdefault(number, {})
                row.update({name: values[at] for name, values in columns.items()})
        for number in frame.get("removed", ()):
            self.rows.pop(number, None)
        self.feeds.update({feed["feed"]: feed for feed in frame.get("feeds", ())})
        self.alerts.update({each["alert_id"]: each for each in frame.get("alerts", ())})
        return frame


def maker(fleet: Fleet) -> FrameMaker:
    """Frames of a Fleet."""
    return FrameMaker(fleet, lambda _now_us: STATUS, EPOCH)


def test_a_snapshot_holds_everything() -> None:
    """Numbers as numbers; ages relative to the time of the frame."""
    fleet = Fleet()
    fleet.take_contract(b"", contract_facts())
    fleet.take_zscore(zscore(z=-2.123456789, robust_z=None), NOW_US - 400_400)
    fleet.take_feed(b"", feed_status())
    fleet.take_alert(alert())
    fleet.take_worker(b"", worker_status())
    fleet.take_notification(notification())
    frame = opened(maker(fleet).snapshot(NOW_US))
    assert (frame["type"], frame["epoch"], frame["seq"]) == ("snapshot", EPOCH, 0)
    assert frame["sent_at"] == NOW_US
    assert frame["contracts"] == {
        "index": [0],
        "contract_id": [f"{FEED}:BTCUSDT"],
        "feed": [FEED],
        "symbol": ["BTCUSDT"],
        "base": ["BTC"],
        "quote": ["USDT"],
        "currency": ["USD"],
        "multiplier": [1.0],
    }
    assert frame["values"] == {
        "index": [0],
        "rate": [0.0001],
        "z": [-2.123457],
        "robust_z": [None],
        "percentile": [0.9],
        "mark_price": [97_412.5],
        "event_age_ms": [1_000],
        "published_age_ms": [400],
    }
    assert frame["facts"]["interval_doubtful"] == [0]
    assert (frame["facts"]["turnover_24h"], frame["facts"]["open_interest"]) == ([1e6], [3e5])
    assert frame["facts"]["confidence"] == ["high"]
    assert frame["feeds"][0]["stale_s"] > 0
    assert frame["feeds"][0]["limit_used"] == 0.125
    assert frame["alerts"] == [alert()]
    assert frame["workers"] == [worker_status()]
    (message,) = frame["notifications"]
    assert (message["target"], message["outcome"], "group" in message) == ("desk", "sent", False)
    assert frame["status"] == STATUS


def test_a_delta_holds_what_has_changed() -> None:
    """A renewed rate is a tick, another rate a value, another interval a fact."""
    fleet = Fleet()
    frames = maker(fleet)
    fleet.take_zscore(zscore(), NOW_US)
    first = opened(frames.delta(NOW_US))
    assert {"contracts", "facts", "values", "status"} <= set(first)
    fleet.take_zscore(zscore(event_time=NOW_US, mark_price=None), NOW_US)
    tick = opened(frames.delta(NOW_US))
    assert set(tick) == {"type", "seq", "sent_at", "ticks"}
    assert tick["ticks"]["mark_price"] == [None]
    fleet.take_zscore(zscore(event_time=NOW_US + 1, rate=0.0002), NOW_US)
    fleet.take_notification(notification())
    value = opened(frames.delta(NOW_US))
    assert set(value) == {"type", "seq", "sent_at", "values", "notifications"}
    fleet.take_zscore(zscore(event_time=NOW_US + 2, rate=0.0002, interval_hours=4.0), NOW_US)
    fact = opened(frames.delta(NOW_US))
    assert set(fact) == {"type", "seq", "sent_at", "facts", "ticks"}
    nothing = opened(frames.delta(NOW_US))
    assert nothing == {"type": "delta", "seq": 5, "sent_at": NOW_US}


def test_a_removed_contract_that_comes_back_is_new() -> None:
    """With all that it was told of before."""
    fleet = Fleet()
    frames = maker(fleet)
    fleet.take_zscore(zscore(), NOW_US)
    frames.delta(NOW_US)
    fleet.remove(f"{FEED}:BTCUSDT")
    assert opened(frames.delta(NOW_US))["removed"] == [0]
    fleet.take_zscore(zscore(), NOW_US)
    again = opened(frames.delta(NOW_US))
    assert again["contracts"]["index"] == again["facts"]["index"] == again["values"]["index"] == [1]


def test_a_feed_and_a_worker_that_are_gone_are_told() -> None:
    """A feed by its name, a worker by not being among them."""
    fleet = Fleet()
    frames = maker(fleet)
    fleet.take_feed(b"", feed_status())
    fleet.take_worker(b"", worker_status())
    frames.delta(NOW_US)
    fleet.take_feed(FEED.encode(), None)
    fleet.take_worker(b"one", None)
    frame = opened(frames.delta(NOW_US))
    assert (frame["feeds"], frame["feeds_gone"], frame["workers"]) == ([], [FEED], [])


EVENTS = st.lists(
    st.one_of(
        st.tuples(
            st.just("rate"), st.sampled_from("ABCD"), st.integers(0, 3), st.sampled_from([1.0, 8.0])
        ),
        st.tuples(st.just("remove"), st.sampled_from("ABCD"), st.just(0), st.just(8.0)),
        st.tuples(st.just("frame"), st.just(""), st.just(0), st.just(8.0)),
        st.tuples(st.just("snapshot"), st.just(""), st.just(0), st.just(8.0)),
        st.tuples(st.just("feed"), st.sampled_from(["live", "down"]), st.just(0), st.just(8.0)),
    ),
    max_size=60,
)


@settings(max_examples=60)
@given(EVENTS)
def test_whoever_applies_the_frames_has_the_fleet(
    events: list[tuple[str, str, int, float]],
) -> None:
    """Whatever happened between them, and wherever a snapshot came in."""
    fleet, page = Fleet(), Reader()
    frames = maker(fleet)
    page.apply(frames.snapshot(NOW_US))
    for at, (what, name, number, hours) in enumerate(events):
        if what == "rate":
            record = zscore(
                f"{name}USDT", rate=number / 1e4, interval_hours=hours, event_time=NOW_US + at
            )
            fleet.take_zscore(record, NOW_US)
        elif what == "remove":
            fleet.remove(f"{FEED}:{name}USDT")
        elif what == "feed":
            fleet.take_feed(b"", feed_status(state=name, reported_at=NOW_US + at))
        elif what == "snapshot":
            page.apply(frames.snapshot(NOW_US))
        else:
            page.apply(frames.delta(NOW_US))
    page.apply(frames.delta(NOW_US))
    expected = Reader()
    expected.apply(frames.snapshot(NOW_US))
    assert page.rows == expected.rows
    assert page.feeds == expected.feeds
    assert len(page.rows) == len(fleet.contracts)
