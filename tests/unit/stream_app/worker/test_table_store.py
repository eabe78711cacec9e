"""The store behind Faust's tables: how far it knows its changelog, and what it forgets."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from faust.types import TP
from mode.utils.queues import FlowControlQueue

from schemas.config.settings import load_settings
from stream_app.settings import WorkerSettings
from stream_app.worker.app import faust_app
from stream_app.worker.table_store import OffsetStore, SteadyFlow

TOPIC = "fundingstream-contracts-changelog"


def store(directory: Any) -> OffsetStore:
    """The store of a table, as the worker's app makes it."""
    app = faust_app(load_settings(WorkerSettings, worker_data_dir=str(directory)), "one-1")
    made: OffsetStore = app.Table("contracts", key_type=bytes, value_type=bytes).data
    return made


def event(partition: int, offset: int, key: bytes, value: bytes | None) -> Any:
    """A record of the changelog."""
    tp = TP(TOPIC, partition)
    message = SimpleNamespace(tp=tp, partition=partition, offset=offset, value=value)
    return SimpleNamespace(message=message, key=key, value=value)


def read(into: OffsetStore, *events: Any) -> None:
    """Let the recovery, or a standby, take over records."""
    into.apply_changelog_batch(events, to_key=lambda key: key, to_value=lambda value: value)


def test_it_knows_how_far_it_has_read(tmp_path: Any) -> None:
    """Of each partition for itself, so that a recovery goes on from there."""
    table = store(tmp_path)
    assert table.persisted_offset(TP(TOPIC, 3)) is None
    read(table, event(3, 17, b"a", b"1"), event(3, 19, b"b", b"2"), event(4, 5, b"c", b"3"))
    assert (table.persisted_offset(TP(TOPIC, 3)), table.persisted_offset(TP(TOPIC, 4))) == (19, 5)
    table.set_persisted_offset(TP(TOPIC, 4), 40)
    table.set_persisted_offset(TP(TOPIC, 4), 30)
    assert table.persisted_offset(TP(TOPIC, 4)) == 40
    table.forget_offsets()
    assert table.persisted_offset(TP(TOPIC, 4)) is None


async def test_a_standby_is_kept_and_the_rest_forgotten(tmp_path: Any) -> None:
    """What this worker wrote itself is forgotten as well, when another has the partition."""
    table = store(tmp_path)
    read(table, event(3, 17, b"active", b"1"), event(4, 5, b"standby", b"2"))
    table.store(b"written", b"3", 5)
    table.set_persisted_offset(TP(TOPIC, 5), 9)
    await table.on_recovery_completed({TP(TOPIC, 3)}, {TP(TOPIC, 4)})
    assert table.data == {b"active": b"1", b"standby": b"2"}
    assert table.persisted_offset(TP(TOPIC, 4)) == 5
    assert table.persisted_offset(TP(TOPIC, 5)) is None


def test_a_key_that_is_deleted_on_the_changelog_is_gone(tmp_path: Any) -> None:
    """As Faust's own store does it: windows expire that way."""
    table = store(tmp_path)
    read(table, event(3, 17, b"a", b"1"), event(3, 18, b"a", None))
    assert table.data == {}
    assert table.persisted_offset(TP(TOPIC, 3)) == 18


def test_records_of_a_standby_are_not_thrown_away_when_the_flow_goes_on(tmp_path: Any) -> None:
    """Only those from before a rebalance are; Faust says again and again that the flow goes on."""
    app = faust_app(load_settings(WorkerSettings, worker_data_dir=str(tmp_path)), "one-1")
    flow = app.flow_control
    assert isinstance(flow, SteadyFlow)
    queue = FlowControlQueue(flow_control=flow, clear_on_resume=True)
    queue.put_nowait("of the old assignment")
    flow.resume()
    assert queue.empty()
    queue.put_nowait("of a standby")
    flow.resume()
    assert queue.qsize() == 1
