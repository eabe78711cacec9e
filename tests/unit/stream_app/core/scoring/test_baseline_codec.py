"""A stored baseline: what comes back, what a crash drops, what older versions wrote."""

from __future__ import annotations

from array import array

import msgspec
import pytest

from schemas.errors import StateError
from schemas.times import US_PER_HOUR
from stream_app.core.scoring import baseline_codec
from stream_app.core.scoring.baseline import Baseline
from stream_app.core.scoring.settlement import Settled
from tests.support.baselines import HOUR_US, NOTHING, filled, restored, unpacked


def test_a_stored_baseline_comes_back() -> None:
    """Entry for entry, with their offsets."""
    baseline = filled([0.1, -0.0002, 1 / 3])
    settled = baseline.settled
    assert restored(baseline, 10**9).settled == settled


def test_what_was_learnt_after_the_blocks_offset_is_dropped() -> None:
    """It will come again from the log; scores before it must not see it."""
    stored = baseline_codec.pack(filled([0.1, 0.2, 0.3, 0.4], offset=5))
    assert [s.rate for s in unpacked(stored, 6).settled] == [0.1, 0.2]
    assert len(unpacked(stored, 4)) == 0


def test_a_newer_version_is_refused() -> None:
    """An older program must not read newer state as garbage."""
    stored = msgspec.msgpack.encode([baseline_codec.VERSION + 1, [], {"what": "ever"}])
    with pytest.raises(StateError, match="newer fundingstream"):
        unpacked(stored, 1)


@pytest.mark.parametrize(
    "data", [b"", b"\xc1", b"\x93\x01", b"\x91\x01", b"\x92\x01\x91\x01", b"\x97\x02\xc4\x01a"]
)
def test_a_damaged_baseline_is_refused(data: bytes) -> None:
    """It is not taken for an empty one."""
    with pytest.raises(StateError, match="damaged"):
        unpacked(data, 1)


def test_a_crash_before_the_truth_restores_the_derived_one() -> None:
    """The record that replaced it comes again; until then z must see what it saw."""
    baseline = Baseline()
    baseline.add(HOUR_US, 0.1, 1.0, NOTHING, 5, "derived")
    baseline.add(HOUR_US, 0.2, 1.0, NOTHING, 7, "history")
    stored = baseline_codec.pack(baseline)
    assert unpacked(stored, 6).settled == [Settled(HOUR_US, 0.1, 1.0, 5, "derived")]
    assert unpacked(stored, 7).settled == [Settled(HOUR_US, 0.2, 1.0, 7)]
    assert unpacked(stored, 4).settled == []


def test_state_of_version_1_is_read() -> None:
    """Rows instead of columns, all of them from history, and their intervals were inferred."""
    rows = [(HOUR_US - US_PER_HOUR, 0.1, 8.0, 3), (HOUR_US, -0.2, 1.0, 4)]
    stored = msgspec.msgpack.encode([1, rows])
    baseline, outdated = baseline_codec.unpack(stored, 9)
    assert outdated
    assert baseline.settled == [Settled(*row, "history", "observed") for row in rows]
    assert unpacked(stored, 3).settled == [Settled(*rows[0], "history", "observed")]


def test_state_of_version_2_is_read_and_judged_anew() -> None:
    """A row that was missing had doubled an interval; another one had the interval of a guess."""
    hours = (0, 8, 24, 32)
    columns = [
        array("q", [HOUR_US + h * US_PER_HOUR for h in hours]).tobytes(),
        array("d", [0.0001] * 4).tobytes(),
        array("d", [8.0, 8.0, 16.0, 4.0]).tobytes(),
        array("q", [1, 2, 3, 4]).tobytes(),
        array("b", [64, 64, 64, 1]).tobytes(),
    ]
    baseline, outdated = baseline_codec.unpack(msgspec.msgpack.encode([2, *columns, []]), 9)
    assert outdated
    assert [s.interval_hours for s in baseline.settled] == [8.0, 8.0, 16.0, 4.0]
    assert len(baseline.revise(NOTHING, 0, 9)) == 2
    assert [s.interval for s in baseline.settled] == [(8.0, "observed", False)] * 4
    assert baseline_codec.unpack(baseline_codec.pack(baseline), 9)[1] is False
