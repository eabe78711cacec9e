"""Text from outside can be shown: one bounded line, without what moves a terminal's cursor."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from schemas.text import MAX_LINE_CHARS, one_line, printable


@given(st.text(max_size=2_000))
def test_any_text_becomes_one_bounded_printable_line(text: str) -> None:
    """Exchanges and servers may write what they like."""
    line = one_line(text)
    assert len(line) <= MAX_LINE_CHARS
    assert line.isprintable()


def test_white_space_and_controls_become_one_space() -> None:
    """At the ends they vanish."""
    assert one_line("\n a\r\n\tb \x1b[31m c\x00 ") == "a b [31m c"


def test_a_limit_cuts_the_end() -> None:
    """Of the cleaned line."""
    assert one_line("a  b  c", 3) == "a b"


@given(st.text(max_size=200))
def test_what_a_terminal_gets_holds_no_controls_but_line_ends_and_tabs(text: str) -> None:
    """Text without controls stays as it is."""
    shown = printable(text)
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in shown if c not in "\n\t")
    assert printable(shown) == shown
