"""Rules and records for tests of the notifier."""

from __future__ import annotations

from typing import Any, cast

from schemas.audit_facts import FactFields
from schemas.records import Alert, AuditEvent, FeedStatus, ZScore
from stream_app.notifier.rules.engine import Engine
from stream_app.notifier.rules.model import RuleFile
from stream_app.notifier.rules_file.reader import read_rules
from tests.support.notifier_stack import own_alert
from tests.support.sink_stack import zscore

FEEDS = ("binance-usdm", "kucoin")
START_US = 1_790_000_000_000_000
S = 1_000_000
_HEAD = "targets: {desk: FUNDING_ALERT_URL_DESK, spare: FUNDING_ALERT_URL_SPARE}\n"
_TAIL = "defaults: {targets: [desk]}\nrules:\n"


def rules_of(*rules: str) -> RuleFile:
    """Rules, each the inside of one flow mapping of YAML."""
    text = _HEAD + _TAIL + "".join(f"  - {{{rule}}}\n" for rule in rules)
    return read_rules(text, "rules.yaml", FEEDS, None)


def engine_of(*rules: str, fresh: tuple[str, ...] = ()) -> Engine:
    """An engine of such rules, which has looked before unless it is `fresh`."""
    return Engine(
        rules_of(*rules).rules, lambda _feed, symbol: symbol[:3], fresh=fresh, known_us=900 * S
    )


def score(at_s: float, z: float | None, **changes: Any) -> ZScore:
    """A z-score of a contract, so many seconds after START_US."""
    record = zscore(0, z=z, event_time=START_US + round(at_s * S), **changes)
    return cast("ZScore", record)


def leg(at_s: float, feed: str, rate: float, **changes: Any) -> ZScore:
    """A rate of BTC on a feed."""
    return score(at_s, 0.1, feed=feed, contract_id=f"{feed}:BTC", rate=rate, **changes)


def status(at_s: float, state: str, since_s: float, feed: str = "kucoin") -> FeedStatus:
    """A feed's status."""
    return cast(
        "FeedStatus",
        {
            "feed": feed,
            "state": state,
            "since": START_US + round(since_s * S),
            "reported_at": START_US + round(at_s * S),
            "detail": "no *frames*",
        },
    )


def audit(kind: str, subject: str, from_s: float, to_s: float, **facts: Any) -> AuditEvent:
    """An audit event."""
    empty = dict.fromkeys(FactFields.__annotations__)
    event = {
        "kind": kind, "subject": subject, "count": 1, "detail": "",
        "first_event_time": START_US + round(from_s * S),
        "last_event_time": START_US + round(to_s * S),
    }  # fmt: skip
    return cast("AuditEvent", {**empty, **event, **facts})


def alert(number: int, at_s: float, **changes: Any) -> Alert:
    """One of our own alerts."""
    at = START_US + round(at_s * S)
    return cast("Alert", own_alert(number, **{"event_time": at, "created_at": at, **changes}))
