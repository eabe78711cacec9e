"""From an answer to a response: encoding, ETag, compression, and what clients may keep."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import msgspec
from aiohttp import ETag, web

from schemas.text import one_line
from stream_app.web.rest.answers import Refusal
from stream_app.web.rest.csv_text import csv_text
from stream_app.web.rest.parameters import RefusedError

JSON_TYPE = "application/json"
CSV_TYPE = "text/csv"
_COMPRESS_FROM_BYTES = 1_024
_THREAD_FROM_BYTES = 1 << 16
_LEVEL = 5
_MAX_REASON_CHARS = 1_000


class Content:
    """An encoded answer, which many requests may get."""

    def __init__(self, body: bytes, content_type: str) -> None:
        self.body = body
        self.content_type = content_type
        self.etag = blake2b(body, digest_size=12).hexdigest()
        self._compressed: asyncio.Future[bytes] | None = None

    async def compressed(self) -> bytes:
        """Return the body as gzip has it. A large one is compressed once, in a thread."""
        if len(self.body) < _THREAD_FROM_BYTES:
            return gzip.compress(self.body, _LEVEL, mtime=0)
        if self._compressed is None:
            self._compressed = asyncio.ensure_future(
                asyncio.to_thread(gzip.compress, self.body, _LEVEL, mtime=0)
            )
        return await asyncio.shield(self._compressed)


def json_content(answer: Any) -> Content:
    """Return an answer as JSON. Numbers that are not finite become null."""
    return Content(msgspec.json.encode(answer), JSON_TYPE)


def csv_content(answer: Any, rows: str, columns: Any) -> Content:
    """Return the list `rows` of an answer as CSV."""
    plain: list[Mapping[str, Any]] = msgspec.to_builtins(getattr(answer, rows))
    return Content(csv_text(columns, plain).encode(), CSV_TYPE)


def wants_csv(request: web.Request, asked: str | None) -> bool:
    """Tell whether a request is for CSV: by `format`, else by what its client accepts most."""
    if asked is not None:
        return asked == "csv"
    shares = {JSON_TYPE: 0.0, CSV_TYPE: 0.0}
    for item in request.headers.get("Accept", "").split(",")[:20]:
        kind, *options = (part.strip().lower() for part in item.split(";"))
        if kind in shares:
            shares[kind] = max(shares[kind], _quality(options))
    return shares[CSV_TYPE] > shares[JSON_TYPE]


def _quality(options: list[str]) -> float:
    for option in options:
        name, _, value = option.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


async def response(request: web.Request, content: Content) -> web.Response:
    """Return 200 with the content, or 304 to a client that has it."""
    headers = {
        "ETag": f'W/"{content.etag}"',
        # Nothing is used again without being asked for: rates are old after a second.
        "Cache-Control": "private, no-cache",
        "Vary": "Accept, Accept-Encoding",
        "X-Content-Type-Options": "nosniff",
    }
    if has_it(request, content.etag):
        return web.Response(status=304, headers=headers)
    body = content.body
    if len(body) >= _COMPRESS_FROM_BYTES and takes_gzip(request):
        body = await content.compressed()
        headers["Content-Encoding"] = "gzip"
    return web.Response(
        body=body, headers=headers, content_type=content.content_type, charset="utf-8"
    )


def has_it(request: web.Request, etag: str) -> bool:
    """Tell whether who asks has the content with this tag already."""
    try:
        known = request.if_none_match or ()
    except ValueError:
        return False
    return any(each in {ETag("*"), ETag(etag, is_weak=True), ETag(etag)} for each in known)


def takes_gzip(request: web.Request) -> bool:
    """Tell whether who asks takes a body that is compressed by gzip (RFC 9110, 12.5.3)."""
    for item in request.headers.get("Accept-Encoding", "").split(",")[:20]:
        coding, *options = (part.strip().lower() for part in item.split(";"))
        if coding in {"gzip", "*"}:
            return _quality(options) > 0
    return False


def refusal(error: RefusedError) -> web.Response:
    """Return a refused request's response: JSON whose `error` says why."""
    reason = one_line(error.reason, _MAX_REASON_CHARS)
    return web.Response(
        status=error.status,
        body=msgspec.json.encode(Refusal(reason)),
        headers={
            "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", **error.headers,
        },
        content_type=JSON_TYPE,
        charset="utf-8",
    )  # fmt: skip
