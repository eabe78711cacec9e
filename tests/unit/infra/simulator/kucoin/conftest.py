"""A small simulated KuCoin."""

from __future__ import annotations

import pytest

from infra.simulator.kucoin.exchange import Kucoin, KucoinOptions
from tests.support.simulated_kucoin import NOW_MS


@pytest.fixture
def exchange() -> Kucoin:
    """A small exchange at a fixed time."""
    return Kucoin(7, KucoinOptions(contracts=16, held_back=2), NOW_MS)
