"""Passwords in files that containers share."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from infra.cli.secrets import secrets
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
    file.chmod(0o600)
    assert ensure_secret(file, VARIABLE) == "kept"
    assert file.stat().st_mode & 0o777 == 0o444
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


@pytest.mark.parametrize("name", ["../outside", "a/b", "", "=VARIABLE"])
def test_a_name_with_a_directory_is_refused(tmp_path: Path, name: str) -> None:
    """Nothing is written outside the directory."""
    inside = tmp_path / "inside"
    inside.mkdir()
    result = CliRunner().invoke(secrets, [str(inside), name])
    assert result.exit_code == 2
    assert "is not the name of a file" in result.output
    assert list(tmp_path.rglob("*")) == [inside]


def test_a_directory_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """In one line."""
    with pytest.raises(ConfigurationError, match="cannot be written"):
        ensure_secret(tmp_path / "missing" / "clickhouse", "")
