"""The lines that `tail` shows to people."""

from __future__ import annotations

import pytest

from infra.cli.tail_lines import _COLUMNS, head_line, record_line
from schemas.records import ALERT, FUNDING_RATE, RAW_BATCH, ZSCORE, RecordType
from schemas.topics import all_topics


@pytest.mark.parametrize(
    "kind", sorted({spec.record_type for spec in all_topics()} - {None}, key=str)
)
def test_every_topic_has_columns_that_are_fields(kind: RecordType) -> None:
    """A field that was renamed would be shown as missing."""
    assert {column.field for column in _COLUMNS[kind]} <= set(kind.fields)


def test_a_line_stands_below_its_head() -> None:
    """Numbers to the right, times readable, nothing as a dash."""
    value = {
        "event_time": 1_785_369_600_123_456, "contract_id": "kucoin:XBTUSDTM", "rate": 0.0001,
        "apr": 0.1095, "z": None, "zone": "unrated", "confidence": "none", "trigger": "first",
    }  # fmt: skip
    head, line = head_line(ZSCORE), record_line(ZSCORE, {"value": value})
    assert line.split() == [
        *("2026-07-30", "00:00:00.123", "kucoin:XBTUSDTM", "0.0001", "0.1095", "-"),
        *("unrated", "none", "first"),
    ]
    for name, text in (("rate", "0.0001"), ("apr", "0.1095")):
        assert head.index(name) + len(name) == line.index(text) + len(text)
    assert head.index("zone") == line.index("unrated")


def test_nothing_of_a_record_reaches_the_terminal_as_a_command() -> None:
    """And a record stays one line."""
    value = dict.fromkeys(ALERT.fields) | {"message": "a\x1b[2J\nb", "event_time": 2**62}
    line = record_line(ALERT, {"value": value})
    assert line.isprintable()
    assert line.endswith("a [2J b")


def test_raw_records_tell_how_many_messages_they_hold() -> None:
    """The messages themselves are for --json."""
    value = dict.fromkeys(RAW_BATCH.fields) | {"items": [{}, {}], "channel": "ws"}
    assert record_line(RAW_BATCH, {"value": value}).split()[-2:] == ["ws", "2"]


def test_a_dead_letter_shows_why_it_is_one() -> None:
    """With the beginning of its bytes."""
    shown = {
        "key": b"k",
        "headers": {"stage": b"normalise", "error": b"no rate"},
        "value": b"{\xff",
    }
    assert record_line(None, shown).split() == [
        "k", "stage=normalise", "error=no", "rate", "{\\xff",
    ]  # fmt: skip


def test_a_record_that_cannot_be_read_says_so() -> None:
    """And where it lies."""
    line = record_line(ZSCORE, {"partition": 3, "offset": 7, "error": "too\nshort", "value": b""})
    assert line == "partition 3, offset 7: cannot be read: too short"


@pytest.mark.parametrize("price", [104523.7, 0.00000012345678, 65000.0, 12345678.12345])
def test_a_price_has_all_its_digits(price: float) -> None:
    """It is compared with what the exchange shows; a rate is cut where nobody reads on."""
    value = dict.fromkeys(FUNDING_RATE.fields) | {"mark_price": price, "rate": 0.000123456789}
    texts = record_line(FUNDING_RATE, {"value": value}).split()
    assert price in [float(text) for text in texts if text != "-"]
    assert "0.000123457" in texts


def test_a_record_without_a_value_says_that_its_key_was_removed() -> None:
    """Whatever the topic holds."""
    shown = {"partition": 3, "offset": 7, "key": b"a\x1b", "removed": True, "value": None}
    for kind in (ZSCORE, None):
        assert record_line(kind, shown) == "partition 3, offset 7: a was removed"
