"""Who may import whom (design.md §3), read from the syntax trees of the whole source.

The checker is tested on planted violations first: a rule that finds nothing anywhere is no rule.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.support.paths import ROOT

OURS = ("schemas", "producers", "stream_app", "infra")
FOREIGN_PARTS = {
    "schemas": ("producers", "stream_app", "infra"),
    "producers": ("stream_app", "infra"),
    "stream_app": ("producers", "infra"),
    "infra/simulator": ("producers", "stream_app"),
}
"""Folder → parts that no module in it may import."""

PURE_FOLDERS = ("producers/exchanges", "stream_app/normalise", "stream_app/core")
IMPURE_MODULES = (
    *("asyncio", "socket", "selectors", "ssl", "http", "urllib", "requests", "aiohttp"),
    *("websockets", "confluent_kafka", "aiokafka", "faust", "mode", "clickhouse_connect"),
    *("time", "random", "secrets", "uuid", "os", "sys", "io", "pathlib", "shutil", "tempfile"),
    *("subprocess", "threading", "multiprocessing", "concurrent", "queue", "signal", "logging"),
    *("pydantic_settings", "prometheus_client", "click", "rich"),
    *("schemas.kafka.admin", "schemas.serde.registry", "schemas.config.settings", "infra"),
    *(
        "stream_app.worker.processor",
        "stream_app.worker.output_producer",
        "stream_app.worker.app",
        "stream_app.settings",
    ),
    *("stream_app.sink", "stream_app.web", "stream_app.worker.service"),
    *(
        "producers.kafka.publisher",
        "producers.rest.client",
        "producers.websocket.connection",
        "producers.feed.feed",
    ),
    "producers.websocket.transport",
    *(
        "producers.rest.history",
        "producers.settings",
        "producers.feed.service",
        "producers.feed.metrics",
    ),
)
CLOCKS = frozenset({"now", "utcnow", "today"})
"""The clocks of datetime and date, under whatever name these were imported."""
OUR_CLOCK = frozenset({"schemas.times", "schemas.times.now_us", "schemas.times.*"})
"""The module as a whole would bring the clock along; its constants may be imported."""
IMPURE_CALLS = frozenset({"open", "input", "print", "breakpoint", "exec", "eval"})


def package_of(path: str) -> str:
    """The package in which a module's relative imports are resolved."""
    return path.removesuffix(".py").rpartition("/")[0].replace("/", ".")


