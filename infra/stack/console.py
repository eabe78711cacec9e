"""The text that `fundingstream up` prints: what runs, where it is, what to paste, a summary. Pure.

The summary is made from the page's /api/v1/summary and the worker's /readyz.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from infra.stack.parts import StackOptions
from schemas.feeds import FEEDS, spec
from schemas.text import printable

WARM_UP_S, CONTRACTS_A_SECOND = 30, 25
"""Roughly how the baselines of a simulated market load on two cores: they begin, and go on."""
_SLOW = ", ".join(
    f"of {feed} about {spec(feed).first_history_min}"
    for feed in FEEDS
    if spec(feed).first_history_min
)
LIVE_WARM_UP = (
    f"the settlements of 33 days are fetched within the exchanges' limits (minutes, {_SLOW} at the "
    "first start); each contract has its z when its own are there"
)
STOPPING = (
    "stopping: the input ends, the rest is processed and stored (up to a minute); "
    "Ctrl-C again stops at once"
)
STOPPING_AT_ONCE = "stopping at once: what is not stored yet stays in Kafka"
SQL_TO_PASTE = "SELECT contract_id, rate, apr, z, zone FROM latest ORDER BY abs(z) DESC LIMIT 5"
LIVE = "live"
"""The state of a feed whose stream brings what is expected of it (FeedStatus)."""
_TOP = 3
_MAX_NOTES = 6
_MAX_NOTE_CHARS = 160
_UNREADY = "waiting for data: "


def simulated_warm_up(contracts: int) -> str:
    """Return what is told of how long the first z-scores of a simulated market take."""
    seconds = WARM_UP_S + contracts // CONTRACTS_A_SECOND
    return f"baselines load for about {seconds} s; z appears contract by contract"


def market(options: StackOptions) -> str:
    """Return the first line: whether these rates are real."""
    feeds = ", ".join(options.feeds)
    if options.live:
        return f"LIVE market: the real rates, from the exchanges themselves ({feeds})"
    return (
        f"SIMULATED market, nothing in it is real: {options.contracts:,} contracts of {feeds}, "
        f"seed {options.seed}. --live takes the exchanges themselves"
    )


def welcome(
    options: StackOptions,
    took_s: float,
    log_path: Path,
    *,
    script: str,
    exports: Mapping[str, str],
    begins_anew: bool,
) -> str:
    """Return what is told once all parts run.

    Args:
        options: Of this run.
        took_s: How long the start took.
        log_path: Where the parts' output is.
        script: The console script, as a shell finds it.
        exports: Variables that the lines to paste need.
        begins_anew: Whether the next start without options removes this run's data.
    """
    command = shlex.quote(script)
    variables = " ".join(f"{name}={shlex.quote(value)}" for name, value in exports.items())
    paste = [f"export {variables}"] if exports else []
    paste += [f'{command} sql "{SQL_TO_PASTE}"', f"{command} tail zscores --count 5"]
    kept = "; the next start begins anew (--data-dir keeps the data)" if begins_anew else ""
    return "\n".join(
        [
            f"all parts are up in {took_s:.1f} s",
            f"  page      {options.web}/",
            f"  SQL       {options.clickhouse} (ClickHouse over HTTP)",
            f"  Kafka     {options.bootstrap}, schema registry {options.registry}",
            f"  log       {log_path}",
            f"next: {LIVE_WARM_UP if options.live else simulated_warm_up(options.contracts)}",
            "to paste into another terminal, in this directory:",
            *(f"  {line}" for line in paste),
            f"Ctrl-C stops it{kept}",
        ]
    )


def summary_lines(summary: Mapping[str, Any], updates_per_s: float) -> str:
    """Return a line of figures, and a line about the feeds that are not live, with reasons.

    Before any data has come there is only the second line.
    """
    notes = _notes(summary)
    unready = summary.get("ready") is False
    told = f"{_UNREADY if unready else 'not live: '}{_joined(notes)}" if notes else ""
    if unready and not notes:
        told = f"{_UNREADY}the feeds have not told anything yet"
    lines = []
    if summary.get("contracts") or not told:
        lines.append(_figures(summary, updates_per_s))
    if told:
        lines.append(f"  {told}")
    return "\n".join(lines)


def _figures(summary: Mapping[str, Any], updates_per_s: float) -> str:
    p99_s = summary.get("delay_p99_s")
    parts = [
        f"{updates_per_s:7,.0f} updates/s",
        f"{summary.get('contracts', 0):,} contracts",
        f"p99 {'–' if p99_s is None else f'{p99_s * 1_000:.0f} ms'}",
        f"lag {summary.get('records_behind') or 0:,}",
    ]
    baselines = summary.get("baselines") or {"loaded": 0, "expected": 0}
    loaded, expected = baselines["loaded"], baselines["expected"]
    if loaded < expected:
        parts.append(f"warming up, {loaded:,} of {expected:,} baselines")
    top = [f"{row['contract_id']} {row['z']:+.2f}" for row in summary.get("top", ())[:_TOP]]
    if top:
        parts.append(f"|z|: {'  '.join(top)}")
    return f"  {printable('  '.join(parts))}"


def _notes(summary: Mapping[str, Any]) -> list[str]:
    """Return why it is not ready, and the other feeds that are not live, each with its reason."""
    notes = [str(reason) for reason in summary.get("why") or ()]
    for feed in summary.get("feeds") or ():
        state = feed.get("state") or LIVE  # An older producer reports no state.
        if state != LIVE and not any(note.startswith(f"{feed['feed']}:") for note in notes):
            detail = f" ({feed['detail']})" if feed.get("detail") else ""
            notes.append(f"{feed['feed']}: {state}{detail}")
    return notes


def _joined(notes: Sequence[str]) -> str:
    shown = [_shortened(printable(note.replace("\n", " "))) for note in notes[:_MAX_NOTES]]
    more = f"; {len(notes) - _MAX_NOTES} more" if len(notes) > _MAX_NOTES else ""
    return "; ".join(shown) + more


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_NOTE_CHARS else f"{text[: _MAX_NOTE_CHARS - 1]}…"
