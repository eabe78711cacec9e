"""What the notifier reads from Kafka."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.clock import now_us
from schemas.times import US_PER_S
from schemas.topics import STATUS
from stream_app.notifier.kafka.inputs import Input, Inputs
from tests.support.notifier_stack import prepare
from tests.support.sink_stack import Kafka
from tests.support.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


def test_a_feed_that_was_taken_out_is_told_and_what_is_malformed_is_not(
    kafka: Kafka, group: str
) -> None:
    """A record without a value says which feed; one that cannot be read is counted."""
    settings = prepare(kafka, group)
    values: Any = [("kucoin", None), ("hyperliquid", b"no Avro"), ("backpack", None)]
    kafka.publish_raw(STATUS, values)
    inputs = Inputs(settings, kafka.catalog, [STATUS], lambda: None)
    inputs.start(now_us(), 60 * US_PER_S, 60 * US_PER_S)
    found: list[Input] = []

    def all_read() -> bool:
        found.extend(inputs.poll(0.2))
        return inputs.caught_up

    try:
        until(all_read, "everything is read", 30)
    finally:
        inputs.close()
    assert found == [
        Input(STATUS.name, None, known=False, key="kucoin"),
        Input(STATUS.name, None, known=False, key="backpack"),
    ]
    assert inputs.malformed == 1
