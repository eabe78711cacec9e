"""The sink's metric of the limits of dead letters, which is read from what was counted."""

from __future__ import annotations

from stream_app.sink.metrics import SinkMetrics

NAME = "fundingstream_sink_dead_letters_beyond_limit"


def test_a_table_that_gives_up_most_messages_is_beyond_the_limit() -> None:
    """Whatever the reasons; another table is not."""
    metrics = SinkMetrics()
    for table, stored in (("rates", 3), ("bars", 30)):
        metrics.rows.labels(table).inc(stored)
        metrics.dead_letters.labels(table, "malformed").inc(6)
        metrics.dead_letters.labels(table, "refused").inc(6)
    beyond = {
        sample.labels["table"]: sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == NAME
    }
    assert beyond == {"rates": 1, "bars": 0}
