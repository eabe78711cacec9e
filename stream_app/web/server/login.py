"""`/login`: a form that asks for the token, and sets the cookie of who knows it."""

from __future__ import annotations

import asyncio
from html import escape

from aiohttp import web

from stream_app.web.server.access import COOKIE, COOKIE_AGE_S, LOGIN_PATH, Token
from stream_app.web.server.limits import refused

_PAGE = """<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <meta name="viewport" content="width=device-width, initial-scale=1" />
    <title>fundingstream: sign in</title>
    <link rel="icon" href="/assets/icon.svg" />
    <script src="/assets/js/early.js"></script>
    <script src="/assets/js/login.js" defer></script>
    <link rel="stylesheet" href="/assets/css/login.css" />
  </head>
  <body>
    <main>
      <h1>fundingstream</h1>
      <form method="post" action="/login">
        <label for="token">Token of this server</label>
        <input id="token" name="token" type="password" autocomplete="current-password" required
          autofocus maxlength="500" />
        <button type="submit">Open</button>
        <p role="alert">{told}</p>
      </form>
    </main>
  </body>
</html>
"""
WRONG = "This is not the token: FUNDING_WEB_TOKEN of the server is asked for."
FORM_WITHIN_S = 5.0


def add_login(app: web.Application, token: Token) -> None:
    """Add the form and its answer. Without a token both lead to the page."""

    async def form(_request: web.Request) -> web.Response:
        if not token.is_required:
            raise web.HTTPSeeOther("/")
        return _form("")

    async def sign_in(request: web.Request) -> web.StreamResponse:
        if not token.is_required:
            raise web.HTTPSeeOther("/")
        if not token.is_text(await _given(request)):
            wait_s = token.wrong_from(request)
            return refused(429, WRONG, wait_s) if wait_s else _form(WRONG, status=403)
        answer = web.Response(status=303, headers={"Location": "/"})
        answer.set_cookie(
            COOKIE,
            token.cookie,
            max_age=COOKIE_AGE_S,
            httponly=True,
            samesite="Lax",
            secure=request.secure,
        )
        return answer

    app.router.add_get(LOGIN_PATH, form)
    app.router.add_post(LOGIN_PATH, sign_in)


async def _given(request: web.Request) -> str:
    """Return the token that a form brings; empty: the request brings none, or is malformed.

    Raises:
        HTTPRequestTimeout: the form does not come.
    """
    if request.content_type != "application/x-www-form-urlencoded":
        return ""
    try:
        async with asyncio.timeout(FORM_WITHIN_S):
            form = await request.post()
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    except (ValueError, LookupError, web.RequestPayloadError):
        return ""
    return str(form.get("token", "")).strip()


def _form(told: str, status: int = 200) -> web.Response:
    return web.Response(
        text=_PAGE.format(told=escape(told)), content_type="text/html", status=status
    )
