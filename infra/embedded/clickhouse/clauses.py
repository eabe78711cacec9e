"""Reads two parts of a statement completely: SETTINGS clauses and lists of columns. Pure.

Limits depend on them, so a clause or a list that cannot be read to its end is refused. How a
statement is split into words is in sqltext.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from infra.embedded.clickhouse.errors import ClickHouseError
from infra.embedded.clickhouse.sqltext import Token, tokens

_NAME_PART = re.compile(rb"[\w.$]+")
_PLAIN_VALUE = re.compile(rb"[\w.+-]+")
_OPENING, _CLOSING = frozenset((b"(", b"[", b"{")), frozenset((b")", b"]", b"}"))
_VALUE_ENDS = _CLOSING | {b",", b";"}
# What may follow a whole SETTINGS clause.
_CLAUSE_ENDS = frozenset(
    (b")", b";", b"FORMAT", b"UNION", b"EXCEPT", b"INTERSECT", b"INTO", b"SETTINGS")
)
_SHORTHAND_VALUE = "1"
_COLUMN_PIECE = re.compile(
    r"(?P<space>[ \t\r\n]+)|(?P<word>[A-Za-z_][A-Za-z0-9_]*)|(?P<number>[0-9]+(?:\.[0-9]+)?)"
    r"|(?P<text>'(?:[^'\\]|\\.)*')|(?P<name>`(?:[^`\\]|\\.)+`|\"(?:[^\"\\]|\\.)+\")"
    r"|(?P<sign>[(),=]|-(?!-)|\.)",
    re.DOTALL,
)
# Columns at depth 0, each piece as one letter: a name, a type, and its arguments if it has any.
_COLUMNS = re.compile(r"[wn]w(?:\(\))?(?:,[wn]w(?:\(\))?)*")


def settings_changes(canonical: bytes) -> Iterator[tuple[str, str | None]]:
    """Yield names and values of all SETTINGS clauses of a statement, as the engine formats it.

    The value is None where it is not a plain number, word or string: a parameter, an array. A name
    without a value stands for 1.

    Raises:
        ClickHouseError: for a clause that cannot be read to its end.
    """
    if b"SETTINGS" not in canonical:
        return
    found = list(tokens(canonical))
    for position, token in enumerate(found):
        if _begins_clause(canonical, found, position):
            yield from _clause(canonical, found, position + 1, token.depth)


def set_changes(canonical: bytes) -> list[tuple[str, str | None]] | None:
    """Return the settings of a SET statement, as `settings_changes` does; None for any other.

    Raises:
        ClickHouseError: it cannot be read to its end.
    """
    found = list(tokens(canonical))
    if len(found) < 3 or found[0].text != b"SET" or found[0].quote:
        return None
    if found[2].text != b"=" or found[2].quote:
        return None  # SET ROLE, SET TRANSACTION
    return list(_clause(canonical, found, 1, 0))


def used_database(canonical: bytes) -> str | None:
    """Return the database of a USE statement; None for any other."""
    found = list(tokens(canonical))
    if len(found) != 2 or found[0].text != b"USE" or found[0].quote:
        return None
    return _text(canonical[found[1].start : found[1].end].strip(b'`"'))


def _begins_clause(canonical: bytes, found: list[Token], position: int) -> bool:
    """Whether the word is the keyword SETTINGS, which the engine writes in upper case.

    A column of that name is taken for the keyword too, unless its table stands before it.
    """
    token = found[position]
    if token.quote or canonical[token.start : token.end] != b"SETTINGS":
        return False
    before = [word.text for word in found[: min(position, 3)]]
    if before in ([b"SHOW"], [b"SHOW", b"CHANGED"]):
        return False
    return not (position and found[position - 1].text == b"." and _touches(found, position))


def _clause(
    canonical: bytes, found: list[Token], position: int, depth: int
) -> Iterator[tuple[str, str | None]]:
    while True:
        end = _name_end(found, position)
        if end == position:
            raise _unreadable()
        name = canonical[found[position].start : found[end - 1].end].strip(b'`"')
        value: str | None = _SHORTHAND_VALUE
        if end < len(found) and found[end].text == b"=" and not found[end].quote:
            position, end = end + 1, _value_end(found, end + 1)
            if end == position:
                raise _unreadable()
            value = _plain_value(canonical[found[position].start : found[end - 1].end])
        yield _text(name), value
        if end == len(found):
            return
        after = found[end]
        if after.quote or after.depth != depth - (after.text == b")"):
            raise _unreadable()
        if after.text in _CLAUSE_ENDS:
            return
        if after.text != b",":
            raise _unreadable()
        position = end + 1


def _name_end(found: list[Token], position: int) -> int:
    """Return the index behind a setting's name, which may have dots and quotes."""
    start = position
    while position < len(found):
        token = found[position]
        is_part = token.quote in (b"`", b'"') if token.quote else _NAME_PART.fullmatch(token.text)
        if not is_part or (position > start and not _touches(found, position)):
            break
        position += 1
    return position


def _value_end(found: list[Token], position: int) -> int:
    """Return the index behind a value, which includes brackets and whatever adjoins."""
    open_brackets = 0
    while position < len(found):
        token = found[position]
        if not token.quote:
            if token.text in _VALUE_ENDS and open_brackets == 0:
                break
            open_brackets += (token.text in _OPENING) - (token.text in _CLOSING)
        position += 1
        continues = (
            position < len(found)
            and _touches(found, position)
            and (found[position].quote or found[position].text not in _VALUE_ENDS)
        )
        if open_brackets <= 0 and not continues:
            break
    if open_brackets:
        raise _unreadable()
    return position


def _touches(found: list[Token], position: int) -> bool:
    return found[position].start == found[position - 1].end


def _plain_value(value: bytes) -> str | None:
    if value[:1] == b"'" and value[-1:] == b"'" and b"\\" not in value:
        return _text(value[1:-1])
    if value.upper() == b"DEFAULT" or not _PLAIN_VALUE.fullmatch(value):
        return None
    return _text(value)


def is_column_list(structure: str) -> bool:
    """Whether the text is a list of names and types, with nothing that could close or extend it.

    A type is a word that may have arguments in parentheses. Defaults, indexes, constraints and
    comments are not accepted.
    """
    shape: list[str] = []
    position, depth = 0, 0
    while position < len(structure):
        piece = _COLUMN_PIECE.match(structure, position)
        if piece is None or "\0" in piece.group():
            return False
        position = piece.end()
        kind, text = piece.lastgroup, piece.group()
        depth -= text == ")"
        if depth < 0 or (kind == "word" and text.upper() == "SELECT"):
            return False
        if depth == 0 and kind != "space":
            shape.append(text if kind == "sign" else str(kind)[0])
        if text == "(":
            depth += 1
    return depth == 0 and _COLUMNS.fullmatch("".join(shape)) is not None


def _unreadable() -> ClickHouseError:
    return ClickHouseError(
        452,
        "A SETTINGS clause cannot be read: write each setting as name = value. A column of that"
        " name is written in lower case or behind its table's name.",
        "SETTING_CONSTRAINT_VIOLATION",
    )


def _text(sql: bytes) -> str:
    return sql.decode(errors="replace")
