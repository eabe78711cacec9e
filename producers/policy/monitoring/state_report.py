"""The state of a feed as it is reported: since when, why, an event for each transition. Pure."""

from __future__ import annotations

from typing import NamedTuple

from producers.policy.ownership import Ownership, Rest
from schemas.audit_facts import AuditFacts
from schemas.audit_kinds import AuditKind
from schemas.control_items import FeedEvent
from schemas.records import FeedState, Transport
from schemas.times import US_PER_S

MAX_NAMED = 3
"""Silent contracts that an event names."""
UNLISTED_S = 30.0
"""A feed that knows no contract for so long after its start counts as down: REST cannot ask for
any contract."""
KAFKA_FULL_S = 2.0
"""A queue for Kafka that is full for longer explains why nothing is read."""


class Delivery(NamedTuple):
    """How many contracts of a feed the stream and REST deliver now."""

    expected: int
    """Contracts that should deliver."""
    streamed: int
    """Of them, those that the stream (or without one: REST) delivers."""
    rest: Rest
    by_rest: frozenset[str]
    """Contracts that REST is asked for instead, without the quiet ones; of a feed without a stream,
    the silent ones."""
    kafka_full_s: float
    """Seconds for which the queue for Kafka is full."""
    source: Transport = "ws"
    """What brings the feed's rates while all is well."""
    quiet: int = 0
    """Contracts that are not pushed because nothing of them changes (`producers.policy.quiet`)."""

    def __str__(self) -> str:
        """Return a clause about the stream, with a few of the contracts that it does not bring."""
        source = "the stream" if self.source == "ws" else "REST"
        text = f"{source} brings {self.streamed} of {self.expected} contracts"
        if self.quiet:
            text += f", {self.quiet} are quiet"
        if not self.by_rest:
            return text
        named = ", ".join(sorted(self.by_rest)[:MAX_NAMED])
        return f"{text}, silent: {named}{', ...' if len(self.by_rest) > MAX_NAMED else ''}"


class StateReport:
    """The reported state of one feed."""

    def __init__(self, feed: str, now_s: float, now_us: int) -> None:
        """`now_s`, `now_us`: monotonic and wall-clock time of the start."""
        self._feed = feed
        self._ownership = Ownership()
        self._began_s = now_s
        self.since_us = now_us
        """Wall-clock time of the last transition."""
        self.detail = "starting"
        """The likely reason of a state other than live."""

    @property
    def state(self) -> FeedState:
        """The state after the last observation."""
        return self._ownership.state

    def explain(self, detail: str) -> None:
        """Note the likely reason of the transitions that may follow."""
        self.detail = detail

    def observe(self, delivery: Delivery, now_s: float, at_us: int) -> list[FeedEvent]:
        """Take an observation; report the transition that follows from it, if any."""
        before, rest = self.state, delivery.rest
        if delivery.expected == 0 and now_s - self._began_s > UNLISTED_S:
            rest, self.detail = Rest.FAILING, "no contract is known to trade"
        after = self._ownership.observe(delivery.expected, delivery.streamed + delivery.quiet, rest)
        return [] if after == before else self._transition(before, after, delivery, at_us)

    def _transition(
        self, before: FeedState, after: FeedState, delivery: Delivery, at_us: int
    ) -> list[FeedEvent]:
        feed, since_us = self._feed, self.since_us
        if delivery.kafka_full_s > KAFKA_FULL_S:
            full_s = delivery.kafka_full_s
            self.detail = f"Kafka takes nothing for {full_s:.0f} s, so reading is paused"
        about = str(delivery)
        if after != "live" and self.detail:
            about += f" ({self.detail})"
        kind, detail = _kind(before, after), f"{before} -> {after}: {about}"
        facts = AuditFacts(from_state=before, to_state=after)
        events = [FeedEvent(kind, feed, since_us, at_us, detail=detail, facts=facts)]
        if after == "down":
            kind = AuditKind.FEED_DOWN
            events.append(FeedEvent(kind, feed, since_us, at_us, detail=about, facts=facts))
        elif before == "down":
            lasted = f"after {(at_us - since_us) / US_PER_S:.1f} s: {after}"
            kind = AuditKind.FEED_RECOVERED
            events.append(FeedEvent(kind, feed, since_us, at_us, detail=lasted, facts=facts))
        self.since_us = at_us
        if after == "live":
            self.detail = ""
        return events


def _kind(before: FeedState, after: FeedState) -> AuditKind:
    """Return the kind of event that a transition makes. The first live state is no recovery."""
    if after == "live" and before != "connecting":
        return AuditKind.RECOVERY
    return AuditKind.FAILOVER if after == "fallback" else AuditKind.FEED_STATE
