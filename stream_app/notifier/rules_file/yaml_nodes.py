"""Makes PyYAML's nodes of a text; what is no YAML is told with its line and column."""

from __future__ import annotations

import re

import yaml
from yaml.composer import ComposerError
from yaml.nodes import Node
from yaml.reader import Reader, ReaderError

from stream_app.notifier.rules_file.problems import Problems

MAX_DEPTH = 32
"""Lists and mappings within each other; a rules file needs seven at most."""
_NAME = re.compile(r"\b(alias|handle)\b.*", re.DOTALL)


def compose(text: str, problems: Problems) -> Node | None:
    """Return the node of the whole text; None: it is empty, or `problems` has the reason."""
    try:
        loader = _Loader(text)
    except ReaderError as error:
        before = Reader(text[: error.position])
        before.forward(error.position)
        reason = f"the character U+{error.character:04X} is not allowed"
        problems.add(before.get_mark(), f"this is no YAML: {reason}")
        return None
    try:
        return loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        problems.add(error.problem_mark, f"this is no YAML: {_reason(error)}")
    except (ValueError, OverflowError):  # of an escape as "\UFFFFFFFF", or of a version
        problems.add(loader.get_mark(), "this is no YAML: a number is too large")
    return None


class _Loader(yaml.SafeLoader):
    """Refuses what is nested too deeply, since nodes within nodes are made by recursion."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        if parent is not None and self._depth > MAX_DEPTH:
            what = f"more than {MAX_DEPTH} lists and mappings within each other"
            raise ComposerError(problem=what, problem_mark=parent.start_mark)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


def _reason(error: yaml.MarkedYAMLError) -> str:
    """Return PyYAML's reason without names from the file, which may be secrets put there."""
    if "duplicate anchor" in (error.context or ""):
        return "an anchor stands twice"
    return _NAME.sub(r"\1", error.problem or "")
