"""JSON on the worker's port: `/api/…`, and `/healthz`, `/startupz`, `/readyz` for supervisors.

`/healthz`, `/startupz` and `/api/bars` answer at once, others from the newest picture (view.py).

A request that is refused gets a JSON object whose `error` says why: status 400 for an unknown
parameter or a value out of bounds, 404 for a contract that this worker does not know.
"""

from __future__ import annotations

import json

from aiohttp import web

from schemas.feeds import FEEDS
from stream_app.web.picture import PIECE, Picture
from stream_app.web.view import WorkerView

MAX_LIMIT = 10_000
_MAX_TOLD_CHARS = 100


def add_api(app: web.Application, view: WorkerView) -> None:
    """Add the JSON routes to the worker's web application."""
    api = _Api(view)
    for path, handler in (
        ("/api/contracts", api.contracts),
        ("/api/feeds", api.feeds),
        ("/api/summary", api.summary),
        ("/api/bars", api.bars),
        ("/healthz", api.health),
        ("/startupz", api.startup),
        ("/readyz", api.ready),
    ):
        app.router.add_get(path, handler)


class _Api:
    """The handlers."""

    def __init__(self, view: WorkerView) -> None:
        self._view = view

    async def contracts(self, request: web.Request) -> web.Response:
        """Contracts with a rate, highest |z| first; `feed` and `limit` narrow them down."""
        asked = parameters(request, "feed", "limit")
        feed, limit = asked.get("feed"), _limit(asked.get("limit"))
        if feed is not None and feed not in FEEDS:
            raise _refused(web.HTTPBadRequest, f"feed must be one of {', '.join(FEEDS)}")
        picture = await self._view.picture()
        texts = await picture.made(_contract_texts)
        rows = zip(picture.contracts, texts, strict=True)
        wanted = [text for row, text in rows if feed in {None, row.feed}][:limit]
        return _json(b"[" + b", ".join(wanted) + b"]")

    async def feeds(self, request: web.Request) -> web.Response:
        """Each feed: its producer's report, and how old its rates are."""
        parameters(request)
        return _json(await (await self._view.picture()).made(_feeds_text))

    async def summary(self, request: web.Request) -> web.Response:
        """The state at a glance."""
        parameters(request)
        return _json(await (await self._view.picture()).made(_summary_text))

    async def bars(self, request: web.Request) -> web.Response:
        """Closed bars of one `contract`, of the last 48 hours, oldest first."""
        contract = parameters(request, "contract").get("contract", "")
        if not contract:
            raise _refused(
                web.HTTPBadRequest, "name a contract: /api/bars?contract=<feed>:<symbol>"
            )
        if not self._view.knows(contract):
            raise _refused(
                web.HTTPNotFound,
                f"contract {contract[:_MAX_TOLD_CHARS]!r} is not known to this worker: "
                "/api/contracts lists those that have a rate",
            )
        return web.json_response(self._view.bars(contract))

    async def health(self, _request: web.Request) -> web.Response:
        """The event loop answers."""
        return web.json_response({"status": "ok", "uptime_s": round(self._view.uptime_s(), 1)})

    async def startup(self, _request: web.Request) -> web.Response:
        """200 once partitions are assigned and their state is loaded, else 503."""
        started = self._view.started
        return web.json_response({"started": started}, status=200 if started else 503)

    async def ready(self, _request: web.Request) -> web.Response:
        """200 while every feed that has a producer is delivered, else 503 with the reasons."""
        picture = await self._view.picture()
        body = {**picture.readiness, "idle_s": round(self._view.idle_s(), 1)}
        return web.json_response(body, status=200 if body["ready"] else 503)


async def _contract_texts(picture: Picture) -> list[bytes]:
    """Return the JSON of each contract, in the picture's order."""
    texts = []
    for number, row in enumerate(picture.contracts):
        if number % PIECE == 0:
            await picture.pace.give_way()
        texts.append(json.dumps(picture.fields(row)).encode())
    return texts


async def _feeds_text(picture: Picture) -> bytes:
    return json.dumps(picture.feeds).encode()


async def _summary_text(picture: Picture) -> bytes:
    return json.dumps(picture.summary()).encode()


def _json(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json", charset="utf-8")


def parameters(request: web.Request, *known: str) -> dict[str, str]:
    """Return the parameters of a request.

    Raises:
        HTTPBadRequest: one is not known, or is given more than once.
    """
    query = request.query
    unknown = sorted({name[:_MAX_TOLD_CHARS] for name in query if name not in known})
    if unknown:
        takes = f"takes {', '.join(known)}" if known else "takes none"
        names = ", ".join(map(repr, unknown[:5]))
        raise _refused(web.HTTPBadRequest, f"unknown parameter {names}: {request.path} {takes}")
    for name in known:
        if len(query.getall(name, [])) > 1:
            raise _refused(web.HTTPBadRequest, f"{name} is given more than once")
    return dict(query)


def _limit(text: str | None) -> int | None:
    if text is None:
        return None
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(MAX_LIMIT))
    if not is_number or not 1 <= int(text) <= MAX_LIMIT:
        raise _refused(web.HTTPBadRequest, f"limit must be a number from 1 to {MAX_LIMIT}")
    return int(text)


def _refused(kind: type[web.HTTPError], reason: str) -> web.HTTPError:
    return kind(text=json.dumps({"error": reason}), content_type="application/json")
