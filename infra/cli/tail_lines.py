"""The lines in which `fundingstream tail` shows records to people. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from schemas.records import (
    ALERT,
    AUDIT_EVENT,
    CONTRACT,
    FEED_STATUS,
    FUNDING_RATE,
    HOURLY_BAR,
    NOTIFICATION,
    RAW_BATCH,
    SETTLEMENT,
    WORKER_STATUS,
    ZSCORE,
    RecordType,
)
from schemas.text import one_line
from schemas.times import US_PER_S

_TEXT_MAX = 160
_RATE_DIGITS = 6
_ALL_DIGITS = 15
"""As many as every decimal number keeps in a double: a price is shown as the exchange sent it."""


class _Column(NamedTuple):
    """A field; a negative width puts it to the right, 0 lets it be as long as it is."""

    field: str
    width: int = 0
    is_time: bool = False
    digits: int = _RATE_DIGITS
    """Significant ones of a number with a fraction."""


def _time(field: str) -> _Column:
    return _Column(field, 23, is_time=True)


_CONTRACT = _Column("contract_id", 28)
_COLUMNS: dict[RecordType, tuple[_Column, ...]] = {
    RAW_BATCH: (
        _time("received_at"), _Column("feed", 14), _Column("transport", 9), _Column("purpose", 9),
        _Column("channel", 24), _Column("items"),
    ),
    FUNDING_RATE: (
        _time("event_time"), _CONTRACT, _Column("rate", -13), _Column("interval_hours", -14),
        _Column("apr", -12), _Column("mark_price", -15, digits=_ALL_DIGITS), _Column("transport"),
    ),
    ZSCORE: (
        _time("event_time"), _CONTRACT, _Column("rate", -13), _Column("apr", -12),
        _Column("z", -10), _Column("zone", 7), _Column("confidence", 10), _Column("trigger"),
    ),
    SETTLEMENT: (
        _time("funding_time"), _CONTRACT, _Column("rate", -13), _Column("interval_hours", -14),
        _Column("source", 8), _Column("kind"),
    ),
    HOURLY_BAR: (
        _time("hour"), _CONTRACT, _Column("open", -13), _Column("close", -13),
        _Column("mean", -13), _Column("z_close", -10), _Column("covered_s", -9),
        _Column("updates", -7),
    ),
    CONTRACT: (
        _time("updated_at"), _CONTRACT, _Column("status", 10), _Column("interval_hours", -14),
        _Column("turnover_24h", -13), _Column("open_interest", -13), _Column("rate_kind"),
    ),
    ALERT: (
        _time("event_time"), _Column("subject", 28), _Column("severity", 8), _Column("kind", 20),
        _Column("message"),
    ),
    AUDIT_EVENT: (
        _time("last_event_time"), _Column("subject", 28), _Column("kind", 22),
        _Column("count", -6), _Column("detail"),
    ),
    FEED_STATUS: (
        _time("reported_at"), _Column("feed", 14), _Column("state", 10), _Column("transport", 9),
        _Column("contracts_live", -14), _Column("contracts_expected", -18), _Column("detail"),
    ),
    WORKER_STATUS: (
        _time("reported_at"), _Column("worker", 24), _Column("partitions", -10),
        _Column("records_behind", -14), _Column("delay_p99_s", -11),
    ),
    NOTIFICATION: (
        _time("updated_at"), _Column("rule", 20), _Column("target", 20), _Column("outcome", 10),
        _Column("title"),
    ),
}  # fmt: skip
_KEY = _Column("key", 28)
_WITHOUT_SCHEMA = (_KEY, _Column("headers"), _Column("value"))


def head_line(kind: RecordType | None) -> str:
    """Return the names of the columns; a topic without a schema has none of a record's."""
    columns = _WITHOUT_SCHEMA if kind is None else _COLUMNS[kind]
    return _joined(columns, [column.field for column in columns])


def record_line(kind: RecordType | None, shown: Mapping[str, Any]) -> str:
    """Return a record as one line that a terminal may get, whatever is in it.

    Args:
        kind: What the topic holds; None: no Avro records.
        shown: The record as `infra.kafka.tail` gives it.
    """
    where = f"partition {shown.get('partition')}, offset {shown.get('offset')}"
    if "removed" in shown:
        return f"{where}: {_text(shown['key'], _KEY)} was removed"
    if "error" in shown:
        return f"{where}: cannot be read: {one_line(shown['error'])}"
    columns = _WITHOUT_SCHEMA if kind is None else _COLUMNS[kind]
    fields = shown if kind is None else shown["value"]
    return _joined(columns, [_text(fields.get(column.field), column) for column in columns])


def _joined(columns: tuple[_Column, ...], texts: list[str]) -> str:
    padded = (
        text.rjust(-column.width) if column.width < 0 else text.ljust(column.width)
        for column, text in zip(columns, texts, strict=True)
    )
    return "  ".join(padded).rstrip()


def _text(value: Any, column: _Column) -> str:
    if value is None:
        return "-"
    if column.is_time:
        return _time_text(value)
    if isinstance(value, float):
        return f"{value:.{column.digits}g}"
    if isinstance(value, Mapping):
        return " ".join(f"{name}={_text(part, column)}" for name, part in value.items())
    if isinstance(value, list):
        return str(len(value))
    text = value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
    return one_line(text, _TEXT_MAX)


def _time_text(time_us: int) -> str:
    try:
        at = datetime.fromtimestamp(time_us / US_PER_S, UTC)
    except (OverflowError, ValueError, OSError):
        return str(time_us)
    return at.strftime("%Y-%m-%d %H:%M:%S.") + f"{at.microsecond // 1000:03}"
