"""Of many updates a second one is published, and each that changes a term."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from producers.exchanges.spec import Slice
from producers.policy.thinner import MAX_CONTRACTS, Thinner
from schemas.times import US_PER_S


def piece(event_us: int | None, terms: bytes | None = b"0.1", symbol: str | None = "A") -> Slice:
    """An update whose text holds all of it."""
    return Slice(symbol, f"{symbol} {event_us} {terms!r}".encode(), terms=terms, event_us=event_us)


def test_the_first_of_each_second_and_each_change_of_terms_is_kept() -> None:
    """A price that moves ten times a second is not."""
    thinner = Thinner()
    pieces = [piece(int(tenth * 0.1 * US_PER_S)) for tenth in range(25)]
    changed = piece(2_450_000, b"0.2")
    back = piece(2_460_000)
    kept = thinner.kept("c", [*pieces, changed, back], None)
    assert kept == [pieces[0], pieces[10], pieces[20], changed, back]
    assert thinner.total == 22


def test_the_time_of_the_frame_stands_in_for_that_of_the_row() -> None:
    """A row that has one of its own is judged by it."""
    thinner = Thinner()
    row = piece(None)
    assert thinner.kept("c", [row], 1_000_000) == [row]
    assert thinner.kept("c", [row], 1_900_000) == []
    assert thinner.kept("c", [piece(1_950_000)], 2_000_000) == []


def test_without_a_time_terms_or_a_contract_everything_is_kept() -> None:
    """The rule cannot judge it."""
    thinner = Thinner()
    pieces = [piece(None), piece(5, None), piece(5, b"1", None), Slice(None, b"", readable=False)]
    assert thinner.kept("c", [*pieces, *pieces], None) == [*pieces, *pieces]
    assert thinner.total == 0


def test_each_connection_and_each_contract_is_judged_by_itself() -> None:
    """A connection that has ended is forgotten."""
    thinner = Thinner()
    both = [piece(1), piece(2, symbol="B")]
    assert thinner.kept("c", both, None) == thinner.kept("d", both, None) == both
    thinner.closed("c")
    assert thinner.kept("c", both, None) == both
    assert thinner.kept("d", both, None) == []


def test_the_memory_is_bounded() -> None:
    """Contracts beyond it, which are made up, are not thinned."""
    thinner = Thinner()
    many = [piece(1, symbol=f"X{number}") for number in range(MAX_CONTRACTS + 3)]
    thinner.kept("c", many, None)
    assert thinner.kept("c", many, None) == many[MAX_CONTRACTS:]


def test_listed_contracts_always_have_room() -> None:
    """However many an exchange makes up beside them."""
    thinner = Thinner()
    thinner.keep(["A"])
    thinner.kept("c", [piece(1, symbol=f"X{number}") for number in range(MAX_CONTRACTS)], None)
    made_up, of_a = piece(1, symbol="Y"), piece(1)
    assert thinner.kept("c", [made_up, of_a], None) == [made_up, of_a]
    assert thinner.kept("c", [made_up, of_a], None) == [made_up]


updates = st.lists(st.tuples(st.integers(0, 4 * US_PER_S), st.sampled_from([b"1", b"2"])))


@given(updates)
def test_the_newest_terms_are_never_more_than_a_second_old(
    given_updates: list[tuple[int, bytes]],
) -> None:
    """And what is kept is a function of the frames: the same again, whatever they came in."""
    pieces = [piece(at_us, terms) for at_us, terms in sorted(given_updates)]
    kept = Thinner().kept("c", pieces, None)
    one_by_one = Thinner()
    assert [found for one in pieces for found in one_by_one.kept("d", [one], None)] == kept
    published: list[Slice] = []
    for one in pieces:
        published += [one] if one in kept else []
        newest = published[-1]
        assert newest.terms == one.terms
        assert newest.event_us is not None
        assert one.event_us is not None
        assert one.event_us - newest.event_us < US_PER_S
