"""The statements that are sent to ClickHouse. Columns are read by their order, so none is renamed.

Tables are ReplacingMergeTree: FINAL, or an aggregate that does not mind, leaves each row once.
"""

# ruff: noqa: S608 - nothing in these texts comes from outside; values are bound as parameters

from __future__ import annotations

from collections.abc import Sequence

from schemas.records import ZSCORE
from schemas.times import US_PER_DAY, US_PER_S

MAX_POINTS = 1_500
WINDOW_DAYS = 30
"""The baseline's window, and how many days spreads are followed back."""
QUARTER_S = 900
_QUARTER_US = QUARTER_S * US_PER_S
_TIMES = (
    "stats_as_of", "next_funding_time", "event_time", "received_at", "computed_at",
)  # fmt: skip
_SPAN = "BETWEEN fromUnixTimestamp64Micro({begin:Int64}) AND fromUnixTimestamp64Micro({end:Int64})"


def _us(column: str) -> str:
    return f"toUnixTimestamp64Micro({column})"


_POINTS_A_SPAN = 3
ESTIMATES = f"""
WITH
    (
        SELECT (count(), {_us("min(event_time)")}, {_us("max(event_time)")})
        FROM funding.zscores
        WHERE contract_id = {{contract_id:String}} AND event_time {_SPAN}
    ) AS extent,
    intDiv(extent.3 - extent.2, {MAX_POINTS // _POINTS_A_SPAN}) + 1 AS span_us,
    if(extent.1 <= {MAX_POINTS}, 1, span_us) AS width
SELECT point.1, point.2, point.3 FROM (
    SELECT arrayJoin(arraySort(arrayDistinct([
        argMin(seen, (seen.2, seen.1)), argMax(seen, (seen.2, seen.1)), argMax(seen, seen.1)
    ]))) AS point
    FROM (
        SELECT ({_us("event_time")}, rate_8h, z) AS seen
        FROM funding.zscores
        WHERE contract_id = {{contract_id:String}} AND event_time {_SPAN}
    )
    GROUP BY intDiv(seen.1 - extent.2, width)
)
ORDER BY point.1
LIMIT {MAX_POINTS}
"""
"""All estimates, or of each of 500 spans of equal width the lowest, the highest and the newest."""

BARS = f"""
SELECT {_us("hour")}, open * 8 / interval_hours, high * 8 / interval_hours,
    low * 8 / interval_hours, close * 8 / interval_hours, mean * 8 / interval_hours,
    z_min, z_max, covered_s
FROM funding.bars FINAL
WHERE contract_id = {{contract_id:String}} AND hour {_SPAN}
ORDER BY hour
"""

SETTLEMENTS = f"""
SELECT {_us("funding_time")}, rate, rate_8h, interval_hours, kind, source
FROM funding.settlements FINAL
WHERE contract_id = {{contract_id:String}} AND funding_time {_SPAN}
ORDER BY funding_time, kind
"""

BASELINE = f"""
SELECT rate_8h
FROM funding.settlements FINAL
WHERE contract_id = {{contract_id:String}} AND funding_time {_SPAN}
    AND kind = 'regular' AND NOT interval_doubtful AND rate_8h IS NOT NULL
    AND generation = (
        SELECT max(generation) FROM (
            SELECT generation FROM funding.settlements WHERE contract_id = {{contract_id:String}}
            UNION ALL
            SELECT generation FROM funding.zscores
            WHERE contract_id = {{contract_id:String}} AND event_time > now() - INTERVAL 3 HOUR
        )
    )
"""
"""As the view baseline_settlements, of one contract."""

_GAP_COLUMNS = f"""feed, subject, {_us("opened_at")}, {_us("closed_at")}, seconds, filled_by, cause,
    socket, rest_filled_s"""

GAPS_OF_CONTRACT = f"""
SELECT {_GAP_COLUMNS} FROM funding.gaps
WHERE subject IN {{subjects:Array(String)}}
    AND opened_at <= fromUnixTimestamp64Micro({{end:Int64}})
    AND (closed_at IS NULL OR closed_at >= fromUnixTimestamp64Micro({{begin:Int64}}))
ORDER BY opened_at DESC
LIMIT {{limit:UInt32}}
"""

GAPS = f"""
SELECT {_GAP_COLUMNS} FROM funding.gaps
WHERE ({{feed:String}} = '' OR feed = {{feed:String}})
    AND ({{subject:String}} = '' OR subject = {{subject:String}})
    AND ({{state:String}} = '' OR (closed_at IS NULL) = ({{state:String}} = 'open'))
    AND opened_at <= fromUnixTimestamp64Micro({{end:Int64}})
    AND (closed_at IS NULL OR closed_at >= fromUnixTimestamp64Micro({{begin:Int64}}))
ORDER BY opened_at DESC, subject
LIMIT {{limit:UInt32}}
"""

AUDIT = f"""
SELECT kind, {_us("first_event_time")}, {_us("last_event_time")}, count, detail
FROM funding.audit FINAL
WHERE subject = {{contract_id:String}}
    AND last_event_time >= fromUnixTimestamp64Micro({{begin:Int64}})
ORDER BY last_event_time DESC, kind
LIMIT 200
"""

