"""Reads what is known about a z-score: the rows from ClickHouse, the raw record from Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from typing import Any, cast

from clickhouse_connect.driver.exceptions import ClickHouseError

from infra.inspection.evidence import Evidence, RawRecord, Settlement, baseline_of
from schemas.errors import ConfigurationError, FundingStreamError
from schemas.records import FundingRate, RawCoordinates, ZScore
from stream_app.core.scoring.window import WINDOW_US
from stream_app.settings import SinkSettings
from stream_app.sink.clickhouse import connect, explain
from stream_app.web.history.raw_reader import RawReader
from stream_app.web.history.times_told import iso

_MAX_SUGGESTIONS = 5
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OF_CONTRACT = "contract_id = {contract_id:String}"
_OF_PARTITION = "raw_topic = {raw_topic:String} AND raw_partition = {raw_partition:Int32}"
_AT = f"{_OF_PARTITION} AND (raw_offset, raw_item) = ({{raw_offset:Int64}}, {{raw_item:Int32}})"
_BEFORE = f"{_OF_PARTITION} AND (raw_offset, raw_item) < ({{raw_offset:Int64}}, {{raw_item:Int32}})"
_LAST_IN_LOG = "ORDER BY raw_offset DESC, raw_item DESC LIMIT 1"

# ruff: noqa: S608 - nothing in these texts comes from outside; values are bound as parameters
_NEWEST = f"""
SELECT * FROM funding.zscores FINAL
WHERE {_OF_CONTRACT} AND event_time <= fromUnixTimestamp64Micro({{until:Int64}})
ORDER BY event_time DESC, received_at DESC, computed_at DESC, raw_offset DESC, raw_item DESC
LIMIT 1
"""
"""In the order of the view `latest`."""
_PREVIOUS = f"SELECT * FROM funding.zscores FINAL WHERE {_OF_CONTRACT} AND {_BEFORE} {_LAST_IN_LOG}"
_RATE = f"SELECT * FROM funding.rates FINAL WHERE {_OF_CONTRACT} AND {_AT} LIMIT 1"
_RATE_BEFORE = f"""
SELECT rate FROM funding.rates FINAL
WHERE {_OF_CONTRACT} AND NOT late AND {_BEFORE} {_LAST_IN_LOG}
"""
_SETTLEMENTS = f"""
SELECT toUnixTimestamp64Micro(funding_time), rate, interval_hours, source, interval_doubtful,
    generation, toUnixTimestamp64Micro(received_at), raw_topic, raw_partition, raw_offset
FROM funding.settlements FINAL
WHERE {_OF_CONTRACT} AND kind = 'regular' AND interval_hours > 0
    AND funding_time > fromUnixTimestamp64Micro({{begin:Int64}})
    AND funding_time <= fromUnixTimestamp64Micro({{as_of:Int64}})
