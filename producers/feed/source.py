"""Real and simulated exchanges are never mixed: a data directory belongs to one kind.

The same topics and tables hold what a directory's producers publish. If a directory of simulated
exchanges were used for the real ones, invented rates would stand among those that people trade on,
and settle in the baselines of z-scores for 30 days.
"""

from __future__ import annotations

from pathlib import Path

from schemas.errors import ConfigurationError
from schemas.process.files import write_atomically

REAL = "real"
SIMULATED = "simulated"


def require_source(data_dir: str, feed: str, base_url: str) -> None:
    """Note of which kind a feed's exchange is, or check it against what is noted. Hold its lock.

    `base_url` is empty for the exchange itself, and where it is simulated otherwise.

    Raises:
        ConfigurationError: the directory belongs to the other kind, or cannot be used.
    """
    path = Path(data_dir) / f"{feed}.source"
    kind = SIMULATED if base_url else REAL
    try:
        if not path.exists():
            write_atomically(path, f"{kind}\n", durable=True)
            return
        noted = path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} cannot be used ({error})") from error
    if noted != kind:
        raise ConfigurationError(
            f"{path.parent} belongs to the {noted} {feed}, and this is the {kind} one: its Kafka"
            " and ClickHouse hold rates of the other, and both would be mixed. Use others, and"
            " another FUNDING_PRODUCER_DATA_DIR; with Docker Compose: another project name (-p),"
            " or begin anew (docker compose down --volumes)"
        )
