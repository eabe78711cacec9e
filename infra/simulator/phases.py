"""When within its period a simulated exchange pushes, and when each contract has its turn.

Real exchanges share no clock tick: each has a phase of its own, and one that pushes contract by
contract spreads them over its period. The phase follows from the seed, so that a restart continues
the same grid. With the option `aligned` everything is pushed at full seconds: the worst case for
whoever reads. Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from infra.simulator.market.terms import Ints
from infra.simulator.options import SimulatorOptions

SPREAD_STEPS = 20
MIN_STEP_MS = 50


def own_phase_ms(options: SimulatorOptions, feed: str, tick_ms: int) -> int:
    """Return how far the ticks of a feed are past the multiples of `tick_ms`."""
    if options.aligned:
        return 0
    return _drawn(f"{options.seed}/{feed}/phase") % tick_ms


def most_steps(options: SimulatorOptions) -> int:
    """Return into how many steps an exchange that pushes contract by contract may cut a period."""
    return 1 if options.aligned else SPREAD_STEPS


def steps_in(period_ms: int, most: int) -> int:
    """Return into how many equal steps of whole ms, none too short, a period is cut."""
    return next(
        steps
        for steps in range(most, 0, -1)
        if steps == 1 or (period_ms % steps == 0 and period_ms >= steps * MIN_STEP_MS)
    )


def own_steps(seed: int, feed: str, symbols: Sequence[str], steps: int) -> Ints:
    """Return the step in which each contract is pushed, the same one in every period."""
    drawn = [_drawn(f"{seed}/{feed}/{symbol}/step") % steps for symbol in symbols]
    return np.array(drawn, dtype=np.int64)


def _drawn(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")
