"""What `up` shows of its parts: their notices, and parts that end unexpectedly."""

from __future__ import annotations

import re
from collections.abc import Callable

from infra.embedded.supervision.supervisor import ServiceEnd
from schemas.process.logs import NOTICE
from schemas.text import printable

_NOTICE = re.compile(rf"(?:\S+Z [A-Z]+ \S+ )?({NOTICE}.*)")


def notice_in(line: str) -> str | None:
    """Return the notice in a line that a part has printed or logged; None where it has none."""
    found = _NOTICE.fullmatch(line)
    return found[1] if found else None


class Ends:
    """Shows that parts have ended unexpectedly.

    A part that the others do not need is restarted without limit: it is shown once when it goes
    down, and once when it is back.
    """

    def __init__(self, warn: Callable[[str], None]) -> None:
        """`warn` gets each line to show."""
        self._warn = warn
        self._down: set[str] = set()

    def ended(self, end: ServiceEnd) -> None:
        """Show that a part has ended."""
        if end.vital:
            self._warn(f"! {printable(end.message)}")
        elif end.name not in self._down:
            self._down.add(end.name)
            self._warn(
                f"! {printable(end.message)}; it is started again and again, the other parts go "
                "on, and Kafka keeps what it owes"
            )

    def back(self, name: str) -> None:
        """Show that a part runs again, if its end was shown."""
        if name in self._down:
            self._down.remove(name)
            self._warn(f"! {name} is back")
