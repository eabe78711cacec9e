"""What the core decides to publish, as data. Not responsible for: encoding and sending."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from schemas.topics import RATES, TopicSpec
from stream_app.core.output.records import RateRow, rate_record
from stream_app.core.state.item_context import ItemContext


class Output(NamedTuple):
    """A record for a topic. `key`: contract id or feed."""

    topic: TopicSpec
    key: str
    record: Any


class RateRows(NamedTuple):
    """The accepted updates of one raw record, for the topic of rates."""

    at: ItemContext
    rows: Sequence[RateRow]

    def outputs(self) -> list[Output]:
        """Return them one by one."""
        return [
            Output(RATES, row.contract.contract_id, rate_record(row, self.at)) for row in self.rows
        ]


class DeadLetter(NamedTuple):
    """Bytes that could not be read, with where they came from and why."""

    key: str | None
    value: bytes
    stage: str
    error: str
    topic: str
    partition: int
    offset: int
    item: int


class Outputs(NamedTuple):
    """All that is to be published at one time."""

    rates: Sequence[RateRows]
    others: Sequence[Output]
    dead_letters: Sequence[DeadLetter]

    def records(self) -> list[Output]:
        """Return all outputs one by one."""
        return [output for rates in self.rates for output in rates.outputs()] + list(self.others)
