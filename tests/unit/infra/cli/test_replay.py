"""The times that `replay` takes."""

from __future__ import annotations

import pytest

from infra.cli.replay import _time_us
from schemas.errors import ConfigurationError


@pytest.mark.parametrize(
    ("text", "time_us"),
    [
        ("2026-11-28T00:00:00", 1_795_824_000_000_000),
        ("2026-11-28T00:00:00+00:00", 1_795_824_000_000_000),
        ("2026-11-28T01:00:00.5+01:00", 1_795_824_000_500_000),
        ("2026-11-28", 1_795_824_000_000_000),
        (None, 7),
    ],
)
def test_a_time_is_utc_unless_it_names_a_zone(text: str | None, time_us: int) -> None:
    """Microseconds since the epoch; without a text it is the default."""
    assert _time_us(text, 7) == time_us


@pytest.mark.parametrize("text", ["", "yesterday", "28.11.2026"])
def test_what_is_no_time_is_refused(text: str) -> None:
    """In one sentence, before any server is asked."""
    with pytest.raises(ConfigurationError, match="not an ISO 8601 time"):
        _time_us(text, 0)
