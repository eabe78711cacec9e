"""`/login`: a form that asks for the token, and sets the cookie of who knows it."""

from __future__ import annotations

from html import escape

from aiohttp import web

from stream_app.web.server.access import COOKIE, COOKIE_AGE_S, LOGIN_PATH, Token

_PAGE = """<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <meta name="viewport" content="width=device-width, initial-scale=1" />
    <title>fundingstream: sign in</title>
    <link rel="icon" href="/assets/icon.svg" />
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


def add_login(app: web.Application, token: Token) -> None:
    """Add the form and its answer. Without a token both lead to the page."""

    async def form(_request: web.Request) -> web.Response:
        if not token.is_required:
            raise web.HTTPSeeOther("/")
        return _form("")

    async def sign_in(request: web.Request) -> web.StreamResponse:
        if not token.is_required:
            raise web.HTTPSeeOther("/")
        given = ""
        if request.content_type == "application/x-www-form-urlencoded":
            given = str((await request.post()).get("token", ""))
        if not token.is_text(given.strip()):
            return _form(WRONG, status=403)
        answer = web.Response(status=303, headers={"Location": "/"})
        answer.set_cookie(
            COOKIE,
            token.cookie,
            max_age=COOKIE_AGE_S,
            httponly=True,
            samesite="Strict",
            secure=request.secure,
        )
        return answer

    app.router.add_get(LOGIN_PATH, form)
    app.router.add_post(LOGIN_PATH, sign_in)


def _form(told: str, status: int = 200) -> web.Response:
    return web.Response(
        text=_PAGE.format(told=escape(told)), content_type="text/html", status=status
    )
