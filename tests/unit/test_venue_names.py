"""A venue is one place: its name stands in its own modules and on its line of registration."""

from __future__ import annotations

import re
from pathlib import Path

from schemas.feeds import FEEDS, spec
from tests.support.paths import ROOT

FOLDERS = ("producers", "stream_app", "schemas", "infra", "benchmarks")
REGISTRATION = "schemas/feeds.py"
NAMES = re.compile(
    rf"(?<![a-z])(?:{'|'.join(sorted({feed.partition('-')[0] for feed in FEEDS}))})(?!way|isk)",
    re.IGNORECASE,
)
"""An aggregate is no Gate, nor is a gateway; a master is no Aster."""

PAGE = re.compile(r"[\w/-]+\.md\b|\b(?:ASTER|DYDX)\b")
"""A page of the documentation, which may be a venue's, and assets that bear a venue's name."""


def own(path: str) -> bool:
    """Whether a file is a venue's: its facts, description and normaliser, or in its simulator."""
    folders = {f"infra/simulator/{_simulator(feed)}/" for feed in FEEDS}
    packages = ("schemas/venues/", "producers/exchanges/", "stream_app/normalise/")
    is_module = path.startswith(packages) and NAMES.match(path.rpartition("/")[2]) is not None
    return is_module or path.startswith(tuple(folders))


def _simulator(feed: str) -> str:
    """The folder's name in infra/simulator."""
    return (spec(feed).simulator or "").split(".")[2]


def test_no_venue_is_named_outside_its_own_modules() -> None:
    """Comments and docstrings included: what one venue does is told in its modules.

    A page of docs/exchanges may be cited anywhere. The examples in the published Avro schemas stay:
    their text is the schema's identity in the registry.
    """
    found = [
        f"{path}:{number}: {line.strip()}"
        for folder in FOLDERS
        for file in sorted((ROOT / folder).rglob("*"))
        if file.suffix in {".py", ".sql", ".html", ".js", ".json", ".yml", ".yaml", ".toml", ".md"}
        for path in (file.relative_to(ROOT).as_posix(),)
        if not own(path) and path != REGISTRATION
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
        if NAMES.search(PAGE.sub("", line))
    ]
    assert found == []


def test_the_registration_of_a_venue_is_one_line() -> None:
    """In a file that names it nowhere else."""
    lines = [
        line
        for line in Path(ROOT / REGISTRATION).read_text(encoding="utf-8").splitlines()
        if NAMES.search(line)
    ]
    assert len(lines) == len(FEEDS)
