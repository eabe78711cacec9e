"""The kinds of alerts, enumerated once: what each one says and how severe it is.

`docs/alerts.md` shows this enumeration to people, and a test compares the two.
"""

from __future__ import annotations

from enum import StrEnum, unique
from typing import Self

from schemas.records import Severity


@unique
class AlertKind(StrEnum):
    """What an alert tells a person; the value is what records and tables hold."""

    severities: tuple[Severity, ...]
    """The severities that it may have."""
    meaning: str
    """One sentence for people."""

    def __new__(cls, value: str, severities: tuple[Severity, ...] = (), meaning: str = "") -> Self:
        """Make a member; the defaults let type checkers accept the look-up AlertKind(value)."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.severities = severities
        member.meaning = meaning
        return member

    # fmt: off
    Z_CROSS = (
        "z_cross", ("critical", "warning"),
        "z of a contract is beyond a threshold: `value` is z, `threshold` the signed threshold.",
    )
    SIGN_FLIP = (
        "sign_flip", ("info",),
        "The rate of a contract has another sign: `value` is its rate_8h.",
    )
    FEED_DOWN = (
        "feed_down", ("critical",), "Neither the stream nor REST brings a feed.",
    )
    FEED_RECOVERED = ("feed_recovered", ("info",), "A feed is no longer down.")
    MISMATCH = (
        "mismatch", ("critical", "warning"),
        "REST contradicts the stream for the share `value` of the rates compared.",
    )
    DEAD_LETTERS = (
        "dead_letters", ("critical",),
        "The share `value` of a partition's items cannot be read.",
    )
    CONTRACT_CAP = (
        "contract_cap", ("warning",),
        "An exchange lists more contracts than a feed or a partition may have.",
    )
    # fmt: on
