"""Settings of worker, page, sink and notifier, read from `FUNDING_…` environment variables.

The thresholds behind z-scores, zones and gaps are constants in stream_app/core and no settings:
with other values the numbers would mean something else.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Annotated, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from schemas.config.setting_types import (
    ClickHouseUrl,
    Directory,
    Host,
    Name,
    NameOrNothing,
    member_name,
    url,
    url_or_nothing,
)
from schemas.config.settings import ENV_PREFIX, SharedSettings
from schemas.config.tls import TlsFiles
from schemas.http.browser_guard import is_loopback

Port = Annotated[int, Field(ge=0, le=65535)]
INSTANCE_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
"""It names files and stands in a URL, beside what Kafka allows."""
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{16,500}")
"""What can stand in a header as it is, and is not quickly guessed (RFC 6750)."""


class ClickHouseSettings(SharedSettings):
    """Where ClickHouse is, and as whom it is asked."""

    clickhouse_url: ClickHouseUrl = "http://127.0.0.1:8123"
    clickhouse_username: str = "default"
    clickhouse_password: SecretStr = SecretStr("")
    clickhouse_reader_password: SecretStr = SecretStr("")
    """Of the embedded server's user `default`, who reads; empty: none is asked for."""
    clickhouse_ca_file: str = ""
    clickhouse_certificate_file: str = ""
    """Ours, for servers that ask for one; without a password it is also what logs the user in."""
    clickhouse_key_file: str = ""
    """PEM without a password: the driver takes none."""
    clickhouse_cluster: Annotated[str, Field(max_length=100, pattern=r"^[A-Za-z0-9_.{}-]*$")] = ""
    """The cluster of ClickHouse on whose servers `migrate` makes replicated tables; empty: none. It
    is a name of their `remote_servers`, or a macro of theirs, as in `{cluster}`."""
    clickhouse_timeout_s: Annotated[float, Field(gt=0, le=3_600)] = 30.0

    @property
    def clickhouse_tls(self) -> TlsFiles:
        """The files of TLS to ClickHouse, which are read where its URL is https."""
        return TlsFiles(
            f"{ENV_PREFIX}CLICKHOUSE",
            self.clickhouse_ca_file,
            self.clickhouse_certificate_file,
            self.clickhouse_key_file,
        )


class PageSettings(ClickHouseSettings):
    """The page, its API and what they read."""

    web_host: Host = "127.0.0.1"
    web_port: Port = 6066
    web_token: SecretStr = SecretStr("")
    """What whoever opens the page or asks the API has to know; empty: nothing. It is required
    where other machines can connect."""
    web_without_token: bool = False
    """Other machines may connect without a token: for a port that a container publishes on loopback
    only, or that stands behind a proxy which lets nobody else in."""
    web_certificate_file: str = ""
    """PEM, with its chain; set together with the key: the page is served by https."""
    web_key_file: str = ""
    web_max_clients: Annotated[int, Field(ge=1, le=10_000)] = 300
    """So many pages may be open at once."""

    @model_validator(mode="after")
    def _protected(self) -> Self:
        """Require a token where other machines can connect, and a key beside a certificate."""
        token = self.web_token.get_secret_value()
        if token and not _TOKEN.fullmatch(token):
            raise ValueError(f"{ENV_PREFIX}WEB_TOKEN has 16 to 500 letters, digits or -._~+/=")
        if not (token or self.web_without_token or is_loopback(self.web_host)):
            raise ValueError(
                f"{ENV_PREFIX}WEB_HOST {self.web_host} lets other machines read the page: set "
                f"{ENV_PREFIX}WEB_TOKEN to a long random text, or "
                f"{ENV_PREFIX}WEB_WITHOUT_TOKEN=true where nobody else can connect"
            )
        if bool(self.web_certificate_file) != bool(self.web_key_file):
            raise ValueError(
                f"{ENV_PREFIX}WEB_CERTIFICATE_FILE and {ENV_PREFIX}WEB_KEY_FILE are set together"
            )
        return self


