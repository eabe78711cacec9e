"""What a record of the topic of dead letters says, whoever wrote it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.dead_letters.letter import (
    Chosen,
    Letter,
    Mark,
    Place,
    Replays,
    ReplayState,
    Source,
    letters_only,
    record_of,
)
from schemas.errors import ConfigurationError
from stream_app.sink.batches import Message
from stream_app.sink.dead_letters import DeadLetter

AT = Place(3, 17)


def letter(place: Place = AT, **headers: str) -> Letter:
    """A letter with these headers."""
    told = [(name, text.encode()) for name, text in headers.items()]
    read = record_of(place, 5, b"kucoin:A", b"bytes", told)
    assert isinstance(read, Letter)
    return read


def test_a_letter_of_the_sink_is_read() -> None:
    """By the headers that the sink writes."""
    given_up = DeadLetter("funding.rates", Message(2, 9, b"kucoin:A", b"{}"), "not Avro")
    found = record_of(AT, 5, b"kucoin:A", b"{}", given_up.headers)
    assert isinstance(found, Letter)
    assert found[:7] == (AT, 5, b"kucoin:A", b"{}", 2, "sink", "not Avro")
    assert found.source == Source("funding.rates", 2, 9, -1)
    assert found.feed == "kucoin"


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["stage", "source_partition", "replay_of", "replay_state", "x"]),
            st.none() | st.binary(max_size=9) | st.sampled_from([b"done", b"3:17", b"7"]),
        )
    ),
    st.none() | st.binary(max_size=9),
)
def test_anybodys_headers_are_read(
    headers: list[tuple[str, bytes | None]], value: bytes | None
) -> None:
    """Never an error; what is no mark of ours is a letter."""
    found = record_of(AT, 5, None, value, headers)
    if isinstance(found, Letter):
        assert (found.place, found.value) == (AT, value or b"")


@given(
    st.builds(
        Mark,
        st.builds(Place, st.integers(0, 99), st.integers(0, 1 << 40)),
        st.sampled_from(ReplayState),
        st.text(max_size=9),
        st.dictionaries(st.integers(0, 99), st.integers(0, 1 << 40), max_size=8),
        st.text(max_size=9),
    )
)
def test_a_mark_is_read_as_it_was_written(mark: Mark) -> None:
    """So an interrupted replay is found again."""
    assert record_of(AT, 5, None, mark.value, mark.headers) == mark


class TestReplays:
    """What is known of each letter by its marks."""

    def test_a_letter_that_is_done_is_done(self) -> None:
        """Also when another replay of it begins later."""
        replays = Replays()
        begun = Mark(AT, ReplayState.BEGUN, "funding.rates", {2: 30})
        replays.take(begun)
        replays.take(begun._replace(ends={2: 40}))
        one, other = letter(), letter(Place(0, 0))
        assert (replays.state(one), replays.begun(one)) == (ReplayState.BEGUN, begun)
        replays.take(Mark(AT, ReplayState.DONE))
        assert (replays.state(one), replays.begun(one)) == (ReplayState.DONE, None)
        assert replays.state(other) is None

    def test_a_mark_is_of_all_letters_of_its_origin(self) -> None:
        """A part that was killed before it had committed gives the same record up again."""
        one, same, other = (
            letter(
                place,
                stage="sink",
                source_topic="funding.rates",
                source_partition="2",
                source_offset=offset,
            )
            for place, offset in ((AT, "9"), (Place(0, 4), "9"), (Place(0, 5), "10"))
        )
        replays = Replays()
        begun = Mark(AT, ReplayState.BEGUN, "funding.rates", {2: 30}, one.origin)
        replays.take(begun)
        assert [replays.begun(each) for each in (one, same, other)] == [begun, begun, None]
        replays.take(Mark(AT, ReplayState.DONE, origin=one.origin))
        assert [replays.is_done(each) for each in (one, same, other)] == [True, True, False]
        assert replays.begun(same) is None
        assert letter().origin == ""  # of no one record: each is for itself

    def test_marks_are_no_letters(self) -> None:
        """They are taken note of on the way."""
        replays, one = Replays(), letter(stage="sink")
        marks = [Mark(AT, ReplayState.DONE)]
        assert list(letters_only([one, *marks], replays, lambda _: True)) == [one]
        assert replays.is_done(one)


@pytest.mark.parametrize(
    ("chosen", "holds"),
    [
        (Chosen(), True),
        (Chosen(feed="kucoin", topic="funding.rates", stage="sink", reason="avro"), True),
        (Chosen(feed="backpack"), False),
        (Chosen(topic="funding.bars"), False),
        (Chosen(stage="core"), False),
        (Chosen(reason="other"), False),
        (Chosen(since_us=6), False),
        (Chosen(since_us=5), True),
    ],
)
def test_which_letters_are_meant(chosen: Chosen, holds: bool) -> None:  # noqa: FBT001 - a case
    """All that is given must hold."""
    assert chosen.holds(letter(stage="sink", source_topic="funding.rates", error="Not Avro")) is (
        holds
    )


@pytest.mark.parametrize("text", ["", "3", "3:", "a:b", "-1:4", "3:17:1", "３:1", "1:" + "9" * 19])
def test_what_is_no_place_is_refused(text: str) -> None:
    """With what to write."""
    with pytest.raises(ConfigurationError, match="PARTITION:OFFSET"):
        Place.read(text)
    assert str(Place.read(" 3:17 ")) == "3:17"
