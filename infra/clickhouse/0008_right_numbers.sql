-- Two kinds of settlements may share a minute, so the kind is part of the key. A key can only grow by
-- a column that the same ALTER adds without a default of its own: rows that were stored before are
-- 'regular', the value 0 of the type. A special one is no rate per time: it has no interval.
ALTER TABLE funding.settlements ADD COLUMN IF NOT EXISTS kind Enum8('regular' = 0, 'special' = 1),
    MODIFY ORDER BY (contract_id, funding_time, kind);
ALTER TABLE funding.settlements ADD COLUMN IF NOT EXISTS interval_source LowCardinality(Nullable(String));
ALTER TABLE funding.settlements ADD COLUMN IF NOT EXISTS interval_doubtful Bool DEFAULT false CODEC(ZSTD(1));
ALTER TABLE funding.settlements ADD COLUMN IF NOT EXISTS generation Int32 DEFAULT 1 CODEC(ZSTD(1));
ALTER TABLE funding.settlements MODIFY COLUMN interval_hours Nullable(Float64) CODEC(ZSTD(1));
ALTER TABLE funding.settlements MODIFY COLUMN rate_8h Nullable(Float64) CODEC(Gorilla, ZSTD(1));
ALTER TABLE funding.rates ADD COLUMN IF NOT EXISTS interval_doubtful Bool DEFAULT false CODEC(ZSTD(1));
ALTER TABLE funding.zscores ADD COLUMN IF NOT EXISTS interval_source LowCardinality(Nullable(String));
ALTER TABLE funding.zscores ADD COLUMN IF NOT EXISTS interval_doubtful Bool DEFAULT false CODEC(ZSTD(1));
ALTER TABLE funding.zscores ADD COLUMN IF NOT EXISTS generation Int32 DEFAULT 1 CODEC(ZSTD(1));

-- As in 0006, with the columns of today.
CREATE OR REPLACE VIEW funding.settlements_once AS
SELECT s.contract_id AS contract_id, s.feed AS feed, s.symbol AS symbol, c.base AS base,
    s.* EXCEPT (contract_id, feed, symbol)
FROM funding.settlements AS s FINAL
LEFT ANY JOIN funding.contracts AS c ON s.contract_id = c.contract_id
COMMENT 'Settled funding rates of both kinds, each once, with the base; empty where a contract has had no rate yet';

CREATE OR REPLACE VIEW funding.rates_once AS
SELECT * FROM funding.rates FINAL
COMMENT 'Every accepted update of a contract''s estimated rate, each once';

CREATE OR REPLACE VIEW funding.zscores_once AS
SELECT * FROM funding.zscores FINAL
COMMENT 'Rates against the 30-day baseline, as the zone policy emitted them, each once';

-- A ticker that was listed again is scored before its new life has settled anything, so its
-- generation is also looked for among the z-scores.
CREATE OR REPLACE VIEW funding.baseline_settlements AS
SELECT *
FROM funding.settlements_once
WHERE kind = 'regular' AND NOT interval_doubtful AND (contract_id, generation) IN
(
    SELECT contract_id, max(generation)
    FROM
    (
        SELECT contract_id, generation FROM funding.settlements
        UNION ALL
        SELECT contract_id, generation FROM funding.zscores WHERE event_time > now() - INTERVAL 3 HOUR
    )
    GROUP BY contract_id
)
COMMENT 'The settlements that statistics use: regular, of an interval that is not in doubt, of the newest generation of their contract';

CREATE OR REPLACE VIEW funding.paid AS
SELECT
    feed, contract_id, symbol, any(base) AS base, toDate(funding_time) AS day,
    sumIf(rate, kind = 'regular') AS regular,
    sumIf(rate, kind = 'special') AS special,
    sum(rate) AS total,
    countIf(kind = 'regular') AS regular_count,
    countIf(kind = 'special') AS special_count
FROM funding.settlements_once
GROUP BY feed, contract_id, symbol, day
ORDER BY contract_id, day
COMMENT 'By contract and day: the funding that longs paid to shorts, as a fraction of the position, by kind and in total';

-- A change of clock makes one spacing shorter than the interval, a change of interval leaves each
-- spacing within the larger one: whatever is longer has a hole in it. The minute is for rounding.
CREATE OR REPLACE VIEW funding.settlement_gaps AS
SELECT
    feed, contract_id, symbol, since, until,
    toUInt32(ceil((dateDiff('second', since, until) - 60) / (longer_hours * 3600)) - 1) AS missing,
    longer_hours AS interval_hours, generation
FROM
(
    SELECT
        feed, contract_id, symbol, generation, funding_time AS until,
        lagInFrame(funding_time) OVER neighbours AS since,
        row_number() OVER neighbours AS number,
        greatest(
            lagInFrame(ifNull(interval_hours, 0)) OVER neighbours,
            ifNull(interval_hours, 0)
        ) AS longer_hours
    FROM funding.settlements FINAL
    WHERE kind = 'regular'
    WINDOW neighbours AS (PARTITION BY contract_id, generation ORDER BY funding_time)
)
WHERE number > 1 AND longer_hours > 0 AND dateDiff('second', since, until) > longer_hours * 3600 + 60
ORDER BY contract_id, since
COMMENT 'One row a hole in a contract''s settlements: between which two it is, and how many are missing at least';

