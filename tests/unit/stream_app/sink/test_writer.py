"""Storing a chunk: containers that readers accept, retries, bisection, dead letters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from types import SimpleNamespace
from typing import Any

import fastavro
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import StateError, UnavailableError
from schemas.records import ALERT, FUNDING_RATE, RECORD_TYPES
from schemas.serde.codec import HEADER_BYTES, Decoder, Encoder
from stream_app.settings import SinkSettings
from stream_app.sink.avro_container import container, container_header
from stream_app.sink.batches import Chunk, Message, OffsetRange
from stream_app.sink.clickhouse import quorum_settings
from stream_app.sink.clickhouse_errors import Fault, classify
from stream_app.sink.dead_letters import DeadLetter, UndeliverableError
from stream_app.sink.metrics import SinkMetrics
from stream_app.sink.outage import Outage
from stream_app.sink.tables import TABLES, RowReader
from stream_app.sink.writer import TableWriter
from tests.support.clock import ManualClock

ALERTS = next(table for table in TABLES if table.name == "alerts")
NOW_US = 1_790_000_000_000_000
ENCODER = Encoder(ALERT, 7)


def alert(number: int, **changes: Any) -> dict[str, Any]:
    """An alert whose fields differ from each other."""
    return {
        "alert_id": f"a{number}", "subject": "binance-usdm:BTCUSDT", "kind": "z_cross",
        "severity": "warning", "value": 2.5, "threshold": 2.0, "message": "z crossed 2",
        "event_time": NOW_US + number, "created_at": NOW_US, "raw_topic": None,
        "raw_partition": None, "raw_offset": None, "raw_item": None,
    } | changes  # fmt: skip


def chunk_of(values: Sequence[bytes | None]) -> Chunk:
    """A chunk of partition 3 with offsets from 0."""
    messages = tuple(Message(3, offset, b"k", value) for offset, value in enumerate(values))
    return Chunk("funding.alerts", (OffsetRange(3, 0, len(values) - 1),), messages)


OLD_SETTINGS = {
    "async_insert",
    "insert_deduplicate",
    "insert_deduplication_token",
    "deduplicate_blocks_in_dependent_materialized_views",
}
"""Settings of an insert that every server knows."""


class FakeClickHouse:
    """Reads the container as ClickHouse does; refuses what `verdict` says, and unknown settings."""

    def __init__(self, verdict: Callable[[list[Any]], Exception | None]) -> None:
        self.verdict = verdict
        self.known = set(OLD_SETTINGS)
        self.given: list[Mapping[str, str]] = []
        self.stored: dict[str, list[Any]] = {}
        self.asked = 0
        self.inserts = 0

    def query(self, text: str, parameters: Any) -> Any:
        assert "system.settings" in text
        self.asked += 1
        return SimpleNamespace(result_rows=[(n,) for n in parameters["names"] if n in self.known])

    def raw_insert(self, table: str, *, insert_block: bytes, settings: Any, **_: Any) -> None:
        assert table == "funding.alerts"
        self.inserts += 1
        self.given.append(settings)
        for name in settings.keys() - self.known:
            raise DatabaseError(f"Code: 115. DB::Exception: Unknown setting '{name}'.")
        records = list(fastavro.reader(BytesIO(insert_block)))
        error = self.verdict(records)
        if error is not None:
            raise error
        self.stored.setdefault(settings["insert_deduplication_token"], records)

    @property
    def ids(self) -> list[str]:
        return sorted(record["alert_id"] for records in self.stored.values() for record in records)


class GivenUpError(Exception):
    """What a `wait` raises that gives up."""


class Letters:
    def __init__(self) -> None:
        self.letters: list[DeadLetter] = []
        self.gives_up = False
        self.refused: list[int] = []
        """How many of the last letters are refused, at each call."""

    def publish(self, letters: Sequence[DeadLetter], wait: Callable[[float], None]) -> None:
        if self.gives_up:
            raise GivenUpError
        taken = len(letters) - (self.refused.pop(0) if self.refused else 0)
        self.letters += letters[:taken]
        if taken < len(letters):
            raise UndeliverableError("refused", letters[taken:])


class Bench:
    """A writer with fakes around it."""

    def __init__(
        self,
        verdict: Callable[[list[Any]], Exception | None] = lambda _: None,
        own_settings: Mapping[str, str] | None = None,
    ) -> None:
        self.clickhouse = FakeClickHouse(verdict)
        self.letters = Letters()
        self.metrics = SinkMetrics()
        self.waits_s: list[float] = []
        self.beats: list[tuple[int, int]] = []
        """How many questions and inserts there had been, at each beat."""
        self.clock = ManualClock(NOW_US)
        self.outage = Outage(self.metrics, self.clock)
        self.texts: Callable[[int], str] = self.schema_text
        reader = RowReader(ALERTS, Decoder(ALERT, self._text), self._text)
        self.writer = TableWriter(
            ALERTS, self.clickhouse, reader, self.letters, self.metrics, self.outage,
            self.waits_s.append, self.clock, beat=self._beat, own_settings=own_settings or {},
        )  # fmt: skip

    def _beat(self) -> None:
        self.beats.append((self.clickhouse.asked, self.clickhouse.inserts))

    def _text(self, schema_id: int) -> str:
        return self.texts(schema_id)

    def schema_text(self, schema_id: int) -> str:
        if schema_id == 7:
            return ALERT.text
        if schema_id == 8:  # an older version, without a field that has a default
            return ALERT.text.replace('"name": "threshold"', '"name": "threshold_before"')
        raise ValueError(f"schema {schema_id} is unknown")

    def metric(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


def refuses(*alert_ids: str) -> Callable[[list[Any]], Exception | None]:
    """A server with a constraint that these alerts violate."""

    def verdict(records: list[Any]) -> Exception | None:
        bad = [r["alert_id"] for r in records if r["alert_id"] in alert_ids]
        return DatabaseError(f"Code: 469. DB::Exception: Constraint: {bad}") if bad else None

    return verdict


@settings(max_examples=20)
@given(count=st.integers(0, 300))
def test_a_container_of_bodies_is_an_avro_file(count: int) -> None:
    """Any Avro reader gets the records back, with their logical types."""
    bodies = [ENCODER.encode(alert(n))[HEADER_BYTES:] for n in range(count)]
    read = list(fastavro.reader(BytesIO(container(container_header(ALERT.text), bodies))))
    assert [r["alert_id"] for r in read] == [f"a{n}" for n in range(count)]
    assert all(r["created_at"].year == 2026 for r in read)


def test_every_sink_table_names_fields_that_exist() -> None:
    """The time and latency fields are fields of the record."""
    for table in TABLES:
        assert table.time_field in table.record_type.fields
        assert table.received_field in (None, *table.record_type.fields)
    unstored = {"RawBatch", "WorkerStatus", "Notification"}
    assert {t.record_type.name for t in TABLES} == {r.name for r in RECORD_TYPES} - unstored


def test_a_good_chunk_is_one_insert_under_its_token() -> None:
    """One chunk, one INSERT, named by its offsets."""
    bench = Bench()
    bench.writer.store(chunk_of([ENCODER.encode(alert(n)) for n in range(10)]))
    assert [token.partition("@")[0] for token in bench.clickhouse.stored] == [
        "funding.alerts:3:0-9"
    ]
    assert len(bench.clickhouse.ids) == 10
    assert bench.metric("fundingstream_sink_rows_total", table="alerts") == 10


def test_an_old_server_gets_no_setting_that_it_does_not_know() -> None:
    """It would refuse the insert; it is asked once and not for each chunk."""
    bench = Bench()
    for number in range(3):
        bench.writer.store(chunk_of([ENCODER.encode(alert(number))]))
    assert bench.clickhouse.ids == ["a0", "a1", "a2"]
    assert (bench.clickhouse.asked, bench.clickhouse.inserts) == (1, 3)


def test_a_quorum_is_asked_for_at_each_insert() -> None:
    """The server gives up waiting for it before the sink gives up the request."""
    wanted = quorum_settings(SinkSettings(sink_insert_quorum="auto", clickhouse_timeout_s=20))
    assert wanted == {"insert_quorum": "auto", "insert_quorum_timeout": "10000"}
    assert quorum_settings(SinkSettings()) == {}
    bench = Bench(own_settings=wanted)
    bench.clickhouse.known |= wanted.keys()
    bench.writer.store(chunk_of([ENCODER.encode(alert(0))]))
    (given,) = bench.clickhouse.given
    assert wanted.items() <= given.items()


def test_a_server_that_is_replaced_by_another_version_is_asked_again() -> None:
    """Upgraded, or set back, between two inserts: nothing is lost or called refused."""
    bench = Bench()
    server = bench.clickhouse
    for number, known in enumerate(({"deduplicate_insert"}, set[str]())):
        server.known = OLD_SETTINGS | known
        failures = [] if number else [OperationalError("Connection refused")]
        server.verdict = lambda _, left=failures: left.pop() if left else None  # type: ignore[misc]
        bench.writer.store(chunk_of([ENCODER.encode(alert(number))]))
        assert server.given[-1].keys() == server.known
    assert server.given[1]["deduplicate_insert"] == "enable"
    assert server.ids == ["a0", "a1"]
    assert bench.letters.letters == []


@pytest.mark.parametrize(
    "poison",
    [
        b"",
        b"not avro",
        ENCODER.encode(alert(1))[:-1],
        ENCODER.encode(alert(1)) + b"\0",
        Encoder(ALERT, 99).encode(alert(1)),
        ENCODER.encode(alert(1, event_time=-1)),
        ENCODER.encode(alert(1, event_time=1 << 62)),
    ],
    ids=["empty", "text", "short", "long", "unknown schema", "before 2000", "far future"],
)
def test_a_malformed_value_is_a_dead_letter_and_shifts_nobody(poison: bytes) -> None:
    """The neighbours are stored, the original bytes are kept."""
    bench = Bench()
    bench.writer.store(chunk_of([ENCODER.encode(alert(1)), poison, None, ENCODER.encode(alert(2))]))
    assert bench.clickhouse.ids == ["a1", "a2"]
    (letter,) = bench.letters.letters
    assert letter.message.value == poison
    headers = dict(letter.headers)
    assert headers["stage"] == b"sink"
    assert headers["source_topic"] == b"funding.alerts"
    assert headers["source_partition"] == b"3"
    assert headers["source_offset"] == b"1"
    assert headers["error"]
    assert bench.metric("fundingstream_sink_tombstones_total", table="alerts") == 1


def test_a_value_of_an_older_schema_is_stored_with_its_defaults() -> None:
    """Avro's resolution fills what an older writer did not have."""
    bench = Bench()
    older = Encoder(ALERT, 8).encode(alert(1, value=None))
    bench.writer.store(chunk_of([ENCODER.encode(alert(0)), older]))
    assert bench.letters.letters == []
    ((first, second),) = bench.clickhouse.stored.values()
    assert (first["threshold"], second["threshold"]) == (2.0, None)


