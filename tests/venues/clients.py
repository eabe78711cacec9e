"""Clients of every registered venue that is simulated, for the tests of faults.

Each venue's are in `CLIENTS` of its module beside this one, by name; a venue with two kinds of
public sockets has two. They are written from docs/exchanges, and not with our parsers.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

import aiohttp

from schemas.feeds import FEEDS
from tests.venues.samples import module_of

Connect = Callable[[aiohttp.ClientSession, str], Awaitable[str]]
"""Finds the WebSocket's address under the HTTP address of a simulated feed."""


class Row(NamedTuple):
    """What a frame tells of one contract."""

    symbol: str
    event: float | None
    """The event's time in the exchange's own unit; None where it names none."""
    rate: str
    """As it stands on the wire, of percent what it is as a fraction; empty where a row of changes
    does not name it.
    """
    fields: Mapping[str, Any]
    funding: int | None = None
    """The funding time of which the rate is, in ms."""


@dataclass(frozen=True)
class Client:
    """How to ask a venue for everything."""

    connect: Connect | None
    """None: the venue has no socket that brings rates."""
    subscriptions: Callable[[Sequence[str]], Sequence[str]]
    """The messages that ask for these contracts."""
    question: str
    """A message that the exchange answers at any time."""
    rows: Callable[[Any], Sequence[Row]]
    """The rows of contracts in a decoded frame."""
    current: str
    """The call for current rates; what follows a space is posted."""
    rate: str
    """The field of its reply that holds a rate."""
    history: Callable[[str, int, int], str]
    """The call for the settlements of a contract (its name, or its key where it has one) since a
    time, both in ms; the last is now."""
    settled: Callable[[Any], Sequence[tuple[int, float]]]
    """Funding time (ms) and rate of each row of its reply."""
    contracts: str
    """The call for the list of contracts."""
    listed: Callable[[Any], Sequence[tuple[str, Any]]]
    """Name and state of each entry of its reply."""
    takes: Callable[[str], bool] = bool
    """Which contracts its socket and its calls have; a venue may have them apart by family."""
    key: Callable[[Any, str], str] | None = None
    """Finds, in the list of contracts, what `history` calls a contract; None: its name."""
    funding_time: str = ""
    """The field of current rates that holds a funding time as a whole number; empty: none has."""
    bad_field: tuple[str, str] = ("", "")
    """A field of a row that the fault `bad-field` spoils, and what stands in it then."""
    bad_text: str = ""
    """How the spoilt field stands in the reply to `current` or `contracts`; empty: in neither."""
    listed_at_ms: Callable[[Any, str], int] | None = None
    """When the list of contracts says that a contract was listed; None: it does not say."""
    null_field: str = ""
    """A field of a row that may be null."""
    answers: frozenset[bytes] = frozenset()
    """Answers that are no JSON."""
    decode: Callable[[bytes], bytes] = bytes
    """Makes text of a frame."""
    same: Callable[[bytes], bytes] = bytes
    """Makes the same of one frame on two connections, where each numbers its own."""
    own: Mapping[str, Any] = field(default_factory=dict)
    """Options of the simulator with which the venue pushes each contract at every tick."""


def time_ms(text: str) -> int:
    """Return a UTC time in ISO format, without a zone, in ms."""
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1_000)


def lately(rows: Iterable[tuple[int, float]]) -> list[tuple[int, float]]:
    """Return the settlements of the last four days: of a page by number, all are on the first."""
    since_ms = time.time() * 1_000 - 96 * 3_600_000
    return [row for row in rows if row[0] > since_ms]


def at(path: str) -> Connect:
    """Connect to a path below the feed's address."""

    async def address(_http: aiohttp.ClientSession, url: str) -> str:
        return f"ws{url.removeprefix('http')}{path}"

    return address


def _of(feed: str) -> Mapping[str, Client]:
    found: Mapping[str, Client] = getattr(module_of(feed), "CLIENTS", {})
    return found


def by_name() -> Mapping[str, tuple[str, Client]]:
    """Feed and client of each venue's clients, by the client's name."""
    return {name: (feed, client) for feed in FEEDS for name, client in _of(feed).items()}
