"""Where a worker's time goes: how a stack leads to a stage, and samples to µs an update."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from benchmarks.profile_stages import (
    FAUST,
    FETCHER,
    OTHER_THREADS,
    OWN,
    WHOLE,
    own_stage,
    placed,
    thread_stage,
    walk,
)
from benchmarks.speed import Followed, Sample
from benchmarks.stages import Line, by_stage, text
from schemas.errors import UnavailableError
from tests.support.paths import ROOT


def test_a_function_has_the_stage_of_its_file() -> None:
    """The core's stages are its modules; what belongs to no stage counts to its caller."""
    assert own_stage("stream_app/core/scoring/zones.py:trigger_of") == "core: scoring/zones"
    assert own_stage("stream_app/normalise/numbers.py:number") == "reading the exchange's JSON"
    assert own_stage("schemas/serde/codec.py:Decoder.decode") == "decoding Avro"
    assert own_stage("schemas/serde/codec.py:Encoder.encode") == "encoding Avro"
    assert own_stage("schemas/rates.py:apr") is None


def test_functions_of_other_packages_have_no_place() -> None:
    """Also those that lie in a virtual environment below the repository."""
    assert placed(str(ROOT / "schemas" / "rates.py"), "apr") == "schemas/rates.py:apr"
    assert placed(str(ROOT / ".venv/lib/site-packages/faust/app.py"), "f") is None
    assert placed("/usr/lib/python3/json.py", "loads") is None


def test_every_rule_names_something_that_exists() -> None:
    """After a move of modules their time would silently count to others."""
    missing = [
        prefix
        for prefix, _ in (*WHOLE, *OWN)
        if not any(ROOT.glob(prefix.partition(":")[0].rstrip("/") + "*"))
    ]
    assert missing == []


def test_a_stack_without_any_function_of_ours_is_the_event_loop() -> None:
    """This test's own functions are no stage."""
    assert walk(None) == FAUST
    assert walk(sys._getframe()) == FAUST


def test_threads_are_told_apart_by_their_names() -> None:
    """The fetcher's from all others."""
    assert thread_stage("raw-fetcher_0") == FETCHER
    assert thread_stage("follows funding.feeds") == OTHER_THREADS


FOLLOWED = Followed(
    [Sample(10.0, 0, 0.0), Sample(11.0, 1_000, 0.0), Sample(12.0, 3_000, 0.0)], complete=True
)


def test_time_is_divided_by_the_updates_between_the_lines() -> None:
    """Lines before the first output and after the last do not count."""
    lines = [
        Line(9.0, {"a": 0.0}),
        Line(10.5, {"a": 1.0}),
        Line(11.5, {"a": 1.003, "b": 0.0015}),
        Line(13.0, {"a": 7.0}),
    ]
    assert by_stage(lines, FOLLOWED) == {
        "updates": 1_500,
        "updates_s": 1_500,
        "stages": {"a": 2.0, "b": 1.0},
    }


def test_a_worker_that_is_too_quick_is_an_error() -> None:
    """Nothing can be said of it."""
    with pytest.raises(UnavailableError, match="done before its time could be measured"):
        by_stage([Line(10.5, {"a": 1.0})], FOLLOWED)


def test_small_stages_are_added_up_and_the_core_comes_last() -> None:
    """The sums stay what they are."""
    stages = {"encode": 4.0, "core: bars": 5.0, "core: zones": 0.05, "x": 0.04, "y": 0.03}
    lines = text({"loads": {"63 a record": {"updates_s": 9_000, "stages": stages}}}).splitlines()
    assert lines[2:] == [
        "| encode | 4.00 |",
        "| everything else | 0.07 |",
        "| core: bars | 5.00 |",
        "| core: everything else | 0.05 |",
        "| **all** | **9.12** |",
        "| updates/s | 9,000 |",
    ]


def test_the_profile_is_read_as_it_is_written(tmp_path: Path) -> None:
    """A process with the profile on notes its own time, for a function of ours."""
    path = tmp_path / "profile.ndjson"
    program = (
        "import sys, time\n"
        "from benchmarks.profiled import Profile\n"
        "from stream_app.core.scoring.statistics import quantile\n"
        "Profile(open(sys.argv[1], 'w')).start()\n"
        "values, ends = sorted(range(1000)), time.process_time() + 1.0\n"
        "while time.process_time() < ends:\n"
        "    for _ in range(1000):\n"
        "        quantile(values, 0.5)\n"
    )
    subprocess.run([sys.executable, "-c", program, path], check=True, cwd=ROOT, timeout=60)
    lines = [msgspec.json.decode(line, type=Line) for line in path.read_bytes().splitlines()]
    used = lines[-1].cpu_s
    assert "core: scoring/statistics" in used
    assert sum(used.values()) > 0.5
