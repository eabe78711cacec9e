"""TLS files: a wrong one is reported at the start with its variable and its name."""

from __future__ import annotations

import ssl
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth
from pydantic import SecretStr

from schemas.config.tls import TlsFiles
from schemas.errors import ConfigurationError
from stream_app.settings import WorkerSettings
from stream_app.worker.app import _security
from tests.support.tls_case import PASSWORD, Authority, Pair

P = "FUNDING_X"


@pytest.fixture(name="authority")
def _authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def files(authority: Authority, pair: Pair, password: str = "") -> TlsFiles:
    """Files of a connection with a certificate of ours."""
    return TlsFiles(
        P, str(authority.ca_file), str(pair.certificate), str(pair.key), SecretStr(password)
    )


@pytest.mark.parametrize("password", ["", PASSWORD])
def test_right_files_make_a_context_that_verifies(authority: Authority, password: str) -> None:
    """With an encrypted key as well."""
    right = files(authority, authority.pair("ours", password), password)
    right.check()
    context = right.context()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_a_password_without_a_key_is_handed_to_nobody() -> None:
    """The registry's client would end in a traceback."""
    assert TlsFiles(P, key_password=SecretStr(PASSWORD)).confluent() == {}


def test_without_files_the_systems_authorities_are_trusted() -> None:
    """And there is nothing to check."""
    TlsFiles(P).check()
    assert TlsFiles(P).context().verify_mode is ssl.CERT_REQUIRED


Change = Callable[[TlsFiles, Path, Authority], TlsFiles]
WRONG: dict[str, tuple[Change, str]] = {
    "no CA file": (
        lambda f, d, _: f._replace(ca_file=str(d / "none")),
        "FUNDING_X_CA_FILE: .*none.* cannot be read .No such file",
    ),
    "a folder": (
        lambda f, d, _: f._replace(ca_file=str(d)),
        "FUNDING_X_CA_FILE: .* cannot be read .Is a directory",
    ),
    "a name that is none": (
        lambda f, _d, _: f._replace(ca_file="a\0b"),
        "FUNDING_X_CA_FILE: .* cannot be read",
    ),
    "a key as CA file": (
        lambda f, _d, _: f._replace(ca_file=f.key_file),
        "FUNDING_X_CA_FILE: .*ours.key holds no certificate",
    ),
    "a key as certificate": (
        lambda f, _d, _: f._replace(certificate_file=f.key_file),
        "FUNDING_X_CERTIFICATE_FILE: .*ours.key holds no certificate",
    ),
    "no key file": (
        lambda f, d, _: f._replace(key_file=str(d / "none")),
        "FUNDING_X_KEY_FILE: .*none.* cannot be read",
    ),
    "a certificate as key": (
        lambda f, _d, _: f._replace(key_file=f.certificate_file),
        "FUNDING_X_KEY_FILE: .*ours.crt holds no private key",
    ),
    "another's key": (
        lambda f, _d, a: f._replace(key_file=str(a.pair("other").key)),
        "FUNDING_X_KEY_FILE: .*other.key is not the key of .*ours.crt",
    ),
    "a key without its password": (
        lambda f, _d, a: f._replace(key_file=str(a.pair("ours", PASSWORD).key)),
        "FUNDING_X_KEY_FILE: .*ours.key holds no private key .* without a password",
    ),
    "a key with another password": (
        lambda f, _d, a: f._replace(
            key_file=str(a.pair("ours", PASSWORD).key), key_password=SecretStr("x")
        ),
        "FUNDING_X_KEY_FILE: .*ours.key holds no private key .* with the given password",
    ),
    "a certificate alone": (
        lambda f, _d, _: f._replace(key_file=""),
        "FUNDING_X_CERTIFICATE_FILE is set and FUNDING_X_KEY_FILE is not",
    ),
    "a key alone": (
        lambda f, _d, _: f._replace(certificate_file=""),
        "FUNDING_X_KEY_FILE is set and FUNDING_X_CERTIFICATE_FILE is not",
    ),
}


@pytest.mark.parametrize(("change", "told"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_file_is_told_by_its_variable(
    authority: Authority, tmp_path: Path, change: Change, told: str
) -> None:
    """Nobody is asked for a password on a terminal, and none is told."""
    wrong = change(files(authority, authority.pair("ours")), tmp_path, authority)
    for use in (wrong.check, wrong.context):
        with pytest.raises(ConfigurationError, match=told) as caught:
            use()
        assert "\n" not in str(caught.value)
        assert PASSWORD not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("protocol", ["SSL", "SASL_SSL"])
def test_the_worker_takes_the_same_files(authority: Authority, protocol: str) -> None:
    """Faust's client is given a context, as it knows no file names."""
    ours = authority.pair("ours", PASSWORD)
    settings = WorkerSettings(
        kafka_security_protocol=protocol,  # type: ignore[arg-type]
        kafka_sasl_username="desk",
        kafka_sasl_password=SecretStr(PASSWORD),
        kafka_ssl_ca_file=str(authority.ca_file),
        kafka_ssl_certificate_file=str(ours.certificate),
        kafka_ssl_key_file=str(ours.key),
        kafka_ssl_key_password=SecretStr(PASSWORD),
    )
    auth = credentials_to_aiokafka_auth(_security(settings)["broker_credentials"])
    assert auth["security_protocol"] == protocol
    context = auth["ssl_context"]
    assert [found["subject"] for found in context.get_ca_certs()]
    assert context.verify_mode is ssl.CERT_REQUIRED
    broken = settings.model_copy(update={"kafka_ssl_ca_file": str(ours.key)})
    with pytest.raises(ConfigurationError, match="FUNDING_KAFKA_SSL_CA_FILE"):
        _security(broken)


@pytest.mark.parametrize(
    ("error", "variable"),
    [
        ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed", "FUNDING_X_CA_FILE"),
        ("error:0A000086:SSL routines::certificate verify failed: broker", "FUNDING_X_CA_FILE"),
        ("Receive failed: ssl/tls alert bad certificate: number 42", "FUNDING_X_CERTIFICATE_FILE"),
        ("[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert", "FUNDING_X_CERTIFICATE_FILE"),
        ("tlsv1 alert unknown ca", "FUNDING_X_CERTIFICATE_FILE"),
        ("EOF occurred in violation of protocol (_ssl.c:2427)", "FUNDING_X_CERTIFICATE_FILE"),
        ("Connect failed: Connection refused", ""),
    ],
)
def test_a_refusal_says_which_file_is_lacking(error: str, variable: str) -> None:
    """By the words of OpenSSL, in which every client tells it; others are no matter of TLS."""
    advice = TlsFiles(P).advice(OSError(error))
    assert variable in advice
    assert bool(advice) == bool(variable)
