"""How producers talk to the made-up venue."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from producers.exchanges.json_slicing import Rows, decoder, first_byte, slices_of
from producers.exchanges.spec import (
    NO_KEYS,
    Control,
    Exchange,
    Frame,
    HistoryPage,
    HistoryWalk,
    Listing,
    RateLimit,
    RestCall,
    Slice,
    SocketKind,
)
from tests.support.made_up_venue.facts import FEED

_CALLS = "calls"


class _Row(msgspec.Struct):
    c: str
    state: str | None = None


_rows = Rows(_Row)
_row: Callable[[bytes], _Row] = decoder(_Row)


def _slices(body: bytes) -> list[Slice]:
    return slices_of(_rows(body), lambda row: row.c)


class _OnePage:
    """History is one reply for all contracts."""

    def __init__(self, since_ms: int, until_ms: int) -> None:
        params = {"from": str(since_ms), "to": str(until_ms)}
        self._call: RestCall | None = RestCall("settled", "/settled", params, {_CALLS: 1})

    def next_call(self) -> RestCall | None:
        """Return the one call, or None when its reply is there."""
        return self._call

    def take(self, body: bytes) -> HistoryPage:
        """Take the reply."""
        page = HistoryPage(_slices(body))
        self._call = None
        return page

    @property
    def progress(self) -> float:
        """All or nothing."""
        return float(self._call is None)


class MadeUp(Exchange):
    """The description."""

    feed = FEED.name
    rest_url = "https://made-up.invalid"
    silent_s = 5.0
    fallback_s = 5.0
    limits: Mapping[str, RateLimit] = {_CALLS: RateLimit(100, 1.0)}
    limits_group = FEED.name
    fact_calls = (RestCall("contracts", "/contracts", costs={_CALLS: 1}),)
    socket_kinds: Sequence[SocketKind] = (
        SocketKind("all", 10.0, 80_000.0, urls=("wss://made-up.invalid/all",)),
    )

    def snapshot_calls(self, symbols: Sequence[str]) -> Sequence[RestCall]:
        """One call brings all."""
        del symbols
        return (RestCall("current", "/current", costs={_CALLS: 1}),)

    def slice_frame(self, data: bytes) -> Frame:
        """Cut an array of rows; an object greets."""
        if first_byte(data) == ord("{"):
            return Frame("control", (), Control(greeting=True))
        return Frame("all", _slices(data))

    def slice_reply(self, call: RestCall, body: bytes) -> Sequence[Slice]:
        """So is every reply."""
        del call
        return _slices(body)

    def listings(self, call: RestCall, slices: Sequence[Slice]) -> Iterable[Listing] | None:
        """Contracts stream while they are live."""
        if call.resource != "contracts":
            return None
        rows = (_row(piece.payload) for piece in slices if piece.readable)
        return [Listing(row.c, FEED.status_of(row.state)) for row in rows]

    def history(
        self,
        symbols: Sequence[str],
        since_ms: int,
        until_ms: int,
        keys: Mapping[str, str] = NO_KEYS,
    ) -> HistoryWalk:
        """All contracts at once."""
        del symbols, keys
        return _OnePage(since_ms, until_ms)


EXCHANGE = MadeUp()
