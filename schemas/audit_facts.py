"""What programs read of an audit event: typed values beside the sentence for people.

A feed event on the raw log, the worker's state, the Avro record AuditEvent and the table
`funding.audit` all carry these fields under these names. Which kind of event carries which of them
says audit_kinds.py; a field that does not apply is None.
"""

from __future__ import annotations

from enum import StrEnum, unique
from typing import Annotated, TypedDict

import msgspec

MAX_NAME_CHARS = 64
"""Of the name of a socket or a state."""
MAX_CONNECTION_ID_CHARS = 192

Name = Annotated[str, msgspec.Meta(max_length=MAX_NAME_CHARS)]
Count = Annotated[int, msgspec.Meta(ge=0, lt=1 << 62)]


@unique
class AuditCause(StrEnum):
    """Why something happened, in the field `cause`."""

    CLOSED = "closed"
    """The exchange or the network closed the connection."""
    SILENT = "silent"
    """No data came for the allowed time, on a connection or of a contract."""
    NO_GREETING = "no_greeting"
    """The exchange did not send the message with which it opens a connection."""
    MESSAGE_LOST = "message_lost"
    """A message did not arrive, after which changes alone say nothing; a new connection does."""
    INCOMPLETE = "incomplete"
    """Changes came before the whole row that they change; a new connection begins with one."""
    KAFKA_FULL = "kafka_full"
    """Kafka took nothing, so reading was paused and the connection was given up."""
    STOPPED = "stopped"
    """The producer closed the connection itself: another one serves, or it brought too little."""
    NEVER_STREAMED = "never_streamed"
    """The stream has brought nothing of the contract since it was listed or trades again."""
    STREAMED = "streamed"
    """The stream brought the contract again."""
    TRADING_ENDED = "trading_ended"
    """The contract trades no longer."""
    NO_RATE = "no_rate"
    """Not compared: no rate of the contract is known yet."""
    NOT_TRADING = "not_trading"
    """Not compared: the contract does not trade."""
    SETTLING = "settling"
    """Not compared: estimates just after a settlement are noise."""
    BEYOND_CAP = "beyond_cap"
    """Not compared: the rate is beyond the contract's cap, where no stream rate is held either."""
    NO_STREAM_RATE = "no_stream_rate"
    """Not compared: the stream brought no rate within the stale threshold of that time."""
    Z_CROSS = "z_cross"
    """The alert that was held back was one of z beyond a threshold."""
    SIGN_FLIP = "sign_flip"
    """The alert that was held back was one of another sign."""
    OTHER = "other"
    """A cause that this version does not know."""

    @classmethod
    def _missing_(cls, _value: object) -> AuditCause:
        """Read a cause that another version wrote."""
        return cls.OTHER


class AuditFacts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The typed values of an audit event; None: the event does not carry it."""

    cause: AuditCause | None = None
    """Why it happened."""
    socket: Name | None = None
    """Name of the socket within the feed, which stays the same over reconnects."""
    connection_id: Annotated[str, msgspec.Meta(max_length=MAX_CONNECTION_ID_CHARS)] | None = None
    """The connection that ended, or that delivers again; as in RawBatch."""
    from_state: Name | None = None
    to_state: Name | None = None
    """State of a feed, or status of a contract, before and after a change."""
    rest_polls: Count | None = None
    """Polls by REST that succeeded during a gap."""
    rest_updates: Count | None = None
    """Rates that REST brought during a gap."""
    rest_filled_s: float | None = None
    """For how many seconds of a gap a rate that REST brought was in force."""
    first_offset: Count | None = None
    last_offset: Count | None = None
    """First and last offset, both inclusive, of raw records that are lost."""
    rate: float | None = None
    """The rate that the event is about, per funding interval."""
    other_rate: float | None = None
    """The rate that it was compared with."""
    tolerance: float | None = None
    """By how much the two may differ."""
    from_interval_hours: float | None = None
    to_interval_hours: float | None = None
    """Funding interval before and after a change."""
    shift_s: float | None = None
    """By how many seconds a clock or a time is ahead; negative: behind."""


NO_FACTS = AuditFacts()


class FactFields(TypedDict):
    """The fields of AuditFacts as a part of a record."""

    cause: str | None
    socket: str | None
    connection_id: str | None
    from_state: str | None
    to_state: str | None
    rest_polls: int | None
    rest_updates: int | None
    rest_filled_s: float | None
    first_offset: int | None
    last_offset: int | None
    rate: float | None
    other_rate: float | None
    tolerance: float | None
    from_interval_hours: float | None
    to_interval_hours: float | None
    shift_s: float | None


def fact_fields(facts: AuditFacts) -> FactFields:
    """Return all fields of the facts, those that do not apply as None."""
    return {
        "cause": facts.cause,
        "socket": facts.socket,
        "connection_id": facts.connection_id,
        "from_state": facts.from_state,
        "to_state": facts.to_state,
        "rest_polls": facts.rest_polls,
        "rest_updates": facts.rest_updates,
        "rest_filled_s": facts.rest_filled_s,
        "first_offset": facts.first_offset,
        "last_offset": facts.last_offset,
        "rate": facts.rate,
        "other_rate": facts.other_rate,
        "tolerance": facts.tolerance,
        "from_interval_hours": facts.from_interval_hours,
        "to_interval_hours": facts.to_interval_hours,
        "shift_s": facts.shift_s,
    }
