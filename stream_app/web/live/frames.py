"""Makes the frames of `/live`: a snapshot of everything, and deltas of what has changed since.

A frame is JSON by columns, so that it compresses well and a browser reads it quickly; docs/page.md
describes it for other programs. Contracts are told by number, which holds for one life of the
server (`epoch`). Frames can be applied more than once: each names values, never differences.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from schemas.feeds import spec
from schemas.records import FeedStatus, Notification
from schemas.times import US_PER_MS
from stream_app.pairing import currency_of
from stream_app.web.fleet import Changes, Fleet, Published, newest_first

SCORE_DIGITS = 6
"""Decimals of z, robust z and percentile in a frame: two to four more than the page shows. All
digits are in the API."""
_LEVEL = 6
_RAW_DEFLATE = -15

_FACTS = (
    "interval_hours",
    "interval_source",
    "interval_doubtful",
    "samples",
    "confidence",
    "mean",
    "std",
    "stats_as_of",
    "next_funding_time",
    "transport",
)
"""What changes once an hour or less often, by the names of ZScore."""
_LIQUIDITY = ("turnover_24h", "open_interest")
"""What goes with these, by the names of Published: it changes every quarter of an hour."""
_SCORES = ("rate", "z", "robust_z", "percentile")
"""What a new rate changes."""

_MESSAGE = (
    "alert_id", "rule", "target", "subject", "kind", "severity", "value", "title", "message",
    "event_time", "created_at", "sent_at", "outcome", "attempts",
)  # fmt: skip
"""What a page tells of a message to a person, by the names of Notification."""


class FrameMaker:
    """Makes the frames of one life of the server."""

    def __init__(
        self, fleet: Fleet, status: Callable[[int], Mapping[str, Any]], epoch: str
    ) -> None:
        """Set what the frames are made of.

        Args:
            fleet: What the topics told. Its changes are taken by this object alone.
            status: Returns the state of the whole at a time (UTC µs).
            epoch: Names this life of the server: numbers of contracts and frames hold within it.
        """
        self._fleet = fleet
        self._status = status
        self._epoch = epoch
        self._sent_names: dict[int, tuple[Any, ...]] = {}
        self._sent_facts: dict[int, tuple[Any, ...]] = {}
        self._sent_scores: dict[int, tuple[Any, ...]] = {}
        self._sent_status: Mapping[str, Any] = {}
        self.sequence = 0
        """The number of the newest delta."""

    def delta(self, now_us: int) -> bytes:
        """Return what has changed since the delta before, compressed. Nothing: a heartbeat."""
        changes = self._fleet.take_changes()
        self.sequence += 1
        frame = {"type": "delta", "seq": self.sequence, "sent_at": now_us}
        frame |= self._changed_contracts(changes, now_us)
        if changes.feeds:
            known = self._fleet.feeds
            frame["feeds"] = [_feed(known[name]) for name in sorted(changes.feeds) if name in known]
            if gone := sorted(changes.feeds - known.keys()):
                frame["feeds_gone"] = gone
        if changes.workers:
            frame["workers"] = list(self._fleet.workers.values())
        if changes.alerts:
            frame["alerts"] = newest_first(changes.alerts)
        if changes.notifications:
            known_messages = self._fleet.notifications
            frame["notifications"] = _messages(
                known_messages[told] for told in changes.notifications
            )
        status = self._status(now_us)
        if status != self._sent_status:
            frame["status"] = self._sent_status = status
        return compressed(frame)

    def snapshot(self, now_us: int) -> bytes:
        """Return everything, compressed. The deltas after `sequence` follow it."""
        contracts = list(self._fleet.contracts.values())
        return compressed({
            "type": "snapshot",
            "epoch": self._epoch,
            "seq": self.sequence,
            "sent_at": now_us,
            "contracts": _identities(contracts),
            "facts": _facts(contracts),
            "values": _values(contracts, now_us),
            "feeds": [_feed(status) for _, status in sorted(self._fleet.feeds.items())],
            "alerts": self._fleet.alerts(),
            "notifications": _messages(self._fleet.notifications.values()),
            "workers": list(self._fleet.workers.values()),
            "status": self._status(now_us),
        })  # fmt: skip

    def _changed_contracts(self, changes: Changes, now_us: int) -> dict[str, Any]:
        """Return the sections of the contracts that have changed."""
        added, other_facts, scored, ticked = [], [], [], []
        for contract_id in changes.contracts:
            known = self._fleet.contracts[contract_id]
            number, zscore = known.number, known.zscore
            names = (known.quote, zscore["multiplier"])
            facts = (*(zscore[name] for name in _FACTS), *_liquidity(known))  # type: ignore[literal-required]
            scores = tuple(zscore[name] for name in _SCORES)  # type: ignore[literal-required]
            if self._sent_names.get(number) != names:
                self._sent_names[number] = names
                added.append(known)
            if self._sent_facts.get(number) != facts:
                self._sent_facts[number] = facts
                other_facts.append(known)
            if self._sent_scores.get(number) != scores:
                self._sent_scores[number] = scores
                scored.append(known)
            else:
                ticked.append(known)
        for number in changes.removed:
            self._sent_names.pop(number, None)
            self._sent_facts.pop(number, None)
            self._sent_scores.pop(number, None)
        sections = {
            "contracts": _identities(added) if added else None,
            "facts": _facts(other_facts) if other_facts else None,
            "values": _values(scored, now_us) if scored else None,
            "ticks": _ticks(ticked, now_us) if ticked else None,
            "removed": changes.removed or None,
        }
        return {name: section for name, section in sections.items() if section is not None}


def compressed(frame: Mapping[str, Any]) -> bytes:
    """Return a frame as it is sent: JSON in UTF-8, compressed without a header ("deflate-raw")."""
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _RAW_DEFLATE)
    return packer.compress(msgspec.json.encode(frame)) + packer.flush()


def _identities(contracts: Sequence[Published]) -> dict[str, list[Any]]:
    names = ("contract_id", "feed", "symbol", "base")
    return {
        "index": [known.number for known in contracts],
        **{name: _column(contracts, name) for name in names},
        "quote": [known.quote for known in contracts],
        "currency": [currency_of(known.quote) for known in contracts],
        "multiplier": _column(contracts, "multiplier"),
    }


def _facts(contracts: Sequence[Published]) -> dict[str, list[Any]]:
    facts = {name: _column(contracts, name) for name in _FACTS}
    facts["interval_doubtful"] = [int(doubtful) for doubtful in facts["interval_doubtful"]]
    for position, name in enumerate(_LIQUIDITY):
        facts[name] = [_liquidity(known)[position] for known in contracts]
    return {"index": [known.number for known in contracts], **facts}


def _liquidity(contract: Published) -> tuple[float | None, ...]:
    return contract.turnover_24h, contract.open_interest


def _values(contracts: Sequence[Published], now_us: int) -> dict[str, list[Any]]:
    ticks = _ticks(contracts, now_us)
    return {
        "index": ticks.pop("index"),
        "rate": _column(contracts, "rate"),
        **{name: _rounded(_column(contracts, name)) for name in _SCORES[1:]},
        **ticks,
    }


def _ticks(contracts: Sequence[Published], now_us: int) -> dict[str, list[Any]]:
    return {
        "index": [known.number for known in contracts],
        "mark_price": _column(contracts, "mark_price"),
        "event_age_ms": [_ms(now_us - known.zscore["event_time"]) for known in contracts],
        "published_age_ms": [_ms(now_us - known.published_at) for known in contracts],
    }


def _column(contracts: Iterable[Published], name: str) -> list[Any]:
    return [known.zscore[name] for known in contracts]  # type: ignore[literal-required]


def _rounded(column: Iterable[float | None]) -> list[float | None]:
    return [None if value is None else round(value, SCORE_DIGITS) for value in column]


def _ms(us: int) -> int:
    return (us + US_PER_MS // 2) // US_PER_MS


def _messages(notifications: Iterable[Notification]) -> list[dict[str, Any]]:
    """Return what a page tells of messages to people, newest first."""
    ordered = sorted(notifications, key=lambda each: each["created_at"], reverse=True)
    return [{name: each[name] for name in _MESSAGE} for each in ordered]  # type: ignore[literal-required]


def _feed(status: FeedStatus) -> dict[str, Any]:
    facts = spec(status["feed"])
    return {**status, "stale_s": facts.stale_s, "cadence_s": facts.cadence_s}
