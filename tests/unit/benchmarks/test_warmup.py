"""The verdict of `python -m benchmarks warmup`."""

from __future__ import annotations

import pytest

from benchmarks.warmup import LATE_S, LOADED_WITHIN_S, Row, text, verdict


def row(until_s: float, p99_ms: float | None, loaded: int) -> Row:
    """A span of ten seconds of a stack with 70 contracts."""
    return Row(until_s, p99_ms, p99_ms, 0, 0, loaded, 70, {"worker": 0.31})


@pytest.mark.parametrize(
    ("rows", "missed"),
    [
        ([row(10, 120, 20), row(LOADED_WITHIN_S, 230, 70)], []),
        ([row(10, LATE_S * 1_000 + 1, 70)], ["The live p99 was 501 ms, not below 500 ms."]),
        ([row(10, 120, 20), row(110, 120, 70)], ["All baselines took 110 s, not 90 s."]),
        ([row(10, 120, 20)], ["20 of 70 baselines were loaded at the end."]),
        ([row(10, None, 70)], ["The worker reported no live record."]),
    ],
)
def test_it_names_what_was_missed(rows: list[Row], missed: list[str]) -> None:
    """Late live records, late baselines, or nothing at all."""
    assert verdict(rows) == missed


def test_the_table_has_a_row_a_span() -> None:
    """A span without live records has a dash."""
    lines = text([row(10, 123.4, 7), row(20, None, 70)]).splitlines()
    assert lines[2] == "| 10 | 123 | 123 | 0 | 0 | 7/70 | 0.31 |"
    assert lines[3] == "| 20 | - | - | 0 | 0 | 70/70 | 0.31 |"
