"""Settings are given anything: what comes out is usable by every client, or an error of ours."""

from __future__ import annotations

import os
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka.admin import AdminClient
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.settings import PARTS, known_variables, shown_setting
from producers.policy.endpoints import Endpoints
from schemas.config.settings import ENV_PREFIX, SharedSettings, load_settings
from schemas.errors import ConfigurationError, UnavailableError
from schemas.serde.registry import SchemaCatalog
from stream_app.settings import SinkSettings
from stream_app.sink.clickhouse import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "hunter2hunter2"
_NO_NULL = st.characters(exclude_characters="\0", exclude_categories=["Cs"])
_PIECES = st.sampled_from(
    ["http://", "https://", "127.0.0.1", "[::1]", "h", ":", "1", "99999", "0", "/", "?", "#", "@",
     "password=", ",", " ", "%", "\\", "é", "-", "nan", "inf", "1e308", "SASL_SSL", "kafka:9092"]
)  # fmt: skip
_TEXTS = st.text(_NO_NULL, max_size=40) | st.lists(_PIECES, max_size=7).map("".join)
_SECRET_TEXTS = st.tuples(_TEXTS, _TEXTS).map(SECRET.join)


@contextmanager
def environment(**variables: str) -> Iterator[None]:
    """Only these settings, for the time of the block."""
    kept = {name: os.environ.pop(name) for name in known_variables() if name in os.environ}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            del os.environ[name]
        os.environ.update(kept)


def loaded(part: type[SharedSettings], **variables: str) -> SharedSettings | None:
    """The settings; None where they are refused, in one line and without the secret."""
    refused: ConfigurationError | None = None
    with environment(**variables):
        try:
            return load_settings(part)
        except ConfigurationError as error:
            refused = error
    assert SECRET not in "".join(traceback.format_exception(refused))
    assert "\n" not in str(refused)
    assert any(name in str(refused) for name in variables)
    return None


_FIELDS = [(part, name) for part in PARTS.values() for name in part.model_fields]


@given(st.sampled_from(_FIELDS), _TEXTS | _SECRET_TEXTS)
def test_any_text_is_a_setting_or_an_error_of_ours(
    field: tuple[type[SharedSettings], str], text: str
) -> None:
    """Every field of every part; no wrong value is repeated."""
    part, name = field
    found = loaded(part, **{f"{ENV_PREFIX}{name.upper()}": text})
    if found is not None and "password" in name:
        assert SECRET not in f"{found!r} {found.model_dump()} {found.model_dump_json()}"


@settings(max_examples=30)  # Each starts threads.
@given(_TEXTS)
def test_kafkas_client_takes_every_accepted_address(text: str) -> None:
    """It would end in an exception of its own."""
    found = loaded(SharedSettings, FUNDING_KAFKA_BOOTSTRAP=text)
    if found is not None:
        AdminClient(found.quiet_librdkafka())


@given(_TEXTS, _TEXTS, _TEXTS)
def test_the_registrys_client_takes_every_accepted_address(
    url: str, username: str, password: str
) -> None:
    """With whatever user and password."""
    found = loaded(
        SharedSettings,
        FUNDING_REGISTRY_URL=url,
        FUNDING_REGISTRY_USERNAME=username,
        FUNDING_REGISTRY_PASSWORD=password,
    )
    if found is not None:
        SchemaCatalog(found)


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:1", "http://127.0.0.1:1/", "https://127.0.0.1:1", "http://[::1]:1"],
)
def test_clickhouses_client_takes_every_kind_of_accepted_address(url: str) -> None:
    """Nobody is there: that is what is told."""
    with pytest.raises(UnavailableError, match="does not answer"):
        connect(load_settings(SinkSettings, clickhouse_url=url))


@given(_TEXTS)
def test_an_accepted_exchange_root_leads_somewhere(text: str) -> None:
    """REST and sockets below it."""
    found: Any = loaded(PARTS["producer"], FUNDING_EXCHANGE_BASE_URL=text)
    if found is not None:
        place = Endpoints("kucoin", found.exchange_base_url)
        assert place.rest("https://api.example").startswith("http")
        assert place.socket("wss://api.example/x").startswith("ws")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CLICKHOUSE_URL", f"http://h:8123/?password={SECRET}"),
        ("CLICKHOUSE_URL", f"http://u:{SECRET}@h:8123"),
        ("CLICKHOUSE_URL", f"http://h:1/{SECRET}@h:8123"),
        ("CLICKHOUSE_URL", "http://h:8123/db"),
        ("CLICKHOUSE_URL", "http://h:99999"),
        ("CLICKHOUSE_URL", "h:8123"),
        ("CLICKHOUSE_URL", ""),
        ("REGISTRY_URL", f"http://reader:{SECRET}@h:8081"),
        ("REGISTRY_URL", f"http://a:1,http://u:{SECRET}@b"),
        ("REGISTRY_URL", "http://a:1,,http://b"),
        ("REGISTRY_URL", "ftp://h"),
        ("REGISTRY_URL", "http://h\n"),
        ("REGISTRY_URL", "http://h:0"),
        ("REGISTRY_URL", "http://[::1"),
        ("EXCHANGE_BASE_URL", f"http://u:{SECRET}@h"),
        ("EXCHANGE_BASE_URL", "127.0.0.1:9443"),
        ("KAFKA_BOOTSTRAP", f"u:{SECRET}@h:9092"),
        ("KAFKA_BOOTSTRAP", "h"),
        ("KAFKA_BOOTSTRAP", "h:99999"),
        ("KAFKA_BOOTSTRAP", "h:9092, h2:9092"),
        ("KAFKA_BOOTSTRAP", "[::1:9092"),
        ("KAFKA_SECURITY_PROTOCOL", "SASL_SSL"),
        ("WEB_HOST", "a" * 70),
        ("WEB_HOST", "x y"),
        ("WORKER_ID", "with space"),
        ("WORKER_WATCHDOG_S", "inf"),
        ("CLICKHOUSE_TIMEOUT_S", "1e300"),
        ("WORKER_DATA_DIR", ""),
    ],
)  # fmt: skip
def test_what_a_client_would_stumble_over_is_refused(variable: str, value: str) -> None:
    """By the variable's name."""
    name = f"{ENV_PREFIX}{variable}"
    part = next(p for p in PARTS.values() if variable.lower() in p.model_fields)
    assert loaded(part, **{name: value}) is None


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CLICKHOUSE_URL", "https://ch.example:8443/"),
        ("REGISTRY_URL", "http://a:8081,https://b/registry"),
        ("REGISTRY_URL", "http://[::1]:8081"),
        ("KAFKA_BOOTSTRAP", "kafka-1:9092,10.0.0.1:9093,[::1]:9094"),
        ("EXCHANGE_BASE_URL", ""),
        ("WEB_HOST", "::"),
        ("WORKER_OUTPUT_PREFIX", ""),
    ],
)
def test_what_people_write_is_accepted(variable: str, value: str) -> None:
    """And shown by `config` as it is."""
    part = next(p for p in PARTS.values() if variable.lower() in p.model_fields)
    token = {f"{ENV_PREFIX}WEB_TOKEN": "0123456789abcdef"} if variable == "WEB_HOST" else {}
    found = loaded(part, **{f"{ENV_PREFIX}{variable}": value}, **token)
    shown = shown_setting(variable.lower(), getattr(found, variable.lower()))
    assert shown == value.rstrip("/")
