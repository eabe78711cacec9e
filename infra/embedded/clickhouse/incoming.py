"""Reads a request of ClickHouse's HTTP interface: statement, data, parameters, settings."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from aiohttp import BodyPartReader, web

from infra.embedded.clickhouse.blocks import BlockDecompressor
from infra.embedded.clickhouse.clauses import is_column_list
from infra.embedded.clickhouse.compression import decompressed, decompressor
from infra.embedded.clickhouse.engine import PIECE_BYTES
from infra.embedded.clickhouse.errors import ClickHouseError
from infra.embedded.clickhouse.sqltext import InsertHead, insert_head

# URL parameters that are not settings of the engine.
_RESERVED = frozenset(
    (
        "query",
        "database",
        "user",
        "password",
        "quota_key",
        "role",
        "query_id",
        "log_comment",  # the server's own mark of a statement (engine.py)
        "default_format",
        "session_id",
        "session_timeout",
        "session_check",
        "close_session",
        "stacktrace",
        "compress",
        "decompress",
        "buffer_size",
        "wait_end_of_query",
        "enable_http_compression",
        "send_progress_in_http_headers",
        "http_headers_progress_interval_ms",
        "client_protocol_version",
        "add_http_cors_header",
        "http_response_buffer_size",
        "http_write_exception_in_output_format",
        "cancel_http_readonly_queries_on_client_close",
    )
)
_FORMAT_NAME = re.compile(r"[A-Za-z0-9_]+")
_EXTERNAL_SUFFIXES = ("structure", "format", "types")
# The engine's own limit (max_query_size); the data of an INSERT does not count.
MAX_STATEMENT_BYTES = 256 * 1024
# For all parts of a multipart request together.
_MAX_MULTIPART_BYTES = 64 * 1024 * 1024
_MAX_PARTS = 1_000
# The head of an INSERT must end within this much of the request.
_HEAD_BYTES = 64 * 1024
# Longer texts are examined in a thread, because they would hold up other requests.
_SHORT_BYTES = 4 * 1024
_READ_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class ExternalTable:
    """Data of a multipart request that the statement reads as a temporary table."""

    name: str
    structure: str
    format: str
    data: bytes


@dataclass(slots=True)
class Incoming:
    """A request. For an INSERT with data, `insert` is its head and `data` yields the data."""

    sql: bytes = b""
    insert: InsertHead | None = None
    data: AsyncIterator[bytes] | None = None
    database: str | None = None
    parameters: dict[str, str] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    external: list[ExternalTable] = field(default_factory=list)
    read_only: bool = False


async def read_request(request: web.Request) -> Incoming:
    """Read the request; of the data of an INSERT only the first pieces."""
    query = request.query
    externals = {key[: -len("_structure")] for key in query if key.endswith("_structure")}
    incoming = Incoming(
        sql=query.get("query", "").encode(),
        database=query.get("database") or request.headers.get("X-ClickHouse-Database"),
        read_only=request.method in {"GET", "HEAD"},
    )
    for name, value in query.items():
        _take(incoming, name, value, externals)
    if request.content_type == "multipart/form-data":
        try:
            await _read_multipart(request, incoming, query, externals)
        except ValueError as error:
            raise ClickHouseError(
                36, f"The multipart body cannot be read: {error}", "BAD_ARGUMENTS"
            ) from error
        pieces = _nothing()
    else:
        pieces = _body_pieces(request)
    await _split(incoming, pieces)
    if not incoming.sql.strip():
        raise ClickHouseError(62, "Syntax error: empty query.", "SYNTAX_ERROR")
    return incoming


def _take(incoming: Incoming, name: str, value: str, externals: set[str]) -> None:
    """Store a named value: a parameter, a setting, or one of the interface's own."""
    table, _, suffix = name.rpartition("_")
    if name.startswith("param_"):
        incoming.parameters[name.removeprefix("param_")] = value
    elif name not in _RESERVED and not (table in externals and suffix in _EXTERNAL_SUFFIXES):
        incoming.settings[name] = value


