"""`sql`: what of an answer reaches standard output."""

from __future__ import annotations

import pytest

from infra.cli.sql import _print
from infra.clickhouse.query import Answer

CLEAR = b"\x1b[H\x1b[2J"


@pytest.mark.parametrize("blocks", [[], [b"one"], [b"one", b"two"]])
def test_an_answer_takes_the_place_of_the_one_before(
    blocks: list[bytes], capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Also where it has no rows: those of before would look like the newest."""
    printed = _print(Answer("PrettyCompact", iter(blocks), None), CLEAR)
    assert printed == bool(blocks)
    assert capsysbinary.readouterr().out == CLEAR + b"".join(blocks)


def test_nothing_is_put_before_an_answer_that_stands_alone(
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:
    """A pipe gets what ClickHouse says, and no more."""
    assert not _print(Answer("PrettyCompact", iter(()), None), b"")
    assert capsysbinary.readouterr().out == b""
