"""Everything on one machine with every contract that the exchanges list.

As the benchmark of the demo, which says how it is measured; several producers share the feeds.
Loading so much history takes longer: it is waited for for eight minutes at most, and what follows
is measured all the same.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from math import ceil
from typing import Any

from benchmarks.demo import add_options, aims_of, measure_stack, text
from benchmarks.tables import Aim
from infra.runs import FEEDS_PER_PRODUCER
from infra.simulator.registry import ALL_CONTRACTS
from schemas.feeds import FEEDS

__all__ = ["BOUND_S", "TITLE", "add_options", "aims", "measure", "text"]

TITLE = "Everything on two cores: every contract"
BOUND_S = 900.0
AIMS = {"loaded_ms": 250.0}


async def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Measure the stack."""
    return await measure_stack(given, ALL_CONTRACTS, ceil(len(FEEDS) / FEEDS_PER_PRODUCER))


def aims(figures: Mapping[str, Any]) -> list[Aim]:
    """Return what was aimed at, with what was measured."""
    return aims_of(figures, "everything", AIMS)
