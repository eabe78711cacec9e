"""Answers are computed once for all who ask meanwhile, and kept for a time."""

from __future__ import annotations

import asyncio

import pytest

from stream_app.web.history.shared_answers import FAILURE_KEPT_S, SharedAnswers
from tests.support.clock import ManualClock


class Source:
    """Answers with how often it was asked, once it may."""

    def __init__(self) -> None:
        self.asked = 0
        self.may = asyncio.Event()

    async def __call__(self) -> int:
        self.asked += 1
        await self.may.wait()
        return self.asked


async def test_who_asks_the_same_meanwhile_shares_the_answer() -> None:
    """The source is asked once."""
    answers, source = SharedAnswers(ManualClock().monotonic_s, 10), Source()
    waiting = [asyncio.create_task(answers.get("q", 1.0, source)) for _ in range(5)]
    await asyncio.sleep(0)
    source.may.set()
    assert await asyncio.gather(*waiting) == [1] * 5
    assert source.asked == 1


async def test_an_answer_is_kept_for_its_time() -> None:
    """Then the source is asked anew; another question is another answer."""
    clock, source = ManualClock(), Source()
    answers = SharedAnswers(clock.monotonic_s, 10)
    source.may.set()
    assert await answers.get("q", 1.0, source) == 1
    clock.advance(0.9)
    assert await answers.get("q", 1.0, source) == 1
    assert await answers.get("other", 1.0, source) == 2
    clock.advance(0.2)
    assert await answers.get("q", 1.0, source) == 3


async def test_who_leaves_takes_nothing_from_the_others() -> None:
    """The first who asked is cancelled; the second gets the answer."""
    answers, source = SharedAnswers(ManualClock().monotonic_s, 10), Source()
    first = asyncio.create_task(answers.get("q", 1.0, source))
    second = asyncio.create_task(answers.get("q", 1.0, source))
    await asyncio.sleep(0)
    first.cancel()
    source.may.set()
    assert await second == 1
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_failure_is_kept_for_a_short_time() -> None:
    """A source that cannot answer is not asked by each who wants to know, and soon again."""
    clock = ManualClock()
    answers = SharedAnswers(clock.monotonic_s, 10)
    asked = []

    async def fails() -> int:
        asked.append(1)
        raise ValueError("no")

    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            await answers.get("q", 60.0, fails)
    assert len(asked) == 1
    clock.advance(FAILURE_KEPT_S + 0.1)
    with pytest.raises(ValueError, match="no"):
        await answers.get("q", 60.0, fails)
    assert len(asked) == 2


async def test_no_more_answers_are_kept_than_may_be() -> None:
    """The oldest goes first."""
    clock, source = ManualClock(), Source()
    answers = SharedAnswers(clock.monotonic_s, 3)
    source.may.set()
    for number in range(10):
        await answers.get(number, 1_000.0, source)
    assert len(answers._answers) == 3
    assert await answers.get(9, 1_000.0, source) == 10
    assert await answers.get(0, 1_000.0, source) == 11


async def test_the_end_ends_what_is_being_asked() -> None:
    """Nothing is left to run."""
    answers, source = SharedAnswers(ManualClock().monotonic_s, 3), Source()
    waiting = asyncio.create_task(answers.get("q", 1.0, source))
    await asyncio.sleep(0)
    await answers.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
