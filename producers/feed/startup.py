"""What has to be there before feeds run: Kafka, topics, schemas, and the feeds' locks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from producers.feed.lock import hold_feed
from producers.feed.source import require_source
from producers.kafka.publisher import Publisher
from producers.settings import ProducerSettings
from schemas.clock import Clock
from schemas.kafka.admin import require_topics
from schemas.serde.registry import SchemaCatalog
from schemas.topics import STATUS, WORKERS, raw_topic


class Prepared(NamedTuple):
    """What feeds are run with."""

    publishers: Mapping[str, Publisher]
    """One for each feed."""
    catalog: SchemaCatalog
    cluster_id: str
    """Of the Kafka cluster."""


@contextmanager
def prepared(settings: ProducerSettings, feeds: Sequence[str], clock: Clock) -> Iterator[Prepared]:
    """Check what feeds need, and hold their locks until the block ends.

    Raises:
        UnavailableError: Kafka, the registry or a topic is missing, or another process runs a feed.
        ConfigurationError: a file for TLS cannot be used, or the data directory belongs to
            simulated exchanges where these are real, or the other way round.
        SchemaError: a schema is not registered.
    """
    catalog = SchemaCatalog(settings)
    cluster_id = require_topics(settings, [*map(raw_topic, feeds), STATUS.name, WORKERS.name])
    with ExitStack() as locks:
        for name in feeds:
            locks.enter_context(hold_feed(settings.producer_data_dir, name))
            require_source(settings.producer_data_dir, name, settings.exchange_base_url)
        publishers = {feed: Publisher(feed, settings, catalog, clock) for feed in feeds}
        yield Prepared(publishers, catalog, cluster_id)
