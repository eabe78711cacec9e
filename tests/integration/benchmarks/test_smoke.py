"""The benchmarks' smallest runs on a real Kafka: that they run, and count what there is to count.

They run at the same time, because each mostly waits; so their figures mean nothing.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import pytest_asyncio

from benchmarks.__main__ import figures_of, parser_of
from benchmarks.platform import BARE_JOB, BARE_LOOP, NAIVE_FAUST, OURS

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(400),
    pytest.mark.asyncio(loop_scope="module"),
]

RUNS = {
    "throughput": ("--quick", "--sizes", "63"),
    "latency": ("--quick", "--alone", "--seconds", "3"),
    "stages": ("--quick", "--sizes", "63"),
    "scale": ("--quick",),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ended() -> dict[str, dict[str, Any] | BaseException]:
    """What came of each; one that failed does not end the others."""
    runs = [figures_of(name, parser_of(name).parse_args(given)) for name, given in RUNS.items()]
    found = await asyncio.gather(*runs, return_exceptions=True)
    return dict(zip(RUNS, found, strict=True))


def figures(ended: dict[str, dict[str, Any] | BaseException], name: str) -> dict[str, Any]:
    """The figures of a run, or why it failed."""
    found = ended[name]
    if isinstance(found, BaseException):
        raise found
    return found


async def test_every_program_works_off_the_backlog(ended: dict[str, Any]) -> None:
    """Ours and the rivals that need no environment of their own."""
    runs = figures(ended, "throughput")["sizes"]["63"]
    assert {OURS, NAIVE_FAUST.label, BARE_JOB.label} <= set(runs)
    for label, (run,) in runs.items():
        assert run["updates"] > 0, f"{label} has done nothing"
        assert run["cpu_us"] > 0


async def test_z_scores_arrive_and_so_does_what_the_loop_forwards(ended: dict[str, Any]) -> None:
    """At each load; the loop on all of the records that led to z-scores."""
    loads = figures(ended, "latency")["loads"]
    for load in ("1,900/s", "20,000/s", "hour"):
        (run,) = loads[load]
        ours, loop = run["programs"][OURS], run["programs"][BARE_LOOP.label]
        assert ours["n"] > 0
        assert loop["same_records"]["n"] == ours["n"]
        assert min(ours["p50"], loop["p50"]) > 0
    assert loads["hour"][0]["just after"]["n"] > 0


async def test_a_profile_has_the_stages_that_every_update_passes(ended: dict[str, Any]) -> None:
    """Decoded, applied by the core, encoded."""
    stages = figures(ended, "stages")["loads"]["63 a record"]["stages"]
    assert {"decoding Avro", "encoding Avro"} <= set(stages)
    assert any(stage.startswith("core: ") for stage in stages)


async def test_every_update_of_every_contract_is_accepted(ended: dict[str, Any]) -> None:
    """The benchmark itself refuses to give figures where it is not so."""
    for number, found in figures(ended, "scale")["contracts"].items():
        assert found["updates"] % int(number) == 0
        assert found["thread_us"] > 0
