"""The files that the page is made of, read once at the start and served from memory.

Only what was found then can be asked for, so no path leads to another file of the machine.
"""

from __future__ import annotations

import gzip
import hashlib
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import NamedTuple

from aiohttp import web

from stream_app.web.rest.replies import has_it, takes_gzip
from stream_app.web.server.access import ASSETS_PATH

_TYPES = {
    "css": "text/css",
    "html": "text/html",
    "js": "text/javascript",
    "svg": "image/svg+xml",
    "txt": "text/plain",
}
_GZIP_FROM_BYTES = 512


class _File(NamedTuple):
    content_type: str
    etag: str
    body: bytes
    packed: bytes


def add_files(app: web.Application) -> None:
    """Add `/`, and `/assets/…` for every file of the folder `static`."""
    found = dict(_read(files("stream_app.web").joinpath("static"), ""))

    async def asset(request: web.Request) -> web.Response:
        return _answer(request, found.get(request.match_info["name"]))

    async def page(request: web.Request) -> web.Response:
        return _answer(request, found["index.html"])

    app.router.add_get("/", page)
    app.router.add_get(ASSETS_PATH + "{name:.+}", asset)


def _read(folder: Traversable, prefix: str) -> list[tuple[str, _File]]:
    found = []
    for entry in folder.iterdir():
        name = prefix + entry.name
        kind = _TYPES.get(entry.name.rpartition(".")[2])
        if entry.is_dir():
            found += _read(entry, f"{name}/")
        elif kind is not None:
            body = entry.read_bytes()
            etag = hashlib.sha256(body).hexdigest()[:20]
            found.append((name, _File(kind, etag, body, gzip.compress(body, mtime=0))))
    return found


def _answer(request: web.Request, file: _File | None) -> web.Response:
    if file is None:
        raise web.HTTPNotFound
    # A browser asks each time whether its copy is still right, and gets a few bytes if it is.
    headers = {"Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
    if has_it(request, file.etag):
        response = web.Response(status=304, headers=headers)
    else:
        body = file.body
        if takes_gzip(request) and len(body) >= _GZIP_FROM_BYTES:
            body, headers["Content-Encoding"] = file.packed, "gzip"
        response = web.Response(
            body=body, content_type=file.content_type, charset="utf-8", headers=headers
        )
    response.etag = file.etag
    return response