class WorkerSettings(PageSettings):
    """The Faust worker, in which the page runs as well."""

    worker_id: Name = "fundingstream"
    """Name of the Faust app: consumer group, and prefix of the changelog topics."""
    worker_instance: Annotated[
        str, Field(pattern=f"^({INSTANCE_PATTERN})?$"), AfterValidator(member_name)
    ] = ""
    """Static member id in the group: one for each worker, the same over its restarts. Empty: the
    first free one of the data directory (instance.py). `hostname`: the machine's name."""
    worker_output_prefix: NameOrNothing = ""
    """Put before the name of every output topic: a replay publishes beside the live topics."""
    worker_data_dir: Directory = ".fundingstream/worker"
    worker_linger_ms: Annotated[float, Field(ge=0, le=1000)] = 5.0
    """How long the outputs' producer waits for company."""
    worker_max_ahead_s: Annotated[float, Field(gt=0, le=86_400)] = 600.0
    """An event that lies further ahead of its receipt is refused: its time is wrong, or ours."""
    worker_watchdog_s: Annotated[float, Field(gt=0, le=86_400)] = 60.0
    """Exit when input advances and processing does not for this long."""


def _quorum(text: str) -> str:
    """Return a quorum of ClickHouse as it is. Raises ValueError."""
    if not re.fullmatch(r"(auto|[0-9]{1,3})?", text):
        raise ValueError("a number of servers from 0 to 999, `auto` for the majority, or empty")
    return text


class SinkSettings(ClickHouseSettings):
    """The ClickHouse sink, and the tools that speak to ClickHouse."""

    sink_group: Name = "fundingstream-sink"
    sink_instance: Annotated[NameOrNothing, AfterValidator(member_name)] = ""
    """Static member id in the group: one for each sink. Empty: a dynamic member. `hostname`: the
    machine's name."""
    sink_batch_rows: Annotated[int, Field(ge=1, le=1_000_000)] = 5_000
    sink_batch_age_s: Annotated[float, Field(gt=0, le=60)] = 1.0
    sink_insert_quorum: Annotated[str, AfterValidator(_quorum)] = ""
    """How many servers have to have the rows of an insert before it counts as stored: a number, or
    `auto` for the majority of a replicated table's; empty: what the user's profile says."""
    sink_metrics_host: Host = "127.0.0.1"
    sink_metrics_port: Port = 9102


ALERT_URL_PREFIX = f"{ENV_PREFIX}ALERT_URL_"
"""Variables that begin so hold the URLs of alerts' targets; the rules file chooses their names."""
PageUrl = Annotated[
    str,
    AfterValidator(
        partial(url_or_nothing, check=partial(url, credentials="leave them out", path=True))
    ),
]


class AlertSettings(SharedSettings):
    """The notifier, which takes alerts out of the house (docs/alerts-out.md)."""

    alert_rules: Annotated[str, Field(max_length=4_096)] = ""
    """Path of the rules file."""
    alert_group: Name = "fundingstream-alerts"
    """Consumer group, and prefix of the topic with the rules' state: one for each rules file."""
    alert_max_age_s: Annotated[float, Field(ge=1, le=86_400)] = 900.0
    """What happened longer ago than this is counted, and nobody is told."""
    alert_attempts: Annotated[int, Field(ge=1, le=100)] = 12
    """How often a message is tried before it has failed; with the pauses between, 12 take some six
    minutes."""
    alert_timeout_s: Annotated[float, Field(ge=0.1, le=60)] = 10.0
    """How long a target may take to connect, and to answer."""
    page_url: PageUrl = ""
    """Address of the page as people reach it, for links in messages; empty: no links."""
    alert_metrics_host: Host = "127.0.0.1"
    alert_metrics_port: Port = 9103
