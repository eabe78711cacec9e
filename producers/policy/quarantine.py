"""Holds back contracts whose subscription makes the exchange close the connection. Pure.

Those that an exchange refuses by a message are found by `subscriptions` and held back here, too.
On one exchange an unknown symbol ends the connection without a close frame, and with it every other
subscription. Acknowledgements come in the order of the subscriptions, so the first one that is
missing names the suspect. The network ends connections as well, so one close proves nothing: the
suspect is subscribed last on the next connection. If its acknowledgement is again the first that is
missing, on a connection on which the exchange has answered others, the contract is held back for a
while.
"""

from __future__ import annotations

from collections.abc import Iterable

from schemas.backoff import ceiling_s

HOLD_S = 600.0
MAX_HOLD_S = 6 * 3600.0
SOON_S = 1.0
"""A close within this time after a subscription was sent may be caused by it."""
SUSPICION_S = 1_800.0
"""How long a first close counts against its suspect."""
_NEVER = float("-inf")


class Quarantine:
    """The subscriptions of one socket that wait for an acknowledgement or are held back."""

    def __init__(self) -> None:
        self._pending: dict[str, float] = {}
        self._answered = False
        self._suspected_s: dict[str, float] = {}
        """When each contract was last the suspect on a connection on which others were answered;
        _NEVER if that was only on connections without any answer, which prove nothing. In the order
        of the suspicions."""
        self._until_s: dict[str, float] = {}
        self._offences: dict[str, int] = {}
        self.total = 0
        """How often a contract was held back."""

    def opened(self) -> None:
        """Begin a new connection: nothing is pending on it."""
        self._pending.clear()
        self._answered = False

    def sent(self, symbol: str, now_s: float) -> None:
        """Note a subscription that was sent."""
        self._pending[symbol] = now_s

    def acknowledged(self, symbol: str) -> None:
        """Note that a subscription was accepted; those sent before it were answered, too."""
        self._answered = True
        self._suspected_s.pop(symbol, None)
        self._offences.pop(symbol, None)
        while symbol in self._pending:
            self._pending.pop(next(iter(self._pending)))

    def refused(self) -> None:
        """Note an error reply, which names no contract: it answers the oldest subscription."""
        self._answered = True
        if self._pending:
            self._pending.pop(next(iter(self._pending)))

    def closed(self, now_s: float) -> str | None:
        """Note the end of the connection without a close frame; return a contract now held back."""
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
        self.hold(suspect, now_s)
        return suspect

    def hold(self, symbol: str, now_s: float) -> None:
        """Hold a contract back; longer with each time that it was not taken in between."""
        offences = self._offences.get(symbol, 0)
        self._offences[symbol] = offences + 1
        self._until_s[symbol] = now_s + ceiling_s(offences, HOLD_S, MAX_HOLD_S)
        self.total += 1

    def allowed(self, symbols: Iterable[str], now_s: float) -> list[str]:
        """Return which contracts may be subscribed to, suspects last so that they harm no other."""
        free = [s for s in symbols if self._until_s.get(s, now_s) <= now_s]
        turn = {symbol: number for number, symbol in enumerate(self._suspected_s)}
        return sorted(free, key=lambda symbol: (turn.get(symbol, -1), symbol))

    def next_release_s(self, now_s: float) -> float | None:
        """Return when the next contract may be tried again; None: none is held back."""
        held = [until for until in self._until_s.values() if until > now_s]
        return min(held, default=None)

    def held(self, now_s: float) -> int:
        """Count the contracts that are held back now."""
        return sum(until > now_s for until in self._until_s.values())
