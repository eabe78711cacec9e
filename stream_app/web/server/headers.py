"""Headers that every answer has: what a browser may do with it, and that nobody keeps it."""

from __future__ import annotations

import json
import logging

from aiohttp import web
from aiohttp.typedefs import Middleware

from schemas.http.server import Handler
from stream_app.web.server.limits import Load

log = logging.getLogger(__name__)

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    # With less, browsers would send `Origin: null` with the form of the token.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


def hardened(load: Load) -> Middleware:
    """Return a middleware that sets the headers, on errors as well, and words errors as JSON.

    `load` counts the answers by their status.
    """

    @web.middleware
    async def finish(request: web.Request, handler: Handler) -> web.StreamResponse:
        response: web.StreamResponse
        try:
            response = await handler(request)
        except web.HTTPException as refusal:
            response = _worded(refusal)
        except Exception:
            log.exception("%s %.200r failed", request.method, request.path)
            response = web.json_response({"error": "the server has a bug: see its log"}, status=500)
        load.answers[response.status] += 1
        if not response.prepared:
            response.headers.update(_HEADERS)
            response.headers.setdefault("Cache-Control", "no-store")
        return response

    return finish


def _worded(refusal: web.HTTPException) -> web.Response:
    """Return an exception of a handler or of the router as an answer with a JSON error."""
    headers = {
        name: value
        for name, value in refusal.headers.items()
        if name.lower() not in {"content-type", "content-length"}
    }
    if refusal.status < 400:
        return web.Response(status=refusal.status, headers=headers)
    if refusal.content_type == "application/json":
        body = refusal.text or ""
    else:
        body = json.dumps({"error": f"{refusal.status}: {refusal.reason}"})
    return web.Response(
        text=body, status=refusal.status, headers=headers, content_type="application/json"
    )
