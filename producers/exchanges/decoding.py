"""Decoding of messages that an exchange compresses (`SocketKind.decode`)."""

from __future__ import annotations

import zlib

from schemas.errors import MalformedInputError

MAX_DECODED_BYTES = 4 << 20
"""The longest message, decoded: as long as one may be that is not compressed."""
_GZIP = 16 + zlib.MAX_WBITS
"""Tells zlib that a gzip header comes first."""


def gunzip(data: bytes, limit_bytes: int = MAX_DECODED_BYTES) -> bytes:
    """Return what a gzip message holds.

    Raises:
        MalformedInputError: it is no gzip, ends too early, goes on behind its end, or holds more
            than `limit_bytes`.
    """
    reader = zlib.decompressobj(_GZIP)
    try:
        text = reader.decompress(data, limit_bytes + 1)
    except zlib.error as error:
        raise MalformedInputError(f"not gzip: {error}") from None
    if len(text) > limit_bytes:
        raise MalformedInputError(f"more than {limit_bytes} bytes when decompressed")
    if not reader.eof:
        raise MalformedInputError("gzip that is cut off")
    if reader.unused_data:
        raise MalformedInputError("bytes behind the end of gzip")
    return text
