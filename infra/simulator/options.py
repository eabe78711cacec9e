"""What can be varied in a simulator process, and the state that its exchanges share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

HELD_BACK = 2
"""Contracts of each feed that are not listed until `/control/list`."""

NO_LIMIT = 2**62

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class OwnOption:
    """An option of the command line that a single exchange has.

    Attributes:
        name: of the keyword argument; the command line shows it with dashes.
        default: what holds without it.
        values: the texts to choose from, or the smallest and the largest number.
        help: one sentence.
    """

    name: str
    default: float | str
    values: tuple[str, ...] | tuple[float, float]
    help: str


@dataclass(frozen=True)
class SimulatorOptions:
    """One object for one process. Times are as the exchanges document them unless changed here.

    Attributes:
        seed: the same seed gives the same market.
        tick_ms: between two ticks of the streams that push each second.
        aligned: all exchanges and contracts push at the same moment; else each has a phase of its
            own (phases.py).
        ping_every_s: between two protocol PINGs of the exchanges that send them; 0 never.
        retry_after: send Retry-After where the real exchange is not known to.
        open_limits: REST without rate limits, for demos; False: as documented.
        own: values of the options that single exchanges have, by the options' names.
    """

    seed: int = 1
    tick_ms: int = 1_000
    aligned: bool = False
    ping_every_s: float = 180.0
    retry_after: bool = False
    open_limits: bool = False
    own: Mapping[str, Any] = field(default_factory=dict)
    _shared: dict[type, Any] = field(default_factory=dict, init=False, repr=False)

    def value(self, option: OwnOption) -> Any:
        """Return the value of an exchange's own option: what was given, else its default."""
        return self.own.get(option.name, option.default)

    def shared(self, kind: type[T], create: Callable[[], T]) -> T:
        """Return the one object of a kind that exchanges of this process share."""
        if kind not in self._shared:
            self._shared[kind] = create()
        found: T = self._shared[kind]
        return found
