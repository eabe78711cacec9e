"""The file `.env`: settings below those of the environment, read by the console script."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from infra.cli.main import take_env_file
from infra.settings import known_variables, read_env_file
from infra.stack.parts import StackOptions
from schemas.errors import ConfigurationError
from tests.support.paths import ROOT

SECRET = "hunter2-hunter2"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The `.env` of an empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / ".env"


def test_the_environment_wins_over_the_file(here: Path) -> None:
    """An empty variable of the environment as well; other programs' variables stay out."""
    here.write_text(
        "# mine\nexport FUNDING_WEB_PORT=7001\nFUNDING_LOG_LEVEL='DEBUG'\n"
        f'FUNDING_KAFKA_SASL_PASSWORD="{SECRET}$HOME"\nFUNDING_WORKER_OUTPUT_PREFIX=x\nPATH=/evil\n'
    )
    environment = {
        "FUNDING_LOG_LEVEL": "INFO",
        "FUNDING_WORKER_OUTPUT_PREFIX": "",
        "PATH": "/bin",
        "HOME": "/root",
    }
    before = dict(environment)
    assert take_env_file(environment) == {"FUNDING_WEB_PORT", "FUNDING_KAFKA_SASL_PASSWORD"}
    assert environment == before | {
        "FUNDING_WEB_PORT": "7001",
        "FUNDING_KAFKA_SASL_PASSWORD": f"{SECRET}$HOME",
    }


def test_a_misspelt_setting_in_the_file_is_refused(here: Path) -> None:
    """As it is in the environment; no value is told."""
    here.write_text(f"FUNDING_KAFKA_BOOTSTARP={SECRET}\n")
    with pytest.raises(ConfigurationError, match=r"\.env: FUNDING_KAFKA_BOOTSTARP") as told:
        take_env_file({})
    assert SECRET not in str(told.value)


def test_an_unknown_variable_is_refused() -> None:
    """A typing error in a variable's name must not leave the default in force silently."""
    environment = {"FUNDING_KAFKA_BOOTSTARP": SECRET, "HOME": "/", "FUNDING_ENV_FILE": ""}
    with pytest.raises(
        ConfigurationError, match="the environment: FUNDING_KAFKA_BOOTSTARP"
    ) as told:
        take_env_file(environment)
    assert SECRET not in str(told.value)


def test_every_variable_of_every_part_is_known() -> None:
    """One environment serves all parts: the sink's settings do not disturb the worker."""
    environment = {name: "x" for name in known_variables() if not name.endswith("_FILE")}
    environment["FUNDING_ENV_FILE"] = ""
    assert take_env_file(environment) == frozenset()
    assert {"FUNDING_WEB_PORT", "FUNDING_CLICKHOUSE_URL", "FUNDING_EXCHANGE_BASE_URL"} < (
        known_variables()
    )


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (f"A=1\n\n\n{SECRET} {SECRET}=1\n".encode(), r"\.env, line 4: write NAME=VALUE"),
        (b"\n\nFUNDING_WEB_PORT\n", r"\.env, line 3: write NAME=VALUE"),
        (b"FUNDING_WEB_PORT=\xff\n", r"\.env cannot be read \(it is not UTF-8\)"),
        (b"FUNDING_WEB_PORT=a\0b\n", r"\.env is longer than \d+ bytes, or binary"),
        (b"#" * (1 << 20) + b"\n", r"\.env is longer than \d+ bytes, or binary"),
        (b"FUNDING_ENV_FILE=other\n", r"\.env: FUNDING_ENV_FILE belongs into the environment"),
    ],
)
def test_a_file_that_is_none_is_told_in_one_line(here: Path, content: bytes, told: str) -> None:
    """With the line, without its text."""
    here.write_bytes(content)
    with pytest.raises(ConfigurationError, match=told) as error:
        read_env_file({})
    assert SECRET not in str(error.value)


