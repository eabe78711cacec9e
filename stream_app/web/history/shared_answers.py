"""Answers that are kept for some seconds, and computed once for all who ask meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, NamedTuple, TypeVar, cast

_T = TypeVar("_T")

FAILURE_KEPT_S = 2.0
"""A failure is kept no longer than this, so that a server that is back is soon asked again."""


class _Answer(NamedTuple):
    task: asyncio.Task[Any]
    asked_s: float
    kept_s: float

    def is_over(self, now_s: float) -> bool:
        """Tell whether the question may be asked anew: the answer is there, and is old."""
        if not self.task.done():
            return False
        failed = self.task.cancelled() or self.task.exception() is not None
        kept_s = min(self.kept_s, FAILURE_KEPT_S) if failed else self.kept_s
        return now_s >= self.asked_s + kept_s


class SharedAnswers:
    """Of each question the newest answer, for a time. Failures are kept for a shorter one."""

    def __init__(self, clock_s: Callable[[], float], max_answers: int) -> None:
        """`clock_s`: monotonic seconds. Beyond `max_answers` the oldest is forgotten."""
        self._clock_s = clock_s
        self._max = max_answers
        self._answers: dict[Hashable, _Answer] = {}

    async def get(self, question: Hashable, kept_s: float, ask: Callable[[], Awaitable[_T]]) -> _T:
        """Return the answer that is known, or that of `ask`.

        A caller that is cancelled leaves the question to the others that wait for it. What `ask`
        raises is raised to all of them.
        """
        now_s = self._clock_s()
        known = self._answers.get(question)
        if known is None or known.is_over(now_s):
            task = asyncio.ensure_future(_asked(ask))
            task.add_done_callback(_look_at)
            self._answers.pop(question, None)
            known = self._answers[question] = _Answer(task, now_s, kept_s)
            self._forget(now_s)
        return cast("_T", await asyncio.shield(known.task))

    async def close(self) -> None:
        """End what is still being asked."""
        tasks = [answer.task for answer in self._answers.values()]
        self._answers.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _forget(self, now_s: float) -> None:
        if len(self._answers) <= self._max:
            return
        for question, answer in list(self._answers.items()):
            if answer.is_over(now_s):
                del self._answers[question]
        for question, answer in list(self._answers.items())[: len(self._answers) - self._max]:
            # One that is under way goes on for those who wait for it.
            if answer.task.done():
                del self._answers[question]


async def _asked(ask: Callable[[], Awaitable[_T]]) -> _T:
    return await ask()


def _look_at(task: asyncio.Task[Any]) -> None:
    """Keep asyncio from warning of an exception whose askers have all left."""
    if not task.cancelled():
        task.exception()
