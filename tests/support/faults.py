"""Faults and frames for the tests of fault control; no assertion about them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from infra.simulator.exchange import Frame
from infra.simulator.faults import kinds
from infra.simulator.faults.book import FaultBook, Running
from infra.simulator.faults.kinds import Fault
from infra.simulator.market.truth import TickLedger, head
from infra.simulator.registry import SIMULATED

WIRES = {feed: one.wire for feed, one in SIMULATED.items()}
FEEDS = tuple(SIMULATED)
USDM = WIRES["binance-usdm"]
NOW_MS = 1_790_000_000_000
symbols = st.text("ABCXYZ:_.", min_size=1, max_size=8)


def fault(kind: str, **arguments: Any) -> Fault:
    """A checked fault."""
    return kinds.parse(kind, arguments, WIRES)


def running(kind: str, **arguments: Any) -> Running:
    """A fault that runs."""
    return FaultBook().begin(fault(kind, **arguments), 0.0, 0)[0]


def frame_of(*names: str) -> Frame:
    """An array frame of some contracts, row numbers in their order."""
    rows = ",".join(f'{{"s":"{name}","E":{NOW_MS},"r":"0.00010000"}}' for name in names)
    ledger = TickLedger([head("f", n) for n in names], [1] * len(names), ["0.1"] * len(names))
    return Frame(f"[{rows}]".encode(), ledger=ledger, rows=range(len(names)))
