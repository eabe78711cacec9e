"""Serves Prometheus metrics and the health of the process over HTTP, from a thread of its own.

Producers and the sink use it; the worker serves its metrics on the port of its page. Requests that
a web page caused are refused, as by every other server of ours (browser_guard.py).
"""

from __future__ import annotations

import errno
import json
import logging
import socket
import sys
import threading
from collections.abc import Callable, Collection, Iterable
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from schemas.errors import UnavailableError
from schemas.http.browser_guard import refusal

log = logging.getLogger(__name__)

MAX_AT_ONCE = 16
READ_TIMEOUT_S = 10.0
_JOIN_TIMEOUT_S = 5.0
_HEADERS = {"Host": "HTTP_HOST", "Origin": "HTTP_ORIGIN", "Sec-Fetch-Site": "HTTP_SEC_FETCH_SITE"}

WsgiApp = Callable[[dict[str, Any], Any], Iterable[bytes]]


def serve_metrics(
    registry: CollectorRegistry,
    host: str,
    port: int,
    allowed_hosts: Collection[str],
    variable: str,
    trouble: Callable[[], str],
) -> Callable[[], None]:
    """Serve `/metrics` and `/healthz`; return what stops it.

    Args:
        registry: The metrics.
        host: The address to listen on.
        port: The port to listen on.
        allowed_hosts: Names beside addresses and localhost by which clients may call the server.
        variable: The setting that changes the port.
        trouble: Returns what is wrong with the process, for /healthz; empty: nothing.

    Raises:
        UnavailableError: the port is taken, or the address is not this machine's.
    """
    try:
        server = make_server(
            host,
            port,
            _guarded(_with_health(make_wsgi_app(registry), trouble), allowed_hosts),
            _server_type(host),
            _Handler,
        )
    except OSError as error:
        taken = "is taken" if error.errno == errno.EADDRINUSE else f"cannot be used ({error})"
        raise UnavailableError(f"metrics port {host}:{port} {taken}: set {variable}") from error
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join(timeout=_JOIN_TIMEOUT_S)

    return stop


def _guarded(app: WsgiApp, allowed_hosts: Collection[str]) -> WsgiApp:
    def check(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        headers = {name: environ[key] for name, key in _HEADERS.items() if key in environ}
        reason = refusal(headers, allowed_hosts)
        if reason is None:
            return app(environ, start_response)
        start_response("403 Forbidden", [("Content-Type", "text/plain; charset=utf-8")])
        return [f"{reason}\n".encode()]

    return check


def _with_health(app: WsgiApp, trouble: Callable[[], str]) -> WsgiApp:
    def answer(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ.get("PATH_INFO") != "/healthz":
            return app(environ, start_response)
        wrong = trouble()
        status = "503 Service Unavailable" if wrong else "200 OK"
        start_response(status, [("Content-Type", "application/json")])
        return [json.dumps({"status": wrong or "ok"}).encode()]

    return answer


class _Handler(WSGIRequestHandler):
    """Handles requests without logging them, neither scrapes nor bytes that are no HTTP."""

    timeout = READ_TIMEOUT_S

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        del format, args


class _Server(ThreadingWSGIServer):
    """Answers each request in a thread, at most MAX_AT_ONCE at the same time."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._slots = threading.BoundedSemaphore(MAX_AT_ONCE)
        super().__init__(*args, **kwargs)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread; cut the connection when too many are open."""
        if self._slots.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer one request."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log at DEBUG what went wrong with a client; the library would print a traceback."""
        del request
        log.debug("metrics: %s: %r", client_address, sys.exc_info()[1])


class _Server6(_Server):
    address_family = socket.AF_INET6


def _server_type(host: str) -> type[_Server]:
    return _Server6 if ":" in host else _Server
