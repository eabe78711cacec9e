"""A publisher for the tests of this folder."""

from __future__ import annotations

import pytest

from producers.kafka.publisher import Publisher
from tests.support.clock import ManualClock
from tests.support.fake_kafka import FakeProducer, publisher_of


@pytest.fixture
def clock() -> ManualClock:
    """Return the publisher's clock."""
    return ManualClock()


@pytest.fixture
def kafka(clock: ManualClock) -> tuple[Publisher, FakeProducer]:
    """Return a publisher and the client below it."""
    return publisher_of(clock=clock)
