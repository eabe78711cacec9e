"""Runs a target under atheris, from a corpus that is written into a temporary folder."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any


def run(module_name: str, target_name: str, seeds_name: str) -> None:
    """Fuzz a function of a module with the command line's libFuzzer flags, such as -runs=N.

    The module is imported here, so that atheris sees the branches of all that it imports.
    """
    # By name: it is no dependency of the project, only of whoever fuzzes.
    atheris: Any = import_module("atheris")
    with atheris.instrument_imports(include=["producers", "stream_app", "tests"]):
        module = import_module(module_name)
    target: Callable[[bytes], None] = getattr(module, target_name)
    seeds: Sequence[bytes] = getattr(module, seeds_name)()
    with tempfile.TemporaryDirectory(prefix="corpus") as corpus:
        for index, seed in enumerate(seeds):
            (Path(corpus) / str(index)).write_bytes(seed)
        dictionary = Path(corpus).with_suffix(".dict")
        dictionary.write_text(DICTIONARY, encoding="ascii")
        try:
            atheris.Setup([*sys.argv, f"-dict={dictionary}", corpus], target)
            atheris.Fuzz()
        finally:
            dictionary.unlink()


DICTIONARY = "\n".join(
    (
        *('"null"', '"true"', '"\\"\\""', '"1e999"', '"-0"', '"NaN"', '"[]"', '"{}"', '","'),
        *('"28800000"', '"60000"', '"1790000123456"', '"1790000123456789"', '"0.0"', '"6.1E-5"'),
    )
)
"""In libFuzzer's notation: values that a mutated byte seldom becomes."""