-- Of a hole that began before the window, only what is missing within it counts.
CREATE OR REPLACE VIEW funding.settlement_coverage AS
WITH
    now64(6, 'UTC') - INTERVAL 30 DAY AS window_begin,
    lost AS
    (
        SELECT
            contract_id,
            sum(least(missing, toUInt32(greatest(
                ceil((dateDiff('second', window_begin, until) - 60) / (interval_hours * 3600)) - 1, 0
            )))) AS missing
        FROM funding.settlement_gaps
        WHERE until > window_begin
        GROUP BY contract_id
    )
SELECT
    known.feed AS feed, known.contract_id AS contract_id, known.symbol AS symbol,
    known.settled AS settled, lost.missing AS missing,
    known.settled / (known.settled + lost.missing) AS share,
    known.newest AS newest
FROM
(
    SELECT feed, contract_id, symbol, count() AS settled, max(funding_time) AS newest
    FROM funding.settlements FINAL
    WHERE kind = 'regular' AND funding_time > window_begin
    GROUP BY feed, contract_id, symbol
) AS known
LEFT JOIN lost ON known.contract_id = lost.contract_id
ORDER BY share, contract_id
COMMENT 'By contract, over the last 30 days and up to its newest settlement: how many settled, how many are missing between them';

-- As in 0002, with what is known about the interval.
CREATE OR REPLACE VIEW funding.latest AS
SELECT
    contract_id, feed, symbol, base, rate, interval_hours, rate_8h, apr,
    z, robust_z, percentile, zone, confidence, samples,
    dateDiff('millisecond', event_time, now64(3)) / 1000 AS age_s,
    mark_price, next_funding_time, event_time, transport, interval_source, interval_doubtful
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
COMMENT 'One row a contract: its newest z-score and how old it is';

CREATE OR REPLACE VIEW funding.extremes AS
SELECT
    contract_id, z, robust_z, percentile, rate_8h, apr, rate, interval_hours,
    confidence, samples, age_s, mark_price, next_funding_time, feed, symbol, base,
    interval_source, interval_doubtful
FROM funding.latest
WHERE z IS NOT NULL
ORDER BY abs(z) DESC, contract_id
COMMENT 'The newest z-scores, the largest in size first';

-- As in 0002, without rates whose interval is in doubt: their rate_8h may be wrong by a factor of 8.
CREATE OR REPLACE VIEW funding.spreads AS
WITH legs AS
(
    SELECT
        base, feed,
        argMax((contract_id, rate_8h, interval_hours), rate_8h) AS high,
        argMin((contract_id, rate_8h, interval_hours), rate_8h) AS low,
        max(age_s) AS oldest_s
    FROM funding.latest
    WHERE age_s < 600 AND NOT interval_doubtful
    GROUP BY base, feed
)
SELECT
    short.base AS base,
    short.high.2 - long.low.2 AS gap_8h,
    gap_8h * 1095 AS gap_apr,
    short.feed AS high_feed,
    short.high.1 AS high_contract_id,
    short.high.2 AS high_rate_8h,
    short.high.3 AS high_interval_hours,
    long.feed AS low_feed,
    long.low.1 AS low_contract_id,
    long.low.2 AS low_rate_8h,
    long.low.3 AS low_interval_hours,
    greatest(short.oldest_s, long.oldest_s) AS oldest_s
FROM legs AS short
INNER JOIN legs AS long ON short.base = long.base
WHERE short.feed != long.feed
ORDER BY gap_8h DESC, base, high_contract_id, low_contract_id
LIMIT 1 BY base
COMMENT 'Per base: the widest gap in rate_8h between two feeds, and both legs';

-- As in 0003, with the kind of settlements.
CREATE OR REPLACE VIEW funding.duplicates AS
SELECT 'rates' AS table, concat(contract_id, ' ', toString(event_time), ' ', toString(rate)) AS identity,
    count() AS count
FROM funding.rates FINAL
WHERE NOT late
GROUP BY contract_id, event_time, rate
HAVING count > 1
UNION ALL
SELECT 'rates', concat(raw_topic, ' ', toString(raw_partition), ' ', toString(raw_offset), ' ',
    toString(raw_item)), count() AS count
FROM funding.rates FINAL
GROUP BY raw_topic, raw_partition, raw_offset, raw_item
HAVING count > 1
UNION ALL
SELECT 'settlements', concat(contract_id, ' ', toString(funding_time), ' ', toString(kind)), count() AS count
FROM funding.settlements FINAL
GROUP BY contract_id, funding_time, kind
HAVING count > 1
UNION ALL
SELECT 'alerts', alert_id, count() AS count
FROM funding.alerts FINAL
GROUP BY alert_id
HAVING count > 1
UNION ALL
SELECT 'zscores', concat(contract_id, ' ', toString(event_time), ' ', trigger, ' ', toString(rate)),
    count() AS count
FROM funding.zscores FINAL
GROUP BY contract_id, event_time, trigger, rate
HAVING count > 1
COMMENT 'What is stored twice under different keys: must be empty';