def test_a_foreign_record_is_a_dead_letter() -> None:
    """A record of another type under a known id is not stored as something else."""
    bench = Bench()
    bench.texts = lambda _: FUNDING_RATE.text
    bench.writer.store(chunk_of([ENCODER.encode(alert(0))]))
    assert len(bench.letters.letters) == 1
    assert bench.clickhouse.inserts == 0


@settings(max_examples=30)
@given(bad=st.sets(st.integers(0, 63), max_size=6))
def test_refused_rows_are_found_and_the_rest_is_stored(bad: set[int]) -> None:
    """Bisection leaves exactly the refused rows behind."""
    bench = Bench(refuses(*(f"a{n}" for n in bad)))
    bench.writer.store(chunk_of([ENCODER.encode(alert(n)) for n in range(64)]))
    assert set(bench.clickhouse.ids) == {f"a{n}" for n in range(64) if n not in bad}
    assert {letter.message.offset for letter in bench.letters.letters} == bad


def test_the_same_bisection_again_stores_nothing_twice() -> None:
    """After a crash the parts have the same tokens."""
    bench = Bench(refuses("a5"))
    values = [ENCODER.encode(alert(n)) for n in range(16)]
    bench.writer.store(chunk_of(values))
    bench.writer.store(chunk_of(values))
    assert bench.clickhouse.ids == sorted(f"a{n}" for n in range(16) if n != 5)