def test_no_file_is_no_error_unless_it_was_asked_for(here: Path, tmp_path: Path) -> None:
    """A directory `.env` is a virtual environment; FUNDING_ENV_FILE takes another file or none."""
    assert read_env_file({}) == {}
    here.mkdir()
    assert read_env_file({}) == {}
    (tmp_path / "other").write_text("FUNDING_WEB_PORT=1\n")
    assert read_env_file({"FUNDING_ENV_FILE": "other"}) == {"FUNDING_WEB_PORT": "1"}
    assert read_env_file({"FUNDING_ENV_FILE": ""}) == {}
    for missing in ("nowhere", ".env", "/sys/kernel", "\0"):
        with pytest.raises(ConfigurationError, match="cannot be read"):
            read_env_file({"FUNDING_ENV_FILE": missing})


def test_parts_of_up_read_no_file_of_their_own(tmp_path: Path) -> None:
    """They have what `up` has read, also when they are restarted after the file was changed."""
    assert StackOptions(data_dir=tmp_path).environment()["FUNDING_ENV_FILE"] == ""


def test_config_says_where_a_value_comes_from(tmp_path: Path) -> None:
    """From the file, the environment, or nowhere; secrets of the file stay hidden."""
    (tmp_path / ".env").write_text(f"FUNDING_WEB_PORT=7001\nFUNDING_REGISTRY_PASSWORD={SECRET}\n")
    clean = {name: value for name, value in os.environ.items() if not name.startswith("FUNDING_")}
    done = subprocess.run(
        [sys.executable, "-m", "infra.cli", "config", "--json"],
        env=clean | {"FUNDING_SINK_GROUP": "mine", "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert SECRET not in done.stdout + done.stderr
    rows = json.loads(done.stdout)
    shown = {name: (row["value"], row["source"]) for name, row in rows.items()}
    assert shown["FUNDING_WEB_PORT"] == (7001, ".env")
    assert shown["FUNDING_REGISTRY_PASSWORD"] == ("********", ".env")
    assert shown["FUNDING_SINK_GROUP"] == ("mine", "environment")
    assert shown["FUNDING_LOG_LEVEL"] == ("INFO", "")


def test_a_secret_may_stand_in_a_file_of_its_own(here: Path, tmp_path: Path) -> None:
    """As Docker and Kubernetes hand them out; a child process finds the secret alone."""
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    here.write_text("FUNDING_KAFKA_SASL_PASSWORD_FILE=secret\n")
    environment = {"FUNDING_CLICKHOUSE_PASSWORD_FILE": str(tmp_path / "secret")}
    take_env_file(environment)
    assert environment == {
        "FUNDING_KAFKA_SASL_PASSWORD": SECRET,
        "FUNDING_CLICKHOUSE_PASSWORD": SECRET,
    }


def test_the_urls_of_alerts_have_names_of_the_users_own(here: Path, tmp_path: Path) -> None:
    """Any variable that begins so is one; each may stand in a file."""
    (tmp_path / "secret").write_text(f"json://{SECRET}\n")
    here.write_text(f"FUNDING_ALERT_URL_DESK=json://{SECRET}\n")
    environment = {"FUNDING_ALERT_URL_ON_CALL_FILE": str(tmp_path / "secret")}
    take_env_file(environment)
    assert environment == {
        "FUNDING_ALERT_URL_DESK": f"json://{SECRET}",
        "FUNDING_ALERT_URL_ON_CALL": f"json://{SECRET}",
    }


@pytest.mark.parametrize(
    ("content", "set_beside", "told"),
    [
        (None, "", "secret cannot be read"),
        (b"\n", "", "secret is not one line with the value of FUNDING_CLICKHOUSE_PASSWORD"),
        (f"{SECRET}\n{SECRET}".encode(), "", "secret is not one line"),
        (SECRET.encode() * 1_000, "", "secret is longer than 4096 bytes"),
        (SECRET.encode(), SECRET, "FUNDING_CLICKHOUSE_PASSWORD_FILE are both set"),
    ],
)
def test_a_file_that_holds_no_secret_is_told(
    here: Path, tmp_path: Path, content: bytes | None, set_beside: str, told: str
) -> None:
    """In one line, which does not show what the file holds."""
    secret = tmp_path / "secret"
    if content is not None:
        secret.write_bytes(content)
    environment = {
        "FUNDING_CLICKHOUSE_PASSWORD_FILE": str(secret),
        "FUNDING_CLICKHOUSE_PASSWORD": set_beside,
    }
    with pytest.raises(ConfigurationError, match=told) as error:
        take_env_file(environment)
    assert SECRET not in str(error.value)
