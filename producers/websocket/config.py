"""The durations and limits of the WebSocket connections of a feed, as one value that is passed."""

from __future__ import annotations

from dataclasses import dataclass, field

from producers.policy.rotation import RotationConfig


@dataclass(frozen=True, slots=True)
class ConnectionConfig:
    """What is the same for every exchange; the rest is in its `SocketKind`."""

    rotation: RotationConfig = field(default_factory=RotationConfig)
    attempts_per_s: float = 0.5
    """New connections of a feed: within the 30 a minute of the strictest exchange."""
    open_timeout_s: float = 10.0
    """For TCP, TLS and the WebSocket handshake together."""
    close_timeout_s: float = 2.0
    """For the closing handshake; after it the TCP connection is cut."""
    paused_s: float = 5.0
    """A frame that could not be handed over for this long means that Kafka takes nothing. What the
    socket holds by then is old, and its time of receipt would be wrong, so the connection is
    closed."""
    check_s: float = 1.0
    """How soon a session notices that it is to end, on a socket without frames."""


DEFAULT_CONFIG = ConnectionConfig()
