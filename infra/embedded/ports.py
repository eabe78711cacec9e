"""Finds free loopback ports, and says which process holds a busy one.

A port is not reserved: another process may take it between the check and the server's own bind.
"""

from __future__ import annotations

import errno
import random
import socket
from collections.abc import Iterator
from pathlib import Path

from schemas.errors import ConfigurationError, UnavailableError

LOOPBACK = "127.0.0.1"
# Below the usual ephemeral range (32768 and up): the kernel does not hand these to outgoing
# connections in the seconds between this choice and a server's bind.
_FIRST_FREE, _LAST_FREE = 20_000, 32_000
_ATTEMPTS = 200
_LISTEN_STATE = "0A"
_MAX_COMMAND_CHARS = 120


def free_port(host: str = LOOPBACK) -> int:
    """Return a port that nobody listens on at this moment.

    Raises:
        UnavailableError: none was found.
    """
    for _ in range(_ATTEMPTS):
        port = random.randint(_FIRST_FREE, _LAST_FREE)  # noqa: S311 - not a secret
        if _bind_error(host, port) is None:
            return port
    raise UnavailableError(f"no free port between {_FIRST_FREE} and {_LAST_FREE} on {host}")


def require_free_port(port: int, what: str, flag: str, host: str = LOOPBACK) -> None:
    """Check that a port is free.

    Args:
        port: The port that `what` wants to listen on.
        what: The part in a reader's words, as in "the schema registry".
        flag: The option or variable that changes the port, as in "--registry-port".
        host: The address to listen on.

    Raises:
        UnavailableError: another process listens on it; the message names the process.
        ConfigurationError: it is not a valid port, or may not be used.
    """
    if not 0 < port < 65_536:
        raise ConfigurationError(f"{flag} {port} is not a port: give a number from 1 to 65535")
    error = _bind_error(host, port)
    if error is None:
        return
    if error.errno == errno.EADDRINUSE:
        holder = port_holder(port)
        raise UnavailableError(
            f"port {port} for {what} is taken{f' by {holder}' if holder else ''}:"
            f" stop that process or choose another port with {flag}"
        )
    if error.errno == errno.EACCES:
        raise ConfigurationError(
            f"port {port} for {what} needs privileges: choose one above 1023 with {flag}"
        )
    raise ConfigurationError(
        f"{what} cannot listen on {host}:{port} ({error.strerror or error}):"
        f" change --host or {flag}"
    )


def port_holder(port: int) -> str | None:
    """Return who listens on a port, as "pid 123 (command line)"; None where that is unknown."""
    inodes = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    if not inodes:
        return None
    for process in Path("/proc").glob("[0-9]*"):
        if any(target in inodes for target in _descriptor_targets(process)):
            return f"pid {process.name}{_command(process)}"
    return None


def _bind_error(host: str, port: int) -> OSError | None:
    """Return the error that a server would get, with the socket options of asyncio and Java."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            # Two sockets may share a bound address under SO_REUSEADDR; only one may listen.
            probe.listen(1)
    except OSError as error:
        return error
    return None


def _listening_inodes(port: int) -> Iterator[str]:
    """Yield the inodes of sockets that listen on a port (Linux only; elsewhere none)."""
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        try:
            lines = table.read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == _LISTEN_STATE and int(fields[1].rpartition(":")[2], 16) == port:
                yield fields[9]


def _descriptor_targets(process: Path) -> Iterator[str]:
    try:
        descriptors = list((process / "fd").iterdir())
    except OSError:  # another user's process, or one that has just ended
        return
    for descriptor in descriptors:
        try:
            yield str(descriptor.readlink())
        except OSError:
            continue


def _command(process: Path) -> str:
    try:
        raw = (process / "cmdline").read_bytes()
    except OSError:
        return ""
    text = raw.replace(b"\0", b" ").decode(errors="replace").strip()
    return f" ({text[:_MAX_COMMAND_CHARS]})" if text else ""
