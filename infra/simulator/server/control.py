"""The simulator's own HTTP paths: health, figures, fault control.

`GET /healthz`, `GET /stats`, `GET /control` (what runs, and what can be asked for);
`POST /control/<kind>` begins a fault with an optional JSON body of `feed`, `seconds` and the kind's
parameters; `POST /control/refuse` is short for `refuse-ws` and `refuse-rest`, by its `target`;
`POST /control/resume` ends faults, `POST /control/schedule` takes a list of them. The kinds are in
docs/faults.md; infra/simulator/faults carries them out. There is no password: the simulator is a
test tool and listens on loopback, and the guard of server.py keeps web pages from using it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from infra.simulator.faults import kinds as fault_kinds
from infra.simulator.faults import schedule
from infra.simulator.faults.control import FaultControl
from schemas.errors import ConfigurationError

_TARGETS = {"ws": ("refuse-ws",), "rest": ("refuse-rest",), "all": ("refuse-ws", "refuse-rest")}
_LISTING_KINDS = ("list", "delist", "relist")


def add_routes(
    app: web.Application, faults: FaultControl, figures: Callable[[], Mapping[str, object]]
) -> None:
    """Attach the paths to an application; `figures` returns what `/stats` shows."""

    async def healthz(_request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def stats(_request: web.Request) -> web.Response:
        return web.json_response(figures())

    async def state(_request: web.Request) -> web.Response:
        return web.json_response(
            {
                "faults": faults.running(),
                "scheduled": faults.scheduled,
                "feeds": faults.feeds,
                "kinds": fault_kinds.described(),
            }
        )

    async def act(request: web.Request) -> web.Response:
        try:
            document = _document(await request.read())
            reply = await _act(faults, request.match_info["action"], document)
        except ConfigurationError as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response(reply)

    app.router.add_get("/healthz", healthz)
    app.router.add_get("/stats", stats)
    app.router.add_get("/control", state)
    app.router.add_post("/control/{action}", act)


async def _act(faults: FaultControl, action: str, document: Any) -> dict[str, Any]:
    """Do it; returns the reply."""
    if action == "schedule":
        entries = schedule.parse(document, faults.wires)
        faults.schedule(entries)
        return {"scheduled": len(entries)}
    if not isinstance(document, dict):
        raise ConfigurationError("the body must be a JSON object")
    if action == "resume":
        ended = faults.resume(schedule.parse_resume(document, faults.feeds))
        return {"done": ended, "faults": faults.names()}
    kinds = _refused(document) if action == "refuse" else (action,)
    begun = [await faults.start(fault_kinds.parse(kind, document, faults.wires)) for kind in kinds]
    if action in _LISTING_KINDS:
        return {"symbol": begun[0].symbol}
    return {
        "done": sum(one.done for one in begun),
        "faults": faults.names(),
        "ids": [one.number for one in begun],
    }


def _refused(document: dict[str, Any]) -> tuple[str, ...]:
    """The kinds that `refuse` stands for; takes its `target` out of the document."""
    target = document.pop("target", "ws")
    if not isinstance(target, str) or target not in _TARGETS:
        raise ConfigurationError(f"target must be one of {', '.join(_TARGETS)}")
    return _TARGETS[target]


def _document(body: bytes) -> Any:
    if not body.strip():
        return {}
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise ConfigurationError("the body must be JSON") from None
