"""The suites that run over every registered feed take one of another package as it is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.made_up_venue.registration import CHANGES, LINE, POLLED, registered
from tests.support.paths import ROOT

SUITES = ("tests/contract/test_exchange_suite.py", "tests/property/test_normalise.py")


def test_a_made_up_venue_passes_the_suites_of_all_venues(tmp_path: Path) -> None:
    """Registered with its line, nothing else is needed: its messages come from its own folder."""
    folder = registered(tmp_path, LINE, CHANGES, POLLED)
    path = os.pathsep.join((str(ROOT), str(folder)))
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "made-up", *SUITES],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout
    assert "passed" in run.stdout
