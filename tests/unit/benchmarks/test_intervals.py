"""The measure of inferred intervals counts against the truth."""

from __future__ import annotations

import json

import pytest

from benchmarks import intervals


def test_what_is_stated_or_listed_is_never_wrong() -> None:
    """By spacing alone, few are; the histories have what makes it hard."""
    stated, listed, spacing = intervals.measure(60, seed=7)
    assert (stated.wrong, listed.wrong) == (0, 0)
    assert stated.doubtful == 0
    assert spacing.settlements == stated.settlements > 10_000
    assert 0 < spacing.wrong + spacing.doubtful < spacing.settlements // 1_000


def test_the_command_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    """For scripts."""
    assert intervals.main(["--histories", "3", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [each["evidence"] for each in printed] == list(intervals.EVIDENCE)
