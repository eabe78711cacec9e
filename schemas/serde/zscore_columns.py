"""Encodes many ZScore records together, from columns of values.

What recurs is given as bytes: what identifies a contract, the numbers of its baseline in the hour
(`ZScoreEncoder.baseline`), how its interval is known (`tail`), and where a raw record stands. A
test holds that the bytes are those that codec.Encoder writes record by record.

Encoding: Apache Avro 1.11 specification, "Binary Encoding".
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from schemas.rates import HOURS_A_YEAR, REFERENCE_INTERVAL_HOURS
from schemas.records import ZSCORE, Confidence, IntervalSource, Trigger, Zone
from schemas.serde.avro_writer import write_long, write_string
from schemas.serde.columns import (
    SOME,
    TIME,
    Floats,
    UpdateTimes,
    encoded_long,
    encoded_times,
    enum_codes,
    require_fields,
)

_IDENTITY = ("contract_id", "feed", "symbol", "base")
_SCORED = ("rate", "interval_hours", "rate_8h", "apr", "z", "robust_z", "percentile")
_BASELINE = ("mean", "std", "samples", "confidence", "stats_as_of")
_WHY = ("zone", "trigger", "crossed")
_CURRENT = (
    "mark_price",
    "next_funding_time",
    "event_time",
    "received_at",
    "computed_at",
    "transport",
)
_ORIGIN = ("raw_topic", "raw_partition", "raw_offset", "raw_item")
_TAIL = (
    "interval_source",
    "interval_doubtful",
    "generation",
    "rate_kind",
    "quote",
    "multiplier",
)
_SCORES = np.dtype([
    ("rate", "<f8"),
    ("interval_hours", "<f8"),
    ("rate_8h", "<f8"),
    ("apr", "<f8"),
    ("has_z", "u1"),
    ("z", "<f8"),
    ("has_robust", "u1"),
    ("robust_z", "<f8"),
    ("has_percentile", "u1"),
    ("percentile", "<f8"),
])  # fmt: skip
_Z_AT, _ROBUST_AT, _PERCENTILE_AT = (
    _SCORES.fields[name][1]  # type: ignore[index]
    for name in ("has_z", "has_robust", "has_percentile")
)
_NOW = np.dtype([
    ("has_mark", "u1"),
    ("mark_price", "<f8"),
    ("has_next", "u1"),
    ("next_funding_time", *TIME),
    ("event_time", *TIME),
    ("received_at", *TIME),
    ("computed_at", *TIME),
    ("transport", "u1"),
])  # fmt: skip
_NONE = b"\x00"
_UNRATED = 3 * _NONE
_FALSE = b"\x00"


class ZScoreColumns(NamedTuple):
    """z-scores of contracts whose interval is not in doubt, a column for each field.

    Current rates come from the stream, with a mark price and a next funding time.
    """

    identities: Sequence[bytes]
    """As `ZScoreEncoder.identity` gives them."""
    rates: Floats
    interval_hours: Floats
    zs: Floats
    """NaN: there is none, and then neither of the next two."""
    robust_zs: Floats
    """NaN: there is none."""
    percentiles: Floats
    baselines: Sequence[bytes]
    """As `ZScoreEncoder.baseline` gives them."""
    reasons: Sequence[bytes]
    """As `ZScoreEncoder.reason` gives them."""
    mark_prices: Floats
    times: UpdateTimes
    computed_at: int
    """In µs, as all times."""
    origins: Sequence[bytes]
    """As `columns.origin_of` gives them."""
    items: Sequence[int]
    tails: Sequence[bytes]
    """As `ZScoreEncoder.tail` gives them."""


class ZScoreEncoder:
    """Encodes ZScoreColumns under the id that the registry gave ZScore."""

    def __init__(self, header: bytes) -> None:
        """Raise SchemaError if the schema's fields are not those that are written here."""
        fields = (*_IDENTITY, *_SCORED, *_BASELINE, *_WHY, *_CURRENT, *_ORIGIN, *_TAIL)
        require_fields(ZSCORE.text, fields)
        self._header = header
        self._confidences = enum_codes(ZSCORE.text, "confidence")
        self._zones = enum_codes(ZSCORE.text, "zone")
        self._triggers = enum_codes(ZSCORE.text, "trigger")
        self._sources = enum_codes(ZSCORE.text, "interval_source")
        self._ws = enum_codes(ZSCORE.text, "transport")["ws"]
        self._reasons: dict[tuple[Zone, Trigger, float | None], bytes] = {}

    def identity(self, contract_id: str, feed: str, symbol: str, base: str) -> bytes:
        """Return what all records of a contract begin with."""
        return self._header + b"".join(map(write_string, (contract_id, feed, symbol, base)))

    def baseline(
        self,
        mean: float | None,
        std: float | None,
        samples: int,
        confidence: Confidence,
        as_of: int | None,
    ) -> bytes:
        """Return the fields of a contract's baseline."""
        return b"".join((
            _optional(mean),
            _optional(std),
            write_long(samples),
            bytes([self._confidences[confidence]]),
            _NONE if as_of is None else bytes([SOME]) + write_long(as_of),
        ))  # fmt: skip

    def reason(self, zone: Zone, trigger: Trigger, crossed: float | None) -> bytes:
        """Return the fields that say why a z-score is emitted; there are few combinations."""
        key = (zone, trigger, crossed)
        found = self._reasons.get(key)
        if found is None:
            codes = bytes([self._zones[zone], self._triggers[trigger]])
            found = self._reasons[key] = codes + _optional(crossed)
        return found

    def tail(
        self,
        interval_source: IntervalSource,
        generation: int,
        rate_kind: str,
        quote: str,
        multiplier: float,
    ) -> bytes:
        """Return the last fields of a contract's records."""
        return b"".join((
            bytes([SOME, self._sources[interval_source]]),
            _FALSE,
            write_long(generation),
            write_string(rate_kind),
            bytes([SOME]) + write_string(quote),
            _optional(multiplier),
        ))  # fmt: skip

    def encode(self, columns: ZScoreColumns) -> list[bytes]:
        """Return header and body of each record.

        Raises:
            SchemaError: a time does not fit its field.
        """
        scores, now = _scores(columns), self._now(columns)
        width, span = _SCORES.itemsize, _NOW.itemsize
        scored, current = scores.tobytes(), now.tobytes()
        out = []
        for number, (identity, z, robust, baseline, reason, origin, item, tail) in enumerate(
            zip(
                columns.identities,
                (columns.zs == columns.zs).tolist(),
                (columns.robust_zs == columns.robust_zs).tolist(),
                columns.baselines,
                columns.reasons,
                columns.origins,
                columns.items,
                columns.tails,
                strict=True,
            )
        ):
            at, since = number * width, number * span
            row = scored[at : at + width]
            if not z:
                row = row[:_Z_AT] + _UNRATED
            elif not robust:
                row = row[:_ROBUST_AT] + _NONE + row[_PERCENTILE_AT:]
            present = current[since : since + span]
            rest = origin + encoded_long(item) + tail
            out.append(identity + row + baseline + reason + present + rest)
        return out

    def _now(self, columns: ZScoreColumns) -> npt.NDArray[np.void]:
        rows = np.empty(len(columns.rates), dtype=_NOW)
        rows["has_mark"] = rows["has_next"] = SOME
        rows["mark_price"] = columns.mark_prices
        rows["next_funding_time"] = columns.times.next_funding
        rows["event_time"] = columns.times.event
        rows["received_at"] = columns.times.received
        rows["computed_at"] = encoded_times(np.array([columns.computed_at]))[0]
        rows["transport"] = self._ws
        return rows


def _scores(columns: ZScoreColumns) -> npt.NDArray[np.void]:
    rates, hours = columns.rates, columns.interval_hours
    rows = np.empty(len(rates), dtype=_SCORES)
    rows["rate"] = rates
    rows["interval_hours"] = hours
    rows["rate_8h"] = rates * REFERENCE_INTERVAL_HOURS / hours
    rows["apr"] = rates * HOURS_A_YEAR / hours
    rows["has_z"] = rows["has_robust"] = rows["has_percentile"] = SOME
    rows["z"] = columns.zs
    rows["robust_z"] = columns.robust_zs
    rows["percentile"] = columns.percentiles
    return rows


def _optional(value: float | None) -> bytes:
    return _NONE if value is None else bytes([SOME]) + struct.pack("<d", value)
