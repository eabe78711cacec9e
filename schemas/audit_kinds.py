"""The kinds of audit events, enumerated once: what each one says and which typed fields it carries.

`docs/audit.md` shows this enumeration to people, and a test compares the two.
"""

from __future__ import annotations

from enum import StrEnum, unique
from typing import Literal, Self

Subject = Literal["contract", "feed", "contract or feed"]
"""What is counted of a symbol that is no listed contract is counted of its feed."""

_COUNTED, _AT_ONCE = True, False
_STATES = ("from_state", "to_state")
_RATES = ("rate", "other_rate")


@unique
class AuditKind(StrEnum):
    """What an audit event reports; the value is what records, tables and metrics hold."""

    subject: Subject
    """What an event of this kind is about."""
    counted: bool
    """True: counted by minute and partition; `count` says how often, and the other values are those
    of the newest. False: one event for each occurrence."""
    meaning: str
    """One sentence for people."""
    fields: tuple[str, ...]
    """The fields of AuditFacts that it may carry."""

    def __new__(
        cls,
        value: str,
        subject: Subject = "feed",
        counted: bool = False,  # noqa: FBT001, FBT002 - the definitions below are a table
        meaning: str = "",
        fields: tuple[str, ...] = (),
    ) -> Self:
        """Make a member; the defaults let type checkers accept the look-up AuditKind(value)."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.subject = subject
        member.counted = counted
        member.meaning = meaning
        member.fields = fields
        return member

    # fmt: off
    # Of single updates.
    DUPLICATE = (
        "duplicate", "contract", _COUNTED,
        "An update came again: same time, same rate.", ("rate",),
    )
    CONFLICT = (
        "conflict", "contract", _COUNTED,
        "An update has the time of the current one and another rate; it replaces it.", ("rate",),
    )
    OUT_OF_ORDER = (
        "out_of_order", "contract", _COUNTED,
        "An update is up to 10 s older than the current one; it counts in its bar only.",
        ("rate",),
    )
    LATE = (
        "late", "contract", _COUNTED,
        "An update is more than 10 s older than the current one; it is stored and not aggregated.",
        ("rate",),
    )
    OUT_OF_RANGE = (
        "out_of_range", "contract", _COUNTED,
        "A rate is beyond the contract's cap; it is stored and not traded on.", ("rate",),
    )
    SETTLING = (
        "settling", "contract", _COUNTED,
        "An estimate came so soon after a settlement that it is noise; it is dropped.", ("rate",),
    )
    NO_RATE = (
        "no_rate", "contract or feed", _COUNTED,
        "A row of the exchange holds no rate; `detail` says why.",
    )
    DEAD_LETTER = (
        "dead_letter", "contract or feed", _COUNTED,
        "An item cannot be read and went to the dead letters; `detail` is the error.",
    )
    UNLISTED = (
        "unlisted", "feed", _COUNTED,
        "An item was dropped because the exchange's list does not have its symbol.",
    )
    CLOCK_SKEW = (
        "clock_skew", "feed", _COUNTED,
        "The exchange's clock is more than 5 s off, or jumped; producers tell begin and end.",
        ("shift_s",),
    )

    # Of contracts.
    LISTED = ("listed", "contract", _AT_ONCE, "The exchange lists a new contract.")
    DELISTED = ("delisted", "contract", _AT_ONCE, "The exchange lists the contract no longer.")
    STATUS_CHANGE = (
        "status_change", "contract", _COUNTED,
        "The exchange changed the contract's status.", _STATES,
    )
    TRADING_ENDED = (
        "trading_ended", "contract", _AT_ONCE,
        "The status of a contract with rates says that it trades no longer.", _STATES,
    )
    TRADING_BEGAN = (
        "trading_began", "contract", _AT_ONCE,
        "The status of a contract with rates says that it trades again.", _STATES,
    )
    INTERVAL_CHANGE = (
        "interval_change", "contract", _COUNTED,
        "The funding interval of the contract changed.",
        ("from_interval_hours", "to_interval_hours"),
    )
    INTERVAL_DOUBTFUL = (
        "interval_doubtful", "contract", _COUNTED,
        "The stream contradicts the listed interval; rates are not scored meanwhile.",
        ("from_interval_hours", "to_interval_hours"),
    )
    RELISTED = (
        "relisted", "contract", _AT_ONCE,
        "The ticker of a delisted contract is listed again; the new one has a baseline of its own.",
    )
    CONTRACT_CAP = (
        "contract_cap", "feed", _COUNTED,
        "Contracts are listed beyond the limit and left out; producers tell it once an hour.",
    )
    BAD_SYMBOL = (
        "bad_symbol", "feed", _COUNTED,
        "Stored state of an earlier version holds contracts whose symbols cannot be symbols.",
    )
    ALERT_HELD_BACK = (
        "alert_held_back", "contract", _COUNTED,
        "The rule against too many alerts held one back.", ("cause",),
    )

    # Of what did not come.
    MISSED = (
        "missed", "contract", _COUNTED,
        "Updates of the stream did not come: `count` of them, between the two times.",
    )
    GAP_OPENED = (
        "gap_opened", "contract or feed", _AT_ONCE,
        "A contract's stream is silent, or a socket of a feed has no connection that delivers.",
        ("cause", "socket", "connection_id"),
    )
    GAP_CLOSED = (
        "gap_closed", "contract or feed", _AT_ONCE,
        "The gap since `first_event_time` has ended; of a contract, it cost `count` updates.",
        ("cause", "socket", "connection_id", "rest_polls", "rest_updates", "rest_filled_s"),
    )
    LOST_RECORDS = (
        "lost_records", "feed", _AT_ONCE,
        "The raw log no longer has `count` records that were not applied.",
        ("first_offset", "last_offset"),
    )
    EVENTS_LOST = (
        "events_lost", "feed", _AT_ONCE,
        "A producer dropped `count` of its events while Kafka took nothing.",
    )

    # Of comparisons.
    MATCHED = (
        "matched", "feed", _COUNTED, "Rates of a REST snapshot equal those of the stream.",
    )
    MISMATCH = (
        "mismatch", "contract or feed", _COUNTED,
        "A rate of a REST snapshot (`rate`) differs from the stream's (`other_rate`).",
        (*_RATES, "tolerance"),
    )
    NOT_COMPARED = (
        "not_compared", "feed", _COUNTED,
        "There was no rate of the stream to compare a REST rate with.", ("cause",),
    )
    SETTLED_MATCHED = (
        "settled_matched", "feed", _COUNTED,
        "Settled rates equal the last estimates before them, by funding time.",
    )
    SETTLED_DIFFERS = (
        "settled_differs", "contract", _COUNTED,
        "A settled rate (`rate`) differs from the last estimate before it (`other_rate`).", _RATES,
    )
    SETTLEMENT_DIFFERS = (
        "settlement_differs", "contract", _COUNTED,
        "A source of a settlement (`rate`) contradicts the one before it (`other_rate`).",
        _RATES,
    )
    SETTLEMENT_CORRECTED = (
        "settlement_corrected", "contract", _COUNTED,
        "Better evidence changed the interval of a settlement; the baseline follows.",
        ("rate", "from_interval_hours", "to_interval_hours"),
    )
    SETTLEMENT_MISSING = (
        "settlement_missing", "contract", _AT_ONCE,
        "Between the two times `count` settlements were due and are not known.",
    )
    SETTLEMENT_FOUND = (
        "settlement_found", "contract", _AT_ONCE,
        "A settlement that was missing between the two times has come; `count` are still missing.",
    )

    # Of feeds.
    STARTED = ("started", "feed", _AT_ONCE, "The producer of the feed was started.")
    FAILOVER = (
        "failover", "feed", _AT_ONCE, "REST takes over from the stream.", _STATES,
    )
    RECOVERY = (
        "recovery", "feed", _AT_ONCE, "The stream delivers again and REST stops.", _STATES,
    )
    FEED_STATE = (
        "feed_state", "feed", _AT_ONCE, "The state of the feed changed in another way.", _STATES,
    )
    FEED_DOWN = (
        "feed_down", "feed", _AT_ONCE,
        "Neither the stream nor REST brings the feed; it is an alert, too.", _STATES,
    )
    FEED_RECOVERED = (
        "feed_recovered", "feed", _AT_ONCE,
        "The feed is no longer down; it is an alert, too.", _STATES,
    )
    FEED_FAILED = (
        "feed_failed", "feed", _AT_ONCE,
        "An unexpected error ended the feed in its producer, which starts it again.",
    )
    REPEATED = (
        "repeated", "feed", _AT_ONCE,
        "Within a minute, `count` updates that another connection had brought were not published.",
    )
    THINNED = (
        "thinned", "feed", _AT_ONCE,
        "Within a minute, `count` updates were not published: one a second and contract is.",
    )
    RATE_LIMITED = (
        "rate_limited", "feed", _AT_ONCE,
        "Within a minute, the exchange refused `count` REST calls as too many.",
    )

    OTHER = (
        "other", "feed", _COUNTED,
        "What exceeds the bounds of counting, or is of an unknown kind; `detail` names the newest.",
    )
    # fmt: on
