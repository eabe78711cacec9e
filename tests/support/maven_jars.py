"""Jars of Java clients that are not ours, brought by Maven once into the user's cache."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from infra.embedded.kafka.jars import default_jars_directory

_TIMEOUT_S = 240


def jars_of(pom: Path, name: str, needed: str) -> Path:
    """Return the directory, called `name` in the cache, with the dependencies that a pom names.

    `needed` is the pattern of a jar that must be there. Skips the test where Java or Maven is
    missing, or where Maven cannot bring them.
    """
    maven = shutil.which("mvn")
    if shutil.which("java") is None or maven is None:
        pytest.skip("needs Java and Maven")
    jars = default_jars_directory().with_name(name)
    if not any(jars.glob(needed)):
        done = subprocess.run(
            [
                *(maven, "-B", "-q", "-f", str(pom)),
                *("dependency:copy-dependencies", f"-DoutputDirectory={jars}"),
            ],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        if done.returncode != 0:
            shutil.rmtree(jars, ignore_errors=True)
            pytest.skip(f"Maven brought no {needed}: {done.stdout[:300]}")
    return jars
