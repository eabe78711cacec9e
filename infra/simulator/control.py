"""The simulator's own HTTP paths: health, figures, fault control.

`GET /healthz`, `GET /stats`; `POST /control/close`, `/control/silence`, `/control/refuse`,
`/control/resume`, `/control/list`, `/control/delist` with an optional JSON body:

- `feed`: one feed; without it all. `list` and `delist` need it.
- `symbol` (list, delist): the contract; without it `list` takes the next that is held back, and
  `delist` what was listed last, else one from the middle. The answer names it.
- `seconds` (silence, refuse): the fault ends by itself; without it `resume` ends it.
- `code`, `abort` (close): the close code (1001); `abort: true` cuts TCP without a farewell.
- `target` (refuse): `ws`, `rest` or `all` (default `ws`).

Not responsible for: keeping fault state (faults.py).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aiohttp import web

from schemas.errors import ConfigurationError

if TYPE_CHECKING:
    from infra.simulator.server import SimulatorServer

_LISTING_ACTIONS = ("list", "delist")
_TARGETS = {"ws": ("refuse-ws",), "rest": ("refuse-rest",), "all": ("refuse-ws", "refuse-rest")}


def add_routes(app: web.Application, server: SimulatorServer) -> None:
    """Attach the paths to an application."""

    async def healthz(_request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def stats(_request: web.Request) -> web.Response:
        return web.json_response(_figures(server))

    async def act(request: web.Request) -> web.Response:
        try:
            arguments = _arguments(await request.text())
            action = request.match_info["action"]
            if action in _LISTING_ACTIONS:
                return web.json_response({"symbol": _change_listing(server, action, arguments)})
            done = await _act(server, action, arguments)
        except ConfigurationError as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response({"done": done, "faults": server.faults.names()})

    app.router.add_get("/healthz", healthz)
    app.router.add_get("/stats", stats)
    app.router.add_post("/control/{action}", act)


def _figures(server: SimulatorServer) -> dict[str, object]:
    return {
        "counts": dict(sorted(server.counts.items())),
        "connections": {
            feed: [list(c.session.subscribed())[:16] for c in connections]
            for feed, connections in server.connections.items()
        },
        "faults": server.faults.names(),
    }


async def _act(server: SimulatorServer, action: str, arguments: dict[str, Any]) -> int:
    """Do it; returns how many sockets or faults it concerned."""
    feed, seconds = arguments.get("feed"), arguments.get("seconds")
    if feed is not None and not (isinstance(feed, str) and server.known(feed)):
        raise ConfigurationError(f"unknown feed {feed!r}")
    if seconds is not None and not (isinstance(seconds, int | float) and seconds > 0):
        raise ConfigurationError("seconds must be a positive number")
    if action == "close":
        return await _close(server, feed, arguments)
    if action == "resume":
        server.faults.resume(feed)
        return 0
    kinds = _kinds(action, arguments)
    for kind in kinds:
        server.faults.start(kind, feed, seconds)
    return len(kinds)


def _change_listing(server: SimulatorServer, action: str, arguments: dict[str, Any]) -> str:
    """List or delist one contract; returns its symbol."""
    feed, symbol = arguments.get("feed"), arguments.get("symbol")
    if not (isinstance(feed, str) and server.known(feed)):
        raise ConfigurationError(f"unknown feed {feed!r}")
    listings = server.listings(feed)
    if symbol is None:
        symbol = listings.list_next() if action == "list" else listings.delist_one()
        if symbol is None:
            raise ConfigurationError(f"{feed} has no contract left to {action}")
        return symbol
    if not isinstance(symbol, str):
        raise ConfigurationError("symbol must be a string")
    if action == "list":
        listings.list_symbol(symbol)
    else:
        listings.delist(symbol)
    return symbol


async def _close(server: SimulatorServer, feed: str | None, arguments: dict[str, Any]) -> int:
    if arguments.get("abort"):
        return server.abort_all(feed)
    code = arguments.get("code", 1001)
    if not isinstance(code, int) or not 1000 <= code <= 4999:
        raise ConfigurationError("code must be a close code from 1000 to 4999")
    return await server.close_all(feed, code, "")


def _kinds(action: str, arguments: dict[str, Any]) -> tuple[str, ...]:
    if action == "silence":
        return ("silence",)
    if action != "refuse":
        raise ConfigurationError(
            f"unknown action {action!r}: close, silence, refuse, resume, list or delist"
        )
    target = arguments.get("target", "ws")
    if target not in _TARGETS:
        raise ConfigurationError(f"target must be one of {', '.join(_TARGETS)}")
    return _TARGETS[target]


def _arguments(text: str) -> dict[str, Any]:
    if not text.strip():
        return {}
    try:
        arguments = json.loads(text)
    except ValueError:
        raise ConfigurationError("the body must be JSON") from None
    if not isinstance(arguments, dict):
        raise ConfigurationError("the body must be a JSON object")
    return arguments
