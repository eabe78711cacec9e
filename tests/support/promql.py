"""Which metrics and labels a PromQL expression names, found by its tokens."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"""
    (?P<space>\s+)
    |(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    |(?P<number>(?:\d+(?:ms|[smhdwy]))+|\d+(?:\.\d+)?(?:e[+-]?\d+)?)
    |(?P<name>[A-Za-z_][A-Za-z0-9_:]*)
    |(?P<mark>=~|!~|!=|==|<=|>=|[-+*/%^=<>(){}\[\],:])
    """,
    re.VERBOSE,
)
_OPERATORS = {"and", "or", "unless", "bool", "offset"}
_WITH_LABELS = {"by", "without", "on", "ignoring", "group_left", "group_right"}
_AGGREGATIONS = {"avg", "count", "max", "min", "sum", "topk"}
_FUNCTIONS = {
    *("absent", "avg_over_time", "clamp_min", "histogram_quantile", "increase", "max_over_time"),
    *("rate", "time", "vector"),
}
"""What is used. Another name is an error until it is added here, as is one that is mistyped."""


@dataclass
class Names:
    """The names in an expression.

    `selectors` has an entry for each place at which a metric stands: its name, and the text that
    each label of its selector is compared with. `labels` are those by which something is grouped
    or matched.
    """

    selectors: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)
    labels: set[str] = field(default_factory=set)

    @property
    def metrics(self) -> set[str]:
        """The names of all series."""
        return {metric for metric, _ in self.selectors}


def names_in(expression: str) -> Names:
    """Return the names in an expression.

    Raises:
        ValueError: it has characters, functions or selectors that this module does not know.
    """
    tokens = list(_tokens(expression))
    found = Names()
    at = 0
    while at < len(tokens):
        kind, text = tokens[at]
        following = tokens[at + 1][1] if at + 1 < len(tokens) else ""
        if text == "{":
            raise ValueError(f"a selector without a metric in {expression!r}")
        if kind != "name" or text in _OPERATORS:
            at += 1
        elif text in _WITH_LABELS:
            end = _end(tokens, at, ")")
            found.labels |= {name for kind, name in tokens[at:end] if kind == "name"} - {text}
            at = end
        elif following == "(" or following in _WITH_LABELS:
            if text not in _FUNCTIONS | _AGGREGATIONS:
                raise ValueError(f"the function {text!r} in {expression!r} is not known")
            at += 1
        else:
            end = _end(tokens, at, "}") if following == "{" else at + 1
            found.selectors.append((text, _compared(tokens[at + 2 : end - 1])))
            at = end
    return found


def _tokens(expression: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(expression):
        match = _TOKEN.match(expression, at)
        if match is None:
            raise ValueError(f"{expression[at:]!r} in {expression!r} is no token of PromQL")
        at = match.end()
        if match.lastgroup != "space":
            yield str(match.lastgroup), match[0]


def _end(tokens: list[tuple[str, str]], at: int, mark: str) -> int:
    """Return the index behind the next `mark`."""
    return next(i for i in range(at, len(tokens)) if tokens[i][1] == mark) + 1


def _compared(tokens: list[tuple[str, str]]) -> Mapping[str, str]:
    """Return the texts by label of what stands between braces: `a="b", c=~"d|e"`."""
    texts = [text for _, text in tokens if text != ","]
    return {texts[i]: texts[i + 2][1:-1] for i in range(0, len(texts), 3)}
