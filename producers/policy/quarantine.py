"""Contracts whose subscription is suspected of closing the socket: left out for a while. Pure.

Source: exchanges.md §4.3, an unknown coin ends the connection without a word, with every
subscription on it. Acknowledgements come in order, so the first that is missing names the suspect.
The network ends connections as well, so one close proves nothing: the suspect is only put behind
all others, and held back if it is the first that is missing once more, on a connection on which the
exchange did answer. Not responsible for: sockets (connection.py).
"""

from __future__ import annotations

from collections.abc import Iterable

from schemas.backoff import ceiling_s

HOLD_S = 600.0
MAX_HOLD_S = 6 * 3600.0
SOON_S = 1.0
"""A close this soon after a subscription was sent may be blamed on it."""
SUSPICION_S = 1_800.0
"""For so long a first close counts against its suspect."""
_NEVER = float("-inf")


class Quarantine:
    """Subscriptions that wait for their acknowledgement, and those that are held back."""

    def __init__(self) -> None:
        self._pending: dict[str, float] = {}
        self._answered = False
        self._suspected_s: dict[str, float] = {}
        """When a contract was last the suspect of a connection on which others were answered (else
        _NEVER: an exchange that answers nobody is out of order); the last one stands last."""
        self._until_s: dict[str, float] = {}
        self._offences: dict[str, int] = {}
        self.total = 0

    def opened(self) -> None:
        """Begin a new connection: nothing is pending on it."""
        self._pending.clear()
        self._answered = False

    def sent(self, symbol: str, now_s: float) -> None:
        """Note a subscription that went out."""
        self._pending[symbol] = now_s

    def acknowledged(self, symbol: str) -> None:
        """Note that it was accepted; whatever was sent before it was answered otherwise."""
        self._answered = True
        self._suspected_s.pop(symbol, None)
        self._offences.pop(symbol, None)
        while symbol in self._pending:
            self._pending.pop(next(iter(self._pending)))

    def refused(self) -> None:
        """Note an answer that names nobody: it is the one to the oldest subscription."""
        self._answered = True
        if self._pending:
            self._pending.pop(next(iter(self._pending)))

    def closed(self, now_s: float) -> str | None:
        """Note the end of the connection without a farewell; return who is held back for it."""
        if not self._pending:
            return None
        suspect, sent_s = next(iter(self._pending.items()))
        self._pending.clear()
        if now_s - sent_s > SOON_S:
            return None
        before_s = self._suspected_s.pop(suspect, _NEVER)
        self._suspected_s[suspect] = now_s if self._answered else before_s
        offences = self._offences.get(suspect, 0)
        again = offences > 0 or now_s - before_s <= SUSPICION_S
        if not self._answered or not again:
            return None
        self._offences[suspect] = offences + 1
        self._until_s[suspect] = now_s + ceiling_s(offences, HOLD_S, MAX_HOLD_S)
        self.total += 1
        return suspect

    def allowed(self, symbols: Iterable[str], now_s: float) -> list[str]:
        """Return who may be subscribed, suspects last: whoever fails takes nobody along."""
        free = [s for s in symbols if self._until_s.get(s, now_s) <= now_s]
        turn = {symbol: number for number, symbol in enumerate(self._suspected_s)}
        return sorted(free, key=lambda symbol: (turn.get(symbol, -1), symbol))

    def next_release_s(self, now_s: float) -> float | None:
        """Return the time at which the next one is tried again; None: nobody is held."""
        held = [until for until in self._until_s.values() if until > now_s]
        return min(held, default=None)

    def held(self, now_s: float) -> int:
        """Count who is held back now."""
        return sum(until > now_s for until in self._until_s.values())