def test_a_table_that_refuses_everything_stops_the_sink() -> None:
    """A wrong table must not turn the stream into dead letters."""
    bench = Bench(refuses(*(f"a{n}" for n in range(500))))
    with pytest.raises(StateError, match=r"funding\.alerts"):
        bench.writer.store(chunk_of([ENCODER.encode(alert(n)) for n in range(500)]))
    assert bench.letters.letters == []


def test_small_chunks_do_not_hide_a_wrong_table() -> None:
    """Refused rows are counted over chunks; those of the last chunk are no dead letters."""
    bench = Bench(refuses(*(f"a{n}" for n in range(500))))
    for number in range(0, 60, 10):
        bench.writer.store(chunk_of([ENCODER.encode(alert(number + n)) for n in range(10)]))
    with pytest.raises(StateError, match="more than 64 rows"):
        bench.writer.store(chunk_of([ENCODER.encode(alert(60 + n)) for n in range(10)]))
    assert len(bench.letters.letters) == 60


def test_a_stored_row_ends_the_count_of_refused_ones() -> None:
    """Wrong rows among right ones may come for ever."""
    bench = Bench(refuses(*(f"a{n}" for n in range(500))))
    for number in range(0, 500, 50):
        values = [ENCODER.encode(alert(number + n)) for n in range(50)]
        bench.writer.store(chunk_of([*values, ENCODER.encode(alert(1_000 + number))]))
    assert len(bench.letters.letters) == 500


