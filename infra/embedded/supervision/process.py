"""One run of one child process: its output as bounded lines, its end, and how it is stopped.

When a process is started, restarted or stopped is decided by supervisor.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from infra.embedded.supervision.child import argv_of_child
from schemas.errors import UnavailableError

MAX_LINE_CHARS = 8_192
_CHUNK_BYTES = 1 << 16
_KEPT_LINES = 20
# The last output of a dead child is in the pipe already; only a grandchild can keep it open.
_DRAIN_TIMEOUT_S = 1.0
_KILL_TIMEOUT_S = 5.0


class ManagedProcess:
    """A child in a session of its own, so that Ctrl-C in the terminal reaches the parent only."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        pipe: asyncio.ReadTransport,
        on_line: Callable[[str], None],
    ) -> None:
        self._process = process
        self._reader = reader
        self._pipe = pipe
        self._on_line = on_line
        self._last_lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._end = asyncio.create_task(self._run_to_end())

    @classmethod
    async def spawn(
        cls,
        argv: Sequence[str],
        on_line: Callable[[str], None],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> ManagedProcess:
        """Start `argv`, which dies with this process; `on_line` gets its stdout and stderr.

        Raises:
            UnavailableError: it cannot be started.
        """
        # With a pipe of asyncio, `wait` would also wait for every process that inherits the pipe.
        read_end, write_end = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *argv_of_child(list(argv)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=write_end,
                stderr=write_end,
                env=None if env is None else dict(env),
                cwd=cwd,
                start_new_session=True,
            )
        except OSError as error:
            os.close(read_end)
            raise UnavailableError(f"cannot start {argv[0]}: {error.strerror}") from error
        except BaseException:
            os.close(read_end)
            raise
        finally:
            os.close(write_end)
        reader = asyncio.StreamReader(limit=_CHUNK_BYTES)
        pipe, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read_end, "rb", buffering=0)
        )
        return cls(process, reader, pipe, on_line)

    @property
    def pid(self) -> int:
        """The child's process id (also its session and process group)."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        """True once the child is gone and its output is delivered."""
        return self._end.done()

    @property
    def last_line(self) -> str:
        """The last line with text that it wrote, or an empty string."""
        return next((line for line in reversed(self._last_lines) if line.strip()), "").strip()

    async def wait(self, timeout_s: float | None = None) -> int | None:
        """Return the exit code (negative: the signal), or None after `timeout_s`."""
        done, _ = await asyncio.wait([self._end], timeout=timeout_s)
        return self._end.result() if done else None

    async def stop(self, timeout_s: float) -> int:
        """Send SIGTERM, after `timeout_s` SIGKILL to the process group; return the exit code."""
        if not self.ended:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)
            try:
                code = await self.wait(timeout_s)
            except asyncio.CancelledError:
                self.kill()
                raise
            if code is not None:
                return code
        self.kill()
        killed = await self.wait(_KILL_TIMEOUT_S)
        assert killed is not None, f"pid {self.pid} survived SIGKILL"
        return killed

    def kill(self) -> None:
        """Send SIGKILL to the process group, if it still exists."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    async def _run_to_end(self) -> int:
        pump = asyncio.create_task(self._pump())
        try:
            code = await self._process.wait()
            await asyncio.wait([pump], timeout=_DRAIN_TIMEOUT_S)
        finally:
            pump.cancel()
            self._pipe.close()
        return code

    async def _pump(self) -> None:
        rest = b""
        while chunk := await self._reader.read(_CHUNK_BYTES):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._deliver(line)
            if len(rest) > MAX_LINE_CHARS:
                self._deliver(rest)
                rest = b""
        if rest:
            self._deliver(rest)

    def _deliver(self, raw: bytes) -> None:
        line = raw.decode(errors="replace").rstrip("\r")[:MAX_LINE_CHARS]
        self._last_lines.append(line)
        # Where our own output has no reader any more (`up | head`), the child must not be blocked.
        with contextlib.suppress(OSError):
            self._on_line(line)
