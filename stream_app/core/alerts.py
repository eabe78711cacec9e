"""Alerts that the core raises: of a contract's z and sign, of a feed's health and mismatches. Pure.

An alert's id follows from its kind and the raw record alone, so a replay gives the same. Not
responsible for: when z is looked at (zones.py), what is a mismatch (reconcile.py), when a feed is
down (producers).
"""

from __future__ import annotations

from schemas.markers import FeedEvent
from schemas.rates import rate_8h
from schemas.records import Alert, Severity, ZScore
from schemas.times import hour_floor
from stream_app.core.blocks import Contract
from stream_app.core.letters import LETTERS_SHARE
from stream_app.core.reconcile import MISMATCH_SHARE
from stream_app.core.rows import Position

MAX_MESSAGE_CHARS = 300
CRITICAL_Z = 3.0
FEED_SEVERITIES: dict[str, Severity] = {
    "feed_down": "critical",
    "feed_recovered": "info",
    "contract_cap": "warning",
}
"""Kinds of feed events that are alerts too."""
CLEAR_SIGN_8H = 1e-5
"""A rate_8h this far from zero (0.1 bp) has a sign: a rate that hums around zero does not alert."""


def sign_of(scaled: float) -> int:
    """Return the sign of a rate_8h that is clearly not zero, else 0."""
    if scaled >= CLEAR_SIGN_8H:
        return 1
    return -1 if scaled <= -CLEAR_SIGN_8H else 0


def crossing_alert(record: ZScore, z: float, crossed: float) -> Alert:
    """Return the alert of a z that went over `crossed`, from the record that shows it."""
    outward = abs(z) > abs(crossed)
    severity: Severity = "info"
    if outward:
        severity = "critical" if abs(crossed) >= CRITICAL_Z else "warning"
    way = "beyond" if outward else "back inside"
    message = (
        f"{record['contract_id']}: z {z:+.2f} went {way} {crossed:+g}, "
        f"rate {record['rate'] * 100:+.4f} % per {record['interval_hours']:g} h "
        f"({record['apr'] * 100:+.1f} % a year)"
    )
    return {
        "alert_id": _alert_id(
            "z_cross",
            record["raw_topic"],
            record["raw_partition"],
            record["raw_offset"],
            record["raw_item"],
        ),
        "subject": record["contract_id"],
        "kind": "z_cross",
        "severity": severity,
        "value": z,
        "threshold": crossed,
        "message": message,
        "event_time": record["event_time"],
        "created_at": record["computed_at"],
        "raw_topic": record["raw_topic"],
        "raw_partition": record["raw_partition"],
        "raw_offset": record["raw_offset"],
        "raw_item": record["raw_item"],
    }


def flip_alert(contract: Contract, at: Position) -> Alert:
    """Return the alert of a contract whose current rate has the other sign than before."""
    payer = "longs pay shorts" if contract.sign > 0 else "shorts pay longs"
    return {
        "alert_id": _alert_id("sign_flip", at.topic, at.partition, at.offset, at.item),
        "subject": contract.contract_id,
        "kind": "sign_flip",
        "severity": "info",
        "value": rate_8h(contract.rate, contract.interval_hours),
        "threshold": 0.0,
        "message": (
            f"{contract.contract_id}: now {payer}, rate {contract.rate * 100:+.4f} % "
            f"per {contract.interval_hours:g} h"
        ),
        "event_time": contract.event_time,
        "created_at": at.now_us,
        "raw_topic": at.topic,
        "raw_partition": at.partition,
        "raw_offset": at.offset,
        "raw_item": at.item,
    }


def feed_alert(event: FeedEvent, severity: Severity, at: Position) -> Alert:
    """Return the alert of a feed event that is one."""
    what = event.kind.replace("_", " ")
    return {
        "alert_id": _alert_id(event.kind, at.topic, at.partition, at.offset, at.item),
        "subject": event.subject,
        "kind": event.kind,
        "severity": severity,
        "value": None,
        "threshold": None,
        "message": f"{event.subject}: {what}{': ' if event.detail else ''}{event.detail}"[
            :MAX_MESSAGE_CHARS
        ],
        "event_time": event.last_event_time,
        "created_at": at.now_us,
        "raw_topic": at.topic,
        "raw_partition": at.partition,
        "raw_offset": at.offset,
        "raw_item": at.item,
    }


def mismatch_alert(severity: Severity, mismatched: int, compared: int, at: Position) -> Alert:
    """Return the alert of a snapshot that many rates of a partition do not match.

    Its id is that of the feed, the partition and the hour. How bad the whole feed is follows from
    the counts of all partitions, in SQL.
    """
    message = (
        f"{at.feed}: {mismatched} of {compared} rates of partition {at.partition} are not "
        "what REST says"
    )
    return _hourly("mismatch", severity, mismatched / compared, MISMATCH_SHARE, message, at)


def dead_letters_alert(letters: int, items: int, newest: str, at: Position) -> Alert:
    """Return the alert of a partition whose items are dead letters for the most part.

    Its id is that of the feed, the partition and the hour. `newest`: why the last one is.
    """
    message = (
        f"{at.feed}: {letters} of {items} items of partition {at.partition} within a minute are "
        f"dead letters, the newest in {newest}"
    )
    return _hourly("dead_letters", "critical", letters / items, LETTERS_SHARE, message, at)


def contract_cap_alert(symbol: str, cap: int, at: Position) -> Alert:
    """Return the alert of a partition that has as many contracts as it may have.

    `symbol`: a listed contract that is one too many.
    """
    message = (
        f"{at.feed}: partition {at.partition} has {cap} contracts, which is the limit; {symbol} "
        "and others that are listed are left out"
    )
    return _hourly("contract_cap", "warning", float(cap), float(cap), message, at)


def _hourly(
    kind: str, severity: Severity, value: float, threshold: float, message: str, at: Position
) -> Alert:
    """Return the alert of a feed's partition that is raised once an hour."""
    return {
        "alert_id": f"{kind}/{at.feed}/{at.partition}/{hour_floor(at.batch_received_at)}",
        "subject": at.feed,
        "kind": kind,
        "severity": severity,
        "value": value,
        "threshold": threshold,
        "message": message[:MAX_MESSAGE_CHARS],
        "event_time": at.batch_received_at,
        "created_at": at.now_us,
        "raw_topic": at.topic,
        "raw_partition": at.partition,
        "raw_offset": at.offset,
        "raw_item": None,
    }


def _alert_id(kind: str, topic: str, partition: int, offset: int, item: int) -> str:
    return f"{kind}/{topic}/{partition}/{offset}/{item}"
