"""Compresses and decompresses HTTP bodies: content codings, and ClickHouse's own blocks. Pure.

The format of the blocks is in blocks.py.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, Protocol

import lz4.frame
import zstandard

from infra.embedded.clickhouse.blocks import BlockCompressor
from infra.embedded.clickhouse.errors import ClickHouseError

# A few compressed bytes may stand for many: small slices bound the memory of one step.
_SLICE_BYTES = 4_096
_ZSTD_MAX_WINDOW_BYTES = 1 << 27
_OFFERED = ("lz4", "zstd", "gzip", "deflate")
Decompress = Callable[[bytes], bytes]


class Compressor(Protocol):
    """Compresses a stream piece by piece."""

    def compress(self, data: bytes) -> bytes:
        """Compress a piece; some of the result may come with a later one."""
        ...

    def finish(self) -> bytes:
        """End the stream and return what is left of it."""
        ...


def decompressor(coding: str) -> Decompress:
    """Return a decompressor of the given Content-Encoding."""
    match coding.lower().strip():
        case "" | "identity":
            return bytes
        case "gzip" | "x-gzip":
            return zlib.decompressobj(31).decompress
        case "deflate":
            return zlib.decompressobj().decompress
        case "lz4":
            return _typed(lz4.frame.LZ4FrameDecompressor().decompress)
        case "zstd":
            decoder = zstandard.ZstdDecompressor(max_window_size=_ZSTD_MAX_WINDOW_BYTES)
            return _typed(decoder.decompressobj().decompress)
        case "br":
            return _brotli()
        case other:
            raise ClickHouseError(1002, f"Unknown Content-Encoding {other!r}", "UNKNOWN_EXCEPTION")


def decompressed(decompress: Decompress, data: bytes) -> Iterator[bytes]:
    """Yield plain pieces of bounded size. Raises ClickHouseError: the input is damaged."""
    for start in range(0, len(data), _SLICE_BYTES):
        try:
            piece = decompress(data[start : start + _SLICE_BYTES])
        except ClickHouseError:
            raise
        except Exception as error:  # each library has errors of its own
            raise ClickHouseError(
                354, f"The request's body cannot be decompressed: {error}", "ZLIB_INFLATE_FAILED"
            ) from error
        if piece:
            yield piece


def accepted_coding(accept_encoding: str) -> str | None:
    """Return the coding to answer with, out of those that the client accepts."""
    offered = {part.split(";")[0].strip().lower() for part in accept_encoding.split(",")}
    return next((coding for coding in _OFFERED if coding in offered), None)


def compressor(coding: str | None, *, in_blocks: bool = False) -> Compressor:
    """Return a compressor of the given coding; None: as it is.

    `in_blocks` puts the data into ClickHouse's own blocks first.
    """
    if in_blocks:
        return _Chain(BlockCompressor(), compressor(coding))
    match coding:
        case None:
            return _Identity()
        case "gzip":
            return _Library(zlib.compressobj(3, zlib.DEFLATED, 31))
        case "deflate":
            return _Library(zlib.compressobj(3))
        case "zstd":
            return _Library(zstandard.ZstdCompressor(level=1).compressobj())
        case "lz4":
            return _Lz4()
        case other:
            raise AssertionError(f"{other} is not offered")


class _Chain:
    """Two compressors, the second applied to the output of the first."""

    def __init__(self, inner: Compressor, outer: Compressor) -> None:
        self._inner = inner
        self._outer = outer

    def compress(self, data: bytes) -> bytes:
        return self._outer.compress(self._inner.compress(data))

    def finish(self) -> bytes:
        return self._outer.compress(self._inner.finish()) + self._outer.finish()


class _Identity:
    def compress(self, data: bytes) -> bytes:
        return data

    def finish(self) -> bytes:
        return b""


class _Library:
    def __init__(self, library: Any) -> None:
        self._library = library

    def compress(self, data: bytes) -> bytes:
        return bytes(self._library.compress(data))

    def finish(self) -> bytes:
        return bytes(self._library.flush())


class _Lz4:
    """LZ4 frames. The library makes their header by a call of its own."""

    def __init__(self) -> None:
        self._library = lz4.frame.LZ4FrameCompressor()
        self._header = bytes(self._library.begin())

    def compress(self, data: bytes) -> bytes:
        return self._take_header() + bytes(self._library.compress(data))

    def finish(self) -> bytes:
        return self._take_header() + bytes(self._library.flush())

    def _take_header(self) -> bytes:
        header, self._header = self._header, b""
        return header


def _brotli() -> Decompress:
    try:
        return _typed(import_module("brotli").Decompressor().process)
    except ImportError as error:
        raise ClickHouseError(
            1002, "Content-Encoding br needs the brotli package", "UNKNOWN_EXCEPTION"
        ) from error


def _typed(function: Any) -> Decompress:
    return lambda data: bytes(function(data))
