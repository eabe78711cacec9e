"""Which topic is stored in which table, and how a message's value becomes a row of it.

What the tables look like say the migrations in infra/clickhouse.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from schemas import topics
from schemas.errors import MalformedInputError, UnavailableError
from schemas.records import RecordType
from schemas.serde.codec import HEADER_BYTES, Decoder, Encoder, parse_schema, schema_id_of
from schemas.times import US_PER_DAY
from schemas.topics import TopicSpec

DATABASE = "funding"

# A time outside of these years is a mistake, and would make a partition of its own in the table.
_EARLIEST_US = 10_957 * US_PER_DAY  # 2000-01-01
_LATEST_US = 47_482 * US_PER_DAY  # 2100-01-01


@dataclass(frozen=True, slots=True)
class TableSpec:
    """A table that the sink fills."""

    topic: TopicSpec
    name: str
    time_field: str
    """The time that the table is partitioned by."""
    received_field: str | None
    """The time from which the way into the table is measured."""

    @property
    def record_type(self) -> RecordType:
        """The record of the topic; every sink topic has one."""
        assert self.topic.record_type is not None
        return self.topic.record_type

    @property
    def full_name(self) -> str:
        """Database and table."""
        return f"{DATABASE}.{self.name}"


TABLES: tuple[TableSpec, ...] = (
    TableSpec(topics.RATES, "rates", "event_time", "received_at"),
    TableSpec(topics.ZSCORES, "zscores", "event_time", "received_at"),
    TableSpec(topics.SETTLEMENTS, "settlements", "funding_time", "received_at"),
    TableSpec(topics.ALERTS, "alerts", "event_time", "created_at"),
    TableSpec(topics.AUDIT, "audit", "first_event_time", None),
    TableSpec(topics.BARS, "bars", "hour", None),
    TableSpec(topics.CONTRACTS, "contract_facts", "updated_at", "updated_at"),
    TableSpec(topics.STATUS, "feeds", "reported_at", "reported_at"),
)

DELETED_BY_AGE = frozenset(
    table.topic.name for table in TABLES if table.topic.config["cleanup.policy"] == "delete"
)
"""The topics without holes between their messages: a hole says that some were deleted."""


@dataclass(frozen=True, slots=True)
class Row:
    """One Avro datum of the record type's current schema, ready to be stored."""

    body: bytes
    received_us: int | None


class RowReader:
    """Turns values of one topic into rows.

    Every value is decoded, since a datum of a wrong length would shift all that follow it in a
    container. What is stored are the original bytes; only a value of another schema version is
    encoded again, so that Avro's own resolution fills its defaults and a container has one schema.
    """

    def __init__(
        self, table: TableSpec, decoder: Decoder, schema_text_by_id: Callable[[int], str]
    ) -> None:
        self._table = table
        self._decoder = decoder
        self._schema_text_by_id = schema_text_by_id
        self._own_schema = parse_schema(table.record_type.text)
        self._encoder = Encoder(table.record_type, 0)
        self._is_own: dict[int, bool] = {}

    def read(self, value: bytes) -> Row:
        """Return the row in a value.

        Raises:
            MalformedInputError: the value is not such a record, whatever else it may be.
            UnavailableError: its schema is not known yet and the registry does not answer.
        """
        try:
            record = self._decoder.decode(value)
            body = value[HEADER_BYTES:] if self._has_own_schema(value) else self._encode(record)
        except (MalformedInputError, UnavailableError):
            raise
        except Exception as error:  # an unknown id, a schema that is not Avro, defaults that fail
            raise MalformedInputError(
                f"not a {self._table.record_type.name}, its schema cannot be used: {error}"
            ) from error
        self._check_time(record)
        field = self._table.received_field
        return Row(body, record[field] if field else None)

    def _has_own_schema(self, value: bytes) -> bool:
        schema_id = schema_id_of(value)
        known = self._is_own.get(schema_id)
        if known is None:
            known = parse_schema(self._schema_text_by_id(schema_id)) == self._own_schema
            self._is_own[schema_id] = known
        return known

    def _encode(self, record: Any) -> bytes:
        return self._encoder.encode(record)[HEADER_BYTES:]

    def _check_time(self, record: Any) -> None:
        time_us = record[self._table.time_field]
        if not _EARLIEST_US <= time_us < _LATEST_US:
            raise MalformedInputError(
                f"{self._table.time_field} is {time_us} µs: outside of the years 2000 to 2099"
            )
