"""How large the three parts of a feed are, and how its captured messages were read."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

from benchmarks.results import ROOT
from schemas.feeds import FEEDS, spec

CAPTURED = "tests/contract/test_captured.py"
_FAMILIES = sorted({feed.partition("-")[0] for feed in FEEDS})


class Lines(NamedTuple):
    """Lines of source with something on them, of a feed's own modules and those of its family."""

    description: int
    normaliser: int
    simulator: int


def lines_of(feed: str) -> Lines:
    """Count the lines of a feed's three parts; of a feed of another package they are 0."""
    known = spec(feed)
    simulated = known.simulator or ""
    folder = _path_of(simulated).parent if simulated else ROOT
    own = folder != ROOT and folder.is_dir()
    return Lines(
        sum(map(_length, _with_family(known.description))),
        sum(map(_length, _with_family(known.normaliser))),
        sum(map(_length, _python_files(folder))) if own else 0,
    )


def _path_of(module: str) -> Path:
    return ROOT / f"{module.replace('.', '/')}.py"


def _python_files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def _length(path: Path) -> int:
    if not path.is_file():
        return 0
    return sum(bool(line.strip()) for line in path.read_text(encoding="utf-8").splitlines())


def _with_family(module: str) -> set[Path]:
    """Return the file of a module and of the modules beside it that only its venue uses."""
    package = module.rpartition(".")[0]
    found, waiting = set(), [module]
    while waiting:
        path = _path_of(waiting.pop())
        if path in found or not path.is_file():
            continue
        found.add(path)
        waiting += [name for name in _imported(path) if _is_venues(name, package)]
    return found


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _is_venues(module: str, package: str) -> bool:
    where, _, name = module.rpartition(".")
    return where == package and name.startswith(tuple(_FAMILIES))


class Captured(NamedTuple):
    """The captured messages of a feed: how many there are, and what became of them."""

    files: int
    read: int
    failed: int
    skipped: int


def captured() -> dict[str, Captured]:
    """Run the test of captured messages and return what it says, by feed."""
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory) / "report.xml"
        subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider",
             f"--junitxml={report}", CAPTURED],
            cwd=ROOT, check=False, capture_output=True,
        )  # fmt: skip
        return outcomes(report.read_text(encoding="utf-8")) if report.exists() else {}


def outcomes(report: str) -> dict[str, Captured]:
    """Return the results by feed, from a report in JUnit's format that pytest has written."""
    counts: dict[str, Counter[str]] = {}
    files: dict[str, set[str]] = {}
    feeds = "|".join(sorted(map(re.escape, FEEDS), key=len, reverse=True))
    named = re.compile(rf"\[({feeds})-(.+?\.jsonl?)-")
    for case in ET.fromstring(report).iter("testcase"):
        found = named.search(case.get("name", ""))
        if found is None:
            continue
        kinds = {child.tag for child in case}
        outcome = "skipped" if "skipped" in kinds else "failed" if kinds else "read"
        counts.setdefault(found[1], Counter())[outcome] += 1
        files.setdefault(found[1], set()).add(found[2])
    return {
        feed: Captured(len(files[feed]), each["read"], each["failed"], each["skipped"])
        for feed, each in counts.items()
    }
