"""Runs one statement: its rights and limits, the engine's calls, the answer.

A statement that reads ends when its client leaves or its time is over; one that writes runs to its
end. What a statement's text means is in sqltext.py, what a role may do in roles.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from aiohttp import web

from infra.embedded.clickhouse.answers import Answer, late_exception, result_headers
from infra.embedded.clickhouse.clauses import (
    set_changes,
    settings_changes,
    used_database,
)
from infra.embedded.clickhouse.compression import Compressor, accepted_coding, compressor
from infra.embedded.clickhouse.engine import Engine, Handle, Result, Stream
from infra.embedded.clickhouse.errors import ClickHouseError, denied
from infra.embedded.clickhouse.incoming import Incoming
from infra.embedded.clickhouse.lanes import Lane
from infra.embedded.clickhouse.limits import check_settings
from infra.embedded.clickhouse.roles import Role
from infra.embedded.clickhouse.sessions import Session
from infra.embedded.clickhouse.sqltext import (
    first_word,
    is_read,
    is_streamable,
    result_format,
)

_WRITE_TIMEOUT_S = 120.0
# The engine ends a statement itself at its max_execution_time, where it can look at the clock.
_GRACE_S = 5.0
# From this version on, a client of the native protocol expects more in each block of the format
# Native (a byte for each column) than the engine writes, and would misread it.
_NATIVE_WITH_SERIALIZATION = 54_454
_PROTOCOL_VERSION_DIGITS = 10


@dataclass(frozen=True, slots=True)
class StatementLimits:
    """The settings that a statement starts from, their ceilings, and the time it may take."""

    defaults: Mapping[str, str]
    buffered: Mapping[str, str]
    """Added to the defaults for a result that is not streamed."""
    ceilings: Mapping[str, int] | None
    """The highest value of each limited setting; None: the user may set any."""
    max_read_s: float


@dataclass(frozen=True, slots=True)
class _Plan:
    """How a statement is to be run."""

    sql: str
    output_format: str
    streamed: bool
    reads: bool

    @classmethod
    def of(cls, request: web.Request, incoming: Incoming) -> _Plan:
        sql = incoming.sql.decode(errors="replace")
        output_format = (
            result_format(sql)
            or request.query.get("default_format")
            or request.headers.get("X-ClickHouse-Format")
            or "TabSeparated"
        )
        whole = request.query.get("wait_end_of_query") == "1"
        reads = incoming.insert is None and is_read(incoming.sql)
        if reads:
            _require_readable(output_format, request.query.get("client_protocol_version", ""))
        streamed = reads and not whole and is_streamable(incoming.sql, output_format)
        return cls(sql, output_format, streamed, reads)


class Statement:
    """The statement of one request; it holds a slot of its user while it runs."""

    def __init__(
        self,
        engine: Engine,
        lane: Lane,
        user: Role,
        limits: StatementLimits,
        request: web.Request,
        incoming: Incoming,
    ) -> None:
        self._engine = engine
        self._lane = lane
        # A GET may come from a link or an image: whoever asks, it may only read.
        self._role = Role.READER if incoming.read_only else user
        self._limits = limits
        self._request = request
        self._incoming = incoming
        self._mark = uuid.uuid4().hex

    async def execute(self, session: Session | None, answer: Answer) -> web.StreamResponse:
        """Run it, in the handle of its session or in one of its own."""
        plan = await self._lane.run(_Plan.of, self._request, self._incoming)
        deadline_s = self._limits.max_read_s + _GRACE_S if plan.reads else None
        try:
            async with asyncio.timeout(deadline_s):
                return await self._with_handle(session, plan, answer)
        except TimeoutError as error:
            raise ClickHouseError(
                159, f"Timeout exceeded: {self._limits.max_read_s:g} s.", "TIMEOUT_EXCEEDED"
            ) from error

    async def _with_handle(
        self, session: Session | None, plan: _Plan, answer: Answer
    ) -> web.StreamResponse:
        lane, incoming = self._lane, self._incoming
        handle = session.handle if session is not None else await lane.run(self._engine.open)
        settings: dict[str, str] = {}
        try:
            await lane.run(handle.become, self._role, self._mark)
            if self._changes_session():
                settings = await self._session_changes(handle, plan)
                if session is not None and settings:
                    session.keep(settings)
                return web.Response(headers=answer.headers({}), content_type="text/plain")
            await self._check(handle, plan)
            settings = self._settings(plan, session)
            await lane.run(handle.apply, incoming.database, settings)
            await self._load_external(handle)
            if incoming.insert is not None:
                return await self._insert(handle, answer)
            return await self._query(handle, plan, answer)
        finally:
            # Shielded: a cancelled request must not leave its settings or its handle behind.
            if session is None:
                await asyncio.shield(lane.run(handle.close))
            else:
                await asyncio.shield(self._reset(handle, list(settings)))

    def _changes_session(self) -> bool:
        """Whether it is a reader's SET or USE, which last as long as the session."""
        is_reader = self._role is Role.READER and not self._incoming.read_only
        return is_reader and first_word(self._incoming.sql) in (b"SET", b"USE")

    async def _session_changes(self, handle: Handle, plan: _Plan) -> dict[str, str]:
        """Use the database and return the settings, after the limits and the engine allow them."""
        canonical = (await self._lane.run(handle.canonical, plan.sql)).encode()
        database = used_database(canonical)
        changes = set_changes(canonical)
        if database is None and changes is None:
            raise denied("Not enough privileges: this user may SET settings and USE a database.")
        check_settings(changes or (), self._limits.ceilings or {})
        settings: dict[str, str] = {}
        for name, value in changes or ():
            if value is None or name.startswith("param_"):
                raise denied(f"SET {name}: give a plain value; parameters go with each statement.")
            if name != "readonly":  # see _settings
                settings[name] = value
        try:
            await self._lane.run(handle.apply, database, settings)
        finally:
            await asyncio.shield(self._reset(handle, list(settings)))
        return settings

    async def _check(self, handle: Handle, plan: _Plan) -> None:
        """Refuse what the caller may not do and the engine's roles do not refuse."""
        if self._role is Role.READER:
            try:
                await self._lane.run(handle.require_read, plan.sql)
            except ClickHouseError as error:
                if error.code == 497 and self._incoming.read_only:
                    raise ClickHouseError(
                        164, "Cannot execute query in readonly mode: GET only reads.", "READONLY"
                    ) from error
                raise
        if self._limits.ceilings is None:
            return
        ceilings = dict(self._limits.ceilings)
        if plan.streamed:
            ceilings.pop("max_result_bytes", None)
        check_settings(self._incoming.settings.items(), ceilings)
        if "SETTINGS" in plan.sql.upper():
            canonical = await self._lane.run(handle.canonical, plan.sql)
            changes = await self._lane.run(lambda: list(settings_changes(canonical.encode())))
            check_settings(changes, ceilings)

    def _settings(self, plan: _Plan, session: Session | None) -> dict[str, str]:
        buffered = {} if plan.streamed else self._limits.buffered
        kept = {} if session is None else session.settings
        settings = {**self._limits.defaults, **buffered, **kept, **self._incoming.settings}
        if self._role is Role.READER:
            # The role ensures it already, and the setting would forbid those that follow it.
            settings.pop("readonly", None)
        return settings

    async def _reset(self, handle: Handle, names: list[str]) -> None:
        with contextlib.suppress(ClickHouseError):
            await self._lane.run(handle.reset, names, self._limits.defaults)

    async def _load_external(self, handle: Handle) -> None:
        """Load the request's tables. This can always be stopped: only they are written."""
        stop = partial(self._engine.cancel, self._mark)
        for table in self._incoming.external:
            await self._lane.run_stoppable(
                stop, handle.load_external, table.name, table.structure, table.format, table.data
            )

    async def _insert(self, handle: Handle, answer: Answer) -> web.StreamResponse:
        lane, incoming = self._lane, self._incoming
        assert incoming.insert is not None, "an INSERT with data"
        assert incoming.data is not None, "an INSERT with data"
        if incoming.parameters:
            await lane.run(handle.bind, incoming.parameters)
        insert = await lane.run(handle.insert, incoming.insert.statement, incoming.insert.format)
        try:
            async for piece in incoming.data:
                await lane.run(insert.append, piece)
            summary = await lane.run(insert.finish)
        except BaseException:
            await asyncio.shield(lane.run(insert.cancel))
            raise
        return web.Response(headers=answer.headers(summary), content_type="text/plain")

    async def _query(self, handle: Handle, plan: _Plan, answer: Answer) -> web.StreamResponse:
        stop = partial(self._engine.cancel, self._mark) if plan.reads else None
        call = handle.stream if plan.streamed else handle.query
        result = await self._lane.run_stoppable(
            stop, call, plan.sql, plan.output_format, self._incoming.parameters
        )
        headers = answer.headers(result.summary)
        headers |= result_headers(plan.output_format)
        query, coding = self._request.query, None
        if query.get("enable_http_compression") == "1":
            coding = accepted_coding(self._request.headers.get("Accept-Encoding", ""))
        if coding is not None:
            headers["Content-Encoding"] = coding
        packer = compressor(coding, in_blocks=query.get("compress") == "1")
        if result.rest is None:
            body = await self._lane.run(lambda: packer.compress(result.data) + packer.finish())
            return web.Response(body=body, headers=headers)
        return await self._send_stream(result, result.rest, headers, packer)

    async def _send_stream(
        self, result: Result, rest: Stream, headers: dict[str, str], packer: Compressor
    ) -> web.StreamResponse:
        """Send a result while it is computed; a late error goes into the body, marked by a tag."""
        tag = uuid.uuid4().hex[:16]
        headers["X-ClickHouse-Exception-Tag"] = tag
        response = web.StreamResponse(headers=headers)
        stop = partial(self._engine.cancel, self._mark)
        data, ended = result.data, False
        try:
            response.enable_chunked_encoding()
            await response.prepare(self._request)
            while True:
                await _write(response, await self._lane.run(packer.compress, data))
                if ended:
                    break
                try:
                    data, ended = await self._lane.run_stoppable(stop, rest.next_piece)
                except ClickHouseError as error:
                    data, ended = late_exception(error, tag), True
            await _write(response, packer.finish())
        except (asyncio.CancelledError, ConnectionError, TimeoutError):
            # Half an answer must not look complete, and no other may follow on this connection.
            if self._request.transport is not None:
                self._request.transport.abort()
            await asyncio.shield(self._lane.run(rest.cancel))
            raise
        await response.write_eof()
        return response


def _require_readable(output_format: str, protocol_version: str) -> None:
    """Refuse a result that its client would misread.

    Raises:
        ClickHouseError: The client asks for Native blocks of a newer protocol than there is.
    """
    if output_format.lower() != "native" or not protocol_version.isdecimal():
        return
    # Python refuses to make a number of thousands of digits.
    too_long = len(protocol_version) > _PROTOCOL_VERSION_DIGITS
    if too_long or int(protocol_version) >= _NATIVE_WITH_SERIALIZATION:
        raise ClickHouseError(
            48,
            f"The embedded ClickHouse writes no Native blocks of client_protocol_version"
            f" {protocol_version[:_PROTOCOL_VERSION_DIGITS]}: use clickhouse-go 2.37.2 or older, or"
            " another format (docs/clients.md)",
            "NOT_IMPLEMENTED",
        )


async def _write(response: web.StreamResponse, data: bytes) -> None:
    if data:
        async with asyncio.timeout(_WRITE_TIMEOUT_S):
            await response.write(data)