def imports_of(tree: ast.AST, package: str) -> Iterator[str]:
    """Every name that a module imports, wherever the statement stands, in full."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - max(0, node.level - 1)]
            origin = ".".join([*parents, node.module or ""]) if node.level else node.module or ""
            yield from (f"{origin.rstrip('.')}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and called(node) in {"import_module", "__import__"}:
            yield from dynamic_import(node)


def called(node: ast.Call) -> str:
    """The last part of a called name: `f` of `f()` and of `a.f()`."""
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""


def dynamic_import(node: ast.Call) -> Iterator[str]:
    """What is known of a name that is put together at run time: its text up to the first part."""
    first = node.args[0] if node.args else None
    if isinstance(first, ast.JoinedStr) and first.values:
        first = first.values[0]
    text = first.value if isinstance(first, ast.Constant) else None
    yield text.rstrip(".") if isinstance(text, str) else "<unknown>"


def is_within(name: str, module: str) -> bool:
    """Whether an imported name is a module or something in it."""
    return name == module or name.startswith(f"{module}.")


def violations(path: str, source: str) -> list[str]:
    """What a module at `path` (relative, with slashes) does that it must not."""
    tree = ast.parse(source)
    found = [] if ast.get_docstring(tree) else ["has no docstring"]
    imported = list(imports_of(tree, package_of(path)))
    for folder, foreign in FOREIGN_PARTS.items():
        if path.startswith(f"{folder}/"):
            found += [f"imports {n}" for n in imported if any(is_within(n, f) for f in foreign)]
    if path.startswith(tuple(f"{folder}/" for folder in PURE_FOLDERS)):
        found += impurities(tree, imported)
    return found


def impurities(tree: ast.AST, imported: list[str]) -> list[str]:
    """I/O, clocks, chance and logging in a module that must be pure."""
    found = [f"imports {n}" for n in imported if any(is_within(n, m) for m in IMPURE_MODULES)]
    found += ["imports what cannot be known" for n in imported if n == "<unknown>"]
    found += [f"imports {n}" for n in imported if n in OUR_CLOCK]
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in CLOCKS:
            found.append(f"reads a clock: .{node.attr}")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id in IMPURE_CALLS:
                found.append(f"calls {node.func.id}")
        elif isinstance(node, ast.AsyncFunctionDef | ast.Await):
            found.append("is asynchronous")
    return found


def sources() -> list[str]:
    """All modules of ours, relative to the repository."""
    return sorted(
        path.relative_to(ROOT).as_posix() for part in OURS for path in (ROOT / part).rglob("*.py")
    )


@pytest.mark.parametrize("path", sources())
def test_a_module_keeps_the_rules(path: str) -> None:
    """It has a docstring, imports only what its place allows, and is pure where it must be."""
    assert violations(path, (ROOT / path).read_text(encoding="utf-8")) == []


def test_every_folder_with_a_rule_holds_modules() -> None:
    """A renamed folder must not slip out of its rule."""
    paths = sources()
    for folder in (*FOREIGN_PARTS, *PURE_FOLDERS):
        assert any(path.startswith(f"{folder}/") for path in paths), folder


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("schemas/x.py", "import stream_app"),
        ("schemas/x.py", "from infra.cli.settings_file import PARTS"),
        ("schemas/x.py", "def f() -> None:\n    from producers import feed"),
        ("producers/x.py", "from stream_app.core.scoring.zones import zone_of"),
        ("producers/x.py", "import stream_app.core.scoring.zones as zones"),
        ("producers/exchanges/x.py", "from ...stream_app import core"),
        ("stream_app/x.py", "import producers.exchanges"),
        ("stream_app/x.py", "from infra import tools"),
        ("stream_app/normalise/x.py", "m = import_module('producers.exchanges.kucoin')"),
        ("stream_app/normalise/x.py", "m = import_module(f'producers.exchanges.{name}')"),
        ("infra/simulator/x.py", "from stream_app.normalise import numbers"),
        ("infra/simulator/x.py", "import producers"),
    ],
)
def test_a_planted_import_is_found(path: str, line: str) -> None:
    """Whatever form the import has and wherever it stands."""
    assert violations(path, f'"""Doc."""\n{line}\n') != []


@pytest.mark.parametrize("folder", PURE_FOLDERS)
@pytest.mark.parametrize(
    "line",
    [
        *("import asyncio", "import socket", "import time", "import random", "import os"),
        *("import logging", "import aiohttp", "import confluent_kafka", "import faust"),
        *("import websockets.asyncio.client", "from os import path", "import uuid as u"),
        *("from time import time_ns", "from pathlib import Path", "from concurrent import futures"),
        "from schemas.times import now_us",
        "from schemas import times\nx = times.now_us()",
        "from schemas import times as t\nx = t.now_us()",
        "import schemas.times\nx = schemas.times.now_us()",
        "from schemas.times import *",
        "import datetime\nx = datetime.datetime.now()",
        "from datetime import datetime\nx = datetime.utcnow()",
        "from datetime import date\nx = date.today()",
        "x = open('state')",
        "print('debug')",
        "async def f() -> None: ...",
        "m = import_module(name)",
        "from schemas.serde.registry import SchemaCatalog",
    ],
)
def test_a_planted_impurity_is_found(folder: str, line: str) -> None:
    """I/O, a clock, chance or a log line in a module that must be pure."""
    assert violations(f"{folder}/x.py", f'"""Doc."""\n{line}\n') != []


@pytest.mark.parametrize("source", ["", "x = 1\n", "# a comment\nimport math\n", "x = 1\n'x'\n"])
def test_a_module_without_a_docstring_is_found(source: str) -> None:
    """Comments and strings further down are no docstring."""
    assert violations("infra/x.py", source) == ["has no docstring"]


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("stream_app/worker/app.py", "import time, logging, faust"),
        ("producers/feed/feed.py", "import asyncio\nfrom schemas.times import now_us"),
        ("stream_app/core/x.py", "from schemas.times import hour_floor"),
        ("stream_app/core/x.py", "from datetime import UTC, datetime\nx = datetime(2026, 1, 1)"),
        ("stream_app/normalise/x.py", "m = import_module(f'stream_app.normalise.{name}')"),
        ("infra/stack/up.py", "from producers.settings import ProducerSettings\nimport stream_app"),
    ],
)
def test_what_is_allowed_is_left_alone(path: str, line: str) -> None:
    """Shells do I/O, cores compute with times that they are given, infra knows all parts."""
    assert violations(path, f'"""Doc."""\n{line}\n') == []
