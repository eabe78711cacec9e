"""The mistakes of a file, each with its line and column, collected and told in one go."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

from schemas.errors import ConfigurationError
from schemas.text import one_line

MAX_PROBLEMS = 100
_SHOWN_CHARS = 40


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake. Lines and columns count from 1."""

    line: int
    column: int
    text: str


class RulesFileError(ConfigurationError):
    """A rules file has mistakes; the message has a line `file:line:column: what` for each."""

    def __init__(self, file: str, problems: Sequence[Problem]) -> None:
        """`problems`: in the order in which they are told."""
        self.problems = tuple(problems)
        lines = [f"{file}:{p.line}:{p.column}: {p.text}" for p in problems]
        count = "a mistake" if len(lines) == 1 else f"{len(lines)} mistakes"
        super().__init__("\n".join([f"the rules file has {count}:", *lines]))


@dataclass(slots=True)
class Problems:
    """What is wrong so far."""

    found: list[Problem] = field(default_factory=list)

    def add(self, mark: object, text: str) -> None:
        """Note a mistake at a mark of PyYAML, which counts from 0."""
        line, column = getattr(mark, "line", 0), getattr(mark, "column", 0)
        if len(self.found) < MAX_PROBLEMS:
            self.found.append(Problem(line + 1, column + 1, text))


def shown(text: str) -> str:
    """Return what stands in the file as it may be told: short, and nothing that may be a secret."""
    if "://" in text or "@" in text or len(text) > 2 * _SHOWN_CHARS:
        return "what stands here"
    return f"`{one_line(text, _SHOWN_CHARS)}`"


def listed(names: Collection[str]) -> str:
    """Return names as a sentence has them."""
    return ", ".join(names)


def meant(text: str, names: Collection[str]) -> str:
    """Return a suggestion for a misspelt name, or the names that there are."""
    close = get_close_matches(text, list(names), n=1, cutoff=0.6)
    return f"did you mean `{close[0]}`?" if close else f"allowed are {listed(names)}"
