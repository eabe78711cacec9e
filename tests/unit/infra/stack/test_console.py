"""What `up` prints: simulated or live, what to paste, and which feeds bring nothing and why."""

from __future__ import annotations

import shlex
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.stack import console
from infra.stack.parts import Ports, StackOptions
from infra.stack.up import needed_exports

OPTIONS = StackOptions(data_dir=Path("/data"), contracts=60, feeds=("kucoin", "backpack"), seed=3)
SUMMARY: dict[str, Any] = {
    "contracts": 1_874,
    "updates": 5,
    "records_behind": 1_245,
    "delay_p50_s": 0.01,
    "delay_p99_s": 0.0427,
    "ready": True,
    "why": [],
    "baselines": {"loaded": 1_874, "expected": 1_874},
    "feeds": [{"feed": "kucoin", "state": "live", "detail": ""}],
    "top": [
        {"contract_id": "kucoin:XBTUSDTM", "z": 2.31},
        {"contract_id": "hyperliquid:xyz:NVDA", "z": -2.0},
    ],
}


def welcome(**changes: Any) -> str:
    """The text after the start of the options above."""
    given: dict[str, Any] = {"script": ".venv/bin/fundingstream", "exports": {}}
    given |= {"begins_anew": True} | changes
    return console.welcome(given.pop("options", OPTIONS), 14.5, Path("/data/log"), **given)


def test_the_first_line_says_whether_the_market_is_real() -> None:
    """With what makes a simulated one, and how to get the other."""
    simulated = console.market(OPTIONS)
    assert simulated.startswith("SIMULATED market")
    assert all(
        part in simulated for part in ("60 contracts", "kucoin, backpack", "seed 3", "--live")
    )
    assert console.market(replace(OPTIONS, live=True)).startswith("LIVE market")


def test_the_welcome_says_what_comes_next() -> None:
    """A simulated market warms up in seconds, the real one within the exchanges' limits."""
    assert console.simulated_warm_up(OPTIONS.contracts) in welcome()
    assert "about 90 s" in console.simulated_warm_up(1_500)
    assert "about 310 s" in console.simulated_warm_up(7_000)
    live = welcome(options=replace(OPTIONS, live=True))
    assert "of hyperliquid about 45" in live
    assert "at the first start" in live
    assert "begins anew" in welcome()
    assert "begins anew" not in welcome(begins_anew=False)


def test_the_lines_to_paste_are_what_a_shell_takes(tmp_path: Path) -> None:
    """With the script as it was called, and the variables that other ports need."""
    script = tmp_path / "my venv" / "fundingstream"
    script.parent.mkdir()
    script.write_text('#!/bin/sh\necho "$FUNDING_REGISTRY_URL"; printf "%s\\n" "$@"\n')
    script.chmod(0o755)
    text = welcome(script=str(script), exports={"FUNDING_REGISTRY_URL": "http://127.0.0.1:1"})
    lines = [line.strip() for line in text.splitlines()]
    start = lines.index("to paste into another terminal, in this directory:") + 1
    paste = lines[start : start + 3]
    assert paste[0] == "export FUNDING_REGISTRY_URL=http://127.0.0.1:1"
    done = subprocess.run(
        ["/bin/sh", "-ec", "\n".join(paste)], capture_output=True, text=True, check=True
    )
    said = done.stdout.splitlines()
    assert said == [
        *("http://127.0.0.1:1", "sql", console.SQL_TO_PASTE),
        *("http://127.0.0.1:1", "tail", "zscores", "--count", "5"),
    ]
    assert shlex.split(paste[2])[0] == str(script)


def test_only_what_a_tool_would_not_find_is_exported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing with the ports that are the settings' defaults, or that the environment has."""
    for name in ("KAFKA_BOOTSTRAP", "REGISTRY_URL", "CLICKHOUSE_URL"):
        monkeypatch.delenv(f"FUNDING_{name}", raising=False)
    assert needed_exports(OPTIONS) == {}
    other = replace(OPTIONS, ports=Ports(kafka=1_092, clickhouse=1_123, web=1_066))
    assert needed_exports(other) == {
        "FUNDING_KAFKA_BOOTSTRAP": "127.0.0.1:1092",
        "FUNDING_CLICKHOUSE_URL": "http://127.0.0.1:1123",
    }
    monkeypatch.setenv("FUNDING_KAFKA_BOOTSTRAP", "127.0.0.1:1092")
    assert list(needed_exports(other)) == ["FUNDING_CLICKHOUSE_URL"]


def test_a_healthy_summary_is_one_line() -> None:
    """Contracts have their feed before them."""
    assert console.summary_lines(SUMMARY, 1_027.4) == (
        "    1,027 updates/s  1,874 contracts  p99 43 ms  lag 1,245  "
        "|z|: kucoin:XBTUSDTM +2.31  hyperliquid:xyz:NVDA -2.00"
    )


def test_a_market_that_warms_up_says_how_far_it_is() -> None:
    """In baselines."""
    warming = SUMMARY | {"baselines": {"loaded": 812, "expected": 1_874}}
    assert "  warming up, 812 of 1,874 baselines  " in console.summary_lines(warming, 1)


def test_before_anything_has_come_the_line_says_what_it_waits_for() -> None:
    """Also where no feed has said why."""
    empty = {"contracts": 0, "updates": 0, "ready": False, "top": [], "records_behind": None}
    why = ["binance-usdm: connecting for 5 s"]
    assert console.summary_lines(empty | {"why": why}, 0) == (
        "  waiting for data: binance-usdm: connecting for 5 s"
    )
    assert console.summary_lines(empty, 0).startswith("  waiting for data: ")


def test_feeds_that_are_not_live_are_told_with_their_reasons() -> None:
    """Those that make it unready first, each once; others have the state that they are in."""
    feeds = [
        {"feed": "kucoin", "state": "down", "detail": "never said twice"},
        {"feed": "backpack", "state": "fallback", "detail": "socket main:\nclosed\x1b[2J"},
        {"feed": "hyperliquid", "state": None, "detail": ""},
    ]
    hurt = SUMMARY | {"ready": False, "why": ["kucoin: down for 12 s: no route"], "feeds": feeds}
    figures, told = console.summary_lines(hurt, 1).splitlines()
    assert "1,874 contracts" in figures
    assert told == (
        "  waiting for data: kucoin: down for 12 s: no route; "
        r"backpack: fallback (socket main: closed\x1b[2J)"
    )
    assert "  not live: backpack: fallback" in console.summary_lines(
        SUMMARY | {"feeds": feeds[1:]}, 1
    )


@given(st.lists(st.text(max_size=2_000), max_size=40), st.booleans())
def test_reasons_are_bounded(why: list[str], ready: bool) -> None:  # noqa: FBT001
    """Whatever an exchange says: two lines, of a length that a terminal holds."""
    lines = console.summary_lines(SUMMARY | {"ready": ready, "why": why}, 1).split("\n")
    assert len(lines) <= 2
    assert all(len(line) < 1_200 for line in lines)


def test_a_worker_that_starts_leaves_keys_out() -> None:
    """Nothing is made up for them."""
    assert console.summary_lines({"updates": 0}, 0) == (
        "        0 updates/s  0 contracts  p99 –  lag 0"
    )
