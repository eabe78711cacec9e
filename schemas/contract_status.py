"""The states of a contract, enumerated once for all venues, with what each one means.

Every venue has its own words; its `FeedSpec` says which state each of them is. See
docs/decisions/contract-states.md.
"""

from __future__ import annotations

from enum import StrEnum, unique
from typing import Self


@unique
class ContractStatus(StrEnum):
    """What a contract does; the value is what state, records and tables hold."""

    streams: bool
    """The exchange pushes its rate, so that silence is a gap and REST fills in."""
    subscribed: bool
    """Its stream is subscribed: rates that come are wanted, whether or not silence is a gap."""
    scored: bool
    """Its rates are scored, and may stand in for settlements that are not published yet."""

    def __new__(cls, value: str, flags: str = "") -> Self:
        """Make a member; the default lets type checkers accept the look-up ContractStatus(value).

        `flags`: which of `streams`, `subscribed` and `scored` are true.
        """
        member = str.__new__(cls, value)
        member._value_ = value
        names = flags.split()
        member.streams = "streams" in names
        member.subscribed = "subscribed" in names
        member.scored = "scored" in names
        return member

    TRADING = ("trading", "streams subscribed scored")
    RELISTED = ("relisted", "streams subscribed scored")
    """It trades under the ticker of an earlier contract; only its own settlements count."""
    SETTLING = ("settling", "streams subscribed scored")
    """It settles its funding at the moment; the stream goes on."""
    HALTED = ("halted", "subscribed scored")
    """Trading is suspended or restricted: silence is no gap, and a rate that comes counts."""
    PRE_LAUNCH = ("pre_launch", "subscribed")
    """It is announced and does not trade yet."""
    DELISTED = ("delisted", "")
    """It trades no more; a rate that still comes is kept, not scored."""
