"""Writes docs/benchmarks.md from the results in docs/benchmarks.json."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from benchmarks.results import PAGE, Entry, Results, load
from benchmarks.tables import aims_table

BENCHMARKS = (
    "throughput",
    "latency",
    "stages",
    "scale",
    "demo",
    "large",
    "page",
    "views",
    "sink",
    "venues",
)
"""Each has TITLE, BOUND_S, add_options, measure, text and aims."""
PRINTED = {
    "disturbances": "Several workers, disturbed",
    "faults": "Faults of exchanges",
    "calls": "REST calls of a healthy hour",
    "modes": "Modes: poll, hybrid, stream",
    "alerts": "Alerts of a day",
    "intervals": "Intervals of settlements",
    "sink-faults": "Rows of the sink, whatever is killed",
}
"""Benchmarks that print Markdown themselves, with the titles of their sections."""
WIDTH = 110
INTRODUCTION = """# What it costs

`make bench` measures what stands first, in about 50 minutes on two cores that nothing else uses,
and with `ARGS=--save` keeps it in `docs/benchmarks.json`, of which `.venv/bin/python -m benchmarks
report` makes this page. The command of each result stands below its title. The figures come from
small shared machines and show proportions rather than limits: where programs are compared, they
ran on the same broker in the same run, in turns or side by side."""


def main(arguments: Sequence[str]) -> int:
    """Write the page, or check it; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks report", description=__doc__)
    parser.add_argument("--check", action="store_true", help="1: the page is not up to date")
    given = parser.parse_args(arguments)
    page = render(load())
    if given.check:
        return 0 if PAGE.exists() and PAGE.read_text(encoding="utf-8") == page else 1
    PAGE.write_text(page, encoding="utf-8")
    return 0


def render(results: Results) -> str:
    """Return the page."""
    parts = [INTRODUCTION]
    aims = [
        aim
        for name in BENCHMARKS
        if name in results
        for aim in import_module(f"benchmarks.{name}").aims(results[name].figures)
    ]
    if aims:
        parts += ["## Aims", aims_table(aims)]
    for name in BENCHMARKS:
        if name in results:
            parts += _measured(name, results[name])
    for name, title in PRINTED.items():
        if name in results:
            entry = results[name]
            parts += [f"## {title}", *_head(entry), *entry.remarks, entry.printed]
    blocks = (block for part in parts for block in part.split("\n\n"))
    return "\n\n".join(_wrapped(block) for block in blocks if block) + "\n"


def _wrapped(block: str) -> str:
    """Break the lines of a paragraph; tables, titles and lists stay as they are.

    What is aligned by spaces is shown as it was printed.
    """
    if block.lstrip().startswith(("|", "#", "- ", "```")):
        return block
    if "   " in block.strip():
        return f"```\n{block}\n```"
    text = " ".join(block.split())
    return textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)


def _measured(name: str, entry: Entry) -> list[str]:
    module: Any = import_module(f"benchmarks.{name}")
    return [
        f"## {module.TITLE}",
        *_head(entry),
        (module.__doc__ or "").strip(),
        module.text(entry.figures),
        *entry.remarks,
    ]


def _head(entry: Entry) -> list[str]:
    """Return the paragraph that says how, when and on what a result was measured."""
    told = f"`{entry.command}`, {entry.measured_on}" if entry.command else entry.measured_on
    return [f"{told}{_machine(entry.machine)}."]


def _machine(machine: Mapping[str, Any]) -> str:
    if not machine:
        return ""
    libraries = ", ".join(f"{name} {version}" for name, version in machine["libraries"].items())
    return (
        f": {machine['cores']} cores, {machine['memory_gb']} GB, {machine['system']}, Python "
        f"{machine['python']}, Apache Kafka {machine['kafka']}, librdkafka "
        f"{machine['librdkafka']}, {libraries}; load before {machine['load_before']}"
    )
