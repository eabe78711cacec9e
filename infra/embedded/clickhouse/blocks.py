"""ClickHouse's own compressed blocks, as `compress=1` asks for and `decompress=1` sends. Pure.

A block is: 16 bytes CityHash128 (v1.0.2) of what follows, one byte for the method, the size of
header and data and the size of the plain data (both little-endian, 4 bytes), the data. The native
protocol uses the same: ClickHouse's documentation, "Native protocol", "Compression".
"""

from __future__ import annotations

import struct

import lz4.block
import zstandard
from clickhouse_cityhash.cityhash import CityHash128

from infra.embedded.clickhouse.errors import ClickHouseError

MAX_PLAIN_BYTES = 16 * 1024 * 1024
_MADE_BYTES = 1024 * 1024
_CHECKSUM_BYTES = 16
_HEADER = struct.Struct("<BII")
_LZ4 = 0x82
# LZ4's worst case is the data and a 255th of it; ZSTD's is below that.
_MAX_PACKED_BYTES = _HEADER.size + MAX_PLAIN_BYTES + MAX_PLAIN_BYTES // 255 + 64


def packed_block(data: bytes) -> bytes:
    """Return one block compressed by LZ4, which ClickHouse answers with by default."""
    packed: bytes = lz4.block.compress(data, store_size=False)
    body = _HEADER.pack(_LZ4, _HEADER.size + len(packed), len(data)) + packed
    return _checksum(body) + body


class BlockCompressor:
    """Turns each piece into blocks of at most a mebibyte; an empty piece gives no block."""

    def compress(self, data: bytes) -> bytes:
        """Return the blocks of a piece."""
        starts = range(0, len(data), _MADE_BYTES)
        return b"".join(packed_block(data[start : start + _MADE_BYTES]) for start in starts)

    def finish(self) -> bytes:
        """Return nothing, because every block is complete in itself."""
        return b""


class BlockDecompressor:
    """Reads blocks from pieces that may end anywhere. Sizes are checked before they are used."""

    def __init__(self) -> None:
        self._held = bytearray()

    def __call__(self, data: bytes) -> bytes:
        """Take a piece; return the plain data of the blocks that are complete now."""
        self._held += data
        plain: list[bytes] = []
        while (block := self._next_block()) is not None:
            plain.append(block)
        return b"".join(plain)

    def finish(self) -> None:
        """Check at the end of the input that no block is incomplete. Raises ClickHouseError."""
        if self._held:
            raise _damaged(f"the last block is cut after {len(self._held)} bytes", 33)

    def _next_block(self) -> bytes | None:
        start = _CHECKSUM_BYTES
        if len(self._held) < start + _HEADER.size:
            return None
        method, packed_bytes, plain_bytes = _HEADER.unpack_from(self._held, start)
        if not _HEADER.size <= packed_bytes <= _MAX_PACKED_BYTES or plain_bytes > MAX_PLAIN_BYTES:
            raise _damaged(f"a block of {packed_bytes} bytes for {plain_bytes} is out of bounds")
        end = start + packed_bytes
        if len(self._held) < end:
            return None
        body = bytes(self._held[start:end])
        if _checksum(body) != self._held[:start]:
            raise _damaged("a block's checksum does not match", 40)
        del self._held[:end]
        return _plain(method, body[_HEADER.size :], plain_bytes)


def _plain(method: int, packed: bytes, plain_bytes: int) -> bytes:
    try:
        match method:
            case 0x02:  # none
                plain = packed
            case 0x82:  # LZ4
                plain = bytes(lz4.block.decompress(packed, uncompressed_size=plain_bytes))
            case 0x90:  # ZSTD
                # The frame may claim another size than the block: unpack no more than the block's.
                decoder = zstandard.ZstdDecompressor()
                plain = bytes(decoder.stream_reader(packed).read(plain_bytes + 1))
            case other:
                raise ClickHouseError(
                    89, f"Unknown compression method 0x{other:02x}", "UNKNOWN_COMPRESSION_METHOD"
                )
    except (lz4.block.LZ4BlockError, zstandard.ZstdError, MemoryError) as error:
        raise _damaged(f"a block is damaged: {error}") from error
    if len(plain) != plain_bytes:
        raise _damaged(f"a block of {plain_bytes} bytes has {len(plain)}")
    return plain


def _checksum(body: bytes) -> bytes:
    # The library puts the half that ClickHouse writes first into the number's upper half.
    halves: int = CityHash128(body)
    return struct.pack("<QQ", halves >> 64, halves & 0xFFFFFFFFFFFFFFFF)


def _damaged(what: str, code: int = 271) -> ClickHouseError:
    names = {33: "CANNOT_READ_ALL_DATA", 40: "CHECKSUM_DOESNT_MATCH", 271: "CANNOT_DECOMPRESS"}
    return ClickHouseError(code, f"The compressed body cannot be read: {what}", names[code])
