"""Fuzzes all normalisers: `python -m tests.fuzz.fuzz_normalise -runs=100000`, with atheris."""

from __future__ import annotations

from tests.fuzz.atheris_main import run

if __name__ == "__main__":
    run("tests.fuzz.targets", "normalise_input", "normalise_seeds")
