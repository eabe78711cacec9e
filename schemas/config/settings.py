"""Settings that every part shares: how to reach Kafka and the registry, and how to log.

Values come from environment variables `FUNDING_…` (the console script puts those of a `.env` file
there first); secrets are SecretStr and never printed. Each part extends `SharedSettings` with its
own.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from schemas.config.setting_types import Bootstrap, RegistryUrls
from schemas.config.tls import TlsFiles
from schemas.errors import ConfigurationError

ENV_PREFIX = "FUNDING_"
_HIDDEN = "***"
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_PLACE = re.compile(r"[A-Za-z0-9._-]+(:[0-9]{1,5})?([/?#]|$)")
"""What follows the scheme of a URL that has no user: a host, a port, and what ends them."""


class SharedSettings(BaseSettings):
    """What producers, worker, sink and tools have in common."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_file=None,
        extra="forbid",
        allow_inf_nan=False,
        hide_input_in_errors=True,
    )

    kafka_bootstrap: Bootstrap = "127.0.0.1:9092"
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    kafka_sasl_username: str = ""
    kafka_sasl_password: SecretStr = SecretStr("")
    kafka_ssl_ca_file: str = ""
    kafka_ssl_certificate_file: str = ""
    """Our certificate, for brokers that ask their clients for one. It and its key are PEM files."""
    kafka_ssl_key_file: str = ""
    kafka_ssl_key_password: SecretStr = SecretStr("")
    kafka_replication: Annotated[int, Field(ge=1, le=32_767)] = 1
    registry_url: RegistryUrls = "http://127.0.0.1:8081"
    registry_username: Annotated[str, Field(pattern=r"^[^:]*$")] = ""
    """Without a colon, since basic authentication ends the user's name at the first one."""
    registry_password: SecretStr = SecretStr("")
    registry_ca_file: str = ""
    registry_certificate_file: str = ""
    registry_key_file: str = ""
    registry_key_password: SecretStr = SecretStr("")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    http_allowed_hosts: Annotated[str, Field(max_length=4_096, pattern=r"^[\w.\-, ]*$")] = ""
    """Host names, with commas between, by which clients may call the HTTP servers of any part.
    Addresses and localhost always work; a container's name, for example, has to be listed."""

    @property
    def allowed_hosts(self) -> frozenset[str]:
        """The names of `http_allowed_hosts`."""
        names = (name.strip().lower() for name in self.http_allowed_hosts.split(","))
        return frozenset(name for name in names if name)

    @model_validator(mode="after")
    def _sasl_has_credentials(self) -> Self:
        """Require user and password with SASL: Kafka's clients fail late and obscurely."""
        named = self.kafka_sasl_username and self.kafka_sasl_password.get_secret_value()
        if self.kafka_security_protocol.startswith("SASL") and not named:
            raise ValueError(
                f"{ENV_PREFIX}KAFKA_SECURITY_PROTOCOL {self.kafka_security_protocol} needs "
                f"{ENV_PREFIX}KAFKA_SASL_USERNAME and {ENV_PREFIX}KAFKA_SASL_PASSWORD"
            )
        return self

    def librdkafka(self) -> dict[str, Any]:
        """Return the connection part of a librdkafka configuration.

        Raises:
            ConfigurationError: a file for TLS cannot be used.
        """
        config: dict[str, Any] = {
            "bootstrap.servers": self.kafka_bootstrap,
            "security.protocol": self.kafka_security_protocol,
            "reconnect.backoff.ms": 100,
            "reconnect.backoff.max.ms": 2_000,
        }
        if self.kafka_security_protocol.startswith("SASL"):
            config["sasl.mechanism"] = self.kafka_sasl_mechanism
            config["sasl.username"] = self.kafka_sasl_username
            config["sasl.password"] = self.kafka_sasl_password.get_secret_value()
        if self.kafka_tls is not None:
            config |= self.kafka_tls.confluent()
        return config

    def quiet_librdkafka(self) -> dict[str, Any]:
        """Return the same without librdkafka's log, for callers that report failures themselves.

        librdkafka would write a line to stderr for each attempt to connect.
        """
        return {**self.librdkafka(), "log_level": 0}

    @property
    def kafka_tls(self) -> TlsFiles | None:
        """The files of TLS to Kafka; None where the protocol is one without TLS."""
        if not self.kafka_security_protocol.endswith("SSL"):
            return None
        return TlsFiles(
            f"{ENV_PREFIX}KAFKA_SSL",
            self.kafka_ssl_ca_file,
            self.kafka_ssl_certificate_file,
            self.kafka_ssl_key_file,
            self.kafka_ssl_key_password,
        )

    @property
    def registry_tls(self) -> TlsFiles:
        """The files of TLS to the registry; they are read if one of its URLs is https."""
        return TlsFiles(
            f"{ENV_PREFIX}REGISTRY",
            self.registry_ca_file,
            self.registry_certificate_file,
            self.registry_key_file,
            self.registry_key_password,
        )

    def schema_registry(self) -> dict[str, Any]:
        """Return the configuration of confluent-kafka's SchemaRegistryClient.

        Raises:
            ConfigurationError: a file for TLS cannot be used.
        """
        config: dict[str, Any] = {"url": self.registry_url, "timeout": 10}
        if self.registry_username:
            secret = self.registry_password.get_secret_value()
            config["basic.auth.user.info"] = f"{self.registry_username}:{secret}"
        if "https://" in self.registry_url.lower():
            config |= self.registry_tls.confluent()
        return config


S = TypeVar("S", bound=SharedSettings)


def load_settings(settings_type: type[S], **overrides: Any) -> S:
    """Read settings from the environment; `overrides` that are not None win.

    Raises:
        ConfigurationError: a value is wrong; the message names each variable, never its value.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return settings_type(**given)
    except ValidationError as error:
        problems = "; ".join(_problem(item) for item in error.errors(include_input=False))
        raise ConfigurationError(f"wrong settings: {problems}") from None


def _problem(item: ErrorDetails) -> str:
    """Return one of pydantic's findings, with the name of the variable instead of the field."""
    message = item["msg"].removeprefix("Value error, ")
    where = ".".join(map(str, item["loc"])).upper()
    return f"{ENV_PREFIX}{where}: {message}" if where else message


def variable_names(settings_type: type[SharedSettings]) -> set[str]:
    """Return the environment variables that a settings type reads."""
    return {f"{ENV_PREFIX}{name.upper()}" for name in settings_type.model_fields}


def shown_url(url: str) -> str:
    """Return a URL without user, password, query and fragment, any of which may be a secret.

    The text may be anything. Where it is no proper URL (a password with an unescaped `/`, `?` or
    `@`, several URLs with commas between), more is hidden than necessary rather than less.
    WebSocket URLs come from exchanges or from us, never from a person, so an `@` behind their host
    is a part of the path, as in `/ws/!markPrice@arr@1s`.
    """
    proper = _SCHEME.match(url)
    scheme = proper[0] if proper else ""
    rest = url[len(scheme) :]
    if scheme.lower() in {"ws://", "wss://"} and _PLACE.match(rest):
        before, at, place = "", "", rest
    else:
        before, at, place = rest.rpartition("@")
    if at and re.search(r"[?#]", before):
        return f"{scheme}{_HIDDEN}"  # The @ may be within a query.
    place, *hidden = re.split(r"[?#]", place, maxsplit=1)
    return f"{scheme}{_HIDDEN + at if at else ''}{place}{'?' + _HIDDEN if hidden else ''}"
