"""The report of a probe: lines for a terminal, or a document for scripts. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from infra.probe.observation import Observation
from infra.probe.payloads import Channel, Field
from schemas.text import one_line

_SHOWN_CONTRACTS = 5


def document_of(seen: Observation) -> dict[str, Any]:
    """Return the report for scripts."""
    return {
        "feed": seen.feed,
        "simulated": seen.simulated,
        "seconds": seen.seconds,
        "missing": seen.missing(),
        "problems": seen.problems,
        "listed": len(seen.listed),
        "unheard": sorted(seen.listed - seen.heard),
        "sockets": [asdict(socket) for socket in seen.sockets],
        "control": dict(seen.control),
        "streams": {name: _channel(channel) for name, channel in seen.streams.items()},
        "resources": {name: _channel(channel) for name, channel in seen.resources.items()},
        "calls": [asdict(call) for call in seen.calls],
        "limits": dict(seen.limits),
        "clock_ahead_s": seen.clock_ahead_s,
    }


def _channel(channel: Channel) -> dict[str, Any]:
    gaps, pace = channel.gaps(), channel.pace_s()
    return {
        "frames": channel.frames,
        "bytes": channel.bytes,
        "payloads": channel.payloads,
        "unreadable": channel.unreadable,
        "contracts": len(channel.contracts),
        "interval_p50_s": pace[0] if pace else None,
        "interval_max_s": pace[1] if pace else None,
        "documented": channel.documented is not None,
        "missing": gaps.missing if gaps else [],
        "unseen": gaps.unseen if gaps else [],
        "new": gaps.new if gaps else [],
        "fields": {
            path: {
                "seen": field.seen,
                "types": dict(field.types),
                "least": field.least if field.least <= field.most else None,
                "most": field.most if field.least <= field.most else None,
                "example": field.example,
            }
            for path, field in channel.fields.items()
        },
        "fields_left_out": channel.left_out,
    }


def lines_of(seen: Observation) -> Iterator[str]:
    """Yield the report as lines for a terminal: what is wrong comes last."""
    for line in _lines(seen):
        yield one_line(line, 400) if not line.startswith(" ") else "  " + one_line(line, 400)


def _lines(seen: Observation) -> Iterator[str]:
    kind = "SIMULATED" if seen.simulated else "the exchange itself"
    yield f"{seen.feed} ({kind}), {seen.seconds:g} s"
    yield "REST"
    for call in seen.calls:
        used = "".join(
            f", {count} of {seen.limits.get(pool, 0)} {pool} used"
            for pool, count in call.used.items()
        )
        yield f"  {call.path}: HTTP {call.status} in {call.took_ms:.0f} ms{used}"
    ahead = seen.clock_ahead_s
    yield f"  its clock {f'is {ahead:+.1f} s ahead' if ahead else 'agrees with ours to 1.5 s'}"
    for name, channel in seen.resources.items():
        yield from _channel_lines(f"Resource {name}", channel, None)
    yield "Sockets"
    for socket in seen.sockets:
        data = "no data" if socket.data_ms is None else f"first data after {socket.data_ms:.0f} ms"
        yield f"  {socket.name}: open after {socket.open_ms:.0f} ms, {data}"
    for name, count in sorted(seen.control.items()):
        yield f"  {count} frames without data: {name}"
    for name, channel in seen.streams.items():
        yield from _channel_lines(f"Stream {name}", channel, seen.seconds)
    unheard = sorted(seen.listed - seen.heard)
    shown = ", ".join(unheard[:_SHOWN_CONTRACTS]) + (
        ", …" if len(unheard) > _SHOWN_CONTRACTS else ""
    )
    yield f"Contracts: {len(seen.listed) - len(unheard)} heard of {len(seen.listed)} listed"
    if unheard:
        yield f"  not heard: {shown}"
    yield from _verdict(seen)


def _channel_lines(title: str, channel: Channel, seconds: float | None) -> Iterator[str]:
    rate = (
        ""
        if seconds is None
        else (f", {channel.frames / seconds:.1f} frames/s, {channel.bytes / seconds:.0f} bytes/s")
    )
    yield f"{title}: {channel.payloads} payloads of {len(channel.contracts)} contracts{rate}"
    pace = channel.pace_s()
    if pace is not None and seconds is not None:
        yield f"  a contract comes every {pace[0]:.2f} s (p50), {pace[1]:.2f} s (max)"
    if channel.unreadable:
        yield f"  {channel.unreadable} payloads cannot be read"
    gaps = channel.gaps()
    new = set(gaps.new) if gaps else set()
    for path, field in channel.fields.items():
        if field.is_container and path not in new:
            continue
        yield f"  {path}: {_told(field, channel.payloads, is_new=path in new)}"
    for path in gaps.missing if gaps else ():
        if path not in channel.fields:
            yield f"  {path}: MISSING, documented"
    for path in gaps.unseen if gaps else ():
        yield f"  {path}: not seen; documented as optional"
    if channel.left_out:
        yield f"  {channel.left_out} values of further fields"


def _told(field: Field, payloads: int, *, is_new: bool) -> str:
    types = " or ".join(sorted(field.types))
    if field.least <= field.most:
        what = f"{types}, {field.least:.16g} to {field.most:.16g}"
    else:
        what = f"{types}{f', such as {field.example}' if field.example else ''}"
    share = "" if field.seen == payloads else f", in {field.seen} of {payloads}"
    return f"{what}{share}{', NEW: not documented' if is_new else ''}"


def _verdict(seen: Observation) -> Iterator[str]:
    for problem in seen.problems:
        yield f"Problem: {problem}"
    if seen.is_unreachable:
        return
    waiting = {name: s for name, s in seen.silent_channels().items() if s >= seen.seconds}
    for name, every_s in waiting.items():
        yield f"Not heard of stream {name}: it comes every {every_s:g} s, take more --seconds"
    missing = seen.missing()
    for sentence in missing:
        yield f"MISSING: {sentence}"
    if not missing:
        yield f"All that is documented was seen{', as far as there was time' if waiting else ''}."
