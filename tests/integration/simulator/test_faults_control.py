"""Fault control over HTTP: its state, its refusals, posted schedules, the record of faults."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.simulator_clients import reader, simulated
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration


async def test_too_much_behind_a_delay_ends_the_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is queued stays bounded."""
    monkeypatch.setattr("infra.simulator.server.connection.MAX_QUEUED_FRAMES", 20)
    async with simulated(tmp_path, "backpack") as to, reader("backpack", to) as ws:
        await ws.more(1)
        await to.control("delay", delay_s=60)
        assert await ws.closed() == 1006


async def test_the_state_of_control(tmp_path: Path) -> None:
    """What runs, for how long still, and what there is."""
    async with simulated(tmp_path, "backpack") as to:
        await to.control("slow-rest", delay_s=0, seconds=50)
        await to.control("drop", feed="backpack", p=0.25)
        await to.control("drop", feed="backpack", p=0.25)
        async with to.http.get(f"http://127.0.0.1:{to.server.port}/control") as reply:
            state = await reply.json()
        slow, drop = state["faults"]
        assert (slow["kind"], slow["feed"], slow["parameters"]) == (
            "slow-rest", None, {"delay_s": 0},
        )  # fmt: skip
        assert 0 < slow["seconds_left"] <= 50
        assert (drop["seconds_left"], drop["parameters"]) == (None, {"p": 0.25, "seed": 1})
        assert "probability" in state["kinds"]["drop"]["p"]
        await to.control("resume", id=drop["id"])
        assert to.server.faults.names() == ["slow-rest:*"]


@pytest.mark.parametrize(
    ("action", "body", "says"),
    [
        ("drop", {"p": 2}, "p of drop must be a probability from 0 to 1"),
        ("drop", {"chance": 1}, "drop has no 'chance'"),
        ("silence", {"symbols": ["A"], "share": 0.5}, "not both"),
        ("silence", {"connection": 0}, "no open socket"),
        ("delay", {}, "delay needs delay_s"),
        ("resume", {"feed": "nosuch"}, "unknown feed"),
        ("interval-change", {"symbol": "X", "interval_hours": 4}, "needs a feed"),
        ("interval-change", {"feed": "backpack", "symbol": "X", "interval_hours": 4}, "no listed"),
        ("bad-units", {"field": "rate", "unit": "h"}, "unit of bad-units"),
        ("schedule", [{"at_s": 1, "kind": "drop"}, {"at_s": -1, "kind": "drop"}], "entry 2: at_s"),
        ("schedule", {}, "JSON list"),
        ("close", [], "JSON object"),
    ],
)
async def test_wrong_arguments(tmp_path: Path, action: str, body: Any, says: str) -> None:
    """400, with a sentence that helps."""
    async with simulated(tmp_path, "backpack") as to:
        status, reply = await to.asked(action, body)
        assert status == 400
        assert says in reply["error"]
        assert to.truth("faults") == []


async def test_a_posted_schedule(tmp_path: Path) -> None:
    """Begins in its order; a thing that cannot be done is recorded, and stops nothing."""
    plan = [
        {"at_s": 0.3, "kind": "resume"},
        {"at_s": 0.2, "kind": "delist", "feed": "backpack", "symbol": "NOSUCH"},
        {"at_s": 0, "kind": "silence", "feed": "backpack"},
        {"at_s": 0.1, "kind": "close", "code": 4000},
    ]
    async with simulated(tmp_path, "backpack") as to, reader("backpack", to) as ws:
        await ws.more(1)
        assert await to.asked("schedule", plan) == (200, {"scheduled": 4})
        assert await ws.closed() == 4000
        await eventually(lambda: len(to.truth("faults")) == 4)
        lines = to.truth("faults")
        assert [line["kind"] for line in lines] == ["silence", "close", "delist", "silence"]
        assert "NOSUCH" in lines[2]["error"]
        assert lines[0]["id"] == lines[3]["id"] != lines[1]["id"]
        assert to.server.faults.scheduled == 0


async def test_faults_that_never_ended_end_with_the_simulator(tmp_path: Path) -> None:
    """So that each begin in the truth has its end, and a frozen socket holds nothing up."""
    async with simulated(tmp_path, "backpack") as to, reader("backpack", to) as ws:
        await ws.more(1)
        await to.control("half-open")
        async with asyncio.timeout(3):
            await to.server.stop()
    path = tmp_path / "truth" / "faults.ndjson"
    begun, ended = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    assert (begun["ended_at"], ended["id"]) == (None, begun["id"])
    assert ended["ended_at"] >= ended["began_at"]
