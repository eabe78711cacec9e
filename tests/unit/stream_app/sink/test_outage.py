"""What is told while the sink cannot store: changes at once, reminders once a minute."""

from __future__ import annotations

import pytest

from stream_app.sink.metrics import SinkMetrics
from stream_app.sink.outage import REMIND_EVERY_S, Outage
from tests.support.clock import ManualClock


def test_an_outage_is_told_when_it_changes_and_then_once_a_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Ten minutes of an attempt a second, another cause at the end, and the end."""
    clock, metrics = ManualClock(), SinkMetrics()
    outage = Outage(metrics, clock)

    def waiting(cause: str) -> float | None:
        return metrics.registry.get_sample_value("fundingstream_sink_waiting", {"cause": cause})

    outage.over()
    assert caplog.records == []
    for _ in range(600):
        outage.failed("missing", "funding.rates is missing: run `fundingstream migrate`")
        clock.advance(1)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 600 / REMIND_EVERY_S
    assert lines[0].startswith("notice: nothing is stored: funding.rates is missing")
    assert not any(line.startswith("notice:") for line in lines[1:])
    assert (waiting("missing"), waiting("denied")) == (1, None)
    outage.failed("denied", "no right")
    assert (waiting("missing"), waiting("denied")) == (0, 1)
    outage.over()
    outage.over()
    assert (waiting("missing"), waiting("denied")) == (0, 0)
    lines = [record.getMessage() for record in caplog.records][10:]
    assert lines == [
        "notice: nothing is stored: no right. Kafka keeps what is owed",
        "notice: the sink goes on after 600.0 s",
    ]
