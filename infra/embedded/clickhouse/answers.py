"""The headers and error bodies of ClickHouse's HTTP interface."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Mapping

from aiohttp import web

from infra.embedded.clickhouse.blocks import packed_block
from infra.embedded.clickhouse.engine import Engine
from infra.embedded.clickhouse.errors import AUTHENTICATION_FAILED, ClickHouseError

_DEFAULT_CONTENT_TYPE = "text/tab-separated-values; charset=UTF-8"
_CONTENT_TYPES = {
    "json": "application/json; charset=UTF-8",
    "jsoncompact": "application/json; charset=UTF-8",
    "jsoneachrow": "application/x-ndjson; charset=UTF-8",
    "jsoncompacteachrow": "application/x-ndjson; charset=UTF-8",
    "csv": "text/csv; charset=UTF-8; header=absent",
    "csvwithnames": "text/csv; charset=UTF-8; header=present",
    "native": "application/octet-stream",
    "rowbinary": "application/octet-stream",
    "rowbinarywithnamesandtypes": "application/octet-stream",
    "parquet": "application/octet-stream",
    "arrow": "application/octet-stream",
    "arrowstream": "application/octet-stream",
    "avro": "application/octet-stream",
}
_SUMMARY_NAMES = (
    "read_rows",
    "read_bytes",
    "written_rows",
    "written_bytes",
    "total_rows_to_read",
    "result_rows",
    "result_bytes",
)


_NOT_PRINTABLE = re.compile(r"[^ -~]+")
_MAX_HEADER_CHARS = 200


class Answer:
    """Makes the headers of the answer to one request."""

    def __init__(self, engine: Engine, host_name: str, request: web.Request) -> None:
        self._engine = engine
        self._host_name = host_name
        self._started = time.perf_counter()
        self._in_blocks = request.query.get("compress") == "1"
        self._query_id = (
            header_text(request.query.get("query_id", ""))
            or header_text(request.headers.get("X-ClickHouse-Query-Id", ""))
            or str(uuid.uuid4())
        )

    def headers(self, summary: Mapping[str, int]) -> dict[str, str]:
        """Return ClickHouse's own headers, with the counters of `summary` as text."""
        counters = {name: str(summary.get(name, 0)) for name in _SUMMARY_NAMES}
        counters["elapsed_ns"] = str(int((time.perf_counter() - self._started) * 1e9))
        return {
            "X-ClickHouse-Server-Display-Name": self._host_name,
            "X-ClickHouse-Query-Id": self._query_id,
            "X-ClickHouse-Timezone": self._engine.timezone,
            "X-ClickHouse-Server-Timezone": self._engine.timezone,
            "X-ClickHouse-Summary": json.dumps(counters, separators=(",", ":")),
        }

    def error(self, error: ClickHouseError) -> web.Response:
        """Return an error as ClickHouse would answer it."""
        headers = self.headers({})
        headers["X-ClickHouse-Exception-Code"] = str(error.code)
        text = str(error)
        if "(version " not in text:
            text = f"{text} (version {self._engine.version})"
        body = f"{text}\n".encode()
        if self._in_blocks and error.code != AUTHENTICATION_FAILED:
            # As in ClickHouse, which reads `compress` only of users that it knows.
            body = packed_block(body)
        return web.Response(
            status=error.status, body=body, headers=headers, content_type="text/plain"
        )


def late_exception(error: ClickHouseError, tag: str) -> bytes:
    """Return the block that ends a body whose statement failed after it began (since 25.11)."""
    message = str(error).encode() + b"\n"
    mark = tag.encode()
    return (
        b"\r\n__exception__\r\n"
        + mark
        + b"\r\n"
        + message
        + str(len(message)).encode()
        + b" "
        + mark
        + b"\r\n__exception__\r\n"
    )


def result_headers(output_format: str) -> dict[str, str]:
    """Return the headers that tell a client how to read a result."""
    content_type = _CONTENT_TYPES.get(output_format.lower(), _DEFAULT_CONTENT_TYPE)
    return {"X-ClickHouse-Format": header_text(output_format), "Content-Type": content_type}


def header_text(text: str) -> str:
    """Return what a header can hold of a caller's text: printable ASCII, shortened."""
    return _NOT_PRINTABLE.sub("", text[:_MAX_HEADER_CHARS]).strip()
