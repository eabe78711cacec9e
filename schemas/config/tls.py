"""The files of a TLS connection: the authorities that we trust, our certificate and its key.

All are read at the start, so that the error about a wrong one names its variable and the file.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import NamedTuple

from pydantic import SecretStr

from schemas.errors import ConfigurationError

_UNTRUSTED = ("certificate verify failed", "certificate_verify_failed")
_UNKNOWN_US = (
    *("certificate required", "certificate_required", "bad certificate", "unknown ca"),
    # What is left of the alert where the server ends the connection behind it.
    "eof occurred in violation of protocol",
)


class TlsFiles(NamedTuple):
    """PEM files of one connection; an empty name means that there is none.

    Without a CA file the system's authorities are trusted.
    """

    prefix: str
    """How the names of its variables begin: `FUNDING_REGISTRY` for `FUNDING_REGISTRY_CA_FILE`."""
    ca_file: str = ""
    certificate_file: str = ""
    key_file: str = ""
    key_password: SecretStr = SecretStr("")

    def check(self) -> None:
        """Read all files.

        Raises:
            ConfigurationError: names the variable and the file that cannot be used, and why.
        """
        self._load(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))

    def context(self) -> ssl.SSLContext:
        """Return a client's context that verifies the server. Raises ConfigurationError."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if not self.ca_file:
            context.load_default_certs()
        self._load(context)
        return context

    def confluent(self) -> dict[str, str]:
        """Return the settings of Confluent's clients, of Kafka and of the registry alike.

        Raises:
            ConfigurationError: as `check` does.
        """
        self.check()
        config = {"ssl.ca.location": self.ca_file}
        if self.certificate_file:
            config["ssl.certificate.location"] = self.certificate_file
            config["ssl.key.location"] = self.key_file
            config["ssl.key.password"] = self.key_password.get_secret_value()
        return {name: value for name, value in config.items() if value}

    def advice(self, error: object) -> str:
        """Return what to set after a connection failed with this text; empty: TLS is no reason."""
        text = str(error).lower()
        if any(part in text for part in _UNTRUSTED):
            return f"{self.prefix}_CA_FILE has to name the authority of its certificate"
        if any(part in text for part in _UNKNOWN_US):
            return (
                f"it may ask for a certificate that it trusts: set {self.prefix}_CERTIFICATE_FILE "
                f"and {self.prefix}_KEY_FILE"
            )
        return ""

    def _load(self, context: ssl.SSLContext) -> None:
        if self.ca_file:
            _load_certificates(context, f"{self.prefix}_CA_FILE", self.ca_file)
        certificate, key = f"{self.prefix}_CERTIFICATE_FILE", f"{self.prefix}_KEY_FILE"
        if bool(self.certificate_file) != bool(self.key_file):
            there, lacking = (certificate, key) if self.certificate_file else (key, certificate)
            raise ConfigurationError(f"{there} is set and {lacking} is not: set both or none")
        if self.certificate_file:
            _load_certificates(
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), certificate, self.certificate_file
            )
            _require_readable(key, self.key_file)
            self._load_key(context)

    def _load_key(self, context: ssl.SSLContext) -> None:
        # Without a function OpenSSL would ask the terminal for a password.
        secret = self.key_password.get_secret_value()
        try:
            context.load_cert_chain(self.certificate_file, self.key_file, lambda: secret)
        except (OSError, ValueError) as error:
            if getattr(error, "reason", "") == "KEY_VALUES_MISMATCH":
                raise ConfigurationError(
                    f"{self.prefix}_KEY_FILE: {self.key_file} is not the key of "
                    f"{self.certificate_file} ({self.prefix}_CERTIFICATE_FILE)"
                ) from None
            raise ConfigurationError(
                f"{self.prefix}_KEY_FILE: {self.key_file} holds no private key in PEM that can be "
                f"read {'with the given' if secret else 'without a'} password"
            ) from None


def _load_certificates(context: ssl.SSLContext, variable: str, name: str) -> None:
    _require_readable(variable, name)
    try:
        context.load_verify_locations(name)
    except (OSError, ValueError):
        raise ConfigurationError(f"{variable}: {name} holds no certificate in PEM") from None


def _require_readable(variable: str, name: str) -> None:
    try:
        with Path(name).open("rb") as file:
            file.read(1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError(f"{variable}: {name!r} cannot be read ({reason})") from None
