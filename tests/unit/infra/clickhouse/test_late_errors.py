"""An error of ClickHouse behind rows that are on their way already."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError
from hypothesis import given
from hypothesis import strategies as st
from urllib3.exceptions import ProtocolError

from infra.clickhouse.late_errors import without_late_error

TAG = "dngjzjnxkvlwkeua"
ERROR = "Code: 395. DB::Exception: Value passed to 'throwIf' function is non-zero. (THROW)"
CLOSED = f"\r\n__exception__\r\n{TAG}\r\n{ERROR}\n{len(ERROR) + 1} {TAG}\r\n__exception__\r\n"


@st.composite
def cut(draw: st.DrawFn, whole: bytes) -> list[bytes]:
    """The bytes in blocks, cut anywhere."""
    places = sorted(draw(st.sets(st.integers(0, len(whole)), max_size=12)) | {0, len(whole)})
    return [whole[a:b] for a, b in itertools.pairwise(places)]


DATA = st.sampled_from([b"", b"1\n2\n", b"\r\n__exception__\r\nother", b"\r\n\r\n__exception__\r"])


@given(st.data(), DATA)
def test_the_rows_before_an_error_are_data_and_the_marker_is_not(
    data: st.DataObject, rows: bytes
) -> None:
    """Wherever the blocks are cut."""
    blocks = data.draw(cut(rows + CLOSED.encode()))
    shown: list[bytes] = []
    with pytest.raises(DatabaseError) as raised:
        shown.extend(without_late_error(blocks, TAG))
    assert (b"".join(shown), str(raised.value)) == (rows, ERROR)


@given(st.data(), DATA)
def test_data_without_an_error_is_what_it_was(data: st.DataObject, rows: bytes) -> None:
    """Also where it looks like the beginning of a marker."""
    for tag in (TAG, None):
        assert b"".join(without_late_error(data.draw(cut(rows)), tag)) == rows


def broken_off(rows: bytes, error: Exception) -> Iterator[bytes]:
    """An answer whose connection breaks."""
    yield rows
    raise error


def test_the_error_counts_and_not_that_the_server_hangs_up_after_it() -> None:
    """With all rows before it."""
    blocks = without_late_error(broken_off(b"1\n" + CLOSED.encode(), ProtocolError("x")), TAG)
    assert next(blocks) == b"1\n"
    with pytest.raises(DatabaseError, match="Code: 395"):
        next(blocks)


def test_a_connection_that_breaks_is_an_error_of_its_own() -> None:
    """It is for the caller to name it."""
    with pytest.raises(ProtocolError):
        list(without_late_error(broken_off(b"1\n", ProtocolError("x")), TAG))
