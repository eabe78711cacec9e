"""Rows of changes are completed from the rows before them, byte for byte, or left out."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from producers.exchanges.spec import Partial, Slice
from producers.policy.merging import MAX_CONTRACTS, MAX_FIELD_BYTES, Completed, Merging

FIELDS = ("mark", "rate", "next", "odd.field ä")
HEAD, TAIL = b'{"topic":"t","data":', b',"ts":5}'


def row(payload: bytes, symbol: str | None = "A", *, whole: bool = False) -> Slice:
    """A row of changes of a contract."""
    return Slice(symbol, payload, partial=Partial(HEAD, TAIL, whole))


def merging() -> Merging:
    """What completes rows of these fields, of which two are terms."""
    return Merging(FIELDS, ("rate", "next"))


def published(done: Completed) -> list[bytes]:
    """The completed rows without what is around them."""
    assert all(piece.payload.startswith(HEAD) for piece in done.slices)
    assert all(piece.payload.endswith(TAIL) for piece in done.slices)
    return [piece.payload[len(HEAD) : -len(TAIL)] for piece in done.slices]


def test_a_change_is_completed_with_the_bytes_that_came_before() -> None:
    """In a fixed order, and without the fields that nobody reads."""
    rows = merging()
    first = row(b'{"rate": "1E-5" ,"mark":"7.10","volume":"9","next":"88"}', whole=True)
    assert published(rows.complete("c", [first])) == [b'{"mark":"7.10","next":"88","rate":"1E-5"}']
    (piece,) = rows.complete("c", [row(b'{"mark":"7.2"}')]).slices
    assert piece.payload == HEAD + b'{"mark":"7.2","next":"88","rate":"1E-5"}' + TAIL
    assert (piece.symbol, piece.readable, piece.partial) == ("A", True, None)


def test_terms_change_with_their_fields_alone() -> None:
    """So that an update can be told from one that only moves a price."""
    rows = merging()
    whole = row(b'{"rate":"1","mark":"7","next":"8"}', whole=True)
    changes = [b'{"mark":"9"}', b'{"rate":"1"}', b'{"rate":"1.0"}', b'{"next":9}']
    pieces = rows.complete("c", [whole, *map(row, changes)]).slices
    terms = [piece.terms for piece in pieces]
    assert terms[0] == terms[1] == terms[2]
    assert len(set(terms)) == 3


def test_null_in_a_change_says_nothing_and_in_a_whole_row_that_there_is_none() -> None:
    """Some exchanges send every key and a value only where it has changed."""
    rows = merging()
    rows.complete("c", [row(b'{"rate":"1","next":"8","mark":null}', whole=True)])
    change = row(b'{"rate":null,"next": null ,"mark":"7"}')
    known = b'{"mark":"7","next":"8","rate":"1"}'
    assert published(rows.complete("c", [change])) == [known]
    whole = row(b'{"rate":"1","next":null}', whole=True)
    assert published(rows.complete("c", [whole])) == [b'{"next":null,"rate":"1"}']


def test_a_change_before_a_whole_row_is_left_out_and_counted() -> None:
    """Of its connection alone: another one's rows may be older."""
    rows = merging()
    rows.complete("other", [row(b'{"rate":"1"}', whole=True)])
    assert rows.complete("c", [row(b'{"mark":"9"}')]) == Completed([], ["A"])
    assert rows.incomplete == 1
    rows.closed("other")
    assert rows.complete("other", [row(b'{"mark":"9"}')]).incomplete == ["A"]


def test_a_whole_row_replaces_what_was_known() -> None:
    """A field that it does not have is gone."""
    rows = merging()
    rows.complete("c", [row(b'{"rate":"1","mark":"7"}', whole=True)])
    assert published(rows.complete("c", [row(b'{"next":"3"}', whole=True)])) == [b'{"next":"3"}']


def test_pieces_that_are_no_rows_of_changes_pass_untouched() -> None:
    """Whole frames of another channel, and rows that the description could not read."""
    rows = merging()
    pieces = [Slice("A", b"[]"), Slice(None, b"odd", readable=False)]
    assert rows.complete("c", pieces) == Completed(pieces, [])


def test_a_row_that_cannot_be_read_ends_what_is_known_of_its_contract() -> None:
    """What it has changed is not known."""
    rows = merging()
    for odd in (b"[1]", b'{"rate":', b"", b'{"rate":"%s"}' % (b"1" * MAX_FIELD_BYTES)):
        rows.complete("c", [row(b'{"rate":"1"}', whole=True)])
        assert rows.complete("c", [row(odd)]) == ([Slice(None, odd, readable=False)], ["A"])
        assert rows.complete("c", [row(b'{"mark":"9"}')]).incomplete == ["A"]
    assert rows.complete("c", [row(b"{}", None)]).slices == [Slice(None, b"{}", readable=False)]


def test_made_up_contracts_leave_room_for_listed_ones() -> None:
    """A whole row without room is published, and the changes after it are not."""
    rows = merging()
    rows.keep({"LISTED"})
    many = [row(b'{"rate":"1"}', f"X{number}", whole=True) for number in range(MAX_CONTRACTS + 5)]
    assert len(rows.complete("c", many).slices) == MAX_CONTRACTS + 5
    over = row(b'{"mark":"2"}', f"X{MAX_CONTRACTS + 1}")
    assert rows.complete("c", [over]).incomplete == [over.symbol]
    rows.complete("c", [row(b'{"rate":"1"}', "LISTED", whole=True)])
    assert rows.complete("c", [row(b'{"mark":"2"}', "LISTED")]).incomplete == []


def test_a_hole_in_the_numbers_of_frames_forgets_the_rows() -> None:
    """Each connection has its own numbers; one that comes again or begins anew is no hole."""
    rows = merging()
    rows.complete("c", [row(b'{"rate":"1"}', whole=True)])
    numbers = [4, None, 5, 6, 6, 0, 1]
    assert all(rows.follows("c", number) for number in numbers)
    assert rows.follows("d", 7)
    assert rows.complete("c", [row(b'{"mark":"9"}')]).incomplete == []
    assert not rows.follows("c", 3)
    assert rows.complete("c", [row(b'{"mark":"9"}')]).incomplete == ["A"]
    assert rows.follows("c", 4)
    rows.closed("c")
    assert rows.follows("c", 9)


values = (
    st.none()
    | st.booleans()
    | st.text(max_size=9)
    | st.integers()
    | st.lists(st.integers(), max_size=5)
)
changes = st.dictionaries(st.sampled_from([*FIELDS, "volume"]), values)
frames = st.tuples(st.sampled_from(["A", "B"]), st.booleans(), changes)


@given(st.lists(frames))
def test_it_is_what_applying_each_change_gives(given_frames: list[tuple[str, bool, Any]]) -> None:
    """And two connections that bring the same make the same bytes."""
    rows, known = merging(), dict[str, dict[str, Any]]()
    for symbol, whole, fields in given_frames:
        piece = row(json.dumps(fields).encode(), symbol, whole=whole)
        done = rows.complete("c", [piece])
        assert rows.complete("d", [piece]) == done
        if symbol not in known and not whole:
            assert done == Completed([], [symbol])
            continue
        before = {} if whole else known[symbol]
        known[symbol] = before | {
            name: value
            for name, value in fields.items()
            if name != "volume" and (whole or value is not None)
        }
        (text,) = published(done)
        assert json.loads(text) == known[symbol]
