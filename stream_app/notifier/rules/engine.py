"""Runs all rules over the records of the topics: what fires, and which tracks change.

The time of a rate's rule is its event time, so that the same records give the same alerts. States
of feeds and gaps last while nothing comes; for them `tick` gets the wall clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace

from schemas.alert_kinds import AlertKind
from schemas.audit_kinds import AuditKind
from schemas.rates import rate_8h
from schemas.records import Alert, AuditEvent, Confidence, FeedStatus, ZScore
from schemas.times import US_PER_MINUTE
from stream_app.notifier.rules import messages
from stream_app.notifier.rules.excursions import Track, fire, step
from stream_app.notifier.rules.firing import (
    Firing,
    contract_firing,
    rule_alert_id,
    severity_of,
    spread_firing,
)
from stream_app.notifier.rules.model import (
    CONFIDENCES,
    FeedStates,
    Kinds,
    Mismatch,
    OpenGap,
    RateCondition,
    Rule,
    SignFlip,
    Spread,
)
from stream_app.notifier.rules.spreads import Leg, LegTable, widest_gap
from stream_app.notifier.rules.tracks import Tracks
from stream_app.pairing import unit_price

SILENT_US = US_PER_MINUTE
"""A producer reports every 5 s; after this much silence its feed is `silent`."""
SETTLE_US = 2 * US_PER_MINUTE
"""A spread that a fresh rule finds so soon is a fact: rates of all feeds have come by then."""
SIGN_FROM = 1e-5
"""A sign is one from 0.1 bp per 8 h on, as in docs/alerts.md."""
MAX_CONTRACTS = 50_000
_RANK: dict[Confidence, int] = {name: rank for rank, name in enumerate(CONFIDENCES)}
_ENDS_GAPS = frozenset({AuditKind.GAP_CLOSED, AuditKind.DELISTED, AuditKind.TRADING_ENDED})

BaseOf = Callable[[str, str], str]
"""(feed, symbol) → base."""


class Engine:
    """All rules of a file, with what they remember."""

    def __init__(
        self,
        rules: Collection[Rule],
        base_of: BaseOf,
        *,
        fresh: Collection[str] = (),
        known_us: int,
    ) -> None:
        """Start with nothing remembered.

        Args:
            rules: All rules.
            base_of: Tells the base of a contract of which no score has come yet.
            fresh: Names of the rules that have never looked: what is so when they first do is a
                fact, and not told.
            known_us: How long the state of a feed may have lasted when a fresh rule first looks,
                to be told all the same.
        """
        self._rules = tuple(rules)
        self._base_of = base_of
        self._known_us = known_us
        self._fresh: dict[str, dict[str, int]] = {name: {} for name in fresh}
        """Subjects that each fresh rule has seen, and when it saw them first."""
        self.tracks = Tracks()
        self.counts: Counter[str] = Counter()
        """How often something was held back, by reason."""
        self._by_contract: dict[str, tuple[Rule, ...]] = {}
        self._bases: dict[str, str] = {}
        self._newest: dict[str, int] = {}
        """Event time of the newest record of each contract."""
        self._unscored: set[str] = set()
        """Contracts whose newest record has no z: the next one is a fact."""
        self._legs = {rule.name: LegTable() for rule in rules if isinstance(rule.condition, Spread)}
        self._statuses: dict[str, FeedStatus] = {}

    def on_zscore(self, record: ZScore) -> list[Firing]:
        """Take a z-score."""
        contract_id = record["contract_id"]
        if record["event_time"] < self._newest.get(contract_id, 0):
            # A worker that was killed publishes its last second again: what is over is over.
            self.counts["old_scores"] += 1
            return []
        rules = self._by_contract.get(contract_id)
        if rules is None:
            if len(self._by_contract) >= MAX_CONTRACTS:
                self.counts["too_many_contracts"] += 1
                return []
            rules = self._by_contract[contract_id] = tuple(self._of_contract(record))
            self._bases[contract_id] = record["base"]
        self._newest[contract_id] = record["event_time"]
        fired: list[Firing | None] = []
        for rule in rules:
            if _RANK[record["confidence"]] < _RANK[rule.confidence]:
                continue
            match rule.condition:
                case RateCondition():
                    fired.append(self._rate(rule, rule.condition, record))
                case SignFlip():
                    fired.append(self._sign(rule, record))
                case Spread():
                    fired.append(self._spread(rule, rule.condition, record))
                case _:
                    pass
        if record["z"] is None:
            self._unscored.add(contract_id)
        else:
            self._unscored.discard(contract_id)
        return [firing for firing in fired if firing is not None]

    def on_alert(self, alert: Alert) -> list[Firing]:
        """Take one of our own alerts."""
        fired = []
        for rule in self._rules:
            match rule.condition:
                case Kinds(kinds):
                    wanted = alert["kind"] in kinds
                case Mismatch(share):
                    value = alert["value"] or 0.0
                    wanted = alert["kind"] == AlertKind.MISMATCH and value > share
                case _:
                    continue
            if wanted and self._takes(rule, alert["subject"]):
                firing = self._own_alert(rule, alert)
                if firing is not None:
                    fired.append(firing)
        return fired

    def on_feed_status(self, status: FeedStatus, *, known: bool = False) -> list[Firing]:
        """Take a feed's status. `known`: it was taken before a restart, and moves nothing."""
        self._statuses[status["feed"]] = status
        if known:
            return []
        at = status["reported_at"]
        return self._feed(status, status["state"], status["since"], at)

    def on_feed_gone(self, feed: str, now_us: int, *, known: bool = False) -> None:
        """Forget a feed whose status was taken out: it has no state, and is not silent either.

        `known`: that was taken before a restart, and ends nothing.
        """
        self._statuses.pop(feed, None)
        for rule in self._rules:
            if isinstance(rule.condition, FeedStates) and not known:
                self._end(rule, feed, now_us)

    def on_audit(self, event: AuditEvent) -> None:
        """Take an audit event; gaps fire at the next tick."""
        kind, subject = event["kind"], event["subject"]
        if kind == AuditKind.GAP_OPENED:
            for rule in self._gap_rules(subject):
                key = _gap_key(event)
                track = self.tracks.find(rule, key)
                before = replace(track)
                opened = event["first_event_time"]
                step(track, 1, inside=track.began != opened, at=opened)
                track.note = event["cause"] or ""
                self._keep(rule, key, track, before, opened)
        elif kind in _ENDS_GAPS:
            for rule in self._gap_rules(subject):
                self._end(rule, _gap_key(event), event["last_event_time"])
        elif kind == AuditKind.STARTED:
            # A producer that was killed closes no gaps of its sockets.
            for rule in self._gap_rules(subject):
                for key, _track in self.tracks.of_rule(rule):
                    if key.startswith(f"{subject}#"):
                        self._end(rule, key, event["last_event_time"])

    def tick(self, now_us: int) -> list[Firing]:
        """Fire what has lasted long enough although nothing came. The clock is the wall's."""
        fired: list[Firing] = []
        for status in self._statuses.values():
            reported = status["reported_at"]
            if now_us - reported > SILENT_US:
                fired += self._feed(status, "silent", reported, now_us)
            else:
                fired += self._feed(status, status["state"], status["since"], now_us)
        for rule in self._rules:
            if isinstance(rule.condition, OpenGap):
                fired += self._gaps(rule, now_us)
        self.tracks.forget_idle(self._rules, now_us)
        return fired

    def _of_contract(self, record: ZScore) -> Iterator[Rule]:
        for rule in self._rules:
            if isinstance(rule.condition, RateCondition | SignFlip | Spread) and (
                rule.selection.takes_contract(record["contract_id"], record["base"], record["feed"])
            ):
                yield rule

    def _takes(self, rule: Rule, subject: str) -> bool:
        """Tell whether a rule is about a subject, which is a contract id or a feed."""
        feed, colon, symbol = subject.partition(":")
        if not colon:
            return rule.selection.takes_feed(feed)
        base = self._bases.get(subject) or self._base_of(feed, symbol)
        return rule.selection.takes_contract(subject, base, feed)

    def _first_look(self, rule: Rule, subject: str, at: int, for_us: int = 0) -> bool:
        """Tell whether a rule that is new sees a subject for the first time, or not much later."""
        seen = self._fresh.get(rule.name)
        if seen is None:
            return False
        if subject not in seen:
            if len(seen) >= MAX_CONTRACTS:
                return False
            seen[subject] = at
            return True
        return at - seen[subject] < for_us

    def _keep(self, rule: Rule, subject: str, track: Track, before: Track, at: int) -> None:
        if track != before:
            self.tracks.keep(rule, subject, track, at)

    def _fire(self, rule: Rule, track: Track, at: int) -> bool:
        """Fire an excursion that is due; count one that only the cool-down holds back."""
        if fire(track, at, rule.hold_us, rule.cool_down_us):
            return True
        if track.began == at and not track.told and track.told_at and not rule.hold_us:
            self.counts["cool_down"] += 1
        return False

    def _rate(self, rule: Rule, condition: RateCondition, record: ZScore) -> Firing | None:
        parts = []
        if condition.z is not None:
            if record["z"] is None:
                return None
            parts.append((condition.z, record["z"]))
        if condition.apr is not None:
            parts.append((condition.apr, record["apr"]))
        sides = [threshold.side(value) for threshold, value in parts]
        side = sides[0] if all(sides) else 0
        inside = any(threshold.inside(value) for threshold, value in parts)
        subject, at = record["contract_id"], record["event_time"]
        first = self._first_look(rule, subject, at)
        fact = first or record["trigger"] == "first" or (
            condition.z is not None and subject in self._unscored
        )  # fmt: skip
        track = self.tracks.find(rule, subject)
        before = replace(track)
        step(track, side, inside=inside, at=at, fact=fact)
        told = bool(side) and self._fire(rule, track, at)
        self._keep(rule, subject, track, before, at)
        if not told:
            return None
        kind, value = ("z", record["z"]) if condition.z is not None else ("apr", record["apr"])
        z, yearly = record["z"], f"{record['apr'] * 100:+.1f} % a year"
        what = yearly if condition.z is None or z is None else f"z {z:+.2f}"
        return contract_firing(rule, record, track.began, kind, value, what)

    def _sign(self, rule: Rule, record: ZScore) -> Firing | None:
        subject, at = record["contract_id"], record["event_time"]
        scaled = rate_8h(record["rate"], record["interval_hours"])
        sign = 0 if abs(scaled) < SIGN_FROM else (1 if scaled > 0 else -1)
        track = self.tracks.find(rule, subject)
        before = replace(track)
        if not track.sign:
            track.sign = sign
        step(track, sign if sign != track.sign else 0, inside=sign == track.sign, at=at)
        told = sign == -track.sign != 0 and self._fire(rule, track, at)
        began = track.began
        if told:
            track.sign, track.began, track.told = sign, 0, False
        self._keep(rule, subject, track, before, at)
        if not told:
            return None
        payer = "longs pay shorts" if sign > 0 else "shorts pay longs"
        return contract_firing(rule, record, began, "sign_flip", scaled, f"{payer} now")

    def _spread(self, rule: Rule, condition: Spread, record: ZScore) -> Firing | None:
        base, at = record["base"], record["event_time"]
        rate = (record["rate"], record["interval_hours"])
        legs = self._legs[rule.name]
        price = unit_price(record["mark_price"], record["multiplier"], record["quote"])
        legs.put(base, Leg(record["contract_id"], record["feed"], rate, at, price))
        gap = widest_gap(legs.fresh(base))
        if gap is None:
            return None
        size = gap.apr if condition.unit == "apr" else gap.rate_8h
        track = self.tracks.find(rule, base)
        before = replace(track)
        inside = size <= condition.limit - condition.back
        if inside and track.began and not legs.knows(base, track.note):
            return None  # After a restart: the legs that began it have not come yet.
        side = 1 if size > condition.limit else 0
        # At first some feeds are still missing.
        fact = self._first_look(rule, base, at, SETTLE_US)
        if step(track, side, inside=inside, at=at, fact=fact):
            track.note = gap.names
        told = bool(side) and self._fire(rule, track, at)
        self._keep(rule, base, track, before, at)
        return spread_firing(rule, base, gap, track.began, at) if told else None

    def _own_alert(self, rule: Rule, alert: Alert) -> Firing | None:
        subject, at = alert["subject"], alert["event_time"]
        key = f"{subject}|{alert['kind']}"
        if rule.cool_down_us:
            track = self.tracks.find(rule, key)
            if track.told_at and at - track.told_at < rule.cool_down_us:
                self.counts["cool_down"] += 1
                return None
            track.told_at = at
            self.tracks.keep(rule, key, track, at)
        title, message = messages.alert_words(alert)
        return Firing(
            rule,
            alert["alert_id"],
            subject,
            alert["kind"],
            rule.severity or alert["severity"],
            alert["value"],
            title,
            message,
            at,
            subject if ":" in subject else "",
        )

    def _feed(self, status: FeedStatus, state: str, since: int, at: int) -> list[Firing]:
        feed = status["feed"]
        fired = []
        for rule in self._rules:
            if not isinstance(rule.condition, FeedStates) or not rule.selection.takes_feed(feed):
                continue
            if state == "silent" and state not in rule.condition.states:
                continue  # Nobody knows its state.
            side = 1 if state in rule.condition.states else 0
            track = self.tracks.find(rule, feed)
            before = replace(track)
            fact = self._first_look(rule, feed, at) and at - since > self._known_us
            step(track, side, inside=not side, at=since, fact=fact)
            told = bool(side) and fire(track, at, rule.hold_us, rule.cool_down_us)
            self._keep(rule, feed, track, before, at)
            if told:
                title, message = messages.feed_words(
                    feed, state, status["detail"], at - track.began
                )
                alert_id = rule_alert_id(rule.name, feed, track.began)
                severity = severity_of(rule)
                fired.append(
                    Firing(
                        *(rule, alert_id, feed, "feed_state", severity, None, title, message, at)
                    )
                )
        return fired

    def _gap_rules(self, subject: str) -> Iterator[Rule]:
        of = "contract" if ":" in subject else "feed"
        for rule in self._rules:
            if (
                isinstance(rule.condition, OpenGap)
                and rule.condition.of in {of, "any"}
                and self._takes(rule, subject)
            ):
                yield rule

    def _end(self, rule: Rule, key: str, at: int) -> None:
        track = self.tracks.find(rule, key)
        before = replace(track)
        step(track, 0, inside=True, at=at)
        track.note = ""
        self._keep(rule, key, track, before, at)

    def _gaps(self, rule: Rule, now_us: int) -> Iterator[Firing]:
        for key, track in self.tracks.of_rule(rule):
            before = replace(track)
            told = fire(track, now_us, rule.hold_us, rule.cool_down_us)
            self._keep(rule, key, track, before, now_us)
            if not told:
                continue
            subject = key.partition("#")[0]
            title, message = messages.gap_words(
                subject, track.note, track.began, now_us - track.began
            )
            yield Firing(
                rule,
                rule_alert_id(rule.name, key, track.began),
                subject,
                "gap",
                severity_of(rule),
                (now_us - track.began) / 1e6,
                title,
                message,
                now_us,
                subject if ":" in subject else "",
            )


def _gap_key(event: AuditEvent) -> str:
    """Return the subject of a gap: a contract, or one of a feed's sockets."""
    subject, socket = event["subject"], event["socket"]
    return f"{subject}#{socket}" if socket else subject