async def _split(incoming: Incoming, pieces: AsyncIterator[bytes]) -> None:
    """Separate statement and data: the statement is in the URL, in the body, or in both."""
    head = await _head_of(incoming.sql) if incoming.sql else None
    if not incoming.sql:
        first = await anext(pieces, b"")
        while len(first) < _HEAD_BYTES and (more := await anext(pieces, b"")):
            first += more
        head = await _head_of(first)
        incoming.sql = first
    elif head is None:
        incoming.sql += b"\n"
    # VALUES with {parameters} are expressions, which belong to the statement.
    as_data = head is not None and not (head.format == "Values" and incoming.parameters)
    if head is not None and as_data:
        if reaches_past(incoming.sql, head):
            raise ClickHouseError(62, "The INSERT's head is too long.", "SYNTAX_ERROR")
        rest = incoming.sql[head.data_offset :]
        incoming.sql = incoming.sql[: head.data_offset]
        incoming.insert = head
        incoming.data = _chain(rest, pieces)
        return
    parts = [_bounded(incoming.sql, 0)]
    async for piece in pieces:
        parts.append(_bounded(piece, sum(map(len, parts))))
    incoming.sql = b"".join(parts).rstrip(b"\n") if len(parts) > 1 else incoming.sql


async def _head_of(sql: bytes) -> InsertHead | None:
    if len(sql) <= _SHORT_BYTES:
        return insert_head(sql)
    return await asyncio.to_thread(insert_head, sql[:_HEAD_BYTES])


def _bounded(piece: bytes, size_before: int) -> bytes:
    if size_before + len(piece) > MAX_STATEMENT_BYTES:
        raise ClickHouseError(
            62, f"Max query size exceeded: {MAX_STATEMENT_BYTES} bytes.", "SYNTAX_ERROR"
        )
    return piece


def reaches_past(sql: bytes, head: InsertHead) -> bool:
    """Whether the head goes on behind the part that was examined: no data begins in it."""
    return head.data_offset >= _HEAD_BYTES and len(sql) > _HEAD_BYTES


async def _body_pieces(request: web.Request) -> AsyncIterator[bytes]:
    """Yield the decoded body in pieces of about a mebibyte; a sender that stalls is an error."""
    decompress = decompressor(request.headers.get("Content-Encoding", ""))
    blocks = BlockDecompressor() if request.query.get("decompress") == "1" else None
    pieces: list[bytes] = []
    size = 0
    while True:
        try:
            async with asyncio.timeout(_READ_TIMEOUT_S):
                raw = await request.content.readany()
        except TimeoutError as error:
            raise ClickHouseError(
                209, f"No data from the client for {_READ_TIMEOUT_S:g} s.", "SOCKET_TIMEOUT"
            ) from error
        if not raw and request.content.at_eof():
            break
        for coded in decompressed(decompress, raw):
            piece = coded if blocks is None else blocks(coded)
            pieces.append(piece)
            size += len(piece)
            if size > PIECE_BYTES:
                yield b"".join(pieces)
                pieces, size = [], 0
    if blocks is not None:
        blocks.finish()
    if pieces:
        yield b"".join(pieces)


async def _read_multipart(
    request: web.Request, incoming: Incoming, query: Mapping[str, str], externals: set[str]
) -> None:
    count, size = 0, 0
    async for part in await request.multipart():
        count += 1
        if count > _MAX_PARTS:
            raise ClickHouseError(36, f"There are more than {_MAX_PARTS} parts.", "BAD_ARGUMENTS")
        if not isinstance(part, BodyPartReader) or part.name is None:
            continue
        data = bytearray()
        while chunk := await part.read_chunk():
            data += chunk
            size += len(chunk)
            if size > _MAX_MULTIPART_BYTES:
                raise ClickHouseError(
                    241, f"The parts exceed {_MAX_MULTIPART_BYTES} bytes.", "MEMORY_LIMIT_EXCEEDED"
                )
        if part.name in externals:
            incoming.external.append(external_table(part.name, query, bytes(data)))
        elif part.name == "query":
            incoming.sql = bytes(data)
        else:
            _take(incoming, part.name, data.decode(errors="replace"), externals)


def external_table(name: str, query: Mapping[str, str], data: bytes) -> ExternalTable:
    """Return the table of a part, after checking the texts that become part of statements."""
    structure = query[f"{name}_structure"]
    input_format = query.get(f"{name}_format", "TabSeparated")
    if not name.isidentifier() or not is_column_list(structure):
        raise ClickHouseError(
            36,
            f"Bad external table {name!r}: its structure may be names and types only.",
            "BAD_ARGUMENTS",
        )
    if not _FORMAT_NAME.fullmatch(input_format):
        raise ClickHouseError(73, f"Unknown format {input_format!r}.", "UNKNOWN_FORMAT")
    return ExternalTable(name, structure, input_format, data)


async def _chain(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if first:
        yield first
    async for piece in rest:
        yield piece


async def _nothing() -> AsyncIterator[bytes]:
    no_pieces: tuple[bytes, ...] = ()
    for piece in no_pieces:
        yield piece
