"""Which ClickHouse user `migrate` and `sql --write` connect as."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from infra.clickhouse.writer import as_writer
from infra.embedded.clickhouse.access import ensure_writer_credentials
from infra.embedded.storage import DataDirectory, is_held
from infra.runs import CLICKHOUSE_URL_FILE, RUN_DIRECTORIES
from schemas.errors import ConfigurationError
from stream_app.settings import SinkSettings

ELSEWHERE = "http://clickhouse.example:8123"


def test_a_named_run_s_writer_writes(tmp_path: Path) -> None:
    """Its secret is beside the server's data."""
    writer = ensure_writer_credentials(tmp_path / "clickhouse")
    found = as_writer(SinkSettings(), tmp_path)
    assert found.clickhouse_username == writer.user
    assert found.clickhouse_password.get_secret_value() == writer.password
    with pytest.raises(ConfigurationError, match=r"writer\.secret"):
        as_writer(SinkSettings(), tmp_path / "nothing")


def test_the_run_that_holds_a_default_directory_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as it runs, and not before or after."""
    monkeypatch.chdir(tmp_path)
    settings = SinkSettings()
    assert as_writer(settings, None) == settings
    for kind in ("demo", "live"):
        writer = ensure_writer_credentials(RUN_DIRECTORIES[kind] / "clickhouse")
        (RUN_DIRECTORIES[kind] / CLICKHOUSE_URL_FILE).write_text("http://127.0.0.1:8123")
        with DataDirectory(RUN_DIRECTORIES[kind], "the test", "--dir", min_free_bytes=0):
            assert is_held(RUN_DIRECTORIES[kind])
            found = as_writer(settings, None)
            assert found.clickhouse_password.get_secret_value() == writer.password
            another = SinkSettings(clickhouse_url="http://localhost:8124")
            assert as_writer(another, None) == another
        assert not is_held(RUN_DIRECTORIES[kind])
        assert as_writer(settings, None) == settings


def test_who_sets_a_user_is_taken_at_their_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside a run as well."""
    monkeypatch.chdir(tmp_path)
    ensure_writer_credentials(RUN_DIRECTORIES["demo"] / "clickhouse")
    (RUN_DIRECTORIES["demo"] / CLICKHOUSE_URL_FILE).write_text("http://127.0.0.1:8123")
    own = SinkSettings(clickhouse_username="desk", clickhouse_password=SecretStr("own"))
    with DataDirectory(RUN_DIRECTORIES["demo"], "the test", "--dir", min_free_bytes=0):
        assert as_writer(own, None) == own


def test_a_secret_goes_to_no_other_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether its run is named or found."""
    monkeypatch.chdir(tmp_path)
    directory = RUN_DIRECTORIES["demo"]
    ensure_writer_credentials(directory / "clickhouse")
    (directory / CLICKHOUSE_URL_FILE).write_text(ELSEWHERE)
    settings = SinkSettings(clickhouse_url=ELSEWHERE)
    with DataDirectory(directory, "the test", "--dir", min_free_bytes=0):
        assert as_writer(settings, None) == settings
        with pytest.raises(ConfigurationError, match="on this machine"):
            as_writer(settings, directory)
