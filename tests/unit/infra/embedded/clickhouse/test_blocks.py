"""ClickHouse's compressed blocks: against vectors of another implementation, and by their rules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.embedded.clickhouse.blocks import (
    MAX_PLAIN_BYTES,
    BlockCompressor,
    BlockDecompressor,
    packed_block,
)
from infra.embedded.clickhouse.errors import ClickHouseError

PLAIN = b"hello world " * 5
# Made by clickhouse-driver 0.2.11 (CompressedBlockOutputStream), which compresses the native
# protocol: LZ4 and ZSTD.
VECTORS = {
    "lz4": (
        "958ccf7713aef7642368da1eb2e45d93821f0000003c000000cf68656c6c6f20776f726c64200c00"
        "18506f726c6420"
    ),
    "zstd": (
        "3b0bb6d58204392f85c0c2e54b79b9fd90240000003c00000028b52ffd203c9500006068656c6c6f"
        "20776f726c642001003d2a49"
    ),
}


@pytest.mark.parametrize("method", VECTORS)
def test_blocks_of_clickhouse_driver_are_read(method: str) -> None:
    """Checksum, sizes and data as another implementation writes them."""
    reader = BlockDecompressor()
    assert reader(bytes.fromhex(VECTORS[method])) == PLAIN
    reader.finish()


def test_our_block_is_that_of_clickhouse_driver() -> None:
    """To the byte: the same LZ4 library is below both."""
    assert packed_block(PLAIN).hex() == VECTORS["lz4"]


@given(data=st.binary(max_size=5_000), cuts=st.lists(st.integers(1, 700), max_size=30))
def test_what_is_packed_is_read_back_however_it_is_cut(data: bytes, cuts: list[int]) -> None:
    """Pieces may end anywhere, within a header too."""
    compressor, reader = BlockCompressor(), BlockDecompressor()
    packed = compressor.compress(data) + compressor.compress(data) + compressor.finish()
    plain, position = b"", 0
    for size in [*cuts, len(packed)]:
        plain += reader(packed[position : position + size])
        position += size
    reader.finish()
    assert plain == data + data


def test_a_large_piece_becomes_blocks_of_a_mebibyte() -> None:
    """So that a reader needs little memory."""
    data = bytes(2_500_000)
    packed = BlockCompressor().compress(data)
    sizes, position = [], 0
    while position < len(packed):
        sizes.append(int.from_bytes(packed[position + 21 : position + 25], "little"))
        position += 16 + int.from_bytes(packed[position + 17 : position + 21], "little")
    assert sizes == [1 << 20, 1 << 20, 2_500_000 - (2 << 20)]
    assert BlockDecompressor()(packed) == data


@given(position=st.integers(0), bit=st.integers(0, 7))
def test_no_flipped_bit_goes_unseen(position: int, bit: int) -> None:
    """Wherever it is, the block is refused, or waits for bytes that never come."""
    packed = bytearray(packed_block(PLAIN))
    packed[position % len(packed)] ^= 1 << bit
    with pytest.raises(ClickHouseError):
        _read_all(bytes(packed))


def _read_all(packed: bytes) -> None:
    reader = BlockDecompressor()
    assert reader(packed) == b""
    reader.finish()


@pytest.mark.parametrize(
    ("packed_bytes", "plain_bytes"), [(8, 1), (1 << 31, 1), (100, MAX_PLAIN_BYTES + 1)]
)
def test_sizes_are_refused_before_they_are_used(packed_bytes: int, plain_bytes: int) -> None:
    """A header alone is enough to tell."""
    head = bytes(16) + b"\x82" + packed_bytes.to_bytes(4, "little")
    with pytest.raises(ClickHouseError, match="out of bounds"):
        BlockDecompressor()(head + plain_bytes.to_bytes(4, "little"))


def test_an_input_that_is_cut_is_no_whole_one() -> None:
    """An INSERT must not be stored without its end."""
    reader = BlockDecompressor()
    reader(packed_block(PLAIN)[:-1])
    with pytest.raises(ClickHouseError, match="cut"):
        reader.finish()
