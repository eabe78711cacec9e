"""Checks that every update that was sent is stored once, and that each missing one is on record.
Pure.

An update is known by contract, event time and rate. Where the stored time is that of receipt
(frames without a time, clocks that run ahead) it is known by contract, rate and moment. Whatever is
not the plain case is counted under a name; what has no name is listed, and fails the run. Not
responsible for: reading (evidence.py), showing (fault_report.py).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from benchmarks.evidence import Fault, FeedEvidence, Stored, Update
from benchmarks.matching import EARLY_US, FAR_US, match
from benchmarks.recorded_gaps import Span, spans_of
from benchmarks.thinned import Key, Owed, in_their_seconds, owed_of
from schemas.feeds import spec
from schemas.times import US_PER_S

SKEW_US = 5 * US_PER_S
"""An event time further ahead of its receipt than this is replaced by the receipt."""
CUT_US = 15 * US_PER_S
"""An update that was written into a socket this soon before its end may be lost with it."""
CUTS = frozenset({"close", "half-open", "maintenance", "silence"})
"""Kinds of faults that end sockets when they begin or end."""
ZERO = "zero in every unit, in a frame with wrong ones (bad-units)"
TOO_LARGE = "sent and stored 100 times too large (bad-units)"
REPLACED = "missed, a change that a later rate followed in time"
"""The name for a missed update of a feed that pushes changes alone, where no tick can be missed."""
UNTOLD = "missed, too few to be told without times"
"""The name for a missed update whose neighbours are as close as two pushes may be."""
COUNT_TOLERANCE = 1.25
"""Where frames have no time, a count follows from their mean distance: pushes are up to 1.8 s
apart."""
OTHER_TERMS = "stored although its rate alone did not require it"
"""The name for an update of a thinned feed that was published for its interval or its next funding
time, or as the first of its second on another connection."""
SWAPPED = "left out: its neighbour of the same rate came in its place (reorder)"
PERCENT = 100.0
"""The factor by which rates are too large under bad-units (infra/simulator/wire_fields.py)."""
_EXAMPLES = 5
END = 2**62


@dataclass
class Account:
    """The result for one feed. `named` counts the exceptions that are explained, by name.

    `thinned` were sent or missed and are not owed; no other number has them.
    """

    feed: str
    delivered: int = 0
    stored_once: int = 0
    missed: int = 0
    missed_in_gaps: int = 0
    stored_by_rest: int = 0
    thinned: int = 0
    named: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    def fail(self, what: str, about: object) -> None:
        """Note a difference that nothing explains."""
        self.failed[what] += 1
        if self.failed[what] <= _EXAMPLES:
            self.examples.append(f"{what}: {about}")


def account(evidence: FeedEvidence, from_us: int, until_us: int) -> Account:
    """Compare truth and storage for what was sent, or should have been, in [from_us, until_us)."""
    return _Comparison(evidence, from_us, until_us).run()


class _Comparison:
    def __init__(self, evidence: FeedEvidence, from_us: int, until_us: int) -> None:
        self._evidence = evidence
        self._from, self._until = from_us, until_us
        self._account = Account(evidence.feed)
        self._spans = spans_of(evidence.audit, until_us)
        self._streamed = [row for row in evidence.stored if row.transport == "ws"]
        self._receipts: defaultdict[str, list[int]] = defaultdict(list)
        for row in sorted(self._streamed, key=lambda each: each.received_at):
            self._receipts[row.contract_id].append(row.received_at)
        self._shown: defaultdict[str, list[int]] = defaultdict(list)
        """When each contract was received, of the stream or by REST."""
        for row in sorted(evidence.stored, key=lambda each: each.received_at):
            self._shown[row.contract_id].append(row.received_at)
        self._known = Counter(_key(row) for row in evidence.stored)
        self._pushes_changes = spec(evidence.feed).pushes_changes
        self._timeless = spec(evidence.feed).timeless
        self._thins = spec(evidence.feed).thinned
        self._owed = owed_of(evidence.delivered, evidence.missed) if self._thins else Owed()
        self._spare: list[Update] = []
        """Updates that are not owed, and if they are stored then at their receipt."""
        self._bad_units = [f for f in evidence.own_faults if f.kind == "bad-units"]
        self._damaged: set[Key] = set()
        """Updates that the simulator recorded as missed and that are stored all the same."""
        delists = any(fault.kind == "delist" for fault in evidence.own_faults)
        self._ends = {
            contract_id: at
            for contract_id, at in last_ticks(evidence).items()
            if delists and at < until_us - 2 * int(spec(evidence.feed).cadence_s * US_PER_S)
        }
        self._stale_us = int(spec(evidence.feed).stale_s * US_PER_S)
        self._relisted = relisted(evidence)

    def run(self) -> Account:
        """Account for everything, in an order in which each step may use up rows."""
        account = self._account
        for fault in self._evidence.own_faults:
            if fault.error:
                account.fail("asked of the simulator in vain", (fault.kind, fault.error))
        for key, count in self._known.items():
            if count > 1:
                account.fail("stored more than once", (key, count))
        by_receipt, lost = self._by_time()
        lost += self._by_moment(by_receipt)
        for update in lost:
            self._lost(update)
        self._damaged |= self._made_up()
        self._missed()
        account.stored_by_rest = sum(
            row.transport == "rest" and self._inside(row.received_at)
            for row in self._evidence.stored
        )
        return account

    def _inside(self, at: int) -> bool:
        return self._from <= at < self._until

    def _by_time(self) -> tuple[list[Update], list[Update]]:
        """Look each sent update up by its time; return those without one, and those not found."""
        by_receipt: list[Update] = []
        lost: list[Update] = []
        said: set[Key] = set()
        for update in self._evidence.delivered:
            if self._timeless or update.event_time > update.sent_at + SKEW_US - EARLY_US:
                is_owed = _key(update) not in self._owed.left_out
                (by_receipt if is_owed else self._spare).append(update)
                continue
            if not self._inside(update.sent_at):
                continue
            key = _key(update)
            if key in self._owed.left_out:
                self._account.thinned += 1
                if key in self._known:
                    self._account.named[OTHER_TERMS] += 1
                continue
            self._account.delivered += 1
            if key in said:
                self._account.named["the exchange said it twice, stored once"] += 1
                continue
            said.add(key)
            if key in self._known:
                self._account.stored_once += 1
            elif self._is_settling(update):
                self._account.named["ignored: the contract settles"] += 1
            else:
                lost.append(update)
        return by_receipt, lost

    def _by_moment(self, sent: list[Update]) -> list[Update]:
        """Match updates and rows that are stored at their receipt; return the lost ones."""
        rows = [row for row in self._streamed if row.source == "receipt"]
        unmatched, unused = match(sent, rows)
        _, unused = match(self._spare, unused)
        inside = [update for update in sent if self._inside(update.sent_at)]
        lost = [update for update in unmatched if self._inside(update.sent_at)]
        account = self._account
        account.delivered += len(inside)
        account.stored_once += len(inside) - len(lost)
        found = len(inside) - len(lost)
        if found and not self._timeless:
            account.named["ahead of its receipt, stored at its receipt"] += found
        for row in self._not_damaged(unused):
            if self._inside(row.received_at):
                account.fail("stored and never sent", row)
        return lost

    def _not_damaged(self, rows: list[Stored]) -> list[Stored]:
        """Return the rows that are not updates in percent, which the truth calls missed."""
        in_percent = {
            update._replace(rate=_rounded(update.rate * PERCENT)): update
            for update in self._evidence.missed
            if any(f.began_at <= update.sent_at <= f.ended_at for f in self._bad_units)
        }
        by_rounded = {row._replace(rate=_rounded(row.rate)): row for row in rows}
        absent, unused = match(list(in_percent), list(by_rounded))
        found = in_percent.keys() - set(absent)
        self._damaged |= {_key(in_percent[update]) for update in found}
        if found:
            self._account.named[TOO_LARGE] += len(found)
        return [by_rounded[row] for row in unused]

    def _lost(self, update: Update) -> None:
        """Account for what was written into a socket and is not stored."""
        at = update.sent_at
        if self._is_swapped(update):
            self._account.named[SWAPPED] += 1
            return
        recorded = self._span(update) is not None
        cut = any(_cuts(fault, at) for fault in self._evidence.own_faults)
        if recorded and cut:
            self._account.named["lost with a socket that ended, in a recorded gap"] += 1
        elif recorded:
            self._account.named["lost, in a recorded gap"] += 1
        elif cut and self._pushes_changes and self._is_replaced(update):
            self._account.named["lost with a socket that ended, followed in time"] += 1
        else:
            self._account.fail("sent and not stored", update)

    def _is_swapped(self, update: Update) -> bool:
        """Return whether a thinned feed has another update of the second because of `reorder`."""
        during = any(
            fault.kind == "reorder"
            and fault.began_at - US_PER_S <= update.sent_at <= fault.ended_at + US_PER_S
            for fault in self._evidence.own_faults
        )
        return (
            self._thins and during and bool(in_their_seconds([_key(update)]) & self._stored_seconds)
        )

    @cached_property
    def _stored_seconds(self) -> set[Key]:
        return in_their_seconds(self._known)

    def _made_up(self) -> set[Key]:
        """Account for rows that the truth does not have; return those that came damaged."""
        if self._timeless:
            return set()
        sent = {_key(update) for update in self._evidence.delivered}
        return self._damaged_rows(
            {_key(row): row for row in self._streamed if row.source == "exchange"
             and self._inside(row.received_at) and _key(row) not in sent}
        )  # fmt: skip

    def _damaged_rows(self, rows: dict[Key, Stored]) -> set[Key]:
        """Separate rows in wrong units, which the simulator recorded as missed, from rows never
        sent.
        """
        missed = {
            (u.contract_id, u.event_time): u for u in self._evidence.missed if u.why == "fault"
        }
        damaged: set[Key] = set()
        wrong = self._bad_units
        # A second socket tells the same update with a time of its own.
        by_rate = {(u.contract_id, _rounded(u.rate * PERCENT)): u for u in missed.values()}
        for row in rows.values():
            update = missed.get((row.contract_id, row.event_time))
            if update is None:
                update = by_rate.get((row.contract_id, _rounded(row.rate)))
            during = any(f.began_at <= row.received_at <= f.ended_at + FAR_US for f in wrong)
            if during and update is not None and _close(row.rate, update.rate * PERCENT):
                damaged.add(_key(update))
                self._account.named[TOO_LARGE] += 1
            elif during and row.rate == 0:
                # A hundred times nothing: the row is right in a frame that is wrong.
                self._account.named[ZERO] += 1
            elif during and any(f.parameters.get("field") == "time" for f in wrong):
                self._account.named["sent and stored with a time in another unit (bad-units)"] += 1
            else:
                self._account.fail("stored and never sent", row)
        return damaged

    def _missed(self) -> None:
        """Find the recorded gap of each update that no client got, and compare the counts."""
        account = self._account
        told: Counter[tuple[str, Span]] = Counter()
        for update in self._evidence.missed:
            if not self._inside(update.sent_at) or _key(update) in self._damaged:
                continue
            if _key(update) in self._owed.lost_not_owed:
                account.thinned += 1
                continue
            account.missed += 1
            span = self._span(update)
            if span is None:
                self._unrecorded(update)
                continue
            account.missed_in_gaps += 1
            if span.number is not None:
                told[update.contract_id, span] += 1
        for (contract_id, span), number in told.items():
            assert span.number is not None
            is_rough = self._timeless or self._thins
            tolerated = 1 + span.number * COUNT_TOLERANCE if is_rough else span.number
            if number > tolerated:
                account.fail("more missed than told", (contract_id, span, number))

    def _unrecorded(self, update: Update) -> None:
        """Explain an update that no client got and that lies in no recorded gap."""
        account, contract_id, at = self._account, update.contract_id, update.sent_at
        receipts = self._receipts.get(contract_id, [])
        begun = self._relisted.get(contract_id, 0)
        first = bisect_left(receipts, begun) if at >= begun else 0
        if at < (receipts[first] if first < len(receipts) else self._until):
            account.named["missed before the contract was known"] += 1
        elif _key(update) in self._known:
            account.named["missed by the stream, stored by REST"] += 1
        elif self._pushes_changes and self._is_replaced(update):
            account.named[REPLACED] += 1
        elif self._timeless and self._is_short(update):
            account.named[UNTOLD] += 1
        elif at > self._ends.get(contract_id, END) - self._stale_us:
            account.named["missed just before the contract was delisted"] += 1
        else:
            account.fail("missed and in no recorded gap", update)

    def _is_replaced(self, update: Update) -> bool:
        """Return whether the stream or REST brought the contract before its rate was stale."""
        shown = self._shown.get(update.contract_id, [])
        following = bisect_right(shown, update.sent_at)
        return following < len(shown) and shown[following] <= update.sent_at + self._stale_us

    def _is_short(self, update: Update) -> bool:
        """Return whether the neighbours of an update are as close as two pushes may be."""
        receipts = self._receipts.get(update.contract_id, [])
        index = bisect_right(receipts, update.sent_at)
        if not 0 < index < len(receipts):
            return False
        apart_us = receipts[index] - receipts[index - 1]
        return apart_us <= spec(self._evidence.feed).missed_after_s * US_PER_S

    def _span(self, update: Update) -> Span | None:
        """Return the recorded absence that an update lies in, a counted one if there is any."""
        at = update.sent_at if self._timeless else update.event_time
        if update.event_time > update.sent_at + SKEW_US - EARLY_US:
            at = update.sent_at
        slack = US_PER_S // 2 if self._timeless else 0
        return self._spans.find(update.contract_id, at, slack)

    def _is_settling(self, update: Update) -> bool:
        noise_us = int(spec(self._evidence.feed).settling_s * US_PER_S)
        return any(
            0 <= update.event_time - at < noise_us
            for at in self._evidence.settled.get(update.contract_id, ())
        )


def _key(row: Update | Stored) -> Key:
    return row.contract_id, row.event_time, row.rate


def last_ticks(evidence: FeedEvidence, before: Mapping[str, int] | None = None) -> dict[str, int]:
    """Return when each contract was pushed last, received or not; µs.

    `before`: of some contracts only what was pushed until then counts.
    """
    newest: dict[str, int] = {}
    until = before or {}
    for updates in (evidence.delivered, evidence.missed):
        for update in updates:
            if update.sent_at >= until.get(update.contract_id, END):
                continue
            if update.sent_at > newest.get(update.contract_id, 0):
                newest[update.contract_id] = update.sent_at
    return newest


def relisted(evidence: FeedEvidence) -> dict[str, int]:
    """Return when each ticker that is used again became another contract's, µs.

    Until its list says so nobody subscribes to it.
    """
    return {
        f"{evidence.feed}:{fault.parameters['symbol']}": fault.began_at
        for fault in evidence.own_faults
        if fault.kind == "relist" and not fault.error
    }


def _rounded(rate: float) -> float:
    return float(f"{rate:.9e}")


def _close(one: float, other: float) -> bool:
    return abs(one - other) <= 1e-9 * max(abs(one), abs(other), 1e-12)


def _cuts(fault: Fault, at: int) -> bool:
    ends = (fault.began_at, fault.ended_at)
    return fault.kind in CUTS and any(-CUT_US <= end - at <= CUT_US for end in ends)
