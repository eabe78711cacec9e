"""Fixtures that several test folders share, and what holds for all tests."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

from tests.support.stack_fixture import stack

__all__ = ["stack"]

# A developer's settings in a file `.env` reach no test and nothing that it starts.
os.environ["FUNDING_ENV_FILE"] = ""

# A busy machine is no error of the code: no test depends on how long an example takes.
_UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
# The same examples for everybody: who clones the repository sees what its authors saw. As they
# never change, more of them would only take longer; `make explore` tries others, and more.
settings.register_profile("repeatable", _UNHURRIED, derandomize=True, max_examples=50)
# Others each time, or by --hypothesis-seed: `make explore`.
settings.register_profile("exploring", _UNHURRIED)
settings.load_profile("repeatable")
