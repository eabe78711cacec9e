"""TLS for the simulator: given files, or a throw-away certificate for loopback.

Clients of a self-signed simulator must be given its certificate file.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.errors import ConfigurationError, UnavailableError

if TYPE_CHECKING:
    from cryptography import x509

_VALID_DAYS = 30


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """A server context from PEM files."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        message = f"cannot use TLS files {certificate} and {key}: {error}"
        raise ConfigurationError(message) from error
    return context


def self_signed(directory: Path, host: str) -> tuple[Path, Path]:
    """Write `certificate.pem` and `key.pem` for loopback and `host`; returns their paths."""
    try:
        from cryptography import x509  # noqa: PLC0415 - only this option needs it
        from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415
        from cryptography.x509.oid import NameOID  # noqa: PLC0415
    except ImportError as error:
        message = "--tls-self-signed needs the package cryptography; use --tls-cert and --tls-key"
        raise UnavailableError(message) from error
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fundingstream simulator")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=_VALID_DAYS))
        .add_extension(x509.SubjectAlternativeName(_names(host)), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(private, hashes.SHA256())
    )
    directory.mkdir(parents=True, exist_ok=True)
    certificate_path, key_path = directory / "certificate.pem", directory / "key.pem"
    certificate_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_path.touch(mode=0o600)
    key_path.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return certificate_path, key_path


def _names(host: str) -> list[x509.GeneralName]:
    from cryptography import x509 as names  # noqa: PLC0415 - only this option needs it

    found: list[x509.GeneralName] = [names.DNSName("localhost")]
    for address in {"127.0.0.1", "::1", host}:
        try:
            found.append(names.IPAddress(ipaddress.ip_address(address)))
        except ValueError:
            found.append(names.DNSName(address))
    return found
