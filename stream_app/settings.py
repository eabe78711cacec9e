"""Settings of the worker and the sink, read from `FUNDING_…` environment variables.

Not responsible for: Kafka and the registry (schemas.settings), the semantics' thresholds, which
are constants of stream_app/core, since another value would be another product.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr

from schemas.settings import SharedSettings

Port = Annotated[int, Field(ge=0, le=65535)]


class WorkerSettings(SharedSettings):
    """The Faust worker."""

    worker_id: str = "fundingstream"
    """Name of the Faust app: consumer group, and prefix of the changelog topics."""
    worker_instance: str = "worker-1"
    """Static member id in the group: one for each worker, the same over its restarts."""
    worker_output_prefix: str = ""
    """Put before the name of every output topic: a replay publishes beside the live topics."""
    worker_data_dir: str = ".fundingstream/worker"
    web_host: str = "127.0.0.1"
    web_port: Port = 6066
    worker_linger_ms: Annotated[float, Field(ge=0, le=1000)] = 2.0
    """How long the outputs' producer waits for company."""
    worker_max_ahead_s: Annotated[float, Field(gt=0)] = 600.0
    """An event that lies further ahead of its receipt is refused: its time is wrong, or ours."""
    worker_watchdog_s: Annotated[float, Field(gt=0)] = 60.0
    """Exit when input advances and processing does not for this long."""


class SinkSettings(SharedSettings):
    """The ClickHouse sink, and the tools that speak to ClickHouse."""

    clickhouse_url: str = "http://127.0.0.1:8123"
    clickhouse_username: str = "default"
    clickhouse_password: SecretStr = SecretStr("")
    clickhouse_reader_password: SecretStr = SecretStr("")
    """Of the embedded server's user `default`, who reads; empty: none is asked for."""
    clickhouse_timeout_s: Annotated[float, Field(gt=0)] = 30.0
    sink_group: str = "fundingstream-sink"
    sink_instance: str = ""
    """Static member id in the group: one for each sink. Empty: a dynamic member."""
    sink_batch_rows: Annotated[int, Field(ge=1, le=1_000_000)] = 5_000
    sink_batch_age_s: Annotated[float, Field(gt=0, le=60)] = 1.0
    sink_metrics_host: str = "127.0.0.1"
    sink_metrics_port: Port = 9102
