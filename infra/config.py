"""All settings of all parts, for tools that look at them together.

Not responsible for: what a setting means (each part's settings.py).
"""

from __future__ import annotations

from producers.settings import ProducerSettings
from schemas.settings import SharedSettings, variable_names
from stream_app.settings import SinkSettings, WorkerSettings

PARTS: dict[str, type[SharedSettings]] = {
    "producer": ProducerSettings,
    "worker": WorkerSettings,
    "sink": SinkSettings,
}


def known_variables() -> set[str]:
    """Return every FUNDING_ variable that some part reads."""
    return set[str]().union(*(variable_names(part) for part in PARTS.values()))
