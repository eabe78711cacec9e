"""Which contracts, bases and feeds a rule is about: patterns with `*`, `?` and `[…]`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import translate
from functools import lru_cache

MAX_PATTERN_CHARS = 100


@lru_cache(maxsize=4_096)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(pattern))


def pattern_problem(pattern: str) -> str:
    """Return what is wrong with a pattern, for a person; empty: nothing."""
    if not pattern or len(pattern) > MAX_PATTERN_CHARS:
        return f"a pattern has 1 to {MAX_PATTERN_CHARS} characters"
    if not pattern.isprintable() or any(c.isspace() for c in pattern):
        return "a pattern has no spaces and no control characters"
    rest = pattern
    while (start := rest.find("[")) >= 0:
        # As in a shell, a bracket that comes first (or behind `!`) stands for itself.
        first = start + (2 if rest[start + 1 : start + 2] == "!" else 1)
        end = rest.find("]", first + 1)
        if end < 0:
            return "`[` has no `]`: write [[] for the bracket itself"
        rest = rest[end + 1 :]
    return ""


def matches(pattern: str, text: str) -> bool:
    """Tell whether the whole text fits the pattern; upper and lower case differ."""
    return _compiled(pattern).match(text) is not None


@dataclass(frozen=True, slots=True)
class Patterns:
    """What is taken in and what is left out again; no pattern takes in everything."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def take(self, text: str) -> bool:
        """Tell whether the text is selected."""
        if any(matches(pattern, text) for pattern in self.exclude):
            return False
        return not self.include or any(matches(pattern, text) for pattern in self.include)


@dataclass(frozen=True, slots=True)
class Selection:
    """Patterns of contract ids, bases and feeds; all three must fit."""

    contracts: Patterns = Patterns()
    bases: Patterns = Patterns()
    feeds: Patterns = Patterns()

    def takes_contract(self, contract_id: str, base: str, feed: str) -> bool:
        """Tell whether a contract is selected."""
        return self.feeds.take(feed) and self.bases.take(base) and self.contracts.take(contract_id)

    def takes_feed(self, feed: str) -> bool:
        """Tell whether what concerns a whole feed is selected.

        A rule that names contracts or bases is not about feeds.
        """
        return not self.contracts.include and not self.bases.include and self.feeds.take(feed)
