"""Asks ClickHouse over HTTP, read-only, with bounds on everything: time, rows, bytes, requests.

Errors are UnavailableError with a sentence for people. A server that does not answer costs the next
requests nothing for some seconds (breaker.py).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Any, get_args

import aiohttp
import msgspec

from schemas.clock import Clock
from schemas.config.settings import shown_url
from schemas.errors import UnavailableError
from schemas.text import one_line
from stream_app.settings import ClickHouseSettings
from stream_app.web.history.breaker import Breaker

Parameter = str | int | Sequence[str]

_READER = "default"
"""The user whose password is FUNDING_CLICKHOUSE_READER_PASSWORD where it has no other."""
_TIMEOUT_S = 6.0
_CONNECT_TIMEOUT_S = 2.0
_MAX_EXECUTION_S = 5
_MAX_ROWS = 200_000
_MAX_BYTES = 64 << 20
_PIECE_BYTES = 1 << 16
_MAX_ERROR_BYTES = 4_096
_AT_ONCE = 4
"""Queries that run at the same time: the embedded server runs six of readers."""
_MAX_WAITING = 64
_SETTINGS = {
    # 2 and not 1, so that the settings that follow it are accepted.
    "readonly": "2",
    "max_execution_time": str(_MAX_EXECUTION_S),
    "max_result_rows": str(_MAX_ROWS),
    "result_overflow_mode": "throw",
    "output_format_json_quote_64bit_integers": "0",
}
_ALWAYS = {
    "default_format": "JSONCompactColumns",
    # Whole answers only: an error that comes late would stand in the middle of one.
    "wait_end_of_query": "1",
}
_NO_SETTINGS: Mapping[str, str] = {}
_NOTHING = re.compile(rb"\s*\[\s*\]\s*")
_CODE = re.compile(r"Code: (\d+)")
_READ_ONLY, _CONSTRAINED = "164", "452"
"""READONLY and SETTING_CONSTRAINT_VIOLATION: among others of users whose profile fixes settings."""
_SETTING_REFUSED = re.compile(rb"Cannot modify .{0,100} setting")
_WRONG_USER = {"192", "193", "194", "516"}
_DENIED = {*_WRONG_USER, "497"}
_MISSING = {"16", "47", "60", "81"}
_ESCAPES = str.maketrans({
    "\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\\0", "\b": "\\b", "\f": "\\f",
    "'": "\\'",
})  # fmt: skip


class _TooLargeError(Exception):
    """An answer is larger than is read."""


class ClickHouse:
    """A client of one server. It is used in one event loop, and closed in it."""

    def __init__(self, settings: ClickHouseSettings, clock: Clock) -> None:
        """Nothing is asked yet.

        Raises:
            ConfigurationError: a file for TLS cannot be used.
        """
        self._settings = settings
        self._clock = clock
        self._url = f"{settings.clickhouse_url}/"
        self._tls = (
            settings.clickhouse_tls.context()
            if settings.clickhouse_url.lower().startswith("https:")
            else None
        )
        self._session: aiohttp.ClientSession | None = None
        self._bounds: Mapping[str, str] = _SETTINGS
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._pending = 0
        self._breaker = Breaker()
        self.queries = 0
        """Questions that were sent."""
        self.failures = 0
        """Those that got no answer."""
        self.answers = 0

    @property
    def reason(self) -> str:
        """Why ClickHouse did not answer the newest question; empty: it did, or nobody has asked."""
        return self._breaker.reason

    async def ask(
        self,
        sql: str,
        answer: Any,
        *,
        settings: Mapping[str, str] = _NO_SETTINGS,
        **parameters: Parameter,
    ) -> Any:
        """Return the columns that a query selects, decoded as `answer`, a tuple of lists.

        Args:
            sql: The query, with `{name:Type}` where a parameter stands.
            answer: Such as `tuple[list[int], list[float | None]]`.
            settings: Of ClickHouse, beside those of every query. A server that lets its user
                change none gets the query without them.
            parameters: Their values. They never become a part of the query's text.

        Raises:
            UnavailableError: there is no answer, and the message says why.
        """
        if self._breaker.is_open(self._clock.monotonic_s()):
            raise UnavailableError(self._breaker.reason)
        if self._pending >= _MAX_WAITING:
            raise UnavailableError(
                f"{_MAX_WAITING} questions wait for ClickHouse already: ask again in some seconds"
            )
        self._pending += 1
        try:
            async with self._slots:
                body = await self._body(sql, parameters, settings)
        finally:
            self._pending -= 1
        try:
            if _NOTHING.fullmatch(body):
                # Without a row there are no columns either.
                return msgspec.convert([[] for _ in get_args(answer)], answer)
            return msgspec.json.decode(body, type=answer, strict=False)
        except msgspec.MsgspecError as error:
            raise self._failure(f"its answer cannot be read: {one_line(str(error))}") from error

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _body(
        self, sql: str, parameters: Mapping[str, Parameter], settings: Mapping[str, str]
    ) -> bytes:
        # Asked again here, for those who waited for a slot while the server went away.
        if not self._breaker.allows(self._clock.monotonic_s()):
            raise UnavailableError(self._breaker.reason)
        self.queries += 1
        try:
            status, body = await self._post(sql, parameters, self._with(settings))
            if status != 200 and self._narrowed(body):
                status, body = await self._post(sql, parameters, self._with(settings))
        except _TooLargeError as error:
            self._breaker.worked()
            raise self._failure(f"gave {error}: ask for less") from None
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            advice = (
                self._settings.clickhouse_tls.advice(error) if self._tls else ""
            ) or "start it, or set FUNDING_CLICKHOUSE_URL"
            said = one_line(str(error)) or type(error).__name__
            raise self._failure(f"does not answer ({said}): {advice}", opens=True) from error
        if status != 200:
            raise self._refusal(body)
        self._breaker.worked()
        self.answers += 1
        return body

    def _with(self, settings: Mapping[str, str]) -> Mapping[str, str]:
        return {**self._bounds, **settings} if self._bounds is _SETTINGS else self._bounds

    def _narrowed(self, body: bytes) -> bool:
        """Send fewer settings from now on if that is what the server refuses; tell whether it is.

        Its own profile bounds such a user, and what we read of an answer is bounded anyway. Only a
        user who reads alone may not say so again: `readonly` is sent to all others.
        """
        bounds = self._bounds
        if _code(body) == _READ_ONLY and _SETTING_REFUSED.search(body):
            self._bounds = {}
        elif _code(body) == _CONSTRAINED:
            self._bounds = {"readonly": _SETTINGS["readonly"]}
        return len(self._bounds) < len(bounds)

    async def _post(
        self, sql: str, parameters: Mapping[str, Parameter], bounds: Mapping[str, str]
    ) -> tuple[int, bytes]:
        """Send one query. Parameters travel in the body, where their length does not matter."""
        with aiohttp.MultipartWriter("form-data") as form:
            for name, value in (
                ("query", sql),
                *((f"param_{name}", _bound(value)) for name, value in parameters.items()),
            ):
                part = form.append(value)
                part.set_content_disposition("form-data", name=name)
        async with self._opened().post(
            self._url,
            params={**_ALWAYS, **bounds},
            data=form,
            headers=self._credentials(),
            allow_redirects=False,
        ) as reply:
            limit = _MAX_BYTES if reply.status == 200 else _MAX_ERROR_BYTES
            body = bytearray()
            async for piece in reply.content.iter_chunked(_PIECE_BYTES):
                body += piece
                if len(body) > limit:
                    if reply.status != 200:
                        break
                    raise _TooLargeError(f"an answer of more than {_MAX_BYTES} bytes")
            return reply.status, bytes(body)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=_AT_ONCE, ssl=True if self._tls is None else self._tls
                ),
                timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S, sock_connect=_CONNECT_TIMEOUT_S),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    def _credentials(self) -> dict[str, str]:
        settings = self._settings
        user = settings.clickhouse_username
        secret = settings.clickhouse_password.get_secret_value()
        if not secret and user == _READER:
            secret = settings.clickhouse_reader_password.get_secret_value()
        headers = {"X-ClickHouse-User": user}
        if secret:
            headers["X-ClickHouse-Key"] = secret
        elif settings.clickhouse_certificate_file:
            headers["X-ClickHouse-SSL-Certificate-Auth"] = "on"
        return headers

    def _refusal(self, body: bytes) -> UnavailableError:
        """Return the error of a query that the server refuses or gives up."""
        said = one_line(body.decode(errors="replace"))
        code = _code(body)
        if code not in _WRONG_USER:
            # It answers, whatever it thinks of this question.
            self._breaker.worked()
        if code in _DENIED:
            return self._failure(
                f"refuses user {self._settings.clickhouse_username!r} ({said}): set "
                "FUNDING_CLICKHOUSE_USERNAME and FUNDING_CLICKHOUSE_PASSWORD",
                opens=code in _WRONG_USER,
            )
        if code in _MISSING:
            return self._failure(
                f"lacks a table or column of this version ({said}): run `fundingstream migrate`"
            )
        return self._failure(f"gave no answer ({said}): ask for less, or later")

    def _failure(self, what: str, *, opens: bool = False) -> UnavailableError:
        self.failures += 1
        reason = f"ClickHouse at {shown_url(self._settings.clickhouse_url)} {what}"
        if opens:
            self._breaker.failed(self._clock.monotonic_s(), reason)
        return UnavailableError(reason)


def _code(body: bytes) -> str:
    found = _CODE.search(body.decode(errors="replace"))
    return found[1] if found else ""


def _bound(value: Parameter) -> str:
    """Return a parameter as ClickHouse reads it: escaped as in its format TabSeparated."""
    if isinstance(value, str):
        return value.translate(_ESCAPES)
    if isinstance(value, int):
        return str(value)
    return "[" + ",".join(f"'{item.translate(_ESCAPES)}'" for item in value) + "]"
