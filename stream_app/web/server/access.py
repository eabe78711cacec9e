"""Who may read: the token of the page's users, in a header or in a cookie that `/login` sets.

The cookie holds no token but what is derived from it, so that a stolen one does not give away the
token. Nothing is kept on the server: a new token ends all cookies.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection

from aiohttp import web
from aiohttp.typedefs import Middleware

from schemas.clock import Clock
from schemas.http.server import Handler
from stream_app.web.server.limits import Budgets, refused

COOKIE = "fundingstream"
COOKIE_AGE_S = 30 * 86_400
LOGIN_PATH = "/login"
ASSETS_PATH = "/assets/"
WRONG_PER_S = 0.1
WRONG_BURST = 10.0
"""So many wrong tokens an address may give, and one more each ten seconds. A right one is always
taken: behind a proxy all people have one address."""
_BEARER = "bearer "
_PURPOSE = b"fundingstream page"


class Token:
    """What a reader has to know. An empty token lets everybody read."""

    def __init__(self, text: str, clock: Clock) -> None:
        self._text = text.encode()
        self._clock = clock
        self._wrong = Budgets(WRONG_PER_S, WRONG_BURST)
        self.cookie = hmac.new(self._text, _PURPOSE, hashlib.sha256).hexdigest()

    @property
    def is_required(self) -> bool:
        """Tell whether there is a token."""
        return bool(self._text)

    def is_text(self, given: str) -> bool:
        """Tell whether a text is the token, in a time that does not tell how much of it is."""
        return hmac.compare_digest(given.encode(errors="replace"), self._text)

    def wrong_from(self, request: web.BaseRequest) -> float:
        """Note that a request brought a wrong token; return for how many seconds it has to wait."""
        return self._wrong.draw(request.remote or "", self._clock.monotonic_s())

    def is_known_to(self, request: web.BaseRequest) -> bool:
        """Tell whether a request brings the token or its cookie."""
        given = request.headers.get("Authorization", "")
        if given[: len(_BEARER)].lower() == _BEARER and self.is_text(given[len(_BEARER) :].strip()):
            return True
        cookie = request.cookies.get(COOKIE, "").encode(errors="replace")
        return hmac.compare_digest(cookie, self.cookie.encode())


def require(token: Token, open_paths: Collection[str]) -> Middleware:
    """Return a middleware that lets only those pass who know the token.

    `open_paths`: what everybody may read, beside the login page and the page's files.
    """
    open_to_all = {*open_paths, LOGIN_PATH}

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        path = request.path
        known = (
            not token.is_required
            or path in open_to_all
            or path.startswith(ASSETS_PATH)
            or token.is_known_to(request)
        )
        if known:
            return await handler(request)
        brought = "Authorization" in request.headers or COOKIE in request.cookies
        if brought and (wait_s := token.wrong_from(request)):
            return refused(429, "too many wrong tokens: wait a moment", wait_s)
        if "text/html" in request.headers.get("Accept", ""):
            raise web.HTTPSeeOther(LOGIN_PATH)
        return web.json_response(
            {"error": "this server asks for its token: send Authorization: Bearer <token>"},
            status=401,
            headers={"WWW-Authenticate": 'Bearer realm="fundingstream"'},
        )

    return check
