"""All that a probe has seen of one exchange, and what of it is not as documented. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from infra.probe.payloads import Channel
from producers.exchanges.spec import PayloadFields

MAX_NAMES = 64
"""So many channels, problems and kinds of frames without data are told apart."""
MAX_EVENTS = 1_000
"""So many calls, and so many connections, are kept."""


@dataclass(slots=True)
class Socket:
    """One connection: how soon it was open and brought data, in ms after the probe's start."""

    name: str
    open_ms: float
    data_ms: float | None = None


@dataclass(slots=True)
class Call:
    """One REST call. `used` is what the exchange's headers count, by pool."""

    path: str
    status: int
    took_ms: float
    used: Mapping[str, int]


@dataclass(slots=True)
class Observation:
    """What was seen of an exchange in `seconds`."""

    feed: str
    simulated: bool
    seconds: float
    documented: Mapping[str, PayloadFields]
    limits: Mapping[str, int]
    """The limits of REST, by pool, in the exchange's own units."""
    listed: frozenset[str] = frozenset()
    """Contracts that were asked for and should deliver."""
    streams: dict[str, Channel] = field(default_factory=dict)
    resources: dict[str, Channel] = field(default_factory=dict)
    sockets: list[Socket] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    control: Counter[str] = field(default_factory=Counter)
    """Frames without data, by what they are."""
    problems: list[str] = field(default_factory=list)
    """What failed, in the words of whoever noticed."""
    clock_ahead_s: float = 0.0
    """How far the exchange's clock is ahead of ours; 0: they agree to 1.5 s."""

    def stream(self, name: str) -> Channel:
        """Return the channel of a stream, which is new where it was not seen yet."""
        return self._channel(self.streams, name)

    def resource(self, name: str) -> Channel:
        """Return the channel of a REST resource."""
        return self._channel(self.resources, name)

    def _channel(self, channels: dict[str, Channel], name: str) -> Channel:
        if name not in channels and len(channels) >= MAX_NAMES:
            name = "other channels"
        return channels.setdefault(name, Channel(self.documented.get(name)))

    def without_data(self, kind: str) -> None:
        """Count a frame without data."""
        if kind not in self.control and len(self.control) >= MAX_NAMES:
            kind = "other frames"
        self.control[kind] += 1

    def problem(self, text: str) -> None:
        """Note what failed, once."""
        if text not in self.problems and len(self.problems) < MAX_NAMES:
            self.problems.append(text)

    @property
    def heard(self) -> frozenset[str]:
        """The contracts that streams have brought."""
        return frozenset().union(*(channel.contracts for channel in self.streams.values()))

    @property
    def is_unreachable(self) -> bool:
        """No socket was opened, or no list of contracts was read."""
        return not self.sockets or not self.listed

    def silent_channels(self) -> dict[str, float]:
        """Return the documented streams that brought nothing, and how often (s) they should."""
        return {
            name: fields.every_s
            for name, fields in self.documented.items()
            if fields.every_s is not None and name not in self.streams
        }

    def missing(self) -> list[str]:
        """Return sentences about what is documented and was not seen though there was the time.

        None of an exchange that cannot be reached: nothing is known about it.
        """
        if self.is_unreachable:
            return []
        found = [
            f"stream {name}: brought nothing, though it is documented to every {every_s:g} s"
            for name, every_s in self.silent_channels().items()
            if every_s < self.seconds
        ]
        for name, channel in {**self.streams, **self.resources}.items():
            gaps = channel.gaps()
            found += [f"{name}: field {path} is missing" for path in (gaps.missing if gaps else ())]
        return found
