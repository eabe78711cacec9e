"""A route's declaration: what it takes and answers, and how it is described."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from stream_app.web.rest.parameters import Parameter

Handler = Callable[[Mapping[str, Any]], Awaitable[Any]]


class Route(NamedTuple):
    """One route of `/api/v1`."""

    path: str
    """Below PREFIX, with `{name}` where a parameter of the path stands."""
    summary: str
    parameters: tuple[Parameter, ...]
    answer: Any
    """The type of the answer."""
    handler: Handler
    """Gets the parameters' values and returns the answer, or raises RefusedError."""
    rows: str = ""
    """The field of the answer whose rows CSV shows; empty: there is no CSV."""
    kept_s: float = 1.0
    """How long an answer is given to all who ask the same."""
    refusals: Mapping[int, str] = {}
    """When the handler refuses, by status."""

    @property
    def declared(self) -> tuple[Parameter, ...]:
        """All parameters."""
        return (*self.parameters, FORMAT) if self.rows else self.parameters


PREFIX = "/api/v1"
FORMAT = Parameter(
    "format",
    "The form of the answer; it goes before the header Accept.",
    choices=("json", "csv"),
)
