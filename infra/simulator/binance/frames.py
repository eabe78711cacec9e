"""Texts of Binance mark-price rows: arrays, objects, premiumIndex.

A snapshot of the market becomes the exchange's bytes (docs/exchanges/binance-usdm.md §6, §9a,
binance-coinm.md §4), once per tick for all clients. Everything that is constant between two funding
times is baked into one byte template, so a tick costs one formatting pass.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import numpy as np

from infra.simulator.market.market import Ints, Snapshot
from infra.simulator.market.universe import UNITS_PER_ONE, Contract

EVENT = "@E@"
"""Stands for the event time in ms; no symbol contains it."""
_EVENT = EVENT.encode()
SWALLOWED = "%.0a"
"""Prints nothing of a value."""
INTEREST = "0.00010000"


def rate_texts(snapshot: Snapshot, contracts: Sequence[Contract]) -> list[str | None]:
    """Each contract's rate as printed, 8 decimals; None for dated contracts."""
    rates = (snapshot.rate_units / UNITS_PER_ONE).tolist()
    return [
        None if contract.kind == "dated" else f"{rate:.8f}"
        for contract, rate in zip(contracts, rates, strict=True)
    ]


RowTemplate = Callable[[Contract, int], bytes]
"""Makes the text of a contract's row until its next funding time (ms), with `EVENT` and places for
mark, average, estimated settle and index price and the rate, in this order."""


class StreamTexts:
    """The rows of the mark-price streams for a fixed list of contracts."""

    def __init__(
        self,
        template: RowTemplate,
        contracts: Sequence[Contract],
        shards: Sequence[Sequence[int]],
    ) -> None:
        self._template = template
        self._contracts = contracts
        self._shards = [list(shard) for shard in shards]
        self._next_funding_ms: Ints | None = None
        self._rows: list[bytes] = []
        self._arrays: list[bytes] = []

    def arrays(self, snapshot: Snapshot, event_ms: Sequence[int]) -> list[bytes]:
        """One JSON array per shard. `event_ms` holds one event time per shard."""
        self._refresh(snapshot)
        values = _values(snapshot)
        return [
            template.replace(_EVENT, str(at).encode()) % tuple(values[shard].ravel().tolist())
            for template, shard, at in zip(self._arrays, self._shards, event_ms, strict=True)
        ]

    def rows(self, snapshot: Snapshot, event_ms: Sequence[int]) -> Callable[[int], bytes]:
        """A function that gives one contract's object, with the same text as in its array."""
        self._refresh(snapshot)
        values = _values(snapshot).tolist()
        templates = self._rows

        def row_text(row: int) -> bytes:
            event = str(event_ms[row]).encode()
            return templates[row].replace(_EVENT, event) % tuple(values[row])

        return row_text

    def _refresh(self, snapshot: Snapshot) -> None:
        known = self._next_funding_ms
        if known is not None and np.array_equal(known, snapshot.next_funding_ms):
            return
        self._next_funding_ms = snapshot.next_funding_ms
        self._rows = [
            self._template(contract, next_ms)
            for contract, next_ms in zip(
                self._contracts, snapshot.next_funding_ms.tolist(), strict=True
            )
        ]
        self._arrays = [
            b"[" + b",".join([self._rows[row] for row in shard]) + b"]" for shard in self._shards
        ]


def premium_rows(
    contracts: Sequence[Contract],
    snapshot: Snapshot,
    event_ms: Sequence[int],
    *,
    pairs: bool = False,
    dead: Collection[int] = (),
    interest: Callable[[Contract], str] = lambda _contract: INTEREST,
) -> list[bytes]:
    """The premiumIndex objects of all contracts (docs/exchanges/binance-usdm.md §9a; with `pairs`:
    binance-coinm.md §6a). `dead` rows trade no more and show zeros (§8). `interest`: the text of
    `interestRate` of a contract that has a rate.
    """

    def pair_text(contract: Contract) -> str:
        return f'"pair":"{contract.asset.name}{contract.quote}",' if pairs else ""

    rates = rate_texts(snapshot, contracts)
    settle = snapshot.settle.tolist()
    for row in dead:
        rates[row], settle[row] = "0.00000000", 0.0
    columns = zip(
        contracts,
        snapshot.mark.tolist(),
        snapshot.index.tolist(),
        settle,
        rates,
        snapshot.next_funding_ms.tolist(),
        event_ms,
        strict=True,
    )
    return [
        (
            f'{{"symbol":"{contract.symbol}",'
            f"{pair_text(contract)}"
            f'"markPrice":"{mark:.8f}","indexPrice":"{index:.8f}",'
            f'"estimatedSettlePrice":"{settle:.8f}","lastFundingRate":"{rate or ""}",'
            f'"interestRate":"{"" if rate is None else interest(contract)}",'
            f'"nextFundingTime":{0 if rate is None else next_ms},"time":{at}}}'
        ).encode()
        for contract, mark, index, settle, rate, next_ms, at in columns
    ]


def wrapped(stream: str, data: bytes) -> bytes:
    """The combined form of a frame (docs/exchanges/binance-usdm.md §1)."""
    return b'{"stream":"' + stream.encode() + b'","data":' + data + b"}"


def _values(snapshot: Snapshot) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.column_stack((
        snapshot.mark,
        snapshot.average,
        snapshot.settle,
        snapshot.index,
        snapshot.rate_units / UNITS_PER_ONE,
    ))  # fmt: skip


def usdm_row(contract: Contract, next_funding_ms: int) -> bytes:
    """A row of USD-M; those of another feed in its arrays are COIN-M's."""
    return _marked_row(contract, next_funding_ms, 2 if contract.kind == "foreign" else 1)


def coinm_row(contract: Contract, next_funding_ms: int) -> bytes:
    """A row of COIN-M."""
    return _marked_row(contract, next_funding_ms, 2)


def _marked_row(contract: Contract, next_funding_ms: int, st: int) -> bytes:
    rate, next_ms = (SWALLOWED, 0) if contract.kind == "dated" else ("%.8f", next_funding_ms)
    return (
        f'{{"e":"markPriceUpdate","E":{EVENT},"s":"{contract.symbol}","p":"%.8f","ap":"%.8f",'
        f'"P":"%.8f","i":"%.8f","r":"{rate}","T":{next_ms},"st":{st}}}'
    ).encode()
