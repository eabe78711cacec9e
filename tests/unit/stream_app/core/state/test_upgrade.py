"""State that the version before intervals by evidence has stored, and the numbers after an upgrade.

The file holds blocks and baselines as that version packed them, of three contracts: Binance with a
settlement missing and a special one that was taken for the regular one, KuCoin with a settlement
clock that has moved, Backpack with a market of 8 h that was taken for hourly.
"""

from __future__ import annotations

import json
from base64 import b64decode
from pathlib import Path

import pytest

from stream_app.core.partition import FeedPartition
from stream_app.normalise import normaliser
from tests.support.partitions import of
from tests.support.venue_messages import VENUES, Backpack, Binance, Kucoin, Venue, us

STORED = json.loads(
    (Path(__file__).parent / "stored" / "before_interval_evidence.json").read_text(encoding="utf-8")
)


def upgraded(venue: type[Venue]) -> Venue:
    """A venue whose worker has found the stored state."""
    feed = venue()
    stored = STORED[feed.feed]
    baselines = {key: b64decode(value) for key, value in stored["baselines"].items()}
    blocks = [b64decode(block) for block in stored["blocks"]]
    feed.partition = FeedPartition(feed.feed, 0, normaliser(feed.feed), blocks, baselines.get)
    feed.offset = stored["offset"]
    return feed


def test_a_hole_and_a_special_settlement() -> None:
    """The next message publishes the row after the hole; the history, fetched anew, the special."""
    feed = upgraded(Binance)
    assert isinstance(feed, Binance)
    after_hole, with_special = us("00:00", -4) + 8 * 3_600_000_000, us("16:00", -2)
    feed.frame("0.0001", us("08:00"), us("01:00:01"))
    assert list(feed.settlements()) == [(after_hole, "regular")]
    assert feed.regular(after_hole)[:2] == (8.0, feed.settlements()[after_hole, "regular"]["rate"])
    assert feed.audits("settlement_corrected") == ["settlement_corrected"]
    feed.settled("0.00009", with_special, us("01:10"), rateType="Regular")
    feed.settled("-0.0031", with_special + 8_000, us("01:10"), rateType="Special")
    found = feed.settlements()
    assert found[with_special, "regular"]["rate"] == 0.00009
    assert found[with_special, "special"]["rate"] == -0.0031
    feed.frame("0.00012", us("08:00"), us("01:11"))
    score = feed.newest("zscores")
    assert score["samples"] == 30
    assert score["mean"] == pytest.approx((0.00009 + 0.00011) / 2, rel=1e-12)


def test_a_moved_clock() -> None:
    """The 4 h that had been inferred become 8 h, and a constant rate has no z."""
    feed = upgraded(Kucoin)
    feed.estimate("0.0002", 8, us("16:00"), us("09:30"))
    assert feed.regular(us("00:00"))[:2] == (8.0, 0.00012)
    score = feed.newest("zscores")
    assert (score["std"], score["z"], score["samples"]) == (0.0, None, 32)


def test_an_interval_that_was_a_constant() -> None:
    """Backpack's market of 8 h: every settlement, the estimate, and z by the right scale."""
    feed = upgraded(Backpack)
    feed.estimate("0.00014", 8, us("08:00"), us("01:00:01"))
    assert {row["interval_hours"] for row in feed.settlements().values()} == {8.0}
    assert len(feed.settlements()) == 16
    rate, score = feed.newest("rates"), feed.newest("zscores")
    assert (rate["interval_hours"], rate["rate_8h"]) == (8.0, 0.00014)
    assert score["mean"] == pytest.approx(0.00012, rel=1e-12)
    assert score["z"] == pytest.approx(2e-5 / 1.0327955589886444e-05, rel=1e-9)


@pytest.mark.parametrize("feed", STORED)
def test_corrections_are_published_once_and_survive_a_restart(feed: str) -> None:
    """What was corrected is stored with the rest."""
    venue = upgraded(VENUES[feed])
    venue.list_contract(us("01:01"))
    corrected = len(of(venue.outputs, "settlements"))
    assert corrected > 0
    store = venue.partition.store
    store.mark_applied(venue.offset - 1)
    blocks, baselines = store.take_dirty()
    restarted = FeedPartition(
        feed, 0, normaliser(feed), [block for _, block in blocks], dict(baselines).get
    )
    (before,), (after,) = store.entries.values(), restarted.store.entries.values()
    assert after.baseline.settled == before.baseline.settled
    assert after.corrections == []
    venue.list_contract(us("01:02"))
    assert len(of(venue.outputs, "settlements")) == corrected
