"""Stores one chunk: decode, INSERT, retry, and the search for rows that ClickHouse refuses.

When `store` returns, each message of the chunk is a row of the table, a dead letter or a tombstone,
and the caller may commit its offsets.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

from clickhouse_connect.driver.exceptions import ClickHouseError

from schemas.backoff import Backoff
from schemas.clock import Clock
from schemas.errors import MalformedInputError, StateError, UnavailableError
from schemas.times import US_PER_S
from stream_app.sink.avro_container import container, container_header
from stream_app.sink.batches import Chunk, Message
from stream_app.sink.clickhouse import insert_settings
from stream_app.sink.clickhouse_errors import Fault, classify, one_line
from stream_app.sink.dead_letters import DeadLetter, UndeliverableError
from stream_app.sink.metrics import SinkMetrics
from stream_app.sink.outage import Outage
from stream_app.sink.tables import Row, RowReader, TableSpec

log = logging.getLogger(__name__)

_BACKOFF_FIRST_S = 0.25
_BACKOFF_MAX_S = 10.0
_BACKOFF_LEAST = 0.5
_UNKNOWN_TRIES = 5
# The whole chunk has had those: what remains is in the rows, and most likely in one of them.
_UNKNOWN_TRIES_OF_A_PART = 2
# More refused rows than this, of one chunk or with no stored row between, are no wrong rows: the
# table is wrong. The second kind is what small chunks meet.
_REFUSED_MAX = 64

Wait = Callable[[float], None]
"""Waits for some seconds while the consumer stays in its group; may raise to give up the chunk."""


class Letters(Protocol):
    """Where dead letters go."""

    def publish(self, letters: Sequence[DeadLetter], wait: Wait) -> None:
        """Return when every letter is safe."""


class _RefusedError(Exception):
    """ClickHouse refuses an insert because of what is in it."""


@dataclass(slots=True)
class _Refusals:
    """The rows of a chunk that ClickHouse refuses, and how many it has refused in a row."""

    in_row: int
    """Since the last stored row, earlier chunks included."""
    errors: dict[int, str] = field(default_factory=dict)
    """By index of the row in its chunk."""

    def add(self, index: int, error: str) -> None:
        """Take a row that is refused."""
        self.errors[index] = error
        self.in_row += 1

    def stored(self) -> None:
        """Take that rows were stored."""
        self.in_row = 0

    @property
    def too_many(self) -> bool:
        """Whether the table must be wrong."""
        return max(self.in_row, len(self.errors)) > _REFUSED_MAX


class TableWriter:
    """Writes the chunks of one topic into its table."""

    def __init__(
        self,
        table: TableSpec,
        client: Any,
        reader: RowReader,
        letters: Letters,
        metrics: SinkMetrics,
        outage: Outage,
        wait: Wait,
        clock: Clock,
        chance: Callable[[], float] = random.random,
        beat: Callable[[], None] = lambda: None,
        own_settings: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Make the writer of a table.

        `chance` returns a number from [0, 1): it spreads the attempts of several sinks.
        `beat` is called before each request, which may take as long as ClickHouse's time-out.
        `own_settings` are given to each insert beside those that tokens need.
        """
        self._table = table
        self._clock = clock
        self._client = client
        self._reader = reader
        self._letters = letters
        self._metrics = metrics
        self._outage = outage
        self._wait = wait
        self._chance = chance
        self._beat = beat
        self._own_settings = dict(own_settings)
        self._columns = list(table.record_type.fields)
        self._header = container_header(table.record_type.text)
        self._settings: dict[str, str] | None = None
        self._refused_in_row = 0

    def store(self, chunk: Chunk) -> None:
        """Store a chunk, however long that takes: servers that are away or refuse are waited for.

        Raises:
            StateError: ClickHouse refuses so many rows that the table must be wrong. Nothing of
                this chunk is a dead letter then.
        """
        messages, rows, letters = self._read(chunk)
        malformed = len(letters)
        refusals = _Refusals(self._refused_in_row)
        if rows:
            self._insert_or_bisect(rows, 0, len(rows), chunk.token, refusals)
            refused = refusals.errors.items()
            letters += [DeadLetter(chunk.topic, messages[index], error) for index, error in refused]
        if letters:
            self._bury(letters)
        # Only now: a chunk that was given up on the way comes again and is counted then.
        self._refused_in_row = refusals.in_row
        name = self._table.name
        self._metrics.dead_letters.labels(name, "malformed").inc(malformed)
        self._metrics.dead_letters.labels(name, "refused").inc(len(refusals.errors))
        self._metrics.truncated.labels(name).inc(sum(letter.is_cut for letter in letters))
        self._count(rows, refusals.errors)
        self._outage.over()

    def _read(self, chunk: Chunk) -> tuple[list[Message], list[Row], list[DeadLetter]]:
        messages, rows, letters = [], [], []
        for message in chunk.messages:
            if message.value is None:
                self._metrics.tombstones.labels(self._table.name).inc()
                continue
            try:
                rows.append(self._row(message.value))
                messages.append(message)
            except MalformedInputError as error:
                letters.append(DeadLetter(chunk.topic, message, str(error)))
        return messages, rows, letters

    def _row(self, value: bytes) -> Row:
        backoff = self._backoff()
        while True:
            try:
                return self._reader.read(value)
            except UnavailableError as error:
                self._outage.failed("registry", str(error))
                self._wait(backoff.failed())

    def _insert_or_bisect(
        self, rows: Sequence[Row], low: int, high: int, token: str, refusals: _Refusals
    ) -> None:
        """Store what can be stored of rows[low:high]; add the others to `refusals`."""
        whole = high - low == len(rows)
        try:
            if whole:
                self._insert(rows, token, _UNKNOWN_TRIES)
            else:
                # A search takes many inserts: without this the group would take us for dead.
                self._wait(0.0)
                # Parts are named by position: the same search after a crash uses the same tokens.
                part = f"{token}#{low}-{high - 1}"
                self._insert(rows[low:high], part, _UNKNOWN_TRIES_OF_A_PART)
        except _RefusedError as error:
            if high - low == 1:
                refusals.add(low, str(error))
                if refusals.too_many:
                    raise StateError(
                        f"ClickHouse refuses more than {_REFUSED_MAX} rows of "
                        f"{self._table.full_name} (the last: {error}): the table is not the one "
                        "of this version; restore it, then start the sink again"
                    ) from error
                return
            middle = (low + high) // 2
            self._insert_or_bisect(rows, low, middle, token, refusals)
            self._insert_or_bisect(rows, middle, high, token, refusals)
        else:
            refusals.stored()

    def _insert(self, rows: Sequence[Row], token: str, unknown_tries: int) -> None:
        """Insert rows, repeatedly until ClickHouse takes them or refuses their content.

        An error of an unknown kind counts as a refusal when it has come `unknown_tries` times.
        """
        data = container(self._header, [row.body for row in rows])
        backoff = self._backoff()
        unknown = 0
        while True:
            started_s = self._clock.monotonic_s()
            try:
                # After a failure the next server to answer may be one of another version.
                if self._settings is None:
                    self._beat()
                    self._settings = insert_settings(self._client) | self._own_settings
                self._beat()
                self._client.raw_insert(
                    self._table.full_name,
                    column_names=self._columns,
                    insert_block=data,
                    fmt="Avro",
                    settings={**self._settings, "insert_deduplication_token": token},
                )
            except (ClickHouseError, OSError) as error:
                self._settings = None
                fault = classify(error)
                unknown += fault is Fault.UNKNOWN
                if fault is Fault.REFUSED or unknown >= unknown_tries:
                    raise _RefusedError(one_line(error)) from error
                self._outage.failed(fault.value, self._advice(fault, error))
            else:
                elapsed_s = self._clock.monotonic_s() - started_s
                self._metrics.insert_seconds.labels(self._table.name).observe(elapsed_s)
                return
            self._metrics.retries.labels(self._table.name).inc()
            self._wait(backoff.failed())

    def _backoff(self) -> Backoff:
        return Backoff(self._chance, _BACKOFF_FIRST_S, _BACKOFF_MAX_S, least=_BACKOFF_LEAST)

    def _advice(self, fault: Fault, error: Exception) -> str:
        """Say what is wrong and, where a person must do something about it, what."""
        name, said = self._table.full_name, one_line(error)
        if fault is Fault.MISSING:
            return (
                f"{name} is missing or older than this version ({said}): "
                "run `fundingstream migrate`"
            )
        if fault is Fault.DENIED:
            return (
                f"ClickHouse does not let the sink write {name} ({said}): let it, or set "
                "FUNDING_CLICKHOUSE_USERNAME and _PASSWORD and start the sink again"
            )
        return f"{name}: {said}"

    def _bury(self, letters: Sequence[DeadLetter]) -> None:
        """Publish dead letters, those again that are refused; the others are delivered once."""
        backoff = self._backoff()
        left = letters
        while left:
            try:
                self._letters.publish(left, self._wait)
                left = ()
            except UndeliverableError as error:
                left = error.letters
                self._outage.failed(
                    "dead letters", f"{len(left)} dead letters are not delivered ({error})"
                )
                self._wait(backoff.failed())
        first = letters[0]
        log.warning(
            "%d messages of %s are dead letters now; the first is %d:%d (%s)",
            *(len(letters), first.topic),
            *(first.message.partition, first.message.offset, first.error),
        )

    def _count(self, rows: Sequence[Row], refused: Collection[int]) -> None:
        name = self._table.name
        self._metrics.rows.labels(name).inc(len(rows) - len(refused))
        self._metrics.batches.labels(name).inc()
        self._metrics.stored_at.set_to_current_time()
        stored_us = self._clock.now_us()
        observe = self._metrics.latency_seconds.labels(name).observe
        for index, row in enumerate(rows):
            if row.received_us is not None and index not in refused:
                observe((stored_us - row.received_us) / US_PER_S)
