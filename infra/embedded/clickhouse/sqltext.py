"""What the server must know about a statement's text before the engine sees it. Pure.

Where an INSERT's data begins, which FORMAT a result has, whether a statement only reads, and
whether it reaches for files of this machine. Not a parser: the engine judges syntax. SETTINGS
clauses are in clauses.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_IDENTIFIER = re.compile(rb"[A-Za-z_][A-Za-z0-9_]*")
_TAIL_FORMAT = re.compile(r"\bFORMAT\s+([A-Za-z0-9_]+)\s*(?:SETTINGS\b[^;]*)?;?\s*$", re.IGNORECASE)
_TAIL_CHARS = 4_000
_QUERY_SOURCES = (b"SELECT", b"WITH", b"WATCH", b"INFILE")
_READS = (b"SELECT", b"WITH", b"SHOW", b"DESCRIBE", b"DESC", b"EXPLAIN", b"EXISTS", b"CHECK")
_STREAMABLE_STARTS = (b"SELECT", b"WITH")
# The engine formats each streamed piece by itself, which is right only for formats without a frame
# around all rows.
_STREAMABLE_FORMATS = frozenset(
    (
        "native",
        "tabseparated",
        "tsv",
        "tabseparatedraw",
        "tsvraw",
        "csv",
        "rowbinary",
        "values",
        "jsoneachrow",
        "jsoncompacteachrow",
        "ndjson",
        "jsonlines",
    )
)
# The usual ways to files of the machine, refused with a clear message. A look at the text does not
# see every way: the boundary is sandbox.py.
_FILE_CALLS = frozenset(
    (
        b"FILE",
        b"FILECLUSTER",
        b"SQLITE",
        b"EXECUTABLE",
        b"EXECUTABLEPOOL",
        b"PYTHON",
        b"ICEBERGLOCAL",
        b"ICEBERGLOCALCLUSTER",
        b"DELTALAKELOCAL",
        b"PAIMONLOCAL",
        b"HUDILOCAL",
        b"ODBC",
        b"JDBC",
        b"FILESYSTEM",
        b"EMBEDDEDROCKSDB",
    )
)
_FILE_WORDS = frozenset((b"INFILE", b"OUTFILE"))
_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r", "\0": "\\0"})


@dataclass(frozen=True, slots=True)
class Token:
    """A top-level word (upper case), a quoted piece (its inner text, upper case) or a character."""

    start: int
    end: int
    text: bytes
    depth: int
    quote: bytes = b""


@dataclass(frozen=True, slots=True)
class InsertHead:
    """An INSERT with data in the request: the statement to open, the format, where data starts."""

    statement: str
    format: str
    data_offset: int


def tokens(sql: bytes) -> Iterator[Token]:
    """Yield words, quoted pieces and characters outside comments; `depth` counts parentheses."""
    position, depth = 0, 0
    while position < len(sql):
        character = sql[position : position + 1]
        if character.isspace():
            position += 1
        elif (end := _comment_end(sql, position)) is not None:
            position = end
        elif character in (b"'", b'"', b"`"):
            end = _quote_end(sql, position)
            text = sql[position + 1 : end - 1].upper()
            yield Token(position, end, text, depth, character)
            position = end
        else:
            word = _IDENTIFIER.match(sql, position)
            end = word.end() if word else position + 1
            if character == b")":
                depth -= 1
            yield Token(position, end, sql[position:end].upper(), depth)
            if character == b"(":
                depth += 1
            position = end


def insert_head(sql: bytes) -> InsertHead | None:
    """Return the head of an INSERT that is followed by its data; None for any other statement.

    `sql` may be the beginning of a long request only, as long as it reaches into the data.
    """
    words = (token for token in tokens(sql) if token.depth == 0)
    first = next(words, None)
    if first is None or first.text != b"INSERT" or first.quote:
        return None
    for token in words:
        if token.quote:
            continue
        if token.text == b"FORMAT":
            name = next(words, None)
            if name is None:
                return None
            return InsertHead(
                _text(sql[: token.start]),
                _text(sql[name.start : name.end]),
                _data_start(sql, name.end),
            )
        if token.text == b"VALUES":
            return InsertHead(_text(sql[: token.start]), "Values", token.end)
        if token.text in _QUERY_SOURCES:
            return None
    return InsertHead(_text(sql).rstrip().rstrip(";"), "Values", len(sql))


def result_format(sql: str) -> str | None:
    """Return the format that a FORMAT clause at the end of a statement names, if there is one."""
    found = _TAIL_FORMAT.search(sql[-_TAIL_CHARS:])
    return found.group(1) if found else None


def first_word(sql: bytes) -> bytes:
    """Return the first word in upper case, behind comments and opening parentheses."""
    return next((token.text for token in tokens(sql) if token.text != b"("), b"")


def is_read(sql: bytes) -> bool:
    """Whether the statement is of a kind that changes nothing."""
    return first_word(sql) in _READS


def is_streamable(sql: bytes, output_format: str) -> bool:
    """Whether the result may be sent piece by piece while it is computed."""
    return output_format.lower() in _STREAMABLE_FORMATS and first_word(sql) in _STREAMABLE_STARTS


def reaches_for_files(sql: bytes) -> bool:
    """Whether the statement names a way to files or programs of this machine."""
    upper = sql.upper()
    if not any(word in upper for word in _FILE_CALLS | _FILE_WORDS):
        return False  # the usual case, without looking at each word
    previous = Token(0, 0, b"", 0)
    before = previous
    for token in tokens(sql):
        if token.text in _FILE_WORDS and not token.quote:
            return True
        if token.text == b"(" and not token.quote and _names_file_call(previous):
            return True
        # ENGINE = File: the engine's name comes without parentheses as well.
        if _names_file_call(token) and previous.text == b"=" and before.text == b"ENGINE":
            return True
        before, previous = previous, token
    return False


def quoted(value: str) -> str:
    """Return the value as a string literal."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def escaped(value: str) -> str:
    """Return a parameter's value escaped as in TabSeparated, as the engine reads it."""
    return value.translate(_ESCAPES)


def quoted_name(name: str) -> str:
    """Return the value as an identifier in backticks."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _names_file_call(token: Token) -> bool:
    return token.quote != b"'" and token.text in _FILE_CALLS


def _comment_end(sql: bytes, position: int) -> int | None:
    if sql.startswith(b"/*", position):
        end = sql.find(b"*/", position + 2)
        return len(sql) if end < 0 else end + 2
    if sql.startswith((b"--", b"# ", b"#!"), position):
        end = sql.find(b"\n", position)
        return len(sql) if end < 0 else end + 1
    return None


def _quote_end(sql: bytes, position: int) -> int:
    quote = sql[position]
    end = position + 1
    while end < len(sql) and sql[end] != quote:
        end += 2 if sql[end] == ord("\\") else 1
    return min(end + 1, len(sql))


def _data_start(sql: bytes, position: int) -> int:
    """Return where data begins: behind blanks and at most one line end, as in ClickHouse."""
    while sql[position : position + 1] in (b" ", b"\t", b"\r"):
        position += 1
    if sql[position : position + 1] == b";":
        position += 1
    if sql[position : position + 1] == b"\n":
        position += 1
    return position


def _text(sql: bytes) -> str:
    return sql.decode(errors="replace")
