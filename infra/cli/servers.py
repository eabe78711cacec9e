"""Checks at a command's start that the servers it needs answer, so that a person is told at once.

For commands that a person calls. Services wait longer by their own rules, since they may be started
before their servers.
"""

from __future__ import annotations

from schemas.config.settings import SharedSettings
from schemas.kafka.admin import ANSWER_WITHIN_S, require_topics
from schemas.serde.registry import SchemaCatalog
from stream_app.settings import SinkSettings


def require_kafka(settings: SharedSettings, answer_within_s: float = ANSWER_WITHIN_S) -> None:
    """Check that Kafka answers. Raises UnavailableError."""
    require_topics(settings, (), answer_within_s)


def require_registry(settings: SharedSettings, answer_within_s: float = ANSWER_WITHIN_S) -> None:
    """Check that the schema registry answers. Raises UnavailableError."""
    SchemaCatalog(settings, answer_within_s=answer_within_s).require_answer()


def require_clickhouse(settings: SinkSettings, answer_within_s: float = ANSWER_WITHIN_S) -> None:
    """Check that ClickHouse answers.

    Raises:
        UnavailableError: it does not.
        ConfigurationError: it refuses the user.
    """
    from stream_app.sink.clickhouse import connect

    connect(settings, answer_within_s=answer_within_s).close()
