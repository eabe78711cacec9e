-- What a producer tells of its health since it polls beside its stream (FeedStatus).
ALTER TABLE funding.feeds ADD COLUMN IF NOT EXISTS mode LowCardinality(String) DEFAULT 'stream';
ALTER TABLE funding.feeds ADD COLUMN IF NOT EXISTS contracts_by_rest Int32 DEFAULT 0 CODEC(ZSTD(1));
ALTER TABLE funding.feeds ADD COLUMN IF NOT EXISTS connect_attempts Int64 DEFAULT 0 CODEC(Delta(8), ZSTD(1));
ALTER TABLE funding.feeds ADD COLUMN IF NOT EXISTS rest_failures Int64 DEFAULT 0 CODEC(Delta(8), ZSTD(1));
ALTER TABLE funding.feeds ADD COLUMN IF NOT EXISTS repeated Int64 DEFAULT 0 CODEC(Delta(8), ZSTD(1));

-- A contract whose newest word is that it trades no longer.
CREATE OR REPLACE VIEW funding.gone AS
SELECT
    subject AS contract_id,
    maxIf(last_event_time, kind IN ('trading_ended', 'delisted')) AS ended_at
FROM funding.audit
WHERE kind IN ('trading_ended', 'delisted', 'trading_began', 'listed') AND position(subject, ':') > 0
GROUP BY subject
HAVING ended_at > maxIf(last_event_time, kind IN ('trading_began', 'listed'))
COMMENT 'Contracts that are delisted or trade no longer, and since when';

-- An end names its gap by the beginning, and by the socket where it is one of a feed's connections.
-- A gap without an end of its own (the contract is gone, the producer has died) ends with the first
-- end of its subject and socket that comes after it began, or with the next start of the producer.
-- What a gone contract still brought ends no later than it began to be silent.
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
    ended AS
    (
        SELECT subject, last_event_time AS until,
            if(kind = 'started', 'the producer was restarted', 'delisted') AS detail
        FROM funding.audit FINAL
        WHERE kind IN ('trading_ended', 'delisted', 'started')
    ),
    later AS
    (
        SELECT subject, socket, until, 'a later end' AS detail FROM closed
        UNION ALL
        SELECT ended.subject AS subject, known.socket AS socket, ended.until AS until, ended.detail AS detail
        FROM ended INNER JOIN (SELECT DISTINCT subject, socket FROM opened) AS known USING (subject)
    ),
    own AS
    (
        SELECT opened.subject AS subject, opened.socket AS socket, opened.since AS since,
            closed.until AS until, closed.count AS count, closed.detail AS detail
        FROM opened LEFT JOIN closed USING (subject, since, socket)
    ),
    paired AS
    (
        SELECT own.subject AS subject, own.since AS since, own.count AS count,
            if(own.until > own.since, own.until, later.until) AS until,
            if(own.until > own.since, own.detail, later.detail) AS detail
        FROM own
        ASOF LEFT JOIN later
            ON own.subject = later.subject AND own.socket = later.socket AND later.until > own.since
    )
SELECT
    splitByChar(':', paired.subject)[1] AS feed,
    paired.subject AS subject,
    paired.since AS opened_at,
    multiIf(
        paired.until > paired.since, paired.until,
        gone.contract_id != '', greatest(paired.since, gone.ended_at),
        NULL
    ) AS closed_at,
    dateDiff('millisecond', paired.since, ifNull(closed_at, now64(6, 'UTC'))) / 1000 AS seconds,
    if(position(paired.subject, ':') > 0, paired.count, 0) AS missed_ticks,
    if(paired.until <= paired.since AND gone.contract_id != '', 'delisted', paired.detail) AS filled_by
FROM paired
LEFT JOIN funding.gone AS gone ON paired.subject = gone.contract_id
COMMENT 'One row a gap in a contract''s stream or of a feed''s connection; closed_at is null while it is open';

-- Hours between a contract's first bar and the newest of all feeds that have no bar are known for
-- 0 s: a feed that is silent has no newest hour of its own. The newest counts when silent contracts
-- have had the time to close theirs; a contract that is gone is not expected from that hour on.
CREATE OR REPLACE VIEW funding.coverage AS
WITH
    (
        SELECT toInt64(intDiv(toUnixTimestamp(max(hour)), 3600))
        FROM funding.bars
        WHERE hour <= now() - INTERVAL 65 MINUTE
    ) AS newest
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
            if(
                gone.contract_id != '',
                toInt64(intDiv(toUnixTimestamp(gone.ended_at), 3600)) - 1,
                assumeNotNull(newest)
            ),
            known.numbers[-1]
        ) AS expected_to
    FROM
    (
        SELECT contract_id, any(feed) AS feed,
            arraySort(groupUniqArray(toInt64(intDiv(toUnixTimestamp(hour), 3600)))) AS numbers
        FROM funding.bars
        GROUP BY contract_id
    ) AS known
    LEFT JOIN funding.gone AS gone ON known.contract_id = gone.contract_id
)
COMMENT 'One row a contract and hour from its first bar on: the share of it for which a rate is known';

-- The hour in which a contract appeared is not whole: it counts only where there is no other. Nor is
-- that in which it ended; what it brings from then on is not expected.
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
) AS hours
LEFT JOIN funding.gone AS gone ON hours.contract_id = gone.contract_id
WHERE (hour > first_hour OR last_hour = first_hour)
  AND (gone.contract_id = '' OR hour < toStartOfHour(gone.ended_at))
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
