"""How letters are shown: harmless to a terminal, whatever is in them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from infra.dead_letters.letter import Letter, Place, ReplayState, Source
from infra.dead_letters.showing import HEADING, decoded_json, document_of, line_of, lines_of


def letter(text: str, value: bytes = b"") -> Letter:
    """A letter with a text wherever one comes from outside."""
    source = Source(text, 1, 2, 3)
    return Letter(
        Place(3, 17), 0, text.encode("utf-8", "replace"), value, len(value), text, text, source,
        {text: text},
    )  # fmt: skip


@given(st.text(st.characters(), max_size=40), st.binary(max_size=40))
def test_nothing_reaches_the_terminal_but_text(text: str, value: bytes) -> None:
    """No control character, in the list and in the whole."""
    one = letter(text, value)
    line = line_of(one, ReplayState.DONE)
    assert line.isprintable()
    decoded = decoded_json({text: value})
    for shown in lines_of(one, None, decoded, whole=True):
        assert not any(ord(char) < 32 and char not in "\t\n" for char in shown), shown
        assert "\x7f" not in shown
        assert not any(0x80 <= ord(char) < 0xA0 for char in shown)


def test_columns_stand_below_their_headings() -> None:
    """Place, time, stage, source, bytes, replay, reason."""
    source = Source("funding.raw.kucoin", 4, 123_456, 7)
    one = letter("x")._replace(stage="normalise", source=source, reason="not a Row", size=1_234)
    line = line_of(one, None)
    for heading, text in (("written", "1970-01-01T00:00:00Z"), ("stage", "normalise"),
                          ("source", "funding.raw"), ("reason", "not a Row")):  # fmt: skip
        assert line.index(text) == HEADING.index(heading)
    assert document_of(one, None)["size"] == 1_234


def test_long_values_are_cut_unless_all_bytes_are_asked_for() -> None:
    """A letter may have 4 MiB."""
    one = letter("x", b"ab\x00c" * 1_000)
    cut = list(lines_of(one, None, None, whole=False))
    assert "2,976 more bytes" in cut[-1]
    assert "61 62 00 63" in cut[-2]
    assert cut[-2].endswith("ab.cab.cab.cab.c")
    assert len(list(lines_of(one, None, None, whole=True))) > len(cut)


def test_a_letter_that_was_written_cut_says_of_what() -> None:
    """Its bytes are not the whole message."""
    one = letter("x", b"ab")._replace(headers={"truncated_from_bytes": "5000000"})
    lines = list(lines_of(one, None, None, whole=True))
    assert "value    2 bytes, the beginning of 5,000,000" in lines