ALERTS = f"""
SELECT alert_id, subject, kind, severity, value, threshold, message, {_us("event_time")},
    {_us("created_at")}, raw_topic, raw_partition, raw_offset, raw_item
FROM funding.alerts FINAL
WHERE event_time {_SPAN}
    AND (empty({{kinds:Array(String)}}) OR kind IN {{kinds:Array(String)}})
    AND (empty({{severities:Array(String)}}) OR severity IN {{severities:Array(String)}})
    AND ({{subject:String}} = '' OR subject = {{subject:String}}
        OR startsWith(subject, concat({{subject:String}}, ':')))
ORDER BY created_at DESC, alert_id DESC
LIMIT {{limit:UInt32}}
"""

UPTIME = """
SELECT feed, toUInt8(day = toDate(now('UTC'))), uptime, contract_hours
FROM funding.uptime
WHERE day > toDate(now('UTC')) - 7
"""
UPTIME_SETTINGS = {"additional_table_filters": "{'funding.bars': 'hour > now() - INTERVAL 40 DAY'}"}
"""The view reads all bars ever, for contracts that have been silent since. So the query stays as
quick as it is."""

MISSING = f"""
SELECT feed, count(), sumMapIf(quarters, missing_s, position(subject, ':') > 0).1,
    sumMapIf(quarters, missing_s, position(subject, ':') > 0).2
FROM (
    SELECT feed, subject,
        greatest({_us("opened_at")}, {{begin:Int64}}) AS begin_us,
        least(ifNull({_us("closed_at")}, {{end:Int64}}), {{end:Int64}}) AS end_us,
        1 - if(seconds > 0, least(1, ifNull(rest_filled_s, 0) / seconds), 0) AS unknown_share,
        range(intDiv(begin_us, {_QUARTER_US}), intDiv(end_us - 1, {_QUARTER_US}) + 1) AS quarters,
        arrayMap(
            quarter -> unknown_share * (least(end_us, (quarter + 1) * {_QUARTER_US})
                - greatest(begin_us, quarter * {_QUARTER_US})) / 1e6,
            quarters
        ) AS missing_s
    FROM funding.gaps
    WHERE opened_at < fromUnixTimestamp64Micro({{end:Int64}})
        AND (closed_at IS NULL OR closed_at > fromUnixTimestamp64Micro({{begin:Int64}}))
)
GROUP BY feed
"""
"""By feed: how many gaps there were; quarters of an hour since the epoch, and of each the contract
seconds without a rate. While a connection is away its contracts have gaps themselves, so that its
own gap adds no seconds."""

OBSERVED = f"""
SELECT feed, min(intDiv(toUnixTimestamp(reported_at), {QUARTER_S}))
FROM funding.feeds
WHERE reported_at > fromUnixTimestamp64Micro({{begin:Int64}}) AND state != 'connecting'
GROUP BY feed
"""

RECONCILIATION = """
SELECT feed, sum(matched), sum(mismatch), sum(settled_matched), sum(settled_differs)
FROM funding.reconciliation
WHERE hour > now('UTC') - INTERVAL 24 HOUR
GROUP BY feed
"""

DAILY_PAID = f"""
SELECT contract_id, groupArrayInsertAt(nan, {WINDOW_DAYS})(total, toUInt32(day)) FROM (
    SELECT contract_id,
        intDiv({_us("funding_time")} - {{begin:Int64}} - 1, {US_PER_DAY}) AS day,
        sum(rate) AS total
    FROM funding.settlements FINAL
    WHERE contract_id IN {{contract_ids:Array(String)}}
        AND funding_time > fromUnixTimestamp64Micro({{begin:Int64}})
        AND funding_time <= fromUnixTimestamp64Micro({{end:Int64}})
    GROUP BY contract_id, day
)
GROUP BY contract_id
"""
"""A day of which nothing is known is NaN, which JSON has as null."""

PAID = f"""
SELECT contract_id, {_us("funding_time")}, rate
FROM funding.settlements FINAL
WHERE contract_id IN {{contract_ids:Array(String)}} AND funding_time {_SPAN}
ORDER BY funding_time, kind
"""

GONE = "SELECT contract_id FROM funding.gone"

QUOTES = """
SELECT contract_id, any(quote) FROM funding.rates
WHERE event_time > now() - INTERVAL 10 MINUTE
GROUP BY contract_id
"""

LATEST = f"""
SELECT {", ".join(_us(name) if name in _TIMES else name for name in ZSCORE.fields)}
FROM funding.zscores
WHERE event_time > now() - INTERVAL 1 DAY
  AND (contract_id, event_time) IN
  (
      SELECT contract_id, max(event_time)
      FROM funding.zscores
      WHERE event_time > now() - INTERVAL 1 DAY
      GROUP BY contract_id
  )
ORDER BY contract_id, received_at DESC, computed_at DESC, raw_offset DESC, raw_item DESC
LIMIT 1 BY contract_id
"""
"""As the view `latest`, with all fields."""


def of_subjects(subjects: Sequence[str]) -> dict[str, str]:
    """Return the settings by which views read only these subjects' audit events.

    The engine does not carry a condition on the view `gaps` into its joins. Hexadecimal digits are
    all that becomes a part of the condition's text.
    """
    names = ", ".join(f"unhex(\\'{subject.encode().hex()}\\')" for subject in subjects)
    return {"additional_table_filters": f"{{'funding.audit': 'subject IN ({names})'}}"}
