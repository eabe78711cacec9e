"""Channels that are ours and no exchange's: how a producer tells the worker what it is doing.

Not responsible for: the exchanges' own channels (producers/exchanges).
"""

from __future__ import annotations

BACKFILL_BEGIN = "fundingstream.backfill-begin"
BACKFILL_END = "fundingstream.backfill-end"
"""An item names a contract and has an empty payload (purpose `history`). Between begin and end the
contract's baseline is partial, so the worker withholds its z: a z-score over a third of the
settlements would be a wrong number that looks right."""

UNREADABLE = "fundingstream.unreadable"
"""The one item, without a symbol, is a whole message that could not be cut into pieces; the worker
sends it to the dead letters."""
MAX_UNREADABLE_BYTES = 1 << 20
"""A longer message is kept up to here."""
