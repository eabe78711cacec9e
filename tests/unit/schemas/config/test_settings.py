"""Settings: an error names the variable and never shows its value."""

from __future__ import annotations

import socket
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.settings import PARTS, known_variables
from schemas.config.settings import SharedSettings, load_settings, shown_url, variable_names
from schemas.errors import ConfigurationError
from stream_app.settings import SinkSettings, WorkerSettings
from tests.support.tls_case import Authority

SECRET = "hunter2-hunter2"


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in known_variables():
        monkeypatch.delenv(name, raising=False)


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each field is the variable FUNDING_ and its name in capitals."""
    monkeypatch.setenv("FUNDING_KAFKA_BOOTSTRAP", "kafka-1:19092")
    monkeypatch.setenv("FUNDING_WEB_PORT", "6067")
    loaded = load_settings(WorkerSettings)
    assert (loaded.kafka_bootstrap, loaded.web_port) == ("kafka-1:19092", 6067)


def test_an_override_wins_and_none_is_no_override(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command-line flag that was not given leaves the variable in force."""
    monkeypatch.setenv("FUNDING_KAFKA_BOOTSTRAP", "from-the-environment:1")
    assert load_settings(SharedSettings, kafka_bootstrap="flag:2").kafka_bootstrap == "flag:2"
    loaded = load_settings(SharedSettings, kafka_bootstrap=None)
    assert loaded.kafka_bootstrap == "from-the-environment:1"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("FUNDING_KAFKA_SECURITY_PROTOCOL", "TLS-9f3a"),
        ("FUNDING_KAFKA_REPLICATION", "three-9f3a"),
        ("FUNDING_LOG_LEVEL", "LOUD-9f3a"),
        ("FUNDING_WEB_PORT", "653360009"),
        ("FUNDING_WORKER_WATCHDOG_S", "-9731.25"),
    ],
)
def test_a_wrong_value_is_named_by_its_variable_alone(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    """A value may be a secret that was put in the wrong place."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError) as caught:
        load_settings(WorkerSettings)
    assert variable in str(caught.value)
    assert value not in str(caught.value)
    assert caught.value.__cause__ is None


def test_all_wrong_values_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person corrects them in one go."""
    monkeypatch.setenv("FUNDING_LOG_LEVEL", "LOUD")
    monkeypatch.setenv("FUNDING_KAFKA_REPLICATION", "x")
    with pytest.raises(ConfigurationError, match=r"KAFKA_REPLICATION.*LOG_LEVEL"):
        load_settings(SharedSettings)


def test_hostname_stands_for_the_machines_name() -> None:
    """Each of several containers is then a member under its own id; empty stays no name."""
    machine = socket.gethostname()
    assert load_settings(WorkerSettings, worker_instance="hostname").worker_instance == machine
    assert load_settings(SinkSettings, sink_instance="hostname").sink_instance == machine
    assert load_settings(SinkSettings, sink_instance="").sink_instance == ""


def test_an_unknown_override_is_refused() -> None:
    """A misspelt keyword in our own code does not pass silently either."""
    with pytest.raises(ConfigurationError, match="FUNDING_KAFKA_BOOTSTRAPS"):
        load_settings(SharedSettings, kafka_bootstraps="a:1")


@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS.keys())
def test_secrets_are_in_no_representation(
    monkeypatch: pytest.MonkeyPatch, part: type[SharedSettings]
) -> None:
    """Neither repr, str nor a JSON dump of any part's settings shows a password."""
    secrets = [name for name in variable_names(part) if name.endswith("PASSWORD")]
    assert secrets
    for name in secrets:
        monkeypatch.setenv(name, SECRET)
    loaded = load_settings(part)
    shown = f"{loaded!r} {loaded!s} {loaded.model_dump()} {loaded.model_dump_json()}"
    assert SECRET not in shown


