"""`export`: what happens to files that are there already."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.clickhouse.export import _remove
from schemas.errors import UnavailableError


def test_a_file_that_cannot_be_removed_is_named(tmp_path: Path) -> None:
    """Its rows are in two files then. What is gone already needs no removing."""
    _remove(tmp_path / "gone.parquet")
    path = tmp_path / "old.parquet"
    path.mkdir()
    with pytest.raises(UnavailableError, match=f"{path} cannot be removed"):
        _remove(path)
