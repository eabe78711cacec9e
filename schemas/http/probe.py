"""`python -m schemas.http.probe`: ends with 0 if the URL in HEALTH_URL answers with 2xx, else 1.

The health check of every container of ours. It is run every few seconds in each of them, so it
imports little: neither the console script nor an HTTP client, which cost a tenth of a second each.
Without HEALTH_URL there is nothing to ask, as in a container that does one thing and ends.
"""

from __future__ import annotations

import os
import socket
import sys

TIMEOUT_S = 4.0
_MAX_ANSWER_BYTES = 4_096
_VARIABLE = "HEALTH_URL"


def probe(url: str, timeout_s: float = TIMEOUT_S) -> tuple[bool, str]:
    """Ask once, and return whether the answer is 2xx, and its last line or what went wrong.

    `url` is http, with an IPv4 address or a name, a port and a path.
    """
    place, slash, path = url.removeprefix("http://").partition("/")
    host, colon, port = place.rpartition(":")
    if not (slash and colon and port.isdecimal()):
        return False, f"{_VARIABLE} {url!r} is not http://HOST:PORT/PATH"
    request = f"GET /{path} HTTP/1.0\r\nHost: {place}\r\nConnection: close\r\n\r\n"
    try:
        with socket.create_connection((host, int(port)), timeout_s) as server:
            server.sendall(request.encode("ascii"))
            answer = b""
            while len(answer) < _MAX_ANSWER_BYTES and (more := server.recv(_MAX_ANSWER_BYTES)):
                answer += more
    except (OSError, ValueError) as error:
        return False, f"{url} does not answer: {error}"
    text = answer.decode("utf-8", "replace").strip()
    status = text.split(" ", 2)[1:2]
    return status[:1] != [] and status[0].startswith("2"), text.rpartition("\n")[2]


def main() -> int:
    """Probe the URL, print what it said, and return the exit code."""
    url = os.environ.get(_VARIABLE, "")
    healthy, said = probe(url) if url else (True, f"no {_VARIABLE}")
    sys.stdout.write(f"{said}\n")
    return 0 if healthy else 1


if __name__ == "__main__":
    sys.exit(main())