ORDER BY funding_time
"""
_OLDEST = f"SELECT min(event_time), count() FROM funding.zscores WHERE {_OF_CONTRACT}"
_CONTRACTS = "SELECT contract_id, symbol FROM funding.contracts"


def read_evidence(settings: SinkSettings, contract_id: str, until_us: int) -> Evidence:
    """Return what is known about a contract's newest z-score at or before a time (UTC µs).

    What is stored no longer, and a raw record that cannot be had, are left out of it.

    Raises:
        ConfigurationError: there is no such contract or no such row; the message says what is.
        UnavailableError: ClickHouse does not answer.
    """
    client = connect(settings)
    try:
        stored = _Stored(client, contract_id)
        row = cast("ZScore | None", stored.record(_NEWEST, {"until": until_us}))
        if row is None:
            raise stored.nothing_at(until_us)
        at = coordinates_of(row)
        rate_row = cast("FundingRate | None", stored.record(_RATE, at))
        previous = cast("ZScore | None", stored.record(_PREVIOUS, at))
        rates_before = stored.rows(_RATE_BEFORE, at)
        settlements = stored.settlements(row["stats_as_of"])
    except (ClickHouseError, OSError) as error:
        raise explain(error, settings) from error
    finally:
        client.close()
    raw = _raw(settings, at)
    return Evidence(
        row=row,
        rate_row=rate_row,
        previous=previous,
        previous_rate=rates_before[0][0] if rates_before else None,
        baseline=baseline_of(row, settlements),
        raw=raw if isinstance(raw, RawRecord) else None,
        raw_missing=raw if isinstance(raw, FundingStreamError) else None,
    )


def coordinates_of(row: ZScore) -> RawCoordinates:
    """Return where the raw item of a row lies."""
    return {
        "raw_topic": row["raw_topic"],
        "raw_partition": row["raw_partition"],
        "raw_offset": row["raw_offset"],
        "raw_item": row["raw_item"],
    }


class _Stored:
    """What ClickHouse holds of one contract."""

    def __init__(self, client: Any, contract_id: str) -> None:
        self._client = client
        self._contract_id = contract_id

    def rows(self, query: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Return the rows of a query about the contract."""
        bound = {"contract_id": self._contract_id, **parameters}
        return list(self._client.query(query, bound).result_rows)

    def record(self, query: str, parameters: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the first row of a query by column, with times in UTC µs; None: there is none."""
        bound = {"contract_id": self._contract_id, **parameters}
        answer = self._client.query(query, bound)
        if not answer.result_rows:
            return None
        columns = zip(answer.column_names, answer.result_rows[0], strict=True)
        return {
            name: _us(value) if isinstance(value, datetime) else value for name, value in columns
        }

    def settlements(self, as_of: int | None) -> list[Settlement]:
        """Return the regular settlements of the 30 days up to a full hour, oldest first."""
        if as_of is None:
            return []
        window = {"begin": as_of - WINDOW_US, "as_of": as_of}
        return [Settlement(*found) for found in self.rows(_SETTLEMENTS, window)]

    def nothing_at(self, until_us: int) -> ConfigurationError:
        """Return the error that says what there is, where there is no row at or before a time."""
        ((oldest, count),) = self.rows(_OLDEST, {})
        if count:
            return ConfigurationError(
                f"{self._contract_id} has no z-score at or before {iso(until_us)}: the oldest that "
                f"is kept is of {iso(_us(oldest))}, give a later TIME"
            )
        contracts = self.rows(_CONTRACTS, {})
        if self._contract_id in {contract_id for contract_id, _ in contracts}:
            return ConfigurationError(
                f"no z-score of {self._contract_id} is stored, or they have expired: look at "
                '`fundingstream sql "SELECT * FROM contracts"` for when it was last updated'
            )
        near = near_names(self._contract_id, dict(contracts))
        advice = '`fundingstream sql "SELECT contract_id FROM contracts"` lists those with rates'
        if near:
            advice = f"did you mean {', '.join(near)}?"
        return ConfigurationError(f"unknown contract {self._contract_id!r}: {advice}")


def near_names(written: str, symbols: Mapping[str, str]) -> list[str]:
    """Return the contract ids that a person may have meant, the nearest first, a few at most.

    Args:
        written: What was given for a contract id; a symbol alone is understood as well.
        symbols: The symbol of each contract id.
    """
    folded = written.casefold()
    by_name: dict[str, list[str]] = {}
    for contract_id, symbol in sorted(symbols.items()):
        for name in {contract_id.casefold(), symbol.casefold()}:
            by_name.setdefault(name, []).append(contract_id)
    near = [folded] if folded in by_name else get_close_matches(folded, by_name, _MAX_SUGGESTIONS)
    found = [contract_id for name in near for contract_id in by_name[name]]
    return list(dict.fromkeys(found))[:_MAX_SUGGESTIONS]


def _us(time: datetime) -> int:
    """Return a time of ClickHouse, whose columns are all in UTC, in µs since the epoch."""
    return (time.replace(tzinfo=time.tzinfo or UTC) - _EPOCH) // timedelta(microseconds=1)


def _raw(settings: SinkSettings, at: RawCoordinates) -> RawRecord | FundingStreamError:
    """Return the raw item that a row was made from, or why it cannot be had."""
    try:
        read = asyncio.run(RawReader(settings).read(at))
    except FundingStreamError as error:
        return error
    return RawRecord(
        read.transport, read.purpose, read.channel, read.received_at, read.payload, read.bytes,
        read.truncated,
    )  # fmt: skip
