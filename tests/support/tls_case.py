"""An authority of a test's own, what it signs, and a front that speaks TLS for a plain server."""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import selectors
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PASSWORD = "hunter2-hunter2"
_IDLE_S = 60.0


class Pair(NamedTuple):
    """A certificate and its key, both PEM."""

    certificate: Path
    key: Path


class Authority:
    """Signs certificates for loopback; its own is in `ca_file`."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(name)
        self.ca_file = folder / f"{name}.pem"
        signed = _certificate(self._name, self._name, self._key, self._key, of_authority=True)
        self.ca_file.write_bytes(signed.public_bytes(serialization.Encoding.PEM))

    def pair(self, name: str, password: str = "") -> Pair:
        """Write a certificate that it has signed, and its key, encrypted if there is a password."""
        key = ec.generate_private_key(ec.SECP256R1())
        signed = _certificate(_named(name), self._name, key, self._key, of_authority=False)
        found = Pair(self._folder / f"{name}.crt", self._folder / f"{name}.key")
        found.certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        found.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(password.encode())
                if password
                else serialization.NoEncryption(),
            )
        )
        return found

    def server(self, name: str = "server", *, asks: bool = True) -> ssl.SSLContext:
        """A server's context; `asks`: only for clients with a certificate of this authority."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.pair(name))
        if asks:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.ca_file)
        return context


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    *,
    of_authority: bool,
) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=of_authority, path_length=None), critical=True)
        .sign(signer, hashes.SHA256())
    )


@contextmanager
def front(context: ssl.SSLContext, port: int) -> Iterator[int]:
    """A port on loopback that speaks TLS and passes everything on to a plain one."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        accepting = threading.Thread(target=_accept, args=(listening, context, port), daemon=True)
        accepting.start()
        try:
            yield int(listening.getsockname()[1])
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            accepting.join(10)


def _accept(listening: socket.socket, context: ssl.SSLContext, port: int) -> None:
    with contextlib.suppress(OSError):
        while True:
            client, _address = listening.accept()
            client.settimeout(_IDLE_S)
            threading.Thread(target=_meet, args=(client, context, port), daemon=True).start()


def _meet(client: socket.socket, context: ssl.SSLContext, port: int) -> None:
    # By hand: asyncio's servers end a refused handshake without the alert that says why.
    with client, contextlib.suppress(OSError):
        raw = client.dup()
        try:
            secure = context.wrap_socket(client, server_side=True)
        except ssl.SSLError:
            with raw:
                raw.shutdown(socket.SHUT_WR)
                # A reset would take the alert with it.
                while raw.recv(1 << 16):
                    pass
            return
        raw.close()
        with secure, socket.create_connection(("127.0.0.1", port), _IDLE_S) as server:
            _pass_on(secure, server)


def _pass_on(secure: ssl.SSLSocket, server: socket.socket) -> None:
    """Copy both ways until either side closes.

    In one thread: OpenSSL does not allow a read and a write of one connection at the same time, and
    Python below 3.13 does not keep them apart. The read then ends as if the peer had closed.
    """
    with selectors.DefaultSelector() as selector:
        selector.register(secure, selectors.EVENT_READ, server)
        selector.register(server, selectors.EVENT_READ, secure)
        while ready := selector.select(_IDLE_S):
            for key, _events in ready:
                source: Any = key.fileobj
                while True:
                    data = source.recv(1 << 16)
                    if not data:
                        return
                    key.data.sendall(data)
                    # What OpenSSL has decrypted already is not seen by the selector.
                    if source is server or not secure.pending():
                        break
