-- What a producer tells of its health since it polls beside its stream (FeedStatus).
ALTER TABLE funding.feeds ADD COLUMN IF NOT EXISTS mode LowCardinality(String) DEFAULT 'stream';
ALTER TABLE funding.feeds ADD COLUMN IF NOT EXISTS contracts_by_rest Int32 DEFAULT 0 CODEC(ZSTD(1));
ALTER TABLE funding.feeds ADD COLUMN IF NOT EXISTS connect_attempts Int64 DEFAULT 0 CODEC(Delta(8), ZSTD(1));
ALTER TABLE funding.feeds ADD COLUMN IF NOT EXISTS rest_failures Int64 DEFAULT 0 CODEC(Delta(8), ZSTD(1));
ALTER TABLE funding.feeds ADD COLUMN IF NOT EXISTS repeated Int64 DEFAULT 0 CODEC(Delta(8), ZSTD(1));

-- An end names its gap by the beginning, and by the socket where it is one of a feed's connections.
-- A gap without an end of its own (the contract is gone, the producer has died) ends with the first
-- end of its subject that comes after it began.
CREATE OR REPLACE VIEW funding.gaps AS
WITH
    opened AS
    (
        SELECT subject, first_event_time AS since, extract(detail, '^(socket [^:]*):') AS socket
        FROM funding.audit FINAL
        WHERE kind = 'gap_opened'
    ),
    closed AS
    (
        SELECT subject, first_event_time AS since, extract(detail, '^(socket [^:]*):') AS socket,
            last_event_time AS until, count, detail
        FROM funding.audit FINAL
        WHERE kind = 'gap_closed'
    ),
    later AS
    (
        SELECT subject, last_event_time AS until, if(kind = 'gap_closed', 'a later end', 'delisted') AS detail
        FROM funding.audit FINAL
        WHERE kind IN ('gap_closed', 'trading_ended', 'delisted')
    ),
    own AS
    (
        SELECT opened.subject AS subject, opened.since AS since, closed.until AS until,
            closed.count AS count, closed.detail AS detail
        FROM opened LEFT JOIN closed USING (subject, since, socket)
    )
SELECT
    splitByChar(':', own.subject)[1] AS feed,
    own.subject AS subject,
    own.since AS opened_at,
    nullIf(if(own.until > own.since, own.until, later.until), toDateTime64(0, 6, 'UTC')) AS closed_at,
    dateDiff('millisecond', own.since, ifNull(closed_at, now64(6, 'UTC'))) / 1000 AS seconds,
    if(position(own.subject, ':') > 0, own.count, 0) AS missed_ticks,
    if(own.until > own.since, own.detail, later.detail) AS filled_by
FROM own
ASOF LEFT JOIN later ON own.subject = later.subject AND later.until > own.since
COMMENT 'One row a gap in a contract''s stream or of a feed''s connection; closed_at is null while it is open';

-- Hours between a contract's first bar and its feed's newest that have no bar are known for 0 s. The
-- newest counts when silent contracts have had the time to close theirs; a contract that is gone is
-- not expected from that hour on.
CREATE OR REPLACE VIEW funding.coverage AS
SELECT feed, contract_id, hour, covered_s / 3600 AS covered, ws_s / 3600 AS covered_by_stream,
    rest_s / 3600 AS covered_by_rest, updates, late_updates
FROM funding.bars FINAL
UNION ALL
SELECT
    feed, contract_id,
    toDateTime64(arrayJoin(arrayFlatten(arrayMap(
        (number, following) -> range(number + 1, following),
        numbers, arrayPushBack(arrayPopFront(numbers), expected_to + 1)
    ))) * 3600, 6, 'UTC') AS hour,
    0. AS covered, 0. AS covered_by_stream, 0. AS covered_by_rest,
    toInt64(0) AS updates, toInt64(0) AS late_updates
FROM
(
    SELECT
        known.feed AS feed, known.contract_id AS contract_id, known.numbers AS numbers,
        greatest(
            if(ended.number >= known.numbers[-1], ended.number - 1, newest.number),
            known.numbers[-1]
        ) AS expected_to
    FROM
    (
        SELECT contract_id, any(feed) AS feed,
            arraySort(groupUniqArray(toInt64(intDiv(toUnixTimestamp(hour), 3600)))) AS numbers
        FROM funding.bars
        GROUP BY contract_id
    ) AS known
    LEFT JOIN
    (
        SELECT feed, toInt64(intDiv(toUnixTimestamp(max(hour)), 3600)) AS number
        FROM funding.bars
        WHERE hour <= now() - INTERVAL 65 MINUTE
        GROUP BY feed
    ) AS newest ON known.feed = newest.feed
    LEFT JOIN
    (
        SELECT subject, toInt64(intDiv(toUnixTimestamp(max(last_event_time)), 3600)) AS number
        FROM funding.audit
        WHERE kind IN ('trading_ended', 'delisted')
        GROUP BY subject
    ) AS ended ON known.contract_id = ended.subject
)
COMMENT 'One row a contract and hour from its first bar on: the share of it for which a rate is known';

-- The hour in which a contract appeared is not whole: it counts only where there is no other.
CREATE OR REPLACE VIEW funding.uptime AS
SELECT
    feed,
    toDate(hour) AS day,
    uniqExact(contract_id) AS contracts,
    count() AS contract_hours,
    avg(covered) AS uptime,
    avg(covered_by_stream) AS uptime_by_stream,
    avg(covered_by_rest) AS uptime_by_rest
FROM
(
    SELECT
        feed, contract_id, hour, covered, covered_by_stream, covered_by_rest,
        min(hour) OVER (PARTITION BY contract_id) AS first_hour,
        max(hour) OVER (PARTITION BY contract_id) AS last_hour
    FROM funding.coverage
)
WHERE hour > first_hour OR last_hour = first_hour
GROUP BY feed, day
ORDER BY feed, day
COMMENT 'By feed and day: the share of its contracts'' time for which a rate younger than the stale threshold was known';

-- Settlements are counted in the hour that they settle.
CREATE OR REPLACE VIEW funding.reconciliation AS
SELECT
    splitByChar(':', subject)[1] AS feed,
    toStartOfHour(first_event_time) AS hour,
    sumIf(count, kind = 'matched') AS matched,
    sumIf(count, kind = 'mismatch') AS mismatch,
    sumIf(count, kind = 'not_compared') AS not_compared,
    if(matched + mismatch > 0, mismatch / (matched + mismatch), NULL) AS mismatch_share,
    sumIf(count, kind = 'settled_matched') AS settled_matched,
    sumIf(count, kind = 'settled_differs') AS settled_differs
FROM funding.audit FINAL
WHERE (kind IN ('matched', 'mismatch', 'not_compared', 'settled_matched') AND position(subject, ':') = 0)
   OR kind = 'settled_differs'
GROUP BY feed, hour
ORDER BY feed, hour
COMMENT 'By feed and hour: how REST compared with the stream, and settled rates with their last estimates';
