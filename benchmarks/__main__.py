"""Runs a benchmark, prints its tables, and keeps its result for docs/benchmarks.md.

`python -m benchmarks NAME --help` tells what each one measures and which options it has.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import sys
import time
from collections.abc import Sequence
from contextlib import redirect_stdout
from importlib import import_module
from types import ModuleType
from typing import Any

from benchmarks import report, results
from benchmarks.running import progress
from benchmarks.tables import aims_table
from schemas.errors import FundingStreamError, UnavailableError

BENCHMARKS = report.BENCHMARKS
"""Of `make bench`, in this order: together they take about 50 minutes on two cores."""
COMMANDS = ("faults", "calls", "modes", "alerts", "intervals", "disturbances", "sink-faults")
"""With a command line and a verdict of their own."""
ALL, REPORT = "all", "report"


def main(arguments: Sequence[str]) -> int:
    """Run what the command line names; return the exit code."""
    name, rest = _split(arguments)
    if name in {"-h", "--help"}:
        print(_overview())
        return 0
    try:
        return _dispatch(name, rest)
    except FundingStreamError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return error.exit_code


def _split(arguments: Sequence[str]) -> tuple[str, Sequence[str]]:
    """Return the name and its options; without a name the options are those of all."""
    if not arguments:
        return ALL, ()
    first, *rest = arguments
    if first.startswith("-") and first not in {"-h", "--help"}:
        return ALL, arguments
    return first, rest


def _dispatch(name: str, rest: Sequence[str]) -> int:
    if name == ALL:
        return _all(rest)
    if name == REPORT:
        return report.main(rest)
    if name in BENCHMARKS:
        return _run(name, rest)
    if name in COMMANDS:
        return _command(name, rest)
    print(f"unknown benchmark {name}\n\n{_overview()}", file=sys.stderr)
    return 2


def _overview() -> str:
    lines = [
        "usage: python -m benchmarks [NAME] [options]",
        "",
        __doc__ or "",
        f"  {ALL:12} all of these, one after the other (default); options as theirs",
    ]
    lines += [f"  {name:12} {import_module(f'benchmarks.{name}').TITLE}" for name in BENCHMARKS]
    lines += ["", "with options and a verdict of their own:"]
    for name in COMMANDS:
        told = (_command_module(name).__doc__ or "").splitlines()[0]
        lines.append(f"  {name:12} {told.removeprefix(f'`python -m benchmarks {name}`: ')}")
    lines += ["", f"  {REPORT:12} {(report.__doc__ or '').splitlines()[0]}"]
    return "\n".join(lines)


def _all(rest: Sequence[str]) -> int:
    """Run every benchmark; return the worst exit code. One that fails does not end the others."""
    worst = 0
    for name in BENCHMARKS:
        progress(f"== {name}")
        try:
            code = _run(name, rest)
        except FundingStreamError as error:
            print(f"{name}: {error}", file=sys.stderr)
            code = error.exit_code
        worst = max(worst, code)
    return worst


def parser_of(name: str) -> argparse.ArgumentParser:
    """Return the command line of one benchmark."""
    module = import_module(f"benchmarks.{name}")
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks {name}",
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="a small part, to see that it runs")
    parser.add_argument("--json", action="store_true", help="figures as JSON instead of tables")
    parser.add_argument("--save", action="store_true", help="keep it in docs/benchmarks.json")
    module.add_options(parser)
    return parser


async def figures_of(name: str, given: argparse.Namespace) -> dict[str, Any]:
    """Run one benchmark, for no longer than it is bounded to.

    Raises:
        UnavailableError: it takes longer.
    """
    module = import_module(f"benchmarks.{name}")
    try:
        async with asyncio.timeout(module.BOUND_S):
            figures: dict[str, Any] = await module.measure(given)
            return figures
    except TimeoutError:
        raise UnavailableError(f"not done within {module.BOUND_S:g} s") from None


def _run(name: str, rest: Sequence[str]) -> int:
    """Run one benchmark, print it, and save it if that is asked for. 1: an aim is missed."""
    module = import_module(f"benchmarks.{name}")
    given = parser_of(name).parse_args(rest)
    machine, begun_s = results.machine(), time.monotonic()

    figures = asyncio.run(figures_of(name, given))
    progress(f"{name} took {time.monotonic() - begun_s:.0f} s")
    aims = module.aims(figures)
    if given.json:
        print(json.dumps(figures, indent=2))
    else:
        print(f"\n{module.text(figures)}\n")
        if aims:
            print(f"{aims_table(aims)}\n")
    if given.save:
        command = f"python -m benchmarks {' '.join([name, *rest])}".replace(" --save", "")
        results.save(name, results.Entry(_today(), command, machine, figures))
    return 0 if given.quick or all(aim.met for aim in aims) else 1


def _command(name: str, rest: Sequence[str]) -> int:
    """Run a command; with --save keep what it prints."""
    module = _command_module(name)
    if "--save" not in rest:
        code: int = module.main(rest)
        return code
    rest = [each for each in rest if each != "--save"]
    machine, printed = results.machine(), io.StringIO()
    with redirect_stdout(printed):
        code = module.main(rest)
    print(printed.getvalue())
    command = f"python -m benchmarks {' '.join([name, *rest])}"
    entry = results.Entry(_today(), command, machine, printed=printed.getvalue().strip())
    results.save(name, entry)
    return code


def _command_module(name: str) -> ModuleType:
    return import_module(f"benchmarks.{name.replace('-', '_')}")


def _today() -> str:
    return time.strftime("%Y-%m-%d", time.gmtime())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
