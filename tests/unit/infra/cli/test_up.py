"""`fundingstream up`: what its options make of a stack, without starting one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from infra.cli.main import cli
from infra.stack.parts import StackOptions
from schemas.feeds import FEEDS, limits_groups


@pytest.mark.parametrize(
    ("arguments", "producers"),
    [
        ([], 1),
        (["--producers", "3"], 3),
        (["--all"], 3),
        (["--feed", "kucoin", "--producers", "2"], 1),
        (["--feed", "binance-usdm", "--feed", "binance-coinm", "--producers", "2"], 1),
        (["--producers", str(len(FEEDS))], len(limits_groups(FEEDS))),
    ],
)
def test_no_more_producers_are_started_than_can_share_the_feeds(
    arguments: list[str], producers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One without a feed would end at once; feeds with common limits are in one process."""
    found: list[StackOptions] = []

    def run_up(options: StackOptions, *_: Any, **__: Any) -> None:
        found.append(options)

    monkeypatch.setattr("infra.stack.up.run_up", run_up)
    result = CliRunner().invoke(cli, ["up", "--data-dir", str(tmp_path), *arguments])
    assert result.exit_code == 0, result.output
    assert [options.producers for options in found] == [producers]
