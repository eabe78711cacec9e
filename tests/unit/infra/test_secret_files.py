"""Passwords in files that containers share."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.secret_files import ensure_secret
from schemas.errors import ConfigurationError

VARIABLE = "FUNDING_CLICKHOUSE_PASSWORD"


def test_a_random_password_is_made_once(tmp_path: Path) -> None:
    """And stays, so that the servers' data can still be read after a restart."""
    file = tmp_path / "clickhouse"
    assert ensure_secret(file, VARIABLE) == "a random password"
    first = file.read_text()
    assert len(first) >= 40
    assert file.stat().st_mode & 0o777 == 0o444
    assert ensure_secret(file, VARIABLE) == "kept"
    assert file.read_text() == first
    assert ensure_secret(tmp_path / "grafana", "") == "a random password"
    assert (tmp_path / "grafana").read_text() != first


def test_a_password_of_ones_own_replaces_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that was made before."""
    file = tmp_path / "clickhouse"
    ensure_secret(file, VARIABLE)
    monkeypatch.setenv(VARIABLE, "mine")
    assert ensure_secret(file, VARIABLE) == f"the value of {VARIABLE}"
    assert file.read_text() == "mine"


def test_a_directory_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """In one line."""
    with pytest.raises(ConfigurationError, match="cannot be written"):
        ensure_secret(tmp_path / "missing" / "clickhouse", "")
