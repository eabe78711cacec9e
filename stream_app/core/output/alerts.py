"""Builds the alerts that the core raises: of a contract's z and sign, and of a feed. Pure.

An alert's id follows from its kind, its threshold and the raw record alone, so a replay gives the
same. Which excursions and signs of a contract are told is decided in scoring/zones.py; that a feed
is down is reported by its producer.
"""

from __future__ import annotations

from collections.abc import Mapping

from schemas.alert_kinds import AlertKind
from schemas.audit_kinds import AuditKind
from schemas.control_items import FeedEvent
from schemas.dead_letter_rate import LETTERS_SHARE, DeadLetterRate, Limit
from schemas.rates import apr, rate_8h
from schemas.records import Alert, Severity
from schemas.times import US_PER_HOUR, US_PER_MINUTE, hour_floor
from stream_app.core.scoring.zones import QUIET_US, Excursion
from stream_app.core.state.contract_state import ContractState
from stream_app.core.state.item_context import ItemContext

MAX_MESSAGE_CHARS = 300
CRITICAL_Z = 3.0
FEED_ALERTS: Mapping[AuditKind, AlertKind] = {
    AuditKind.FEED_DOWN: AlertKind.FEED_DOWN,
    AuditKind.FEED_RECOVERED: AlertKind.FEED_RECOVERED,
    AuditKind.CONTRACT_CAP: AlertKind.CONTRACT_CAP,
}
"""Kinds of feed events that are alerts, too; each of these alerts has one severity."""
MISMATCH_SHARE = 0.10
"""Share of the compared contracts: beyond it, the stream or our normaliser is wrong."""
CRITICAL_SHARE = 0.50
MIN_MISMATCHES, MANY_MISMATCHES = 2, 3
"""How many mismatches there must be. One concerns its contract and not the feed; so do two, unless
only two contracts were compared: the partition of a record may have few."""


def crossing_alert(
    contract: ContractState, z: float, excursion: Excursion, at: ItemContext
) -> Alert:
    """Return the alert of a z that has stayed beyond a threshold.

    `contract`: its current rate is the one that the item at hand brought.
    """
    threshold = excursion.threshold
    severity: Severity = "critical" if abs(threshold) >= CRITICAL_Z else "warning"
    lasted_min = (contract.event_time - excursion.since) // US_PER_MINUTE
    what = f"z {z:+.2f}, beyond {threshold:+g}{f' for {lasted_min} min' if lasted_min else ''}"
    yearly = apr(contract.rate, contract.interval_hours)
    message = (
        f"{contract.contract_id}: {what}, rate {contract.rate * 100:+.4f} % "
        f"per {contract.interval_hours:g} h ({yearly * 100:+.1f} % a year)"
    )
    return {
        "alert_id": f"{_alert_id(AlertKind.Z_CROSS, at)}/{threshold:+g}",
        "subject": contract.contract_id,
        "kind": AlertKind.Z_CROSS,
        "severity": severity,
        "value": z,
        "threshold": threshold,
        "message": message,
        "event_time": contract.event_time,
        "created_at": at.now_us,
        "raw_topic": at.topic,
        "raw_partition": at.partition,
        "raw_offset": at.offset,
        "raw_item": at.item,
    }


def flip_alert(contract: ContractState, at: ItemContext) -> Alert:
    """Return the alert of a contract whose rate has kept another sign than the last alert said."""
    payer = "longs pay shorts" if contract.sign > 0 else "shorts pay longs"
    return {
        "alert_id": _alert_id(AlertKind.SIGN_FLIP, at),
        "subject": contract.contract_id,
        "kind": AlertKind.SIGN_FLIP,
        "severity": "info",
        "value": rate_8h(contract.rate, contract.interval_hours),
        "threshold": 0.0,
        "message": (
            f"{contract.contract_id}: {payer} for {QUIET_US // US_PER_HOUR} h now, "
            f"rate {contract.rate * 100:+.4f} % per {contract.interval_hours:g} h"
        ),
        "event_time": contract.event_time,
        "created_at": at.now_us,
        "raw_topic": at.topic,
        "raw_partition": at.partition,
        "raw_offset": at.offset,
        "raw_item": at.item,
    }


def feed_alert(event: FeedEvent, kind: AlertKind, at: ItemContext) -> Alert:
    """Return the alert of a feed event that is one."""
    what = kind.replace("_", " ")
    return {
        "alert_id": _alert_id(kind, at),
        "subject": event.subject,
        "kind": kind,
        "severity": kind.severities[0],
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


def mismatch_severity(compared: int, mismatched: int) -> Severity | None:
    """Return the severity of one snapshot's mismatches; None: they raise no alert."""
    least = max(MIN_MISMATCHES, min(MANY_MISMATCHES, compared))
    if mismatched < least or mismatched <= MISMATCH_SHARE * compared:
        return None
    return "critical" if mismatched >= CRITICAL_SHARE * compared else "warning"


def mismatch_alert(severity: Severity, mismatched: int, compared: int, at: ItemContext) -> Alert:
    """Return the alert of a snapshot that many rates of a partition do not match.

    Its id is that of the feed, the partition and the hour. How bad the whole feed is follows from
    the counts of all partitions, in SQL.
    """
    message = (
        f"{at.feed}: {mismatched} of {compared} rates of partition {at.partition} are not "
        "what REST says"
    )
    return _hourly(AlertKind.MISMATCH, severity, mismatched / compared, MISMATCH_SHARE, message, at)


def dead_letters_alert(
    limit: Limit, counted: DeadLetterRate, newest: str, at: ItemContext
) -> Alert:
    """Return the alert of a partition whose dead letters are beyond a limit.

    Its id is that of the feed, the partition and the hour. `newest`: why the last one is.
    """
    letters, items, when = counted.letters, counted.items, "within a minute"
    if limit is Limit.IN_A_ROW:
        letters = items = counted.in_a_row
        when = "in a row"
    message = (
        f"{at.feed}: {letters} of {items} items of partition {at.partition} {when} are "
        f"dead letters, the newest in {newest}"
    )
    return _hourly(AlertKind.DEAD_LETTERS, "critical", letters / items, LETTERS_SHARE, message, at)


def contract_cap_alert(symbol: str, cap: int, at: ItemContext) -> Alert:
    """Return the alert of a partition that has as many contracts as it may have.

    `symbol`: a listed contract that is one too many.
    """
    message = (
        f"{at.feed}: partition {at.partition} has {cap} contracts, which is the limit; {symbol} "
        "and others that are listed are left out"
    )
    return _hourly(AlertKind.CONTRACT_CAP, "warning", float(cap), float(cap), message, at)


def _hourly(
    kind: AlertKind,
    severity: Severity,
    value: float,
    threshold: float,
    message: str,
    at: ItemContext,
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


def _alert_id(kind: AlertKind, at: ItemContext) -> str:
    return f"{kind}/{at.topic}/{at.partition}/{at.offset}/{at.item}"
