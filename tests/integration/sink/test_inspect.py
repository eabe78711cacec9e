"""`fundingstream inspect` ends as it documents where a row is wrong or most of it has expired."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from infra.cli.main import cli
from schemas.clock import now_us
from schemas.errors import UnavailableError
from schemas.rates import apr
from schemas.times import US_PER_DAY, US_PER_HOUR, hour_floor
from stream_app.core.scoring.statistics import robust_z_of, statistics_of, z_of
from tests.support.sink_stack import ClickHouseServer, insert, settlement, zscore

pytestmark = pytest.mark.integration

CONTRACT = "binance-usdm:S1USDT"
RATES = [1e-5 * n for n in range(12)]


def inspect(clickhouse: ClickHouseServer, monkeypatch: pytest.MonkeyPatch) -> Result:
    """Run the command without a Kafka."""
    monkeypatch.setenv("FUNDING_KAFKA_BOOTSTRAP", "127.0.0.1:1")
    url = ["--clickhouse", clickhouse.settings.clickhouse_url]
    return CliRunner().invoke(cli, ["inspect", CONTRACT, "--json", *url])


def store(clickhouse: ClickHouseServer, at_us: int, **wrong: Any) -> None:
    """Store twelve settlements and a z-score of theirs, with some of its fields wrong."""
    as_of = hour_floor(at_us)
    stats = statistics_of(np.array(RATES), as_of)
    settled = [
        settlement(
            1, contract_id=CONTRACT, symbol="S1USDT", funding_time=as_of - 8 * n * US_PER_HOUR,
            rate=rate, rate_8h=rate, received_at=as_of, raw_offset=1, raw_partition=3,
        )
        for n, rate in enumerate(RATES)
    ]  # fmt: skip
    right = {
        "rate": 1e-4, "rate_8h": 1e-4, "apr": apr(1e-4, 8.0), "z": z_of(1e-4, stats),
        "mean": stats.mean, "std": stats.std, "samples": stats.samples, "confidence": "low",
        "percentile": 11 / 12, "robust_z": None, "stats_as_of": as_of, "event_time": at_us,
        "received_at": at_us, "computed_at": at_us, "raw_offset": 2, "trigger": "first",
    }  # fmt: skip
    insert(clickhouse, "settlements", *settled)
    insert(clickhouse, "zscores", zscore(1, **right | wrong))


def test_a_stored_number_that_is_wrong_ends_it_with_1(
    clickhouse: ClickHouseServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is named, and what is right is equal; the row of rates has expired."""
    store(clickhouse, now_us() - 8 * US_PER_DAY, mean=9e-5)
    done = inspect(clickhouse, monkeypatch)
    assert getattr(done.exception, "exit_code", None) == 1
    assert "mean, robust_z differ" in str(done.exception)
    found = json.loads(done.stdout)
    verdicts = {step["name"]: step["verdict"] for step in found["steps"]}
    assert [name for name, verdict in verdicts.items() if verdict == "differs"] == [
        "mean",
        "robust_z",
    ]
    assert (verdicts["rate"], verdicts["z"]) == ("not checked", "equal")
    assert found["rate_missing"] == "expired: kept for 7 days"


def test_a_row_that_is_right_ends_it_with_3_without_kafka(
    clickhouse: ClickHouseServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing but the raw record is missing."""
    stats = statistics_of(np.array(RATES), 0)
    store(clickhouse, now_us() - US_PER_HOUR, robust_z=robust_z_of(1e-4, stats))
    done = inspect(clickhouse, monkeypatch)
    assert isinstance(done.exception, UnavailableError)
    found = json.loads(done.stdout)
    assert found["verdict"] == "equal"
    assert found["raw_missing"].startswith("unavailable: ")
