"""Two workers of a group that are disturbed: nothing is lost, nothing is different.

The small tier of `python -m benchmarks disturbances`, which has further kinds, and tells how long
partitions are silent.
"""

from __future__ import annotations

import click
import pytest

from benchmarks import disturbances
from benchmarks.disturbances import HEADER, Plan, measure

KINDS = ["kill", "freeze", "rolling"]


@pytest.mark.integration
@pytest.mark.timeout(600)
async def test_whatever_happens_to_a_worker_changes_no_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every published record equals one of a worker that nobody disturbed, and the reverse."""
    monkeypatch.setattr(disturbances, "FROZEN_S", 8.0)
    found = await measure(Plan(2, KINDS, times=1, contracts_each=5, seed=3))
    click.echo("\n".join([HEADER, *(each.line() for each in found)]))
    assert [line for each in found for line in each.ended] == []
    assert [example for each in found for example in each.examples] == []
    assert sum(each.lost + each.different for each in found) == 0
    assert [each.times for each in found] == [1] * len(KINDS)
