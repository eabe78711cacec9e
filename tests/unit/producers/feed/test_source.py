"""A producer's data directory belongs to the real or to the simulated exchange."""

from __future__ import annotations

from pathlib import Path

import pytest

from producers.feed.source import require_source
from schemas.errors import ConfigurationError

SIMULATOR = "http://127.0.0.1:9443"


@pytest.mark.parametrize(("first", "other"), [("", SIMULATOR), (SIMULATOR, "")])
def test_a_directory_keeps_to_its_kind(tmp_path: Path, first: str, other: str) -> None:
    """Where a simulator listens may change; a feed of its own may be of the other kind."""
    data_dir = str(tmp_path)
    require_source(data_dir, "backpack", first)
    require_source(data_dir, "backpack", first and "http://simulator:9444")
    require_source(data_dir, "kucoin", other)
    with pytest.raises(ConfigurationError, match="FUNDING_PRODUCER_DATA_DIR"):
        require_source(data_dir, "backpack", other)
    require_source(data_dir, "backpack", first)


@pytest.mark.parametrize("damage", [b"", b"\xff\xfe", b"elsewhere"])
def test_a_damaged_note_is_no_note_of_ours(tmp_path: Path, damage: bytes) -> None:
    """A person decides what becomes of it."""
    (tmp_path / "kucoin.source").write_bytes(damage)
    with pytest.raises(ConfigurationError, match="kucoin"):
        require_source(str(tmp_path), "kucoin", "")