def test_a_secret_reaches_the_clients_that_need_it(tmp_path: Path) -> None:
    """Kafka's and the registry's client get the password itself, and the files of TLS."""
    authority = Authority(tmp_path)
    ours = authority.pair("ours", SECRET)
    loaded = load_settings(
        SinkSettings,
        kafka_security_protocol="SASL_SSL",
        kafka_sasl_username="worker",
        kafka_sasl_password=SECRET,
        kafka_ssl_ca_file=str(authority.ca_file),
        kafka_ssl_certificate_file=str(ours.certificate),
        kafka_ssl_key_file=str(ours.key),
        kafka_ssl_key_password=SECRET,
        registry_url="https://127.0.0.1:1",
        registry_username="reader",
        registry_password=SECRET,
        registry_ca_file=str(authority.ca_file),
    )
    kafka, registry = loaded.librdkafka(), loaded.schema_registry()
    assert (kafka["sasl.username"], kafka["sasl.password"]) == ("worker", SECRET)
    assert (kafka["security.protocol"], kafka["ssl.key.password"]) == ("SASL_SSL", SECRET)
    assert kafka["ssl.ca.location"] == registry["ssl.ca.location"] == str(authority.ca_file)
    assert kafka["ssl.certificate.location"] == str(ours.certificate)
    assert registry["basic.auth.user.info"] == f"reader:{SECRET}"
    assert "ssl.key.location" not in registry


def test_files_for_tls_are_left_alone_where_none_is_spoken() -> None:
    """One environment serves parts that are started against a plain server as well."""
    loaded = load_settings(
        SinkSettings,
        kafka_ssl_ca_file="/nowhere",
        registry_ca_file="/nowhere",
        clickhouse_ca_file="/nowhere",
    )
    assert not [name for name in loaded.librdkafka() if name.startswith("ssl")]
    assert not [name for name in loaded.schema_registry() if name.startswith("ssl")]


def test_without_sasl_no_credentials_are_handed_on() -> None:
    """A client refuses SASL settings that its protocol does not use."""
    assert not [name for name in load_settings(SharedSettings).librdkafka() if "sasl" in name]
    assert "basic.auth.user.info" not in load_settings(SharedSettings).schema_registry()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://127.0.0.1:8123", "http://127.0.0.1:8123"),
        ("http://h:8081/path", "http://h:8081/path"),
        (f"https://u:{SECRET}@h:8443/db", "https://***@h:8443/db"),
        (f"https://{SECRET}@h", "https://***@h"),
        (f"u:{SECRET}@h:1", "***@h:1"),
        (f"http://h:1/?password={SECRET}", "http://h:1/?***"),
        (f"wss://h/b?token={SECRET}", "wss://h/b?***"),
        (f"http://h:1/?password=a@{SECRET}", "http://***"),
        (f"http://u:p?{SECRET}@h:1", "http://***"),
        (f"http://u:p#{SECRET}@h:1", "http://***"),
        (f"http://u:p/{SECRET}@h:1/x", "http://***@h:1/x"),
        (f"http://u:p@{SECRET}@h:1/x", "http://***@h:1/x"),
        (f"http://u:{SECRET}@a:1,http://v:{SECRET}@b:2", "http://***@b:2"),
        (f"http://h/p#access_token={SECRET}", "http://h/p?***"),
        (f"u:{SECRET}://{SECRET}@h", "***@h"),
        ("wss://h:443/ws/!markPrice@arr@1s", "wss://h:443/ws/!markPrice@arr@1s"),
        ("wss://h/stream?streams=!markPrice@arr@1s", "wss://h/stream?***"),
        (f"wss://u:{SECRET}@h/ws/!markPrice@arr@1s", "wss://***@1s"),
        (f"wss://{SECRET}@h", "wss://***@h"),
        ("", ""),
    ],
)
def test_a_url_is_shown_without_its_secrets(url: str, shown: str) -> None:
    """Whether they are escaped as they should be or not."""
    assert shown_url(url) == shown


@given(st.text(min_size=1), st.text(min_size=1))
def test_no_password_in_a_url_is_shown(user: str, password: str) -> None:
    """Whatever stands in it."""
    marked = f"{password}{SECRET}{password}"
    assert SECRET not in shown_url(f"http://{user}:{marked}@host:8123/db")
    assert SECRET not in shown_url(f"http://{user}@host:8123/db?user=x&password={marked}")
    escaped = quote(marked, safe="")
    assert SECRET not in shown_url(f"wss://{quote(user, safe='')}:{escaped}@host/ws/a@b")
    assert SECRET not in shown_url(f"wss://host/ws/a@b?token={marked}")
