"""Fixtures of the core's tests."""

from __future__ import annotations

import pytest

from tests.support.partitions import Partition, new_partition, rated_partition


@pytest.fixture
def new() -> Partition:
    """A partition that knows nothing."""
    return new_partition()


@pytest.fixture
def rated() -> Partition:
    """A partition with a baseline of twenty settlements for A, and nothing emitted."""
    return rated_partition()
