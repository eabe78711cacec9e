"""What the console of `up` shows of its parts: notices, and ends that nobody asked for."""

from __future__ import annotations

import re
from collections.abc import Callable

from infra.embedded.supervision.supervisor import ServiceEnd
from schemas.process.logs import NOTICE
from schemas.text import printable

_NOTICE = re.compile(rf"(?:\S+Z [A-Z]+ \S+ )?({NOTICE}.*)")


def notice_in(line: str) -> str | None:
    """Return the notice in a line of a part, which it has printed or logged; None: it has none."""
    found = _NOTICE.fullmatch(line)
    return found[1] if found else None


class Ends:
    """Shows the ends of parts that nobody asked for.

    A part that the others do not need is restarted without an end to it: it is shown once that it
    is down, and once that it is back.
    """

    def __init__(self, warn: Callable[[str], None]) -> None:
        """`warn` gets each line to show."""
        self._warn = warn
        self._down: set[str] = set()

    def ended(self, end: ServiceEnd) -> None:
        """Take the end of a part."""
        if end.vital:
            self._warn(f"! {printable(end.message)}")
        elif end.name not in self._down:
            self._down.add(end.name)
            self._warn(
                f"! {printable(end.message)}; it is started again and again, the other parts go "
                "on, and Kafka keeps what it owes"
            )

    def back(self, name: str) -> None:
        """Take that a part runs again."""
        if name in self._down:
            self._down.remove(name)
            self._warn(f"! {name} is back")
