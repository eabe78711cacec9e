"""docs/faults.md names the values that each exchange has for `halt` and `bad-field`."""

from __future__ import annotations

import pytest

from infra.simulator.registry import SIMULATED
from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "faults.md"


@pytest.mark.parametrize("feed", SIMULATED)
def test_values_are_those_of_the_exchange(feed: str) -> None:
    """In their order, of which the first is taken where none is named."""
    (row,) = [
        [cell.strip() for cell in line.strip("| \n").split("|")]
        for line in PAGE.read_text(encoding="utf-8").splitlines()
        if line.startswith(f"| `{feed}` |")
    ]
    wire = SIMULATED[feed].wire
    halts = [f"`{word}`{' (goes on)' if on else ''}" for word, on in wire.halts.items()]
    fields = [f"`{name}`" for name in wire.bad_fields]
    assert row[1:] == [", ".join(halts) or "-", ", ".join(fields) or "-"]
