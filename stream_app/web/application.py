"""Puts the page's routes together, behind the checks that every request passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from aiohttp import web

from schemas.clock import Clock
from schemas.http.server import guard
from stream_app.settings import PageSettings
from stream_app.web.live.hub import Hub
from stream_app.web.live.socket import LIVE_PATH, add_live
from stream_app.web.server.access import LOGIN_PATH, Token, require
from stream_app.web.server.files import add_files
from stream_app.web.server.headers import hardened
from stream_app.web.server.limits import MAX_BODY_BYTES, Load, limited
from stream_app.web.server.login import add_login


class Mounted(NamedTuple):
    """Other routes of the process, which everybody may read without the token."""

    paths: tuple[str, ...]
    add_to: Callable[[web.Application], None]


def application(
    settings: PageSettings,
    hub: Hub,
    load: Load,
    clock: Clock,
    add_api: Callable[[web.Application], None],
    mounted: Mounted,
) -> web.Application:
    """Return the application that serves the page. `add_api` adds the routes of `/api/v1`.

    A request is checked from the outside in: for a foreign web page behind it, for how much its
    address asks, for the token.
    """
    token = Token(settings.web_token.get_secret_value(), clock)
    app = web.Application(
        middlewares=[
            hardened(load),
            guard(settings.allowed_hosts, linked_paths=("/", LOGIN_PATH)),
            limited(clock, load, LIVE_PATH, mounted.paths),
            require(token, mounted.paths),
        ],
        client_max_size=MAX_BODY_BYTES,
    )
    add_files(app)
    add_login(app, token)
    add_live(app, hub, clock, settings.web_max_clients)
    add_api(app)
    mounted.add_to(app)
    return app
