"""Settings of the producers, read from `FUNDING_…` environment variables."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from schemas.config.setting_types import Directory, ExchangeBaseUrl, Host
from schemas.config.settings import SharedSettings
from schemas.errors import ConfigurationError

HISTORY_DAYS = 33
"""Settlements of so many days are fetched: the 30 of a baseline, and a few before them. The oldest
settlement of the window needs its predecessors: over which interval it was settled shows in the
spacing, and the interval that is listed today may be another one. Three days hold nine
settlements of 8 h."""


class ProducerSettings(SharedSettings):
    """One or more feeds in one process."""

    producer_linger_ms: Annotated[float, Field(ge=0, le=1000)] = 1.0
    producer_data_dir: Directory = ".fundingstream/producer"
    """Where the progress of a backfill is kept."""
    producer_history_days: Annotated[int, Field(ge=0, le=90)] = HISTORY_DAYS
    producer_history_rows_per_s: Annotated[float, Field(gt=0, le=1e9)] = 10_000.0
    """Settlements published a second at most, by all feeds together, also where several processes
    share them; fewer while workers report that live rates wait."""
    producer_registry_refresh_s: Annotated[float, Field(gt=0, le=86_400)] = 600.0
    producer_mode: Literal["stream", "hybrid", "poll"] = "stream"
    """stream: WebSocket first, REST for what it does not bring and to check it each hour. hybrid:
    REST checks it all the time. poll: REST only."""
    producer_poll_s: Annotated[float, Field(ge=1, le=3_600)] = 30.0
    """Between two REST snapshots in the modes poll and hybrid."""
    producer_connections: Annotated[int, Field(ge=1, le=2)] = 1
    """Connections of each socket; from 2 on one that fails is not noticed by anybody."""
    producer_queue_mib: Annotated[int, Field(ge=1, le=1_024)] = 16
    """Of each feed: what waits for Kafka. When it is full, reading pauses."""
    producer_secondary_sources: bool = True
    """Also open the sockets that are a second source of what others deliver."""
    producer_limit_factor: Annotated[float, Field(ge=1, le=10_000)] = 1.0
    """Multiplies the exchanges' REST limits. For simulated exchanges only: the real ones ban."""
    producer_metrics_host: Host = "127.0.0.1"
    producer_metrics_port: Annotated[int, Field(ge=0, le=65535)] = 9101
    exchange_base_url: ExchangeBaseUrl = ""
    """Root under which every exchange is reached as <root>/<feed>: the simulator's URL.
    Empty: the exchanges themselves."""


def check_limit_factor(settings: ProducerSettings) -> None:
    """Refuse multiplied limits for real exchanges.

    Raises:
        ConfigurationError: says what to set.
    """
    if settings.producer_limit_factor > 1 and not settings.exchange_base_url:
        raise ConfigurationError(
            "FUNDING_PRODUCER_LIMIT_FACTOR is for simulated exchanges, the real ones ban who "
            "exceeds their limits: set it to 1, or set FUNDING_EXCHANGE_BASE_URL"
        )
