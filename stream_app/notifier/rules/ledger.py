"""Which alert is told to whom: what waits, what is collected, what was told already.

A message goes through records of `funding.notifications`, each of which is durable before the next
step. So what a killed process was doing can be read there:

- `collecting`: it will be a part of a digest.
- `waiting`: it was decided that it is sent; no attempt is under way. Nothing is in doubt.
- `sending`: an attempt may be under way. After a restart nobody knows whether the target has it.
  It is sent once more, and says so (`in_doubt`). Ended in that attempt as well, it is `unknown` and
  not sent again.
- `sent`, `failed`, `suppressed`, `digest`, `unknown`: done. It is not sent again.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Collection
from itertools import count

from schemas.records import Notification, NotificationOutcome, Severity
from schemas.times import US_PER_DAY
from stream_app.notifier.rules import messages
from stream_app.notifier.rules.firing import Firing
from stream_app.notifier.rules.model import SEVERITIES, Rule
from stream_app.notifier.rules.quiet_hours import quiet_until

Key = tuple[str, str]
"""Alert id and target."""
MAX_WAITING = 1_000
"""Messages that wait for one target, or for one digest. More have failed."""
MEMORY_US = 2 * US_PER_DAY
"""What is older than FUNDING_ALERT_MAX_AGE_S, a day at most, is told to nobody: nothing older need
be remembered."""
MAX_REMEMBERED = 200_000
OPEN: frozenset[NotificationOutcome] = frozenset({"collecting", "waiting", "sending"})


class Ledger:
    """The notifications of one group: those under way, and the keys of those that are done."""

    def __init__(
        self, group: str, targets: Collection[str], max_age_us: int, page_url: str
    ) -> None:
        """Start with an empty memory.

        Args:
            group: The notifier's consumer group.
            targets: Names of the targets that there are.
            max_age_us: What happened longer ago is told to nobody.
            page_url: Address of the page for links, or nothing.
        """
        self._group = group
        self._targets = frozenset(targets)
        self._max_age_us = max_age_us
        self._page_url = page_url
        self._open: dict[Key, Notification] = {}
        self._done: dict[Key, int] = {}
        """Event time of each notification that is done."""
        self._queues: dict[str, deque[Key]] = defaultdict(deque)
        self._collected: Counter[str] = Counter()
        self._changed: dict[Key, Notification] = {}
        self.counts: Counter[str] = Counter()
        """Alerts that nobody was told, by reason."""
        self.outcomes: Counter[tuple[str, str]] = Counter()
        """Notifications that are done, by target and outcome."""

    @property
    def remembered(self) -> int:
        """How many notifications that are done it knows."""
        return len(self._done)

    def waiting(self, target: str) -> int:
        """Return how many messages wait for a target, those being collected included."""
        return sum(key[1] == target for key in self._open)

    def restore(self, record: Notification) -> None:
        """Take the newest record of a key, in the order of the topic."""
        key = (record["alert_id"], record["target"])
        self._open.pop(key, None)
        self._done.pop(key, None)
        if record["outcome"] in OPEN:
            self._open[key] = record
        else:
            self._done[key] = record["event_time"]

    def settle(self, now_us: int) -> None:
        """Decide, after everything was restored, what becomes of what was under way."""
        self.forget(now_us)
        for key, record in sorted(self._open.items(), key=lambda item: item[1]["created_at"]):
            since = record["due_at"] or record["created_at"]
            if record["target"] not in self._targets:
                self._end(key, "failed", now_us, "the rules file has no such target any more")
            elif record["outcome"] == "sending" and record["in_doubt"]:
                self._end(key, "unknown", now_us, "the process ended twice while it was sent")
            elif now_us - since > self._max_age_us:
                self._end(key, "suppressed", now_us, "the notifier was away for too long")
            elif record["outcome"] == "collecting":
                self._collected[f"{record['digest_id']} {record['target']}"] += 1
            elif record["outcome"] == "waiting":
                self._queues[record["target"]].append(key)
            else:
                self._queues[record["target"]].append(key)
                self._change(key, now_us, outcome="waiting", in_doubt=True)

    def take(self, firing: Firing, now_us: int) -> None:
        """Decide for each target of its rule whether and when it is told."""
        if now_us - firing.event_time > self._max_age_us:
            self.counts["old"] += 1
            return
        for target in firing.rule.targets:
            key = (firing.alert_id, target)
            if key in self._open or key in self._done:
                self.counts["duplicate"] += 1
            else:
                self._admit(key, firing, now_us)

    def close_digests(self, now_us: int) -> None:
        """Make a message of each digest that is due."""
        due: dict[tuple[str, str], list[Key]] = defaultdict(list)
        for key, record in self._open.items():
            if record["outcome"] == "collecting" and (record["due_at"] or 0) <= now_us:
                due[record["digest_id"] or "", record["target"]].append(key)
        for (digest_id, target), keys in due.items():
            del self._collected[f"{digest_id} {target}"]
            if len(keys) == 1:
                self._change(keys[0], now_us, outcome="waiting", digest_id=None, due_at=None)
                self._queues[target].append(keys[0])
                continue
            self._close((digest_id, target), [self._open[key] for key in keys], now_us)
            for key in keys:
                self._end(key, "digest", now_us, "")

    def next(self, target: str) -> Key | None:
        """Return the message that a target is to get next; None: none waits."""
        queue = self._queues[target]
        return queue[0] if queue else None

    def begin(self, key: Key, now_us: int) -> Notification:
        """Note that an attempt begins; return the record, which must be durable before it does."""
        record = self._open[key]
        return self._change(key, now_us, outcome="sending", attempts=record["attempts"] + 1)

    def not_tried(self, key: Key, now_us: int) -> None:
        """Note that the attempt was not made after all."""
        attempts = self._open[key]["attempts"] - 1
        self._change(key, now_us, outcome="waiting", attempts=attempts)

    def sent(self, key: Key, now_us: int) -> Notification:
        """Note that the target has it; return its record."""
        record = self._open[key]
        self._queues[key[1]].popleft()
        record["sent_at"] = now_us
        self._end(key, "sent", now_us, "")
        return record

    def failed(self, key: Key, reason: str, attempts: int, now_us: int) -> bool:
        """Note that an attempt failed; return whether there is another one."""
        record = self._open[key]
        if record["attempts"] < attempts:
            self._change(key, now_us, outcome="waiting", detail=reason)
            return True
        self._queues[key[1]].popleft()
        self._end(key, "failed", now_us, reason)
        return False

    def forget(self, now_us: int) -> None:
        """Drop what is so old that it would not be told anyway."""
        old = [key for key, at in self._done.items() if now_us - at > MEMORY_US]
        for key in old:
            del self._done[key]
        while len(self._done) > MAX_REMEMBERED:
            del self._done[next(iter(self._done))]

    def take_changes(self) -> list[Notification]:
        """Return the records to be written since the last call."""
        changes = list(self._changed.values())
        self._changed.clear()
        return changes

    def _admit(self, key: Key, firing: Firing, now_us: int) -> None:
        rule, target = firing.rule, key[1]
        link = messages.page_link(self._page_url, firing.contract_id, firing.event_time)
        record: Notification = {
            "alert_id": firing.alert_id,
            "group": self._group,
            "rule": rule.name,
            "target": target,
            "subject": firing.subject,
            "kind": firing.kind,
            "severity": firing.severity,
            "value": firing.value,
            "title": firing.title[: messages.MAX_TITLE_CHARS],
            "message": f"{firing.message}\n{link}" if link else firing.message,
            "event_time": firing.event_time,
            "created_at": now_us,
            "updated_at": now_us,
            "due_at": None,
            "sent_at": None,
            "attempts": 0,
            "outcome": "waiting",
            "digest_id": None,
            "in_doubt": False,
            "detail": "",
        }
        self._open[key] = record
        due = self._due(rule, target, firing.severity, now_us)
        if due == 0:
            self.counts["quiet_hours"] += 1
            self._end(key, "suppressed", now_us, "quiet hours")
        elif due is not None:
            self._collect(key, due, now_us)
        elif len(self._queues[target]) >= MAX_WAITING:
            self._end(key, "failed", now_us, f"{MAX_WAITING} messages wait for this target")
        else:
            self._queues[target].append(key)
            self._change(key, now_us)

    def _due(self, rule: Rule, target: str, severity: Severity, now_us: int) -> int | None:
        """Return until when a message is collected; None: it is sent at once; 0: never."""
        quiet = quiet_until(rule.quiet, now_us)
        if quiet is not None:
            hours, end = quiet
            if not (severity == "critical" and hours.critical_passes):
                return end if hours.collect else 0
        if not rule.digest_us:
            return None
        running = (
            record["due_at"]
            for record in self._open.values()
            if record["outcome"] == "collecting"
            and (record["rule"], record["target"]) == (rule.name, target)
        )
        due = next((due for due in running if due and due > now_us), now_us + rule.digest_us)
        quiet = quiet_until(rule.quiet, due)
        # A digest that would end in quiet hours is told after them, where anything is.
        return quiet[1] if quiet is not None and quiet[0].collect else due

    def _collect(self, key: Key, due: int, now_us: int) -> None:
        record = self._open[key]
        digest_id = self._digest_id(record["rule"], key[1], due)
        if self._collected[f"{digest_id} {key[1]}"] >= MAX_WAITING:
            self._end(key, "failed", now_us, f"its digest has {MAX_WAITING} alerts already")
            return
        self._collected[f"{digest_id} {key[1]}"] += 1
        self._change(key, now_us, outcome="collecting", due_at=due, digest_id=digest_id)

    def _digest_id(self, rule: str, target: str, due: int) -> str:
        """Return the id of the digest of a rule that is due at a time and still collects.

        One that was due at the same time may be closed already, where the clock was set back. It
        keeps its id.
        """
        first = digest_id = f"digest/{rule}/{due}"
        numbers = count(2)
        while (digest_id, target) in self._open or (digest_id, target) in self._done:
            digest_id = f"{first}/{next(numbers)}"
        return digest_id

    def _close(self, key: Key, parts: list[Notification], now_us: int) -> None:
        first = parts[0]
        title, message = messages.digest_words(first["rule"], [part["title"] for part in parts])
        digest: Notification = {
            **first,
            "alert_id": key[0],
            "subject": "",
            "kind": "digest",
            "severity": max((part["severity"] for part in parts), key=SEVERITIES.index),
            "value": None,
            "title": title,
            "message": message,
            "event_time": max(part["event_time"] for part in parts),
            "created_at": now_us,
            "due_at": None,
            "outcome": "waiting",
            "digest_id": None,
        }
        self._open[key] = digest
        self._queues[key[1]].append(key)
        self._change(key, now_us)

    def _end(self, key: Key, outcome: NotificationOutcome, now_us: int, detail: str) -> None:
        self._change(key, now_us, outcome=outcome, detail=detail)
        record = self._open.pop(key)
        self._done[key] = record["event_time"]
        self.outcomes[key[1], outcome] += 1

    def _change(self, key: Key, now_us: int, **changes: object) -> Notification:
        record = self._open[key]
        record["updated_at"] = now_us
        record.update(changes)  # type: ignore[typeddict-item] # the fields are named by callers
        self._changed[key] = record
        return record
