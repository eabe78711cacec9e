"""Compressed messages are read whole or refused, however far they would blow up."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.exchanges.decoding import MAX_DECODED_BYTES, gunzip
from schemas.errors import MalformedInputError


@given(st.binary(max_size=200))
def test_what_was_compressed_is_read(text: bytes) -> None:
    """Whatever it is."""
    assert gunzip(gzip.compress(text)) == text


@pytest.mark.parametrize("size", [0, 1, 99, 100])
def test_as_much_as_is_allowed_is_read(size: int) -> None:
    """To the byte."""
    assert gunzip(gzip.compress(b"7" * size), 100) == b"7" * size


def test_a_bomb_is_refused_before_it_is_unfolded() -> None:
    """One more byte than is allowed is as bad as a thousand times more."""
    for size in (101, 100_000):
        with pytest.raises(MalformedInputError, match="more than 100 bytes"):
            gunzip(gzip.compress(b"7" * size), 100)
    with pytest.raises(MalformedInputError, match=f"more than {MAX_DECODED_BYTES} bytes"):
        gunzip(gzip.compress(bytes(MAX_DECODED_BYTES + 1)))


@given(text=st.binary(min_size=1, max_size=200), data=st.data())
def test_what_is_cut_off_is_refused(text: bytes, data: st.DataObject) -> None:
    """At any place."""
    packed = gzip.compress(text)
    with pytest.raises(MalformedInputError):
        gunzip(packed[: data.draw(st.integers(0, len(packed) - 1))])


@given(st.binary(min_size=1, max_size=50))
def test_bytes_behind_the_end_are_refused(more: bytes) -> None:
    """A message is one piece."""
    with pytest.raises(MalformedInputError, match="behind the end"):
        gunzip(gzip.compress(b"{}") + more)


@given(st.binary(max_size=50))
def test_junk_is_refused(junk: bytes) -> None:
    """Plain text, too."""
    with pytest.raises(MalformedInputError):
        gunzip(b"{" + junk)
