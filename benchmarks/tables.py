"""Markdown tables, for people and for docs/benchmarks.md. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Aim(NamedTuple):
    """One thing that fundingstream aims at, and what a benchmark has measured of it."""

    what: str
    aim: str
    measured: str
    met: bool


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = [" | ".join(header), "|".join("---" for _ in header)]
    lines += [" | ".join(map(str, row)) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)


def aims_table(aims: Iterable[Aim]) -> str:
    """Return the aims with what was measured, and whether that is enough."""
    head = ("aim", "", "measured", "")
    rows = [(each.what, each.aim, each.measured, "met" if each.met else "**missed**")
            for each in aims]  # fmt: skip
    return table(head, rows)
