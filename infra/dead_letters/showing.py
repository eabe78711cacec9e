"""Shows dead letters to people and to scripts. Pure; all text from outside is made harmless."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from infra.dead_letters.letter import Letter, ReplayState
from schemas.text import one_line, printable

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_REASON_CHARS = 90
_ROW_BYTES = 16
_SHOWN_BYTES = 1_024
"""Of a value's bytes, unless all are asked for."""
_STAGE_CHARS, _SOURCE_CHARS = 9, 40


def time_text(at_us: int) -> str:
    """Return a time as people read it, in UTC to the second."""
    at = _EPOCH + timedelta(microseconds=at_us)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def line_of(letter: Letter, state: ReplayState | None) -> str:
    """Return a letter as a line of the list."""
    return (
        f"{letter.place!s:>10}  {time_text(letter.written_at_us)}  "
        f"{one_line(letter.stage, _STAGE_CHARS):{_STAGE_CHARS}}  "
        f"{one_line(str(letter.source), 2 * _SOURCE_CHARS):{_SOURCE_CHARS}}  "
        f"{letter.size:>8,}  {_state_text(state):8}  "
        f"{one_line(letter.reason, _REASON_CHARS)}"
    )


HEADING = (
    f"{'place':>10}  {'written (UTC)':20}  {'stage':{_STAGE_CHARS}}  {'source':{_SOURCE_CHARS}}  "
    f"{'bytes':>8}  {'replay':8}  reason"
)


def _state_text(state: ReplayState | None) -> str:
    return "-" if state is None else state


def document_of(letter: Letter, state: ReplayState | None) -> dict[str, Any]:
    """Return a letter, without its bytes, as a script reads it."""
    source = letter.source
    return {
        "place": str(letter.place),
        "written_at": letter.written_at_us,
        "stage": letter.stage,
        "source_topic": source.topic,
        "source_partition": source.partition,
        "source_offset": source.offset,
        "source_item": source.item,
        "key": None if letter.key is None else letter.key.decode("utf-8", "backslashreplace"),
        "size": letter.size,
        "reason": letter.reason,
        "replay": state,
    }


def lines_of(
    letter: Letter, state: ReplayState | None, decoded: str | None, *, whole: bool
) -> Iterator[str]:
    """Yield the lines that show one letter: where from, why, headers, bytes.

    `decoded`: its value as JSON where it is Avro; None: it is not. `whole`: all bytes, not only
    the first _SHOWN_BYTES.
    """
    yield f"letter   {letter.place}, written {time_text(letter.written_at_us)}"
    yield f"stage    {printable(letter.stage) or '(not told)'}"
    yield f"source   {printable(str(letter.source))}"
    yield f"key      {_text(letter.key)}"
    yield f"replay   {'not sent again' if state is None else state}"
    yield f"reason   {printable(letter.reason)}"
    yield "headers"
    for name, text in letter.headers.items():
        yield f"  {printable(name)}: {printable(text)}"
    if decoded is not None:
        yield "decoded"
        yield from (f"  {line}" for line in printable(decoded).splitlines())
    shown = letter.value if whole else letter.value[:_SHOWN_BYTES]
    left = len(letter.value) - len(shown)
    whole_size = f", the beginning of {letter.whole_size:,}" if letter.is_cut else ""
    yield f"value    {letter.size:,} bytes{whole_size}"
    yield from hexdump(shown)
    if left:
        yield f"  … {left:,} more bytes: --all-bytes shows them"


def _text(key: bytes | None) -> str:
    return "(none)" if key is None else printable(key.decode("utf-8", "backslashreplace"))


def hexdump(data: bytes) -> Iterator[str]:
    """Yield the lines of a hexdump: offset, bytes, and the printable ASCII among them."""
    for at in range(0, len(data), _ROW_BYTES):
        row = data[at : at + _ROW_BYTES]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        yield f"  {at:08x}  {row.hex(' '):{3 * _ROW_BYTES - 1}}  {text}"


def decoded_json(record: Any) -> str:
    """Return a decoded record as JSON of several lines; bytes in it as text with escapes."""
    return json.dumps(record, indent=2, default=_readable)


def _readable(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return repr(value)
