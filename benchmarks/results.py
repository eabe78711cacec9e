"""The file of results, docs/benchmarks.json, and the facts of the machine behind each result.

It names no host and no path. docs/benchmarks.md is made of it (report.py).
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import confluent_kafka
import msgspec
import psutil

from schemas.errors import ConfigurationError

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs" / "benchmarks.json"
PAGE = ROOT / "docs" / "benchmarks.md"
LIBRARIES = (
    "faust-streaming",
    "aiokafka",
    "confluent-kafka",
    "numpy",
    "msgspec",
    "fastavro",
    "chdb",
)
_KAFKA = re.compile(r"<kafka\.version>([\d.]+)</kafka\.version>")


class Entry(msgspec.Struct, omit_defaults=True):
    """The result of one benchmark."""

    measured_on: str
    """The day (UTC), as 2026-11-28."""
    command: str = ""
    machine: dict[str, Any] = {}
    figures: dict[str, Any] = {}
    """What the benchmark's own module makes tables of."""
    printed: str = ""
    """Markdown, of a benchmark that has no such module."""
    remarks: list[str] = []
    """What a reader has to know beside, a paragraph each. Kept when it is measured anew."""


Results = dict[str, Entry]


def machine() -> dict[str, Any]:
    """Return the facts of this machine that figures depend on."""
    pom = (ROOT / "infra" / "kafka" / "pom.xml").read_text(encoding="utf-8")
    kafka = _KAFKA.search(pom)
    return {
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "kafka": kafka[1] if kafka else None,
        "librdkafka": confluent_kafka.libversion()[0],
        "libraries": {name: version(name) for name in LIBRARIES},
        "load_before": round(os.getloadavg()[0], 1),
    }


def load(path: Path = RESULTS) -> Results:
    """Read the file; no results if it is not there.

    Raises:
        ConfigurationError: it is not what `save` writes.
    """
    if not path.exists():
        return {}
    try:
        return msgspec.json.decode(path.read_bytes(), type=Results)
    except msgspec.DecodeError as error:
        raise ConfigurationError(f"{path.name} cannot be read: {error}") from error


def save(name: str, entry: Entry, path: Path = RESULTS) -> None:
    """Put one benchmark's result into the file, in place of its last one; its remarks stay."""
    results = load(path)
    if name in results and not entry.remarks:
        entry.remarks = results[name].remarks
    results[name] = entry
    text = msgspec.json.format(msgspec.json.encode(_sorted(results)), indent=1)
    path.write_bytes(text + b"\n")


def _sorted(results: Mapping[str, Entry]) -> dict[str, Entry]:
    return {name: results[name] for name in sorted(results)}