def test_a_chunk_that_was_given_up_is_counted_once() -> None:
    """Its rows are refused again when it comes again, and are the same rows."""
    bench = Bench(refuses(*(f"a{n}" for n in range(40))))
    values = [ENCODER.encode(alert(n)) for n in range(40)]
    bench.letters.gives_up = True
    for _ in range(3):
        with pytest.raises(GivenUpError):
            bench.writer.store(chunk_of(values))
    bench.letters.gives_up = False
    bench.writer.store(chunk_of(values))
    assert len(bench.letters.letters) == 40


def test_letters_that_are_refused_go_again_without_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each is delivered once, and the chunk is one line in the log."""
    bench = Bench()
    bench.letters.refused = [2, 1, 1]
    bench.writer.store(chunk_of([b"not avro"] * 5))
    assert [letter.message.offset for letter in bench.letters.letters] == [0, 1, 2, 3, 4]
    assert (
        bench.metric("fundingstream_sink_dead_letters_total", table="alerts", reason="malformed")
        == 5
    )
    told = [r.getMessage() for r in caplog.records if "dead letters now" in r.getMessage()]
    assert len(told) == 1
    assert "5 messages of funding.alerts" in told[0]
    assert " 3:0 " in told[0]


@pytest.mark.parametrize(
    "error",
    [
        OperationalError("Connection refused"),
        DatabaseError("Code: 241. DB::Exception: Memory limit"),
        DatabaseError("Code: 252. DB::Exception: Too many parts (300)"),
        DatabaseError("HTTP driver received HTTP status 503"),
    ],
)
def test_transient_errors_are_retried_with_growing_pauses(error: Exception) -> None:
    """The same insert again, under the same token, with a bounded pause between."""
    left = [error] * 8
    bench = Bench(lambda _: left.pop() if left else None)
    bench.writer.store(chunk_of([ENCODER.encode(alert(1))]))
    assert bench.clickhouse.inserts == 9
    assert [token.partition("@")[0] for token in bench.clickhouse.stored] == [
        "funding.alerts:3:0-0"
    ]
    assert 0.1 < bench.waits_s[0] <= 0.25
    assert 5.0 <= bench.waits_s[-1] <= 10.0
    assert bench.metric("fundingstream_sink_retries_total", table="alerts") == 8


def test_an_unknown_error_is_retried_then_looked_into() -> None:
    """An error of an unknown kind is tried again a few times before its rows are examined."""
    bench = Bench(
        lambda records: (
            DatabaseError("Code: 4242. DB::Exception: new")
            if any(r["alert_id"] == "a1" for r in records)
            else None
        )
    )
    bench.writer.store(chunk_of([ENCODER.encode(alert(n)) for n in range(2)]))
    assert bench.clickhouse.ids == ["a0"]
    assert [letter.message.offset for letter in bench.letters.letters] == [1]
    # Four pauses for the whole chunk, one for each part that fails again: a search of seconds.
    assert [pause_s > 0 for pause_s in bench.waits_s].count(True) == 5


@pytest.mark.parametrize(
    ("code", "hint"), [(60, "fundingstream migrate"), (516, "PASSWORD"), (452, "does not let")]
)
def test_what_a_person_must_mend_is_waited_for(
    code: int, hint: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A missing table or right is reported once with its remedy, and the chunk is stored
    afterwards.
    """
    left = [DatabaseError(f"Code: {code}. DB::Exception: no")] * 20
    bench = Bench(lambda _: left.pop() if left else None)
    bench.writer.store(chunk_of([ENCODER.encode(alert(1))]))
    assert [token.partition("@")[0] for token in bench.clickhouse.stored] == [
        "funding.alerts:3:0-0"
    ]
    assert bench.letters.letters == []
    assert bench.waits_s[-1] >= 5.0
    told, back = (record.getMessage() for record in caplog.records)
    assert hint in told
    assert "goes on" in back


