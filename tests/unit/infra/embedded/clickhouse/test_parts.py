"""The ClickHouse server's pure parts: errors, access, compression, sessions."""

from __future__ import annotations

import gzip
import zlib
from typing import Any, cast

import lz4.frame
import pytest
import zstandard

from infra.embedded.clickhouse.access import Credentials, Users, credentials_of
from infra.embedded.clickhouse.compression import (
    accepted_coding,
    compressor,
    decompressed,
    decompressor,
)
from infra.embedded.clickhouse.engine import Handle
from infra.embedded.clickhouse.errors import ClickHouseError
from infra.embedded.clickhouse.sessions import MAX_SESSIONS, Sessions

TEXT = b"funding rate " * 2_000


def test_engine_messages_keep_code_and_text() -> None:
    """Words of the engine's Python side before the code are cut; text without one is a 1001."""
    error = ClickHouseError.from_engine("Append failed: Code: 60. DB::Exception: No t. (UNKNOWN)")
    assert (error.code, error.status) == (60, 404)
    assert str(error) == "Code: 60. DB::Exception: No t. (UNKNOWN)"
    assert ClickHouseError.from_engine("odd").status == 500
    assert str(ClickHouseError.from_engine("odd")).startswith("Code: 1001. DB::Exception: odd")


@pytest.mark.parametrize(
    ("coding", "packed"),
    [
        ("", TEXT),
        ("gzip", gzip.compress(TEXT)),
        ("deflate", zlib.compress(TEXT)),
        ("lz4", lz4.frame.compress(TEXT)),
        ("zstd", zstandard.compress(TEXT)),
    ],
)
def test_bodies_are_decompressed_in_pieces(coding: str, packed: bytes) -> None:
    """Cut anywhere, the pieces give the whole."""
    decompress = decompressor(coding)
    pieces = [
        piece
        for start in range(0, len(packed), 7)
        for piece in decompressed(decompress, packed[start : start + 7])
    ]
    assert b"".join(pieces) == TEXT


@pytest.mark.parametrize("coding", [None, "gzip", "deflate", "lz4", "zstd"])
def test_answers_are_compressed_as_they_are_read(coding: str | None) -> None:
    """What the compressor makes, the decompressor of the same name reads; empty bodies too."""
    for pieces in ([TEXT, TEXT], []):
        packer = compressor(coding)
        packed = b"".join([packer.compress(piece) for piece in pieces]) + packer.finish()
        read = b"".join(decompressed(decompressor(coding or ""), packed))
        assert read == b"".join(pieces)


def test_bad_codings_and_bodies_are_errors_of_the_interface() -> None:
    """Never an exception of a compression library."""
    with pytest.raises(ClickHouseError, match="Content-Encoding"):
        decompressor("snappy")
    with pytest.raises(ClickHouseError, match="decompressed"):
        list(decompressed(decompressor("gzip"), b"not gzip at all"))
    assert accepted_coding("br, gzip;q=0.5") == "gzip"
    assert accepted_coding("identity") is None


def test_credentials_come_from_header_basic_or_url() -> None:
    """In this order; unreadable basic authentication is refused."""
    assert credentials_of({"X-ClickHouse-User": "u", "X-ClickHouse-Key": "k"}, {}) == Credentials(
        "u", "k"
    )
    assert credentials_of({"Authorization": "Basic dTpwOng="}, {}) == Credentials("u", "p:x")
    assert credentials_of({}, {"user": "u", "password": "p"}) == Credentials("u", "p")
    assert credentials_of({}, {}) == Credentials("default", "")
    with pytest.raises(ClickHouseError, match="Authentication"):
        credentials_of({"Authorization": "Basic %%%"}, {})
    with pytest.raises(ClickHouseError, match="Authentication"):
        Users(Credentials(password="yes"), Credentials("w", "w")).role_of(Credentials())


class FakeHandles:
    """Counts handles; the engine is not needed to know when they open and close."""

    def __init__(self) -> None:
        self.opened = 0
        self.closed: list[Any] = []
        self.now = 0.0

    async def open(self) -> Handle:
        """A stand-in."""
        self.opened += 1
        return cast("Handle", self.opened)

    async def close(self, handle: Handle) -> None:
        """Remembers it."""
        self.closed.append(handle)

    def sessions(self) -> Sessions:
        """Sessions over these handles, with a clock of the test's."""
        return Sessions(self.open, self.close, lambda: self.now)


async def test_a_session_lives_for_its_time_out() -> None:
    """The same id gives the same handle until it expires; in use it never does."""
    handles = FakeHandles()
    sessions = handles.sessions()
    query = {"session_id": "a", "session_timeout": "10"}
    first = await sessions.enter("u", query)
    assert first is not None
    handles.now = 100.0
    assert await sessions.enter("u", query) is first
    sessions.leave(first)
    sessions.leave(first)
    handles.now = 110.5
    assert await sessions.enter("u", query) is not first
    assert handles.closed == [first.handle]
    assert await sessions.enter("u", {}) is None
    with pytest.raises(ClickHouseError, match="not found"):
        await sessions.enter("u", {"session_id": "b", "session_check": "1"})
    with pytest.raises(ClickHouseError, match="timeout"):
        await sessions.enter("u", {"session_id": "b", "session_timeout": "soon"})


async def test_sessions_are_bounded() -> None:
    """The one idle for longest gives way; when all are in use, the request is refused."""
    handles = FakeHandles()
    sessions = handles.sessions()
    entered = []
    for number in range(MAX_SESSIONS):
        handles.now += 0.001
        entered.append(await sessions.enter("u", {"session_id": str(number)}))
    with pytest.raises(ClickHouseError, match="Too many sessions"):
        await sessions.enter("u", {"session_id": "more"})
    seventh = entered[7]
    assert seventh is not None
    sessions.leave(seventh)
    await sessions.enter("u", {"session_id": "more"})
    assert handles.closed == [seventh.handle]
    assert len(sessions) == MAX_SESSIONS
