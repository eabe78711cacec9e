"""Creates every Kafka topic of fundingstream and registers every Avro schema."""

from __future__ import annotations

from schemas.config.settings import load_settings
from schemas.kafka.admin import TopicResult, ensure_topics
from schemas.serde.registry import SchemaCatalog
from schemas.topics import alert_state_topic_spec, all_topics, changelog_topic_spec
from stream_app.settings import AlertSettings, WorkerSettings
from stream_app.worker.tables import TABLES


def create_topics_and_schemas(settings: WorkerSettings) -> list[TopicResult]:
    """Create the topics that are missing and register the schemas. Safe to repeat.

    Raises:
        UnavailableError: Kafka or the schema registry does not answer.
        ConfigurationError: a topic exists with another number of partitions.
        SchemaError: the registry holds an incompatible older schema.
    """
    wanted = [*all_topics()]
    changelogs = [changelog_topic_spec(settings.worker_id, table) for table in TABLES]
    changelogs.append(alert_state_topic_spec(load_settings(AlertSettings).alert_group))
    results = ensure_topics(settings, [*wanted, *changelogs])
    catalog = SchemaCatalog(settings)
    for topic in wanted:
        if topic.record_type is not None:
            catalog.register(topic)
    return results