def test_a_silent_registry_is_waited_for() -> None:
    """A schema that cannot be fetched now is no reason for a dead letter."""
    bench = Bench()
    left = [UnavailableError("the registry does not answer")] * 3

    def text(schema_id: int) -> str:
        if left:
            raise left.pop()
        return bench.schema_text(schema_id)

    bench.texts = text
    bench.writer.store(chunk_of([ENCODER.encode(alert(1))]))
    assert bench.clickhouse.ids == ["a1"]
    assert len(bench.waits_s) == 3


def test_rows_of_too_many_partitions_are_split() -> None:
    """Code 252 of the data itself is solved by halves, not by waiting."""
    text = "Code: 252. DB::Exception: Too many partitions for single INSERT block (more than 100)"
    assert classify(DatabaseError(text)) is Fault.REFUSED
    bench = Bench(lambda records: DatabaseError(text) if len(records) > 3 else None)
    bench.writer.store(chunk_of([ENCODER.encode(alert(n)) for n in range(10)]))
    assert len(bench.clickhouse.ids) == 10
    assert bench.letters.letters == []


@pytest.mark.parametrize("code", [24, 95, 96, 1000, 1001, 1002])
def test_errors_within_a_server_are_no_fault_of_the_rows(code: int) -> None:
    """Good rows would be looked through, and called dead letters, while it has them."""
    failed = DatabaseError(f"Code: {code}. DB::Exception: std::exception")
    left = [failed] * 20
    bench = Bench(lambda _: left.pop() if left else None)
    bench.writer.store(chunk_of([ENCODER.encode(alert(n)) for n in range(3)]))
    assert bench.clickhouse.ids == ["a0", "a1", "a2"]
    assert bench.letters.letters == []


def test_each_request_begins_with_a_beat() -> None:
    """One may take as long as the time-out, and the watch allows little more than one."""
    bench = Bench()
    bench.writer.store(chunk_of([ENCODER.encode(alert(0))]))
    assert bench.beats == [(0, 0), (1, 0)]
