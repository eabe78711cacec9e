"""Fuzzes all descriptions and the normalisers behind: `python -m tests.fuzz.fuzz_slice -runs=N`."""

from __future__ import annotations

from tests.fuzz.atheris_main import run

if __name__ == "__main__":
    run("tests.fuzz.slicing", "slice_input", "slice_seeds")
