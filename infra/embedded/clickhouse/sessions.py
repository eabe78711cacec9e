"""HTTP sessions: a `session_id` keeps an engine handle, with its temporary tables and settings."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from infra.embedded.clickhouse.engine import Handle
from infra.embedded.clickhouse.errors import ClickHouseError, too_busy

MAX_SESSIONS = 100
MAX_SESSION_SETTINGS = 100
MAX_SETTING_CHARS = 1_000
_DEFAULT_TIMEOUT_S = 60.0
_MAX_TIMEOUT_S = 3_600.0


@dataclass(slots=True)
class Session:
    """A kept handle, and the settings that SET gave it. The lock is held while a statement runs."""

    handle: Handle
    expires_at: float
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0
    settings: dict[str, str] = field(default_factory=dict)

    def keep(self, changes: Mapping[str, str]) -> None:
        """Let each later statement of the session start from these settings, too.

        Raises:
            ClickHouseError: there are too many, or one is too long.
        """
        kept = {**self.settings, **changes}
        if len(kept) > MAX_SESSION_SETTINGS or max(map(len, kept.values())) > MAX_SETTING_CHARS:
            raise ClickHouseError(
                452,
                f"A session keeps at most {MAX_SESSION_SETTINGS} settings, each of at most"
                f" {MAX_SETTING_CHARS} characters.",
                "SETTING_CONSTRAINT_VIOLATION",
            )
        self.settings = kept


class Sessions:
    """All sessions, at most MAX_SESSIONS; a new one replaces the one that is idle for longest."""

    def __init__(
        self,
        open_handle: Callable[[], Awaitable[Handle]],
        close_handle: Callable[[Handle], Awaitable[None]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open = open_handle
        self._close = close_handle
        self._clock = clock
        self._sessions: dict[tuple[str, str], Session] = {}
        self._opening = asyncio.Lock()

    def __len__(self) -> int:
        return len(self._sessions)

    async def enter(self, user: str, query: Mapping[str, str]) -> Session | None:
        """Return the request's session, made where it is new; None where the request names none.

        The session counts as in use until `leave`.
        """
        session_id = query.get("session_id")
        if not session_id:
            return None
        timeout_s = _timeout_s(query.get("session_timeout"))
        # One at a time: two first requests of a session must not make two handles.
        async with self._opening:
            await self.expire()
            session = self._sessions.get((user, session_id))
            if session is None:
                if query.get("session_check") == "1":
                    raise ClickHouseError(
                        372, f"Session {session_id} not found.", "SESSION_NOT_FOUND"
                    )
                await self._make_room()
                session = Session(await self._open(), 0.0)
                self._sessions[user, session_id] = session
            session.expires_at = self._clock() + timeout_s
            session.users += 1
            return session

    def leave(self, session: Session) -> None:
        """Mark the session as no longer used by the request."""
        session.users -= 1

    async def expire(self) -> None:
        """Close the sessions that were idle for longer than their time-out."""
        now = self._clock()
        for key, session in list(self._sessions.items()):
            if session.users == 0 and session.expires_at < now:
                del self._sessions[key]
                await self._close(session.handle)

    async def close(self) -> None:
        """Close all sessions."""
        while self._sessions:
            _, session = self._sessions.popitem()
            await self._close(session.handle)

    async def _make_room(self) -> None:
        if len(self._sessions) < MAX_SESSIONS:
            return
        idle = [(s.expires_at, key) for key, s in self._sessions.items() if s.users == 0]
        if not idle:
            raise too_busy("sessions")
        _, key = min(idle)
        await self._close(self._sessions.pop(key).handle)


def _timeout_s(text: str | None) -> float:
    try:
        asked_s = float(text) if text else _DEFAULT_TIMEOUT_S
    except ValueError as error:
        raise ClickHouseError(
            457, f"Invalid session timeout: {text!r}", "BAD_QUERY_PARAMETER"
        ) from error
    return min(max(asked_s, 0.0), _MAX_TIMEOUT_S)
