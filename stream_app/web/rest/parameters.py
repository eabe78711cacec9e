"""The parameters of requests: one declaration from which they are read and described (OpenAPI)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from multidict import MultiMapping

from schemas.text import one_line

MAX_QUERY_CHARS = 4_096
MAX_TEXT_CHARS = 200
MAX_ITEMS = 50
LATEST_US = 4_102_444_800_000_000
"""The year 2100: a later time is a mistake in the unit."""
_TOLD_CHARS = 60
_INTEGER = re.compile(r"[0-9]{1,18}")
_NUMBER = re.compile(r"[0-9]{1,18}(\.[0-9]{1,18})?([eE][+-]?[0-9]{1,3})?")
TEXT_PATTERN = r"^[^\x00-\x1f\x7f,]+$"
"""Of one text: no control characters, and no comma, which stands between several."""
PATH_PATTERN = r"^[^\x00-\x1f\x7f]+$"
"""Of what stands in a path, where there is only one."""
_TEXT = re.compile(r"[^\x00-\x1f\x7f,]+")
_PATH_TEXT = re.compile(r"[^\x00-\x1f\x7f]+")


class RefusedError(Exception):
    """A request that is not answered; the message says what is wrong and what is allowed."""

    def __init__(self, status: int, reason: str, **headers: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.headers = headers


class Parameter(NamedTuple):
    """One parameter of a query, or of a path."""

    name: str
    description: str
    kind: str = "text"
    """`text`, `integer`, `number` or `flag`."""
    choices: tuple[str, ...] = ()
    """Of a text: what it may be; empty: anything of one line."""
    several: bool = False
    """Whether there may be several with commas between, each once."""
    least: float = 0
    most: float = LATEST_US
    default: Any = None
    is_path: bool = False
    required: bool = False
    example: str = ""

    def value(self, text: str) -> Any:
        """Return what the text means. Raises RefusedError."""
        if not self.several:
            return self._one(text)
        items = [self._one(item) for item in text.split(",")]
        if len(items) > MAX_ITEMS or len(set(items)) < len(items):
            raise RefusedError(
                400, f"{self.name} takes up to {MAX_ITEMS} values with commas between, each once"
            )
        return tuple(items)

    def _one(self, text: str) -> Any:
        if self.kind == "text":
            is_it = text in self.choices if self.choices else self._is_line(text)
            value: Any = text
        elif self.kind == "flag":
            is_it, value = text in {"true", "false"}, text == "true"
        elif self.kind == "integer":
            is_it = _INTEGER.fullmatch(text) is not None
            value = int(text) if is_it else 0
        else:
            is_it = _NUMBER.fullmatch(text) is not None
            value = float(text) if is_it else 0.0
        if self.kind in {"integer", "number"}:
            is_it = is_it and math.isfinite(value) and self.least <= value <= self.most
        if not is_it:
            shown = one_line(text, _TOLD_CHARS)
            raise RefusedError(400, f"{self.name}={shown!r}: {self.name} must be {self._allowed()}")
        return value

    def _is_line(self, text: str) -> bool:
        pattern = _PATH_TEXT if self.is_path else _TEXT
        return len(text) <= MAX_TEXT_CHARS and pattern.fullmatch(text) is not None

    def _allowed(self) -> str:
        if self.kind == "flag":
            return "true or false"
        if self.choices:
            return ("some of " if self.several else "one of ") + ", ".join(self.choices)
        if self.kind == "text":
            return f"printable text of at most {MAX_TEXT_CHARS} characters without a comma"
        what = "a whole number" if self.kind == "integer" else "a number"
        return f"{what} from {self.least:.15g} to {self.most:.15g}"

    def described(self) -> dict[str, Any]:
        """Return the parameter as OpenAPI describes it."""
        schema = self._schema()
        found: dict[str, Any] = {
            "name": self.name,
            "in": "path" if self.is_path else "query",
            "description": self.description,
            "schema": schema,
        }
        if self.is_path or self.required:
            found["required"] = True
        if self.example:
            found["example"] = self.example
        if self.several:
            found["schema"] = {
                "type": "array", "items": schema, "minItems": 1, "maxItems": MAX_ITEMS,
                "uniqueItems": True,
            }  # fmt: skip
            found |= {"style": "form", "explode": False}
        if self.default is not None:
            found["schema"]["default"] = self.default
        return found

    def _schema(self) -> dict[str, Any]:
        if self.kind == "flag":
            return {"type": "boolean"}
        if self.choices:
            return {"type": "string", "enum": list(self.choices)}
        if self.kind == "text":
            return {
                "type": "string", "minLength": 1, "maxLength": MAX_TEXT_CHARS,
                "pattern": PATH_PATTERN if self.is_path else TEXT_PATTERN,
            }  # fmt: skip
        return {"type": self.kind, "minimum": self.least, "maximum": self.most}


def read(
    declared: Sequence[Parameter], query: MultiMapping[str], path: Mapping[str, str], where: str
) -> dict[str, Any]:
    """Return the values of a request's parameters by name; those that are absent are the defaults.

    Args:
        declared: All that the request may have.
        query: What stands behind the question mark.
        path: What stands in the path.
        where: The path, for messages.

    Raises:
        RefusedError: one is not known, is given twice, or is out of bounds.
    """
    known = {parameter.name: parameter for parameter in declared}
    in_query = [parameter.name for parameter in declared if not parameter.is_path]
    unknown = sorted({one_line(name, _TOLD_CHARS) for name in query if name not in in_query})
    if unknown:
        takes = f"takes {', '.join(in_query)}" if in_query else "takes none"
        names = ", ".join(map(repr, unknown[:5]))
        raise RefusedError(400, f"unknown parameter {names}: {where} {takes}")
    for name in in_query:
        if len(query.getall(name, [])) > 1:
            raise RefusedError(400, f"{name} is given more than once: give it once")
    values = {name: parameter.default for name, parameter in known.items()}
    for given in (query, path):
        values |= {name: known[name].value(text) for name, text in given.items() if name in known}
    for parameter in declared:
        if parameter.required and values[parameter.name] is None:
            raise RefusedError(400, f"{parameter.name} is missing: {parameter.description}")
    return values
