"""What the running faults make of one connection's data frames.

Frames are dropped, doubled, held back, damaged or rewritten, and the updates that are thereby not
delivered are named for the truth. Pure but for the seeded chance of the faults. Control answers are
left alone; delays and half-open sockets are the connection's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from infra.simulator.exchange import Frame
from infra.simulator.faults.book import Running
from infra.simulator.wire_fields import Wire

_QUOTE, _DAMAGED_QUOTE = 0x22, 0x23  # one quote less, and no JSON parser finds its way


class FrameFaults:
    """One connection's stage between ticks and queue. Holds at most one frame.

    Every frame that goes in comes out, is held, or its updates are blamed on a fault
    (`Frame.blame`).
    """

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._held: Frame | None = None
        self._let_go: Frame | None = None

    @property
    def idle(self) -> bool:
        """Whether frames may go past it while no fault runs."""
        return self._held is None

    def pass_on(self, frame: Frame, faults: Sequence[Running]) -> list[Frame]:
        """What is to be sent for a frame, in order; call `handed_over` when all of it is queued."""
        out: list[Frame] = self._struck(frame, faults)
        if not out:
            return out
        if self._held is not None:
            self._let_go, self._held = self._held, None
            return [*out, self._let_go]
        if any(fault.kind == "reorder" and fault.strikes() for fault in faults):
            self._held = out[0].taken()
            return out[1:]
        return out

    def handed_over(self) -> None:
        """Somebody else holds now what `pass_on` returned."""
        if self._let_go is not None:
            self._let_go.released()
            self._let_go = None

    def give_up(self) -> None:
        """The connection ends: what was held is lost."""
        if self._held is not None:
            self._held.blame()
            self._held.released()
            self._held = None

    def _struck(self, frame: Frame, faults: Sequence[Running]) -> list[Frame]:
        out: Frame | None = frame
        copies = 1
        for fault in faults:
            if out is None:
                break
            if fault.kind == "duplicate":
                copies += fault.strikes()
            else:
                out = self._applied(out, fault)
        return [] if out is None else [out] * copies

    def _applied(self, frame: Frame, fault: Running) -> Frame | None:
        kind = fault.kind
        if kind == "silence" and fault.is_partial():
            return self._without_hidden(frame, fault)
        if kind in {"silence", "half-open"} or (kind == "drop" and fault.strikes()):
            frame.blame()
            return None
        if kind == "corrupt" and fault.strikes():
            cut = fault.get("how") == "cut"
            return _mangled(frame, damaged(frame.payload, fault.chance.random(), cut=cut))
        return self._rewritten(frame, fault)

    def _rewritten(self, frame: Frame, fault: Running) -> Frame:
        payload = frame.payload
        if fault.kind == "bad-field":
            payload = self._wire.with_bad_field(payload, fault.get("field"), fault.get("symbol"))
            return replace(frame, payload=payload)
        if fault.kind == "null-fields":
            return replace(frame, payload=self._wire.with_nulls(payload))
        if fault.kind == "bad-units":
            unit = fault.get("unit")
            in_unit = (
                self._wire.in_percent(payload)
                if unit is None
                else (self._wire.in_unit(payload, unit))
            )
            return frame if in_unit == payload else _mangled(frame, in_unit)
        if fault.kind == "clock-skew":
            skew_us = round(fault.get("skew_s") * 1_000_000)
            shifted = self._wire.shifted(payload, skew_us)
            # A frame without a time is the same by any clock, and so is its truth.
            moved_us = 0 if shifted == payload else skew_us
            return replace(frame, payload=shifted, shift_us=frame.shift_us + moved_us)
        return frame

    def _without_hidden(self, frame: Frame, fault: Running) -> Frame | None:
        before, pieces, behind = self._wire.rows(frame.payload)
        shown = [not fault.hides(self._wire.symbol_of(piece)) for piece in pieces]
        if all(shown):
            return frame
        rows: Sequence[int] = ()
        if len(frame.rows) == len(pieces):
            hidden = [row for row, is_shown in zip(frame.rows, shown, strict=True) if not is_shown]
            frame.blame(hidden)
            rows = [row for row, is_shown in zip(frame.rows, shown, strict=True) if is_shown]
        kept = [piece for piece, is_shown in zip(pieces, shown, strict=True) if is_shown]
        if not kept:
            return None
        return replace(frame, payload=before + b",".join(kept) + behind, rows=rows)


def damaged(payload: bytes, chance: float, *, cut: bool) -> bytes:
    """The payload, damaged in its middle half: still UTF-8, no longer JSON.

    Args:
        payload: JSON without escaped quotes.
        chance: where, from 0 to below 1.
        cut: leave out the rest instead of changing one byte.
    """
    at = len(payload) // 4 + int(chance * (len(payload) // 2))
    if not cut:
        quote = payload.find(_QUOTE, at)
        quote = quote if quote >= 0 else payload.rfind(_QUOTE)
        if quote >= 0:
            return payload[:quote] + bytes([_DAMAGED_QUOTE]) + payload[quote + 1 :]
    # A text frame that ends within a character would close the connection instead.
    while at > 0 and payload[at] & 0xC0 == 0x80:
        at -= 1
    return payload[: max(at, 1)]


def _mangled(frame: Frame, payload: bytes) -> Frame:
    """A frame that goes out, and delivers nothing."""
    frame.blame()
    return replace(frame, payload=payload, ledger=None, rows=())
