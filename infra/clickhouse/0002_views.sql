-- Views for people. Each looks at the last day where it asks for the newest: the newest time of a
-- contract is found first (two columns are read), then only its row is fetched by primary key.

CREATE OR REPLACE VIEW funding.latest AS
SELECT
    contract_id, feed, symbol, base, rate, interval_hours, rate_8h, apr,
    z, robust_z, percentile, zone, confidence, samples,
    dateDiff('millisecond', event_time, now64(3)) / 1000 AS age_s,
    mark_price, next_funding_time, event_time, transport
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
    confidence, samples, age_s, mark_price, next_funding_time, feed, symbol, base
FROM funding.latest
WHERE z IS NOT NULL
ORDER BY abs(z) DESC, contract_id
COMMENT 'The newest z-scores, the largest in size first';

-- A rate that stopped moving 10 minutes ago is nothing to trade against. A feed may list a base in
-- several quotes, so each feed enters with its highest and its lowest contract.
CREATE OR REPLACE VIEW funding.spreads AS
WITH legs AS
(
    SELECT
        base, feed,
        argMax((contract_id, rate_8h, interval_hours), rate_8h) AS high,
        argMin((contract_id, rate_8h, interval_hours), rate_8h) AS low,
        max(age_s) AS oldest_s
    FROM funding.latest
    WHERE age_s < 600
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

CREATE OR REPLACE VIEW funding.freshness AS
SELECT
    feed,
    quantileExact(0.5)(age_s) AS p50_s,
    quantileExact(0.99)(age_s) AS p99_s,
    max(age_s) AS max_s,
    count() AS contracts
FROM
(
    SELECT
        any(feed) AS feed,
        dateDiff('millisecond', max(event_time), now64(3)) / 1000 AS age_s
    FROM funding.rates
    WHERE event_time > now() - INTERVAL 1 DAY
    GROUP BY contract_id
)
GROUP BY feed
ORDER BY feed
COMMENT 'By feed: age of the newest update of each contract of the last day';

-- Must be empty. FINAL shows what remains when the engine has merged equal keys, so each row here
-- is a fault of ours. It reads whole tables: an instrument, not a dashboard.
CREATE OR REPLACE VIEW funding.duplicates AS
SELECT 'rates' AS table, concat(contract_id, ' ', toString(event_time), ' ', toString(rate)) AS identity,
    count() AS count
FROM funding.rates FINAL
GROUP BY contract_id, event_time, rate
HAVING count > 1
UNION ALL
SELECT 'rates', concat(raw_topic, ' ', toString(raw_partition), ' ', toString(raw_offset), ' ',
    toString(raw_item)), count() AS count
FROM funding.rates FINAL
GROUP BY raw_topic, raw_partition, raw_offset, raw_item
HAVING count > 1
UNION ALL
SELECT 'settlements', concat(contract_id, ' ', toString(funding_time)), count() AS count
FROM funding.settlements FINAL
GROUP BY contract_id, funding_time
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
