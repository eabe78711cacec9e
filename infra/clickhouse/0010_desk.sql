-- The newest row of each contract, kept beside the tables as rows come in. In zscores and rates a
-- contract's rows lie together, so that the newest of all contracts are in some 1,900 places: to find
-- them there takes seconds at full load. A view reads these tables; merges keep one row a contract.
CREATE TABLE IF NOT EXISTS funding.latest_zscores
(
    contract_id       LowCardinality(String),
    feed              LowCardinality(String),
    symbol            LowCardinality(String),
    base              LowCardinality(String),
    rate              Float64,
    interval_hours    Float64,
    rate_8h           Float64,
    apr               Float64,
    z                 Nullable(Float64),
    robust_z          Nullable(Float64),
    percentile        Nullable(Float64),
    samples           Int32,
    confidence        LowCardinality(String),
    zone              LowCardinality(String),
    mark_price        Nullable(Float64),
    next_funding_time Nullable(DateTime64(6, 'UTC')),
    event_time        DateTime64(6, 'UTC'),
    received_at       DateTime64(6, 'UTC'),
    computed_at       DateTime64(6, 'UTC'),
    transport         LowCardinality(String),
    raw_offset        Int64,
    raw_item          Int32,
    interval_source   LowCardinality(Nullable(String)),
    interval_doubtful Bool
)
ENGINE = ReplacingMergeTree(event_time)
ORDER BY contract_id
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'The newest z-score of each contract, as zscores got it; the view latest reads it';

CREATE TABLE IF NOT EXISTS funding.latest_rates
(
    contract_id       LowCardinality(String),
    feed              LowCardinality(String),
    symbol            LowCardinality(String),
    base              LowCardinality(String),
    quote             LowCardinality(Nullable(String)),
    multiplier        Nullable(Float64),
    event_time        DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(event_time)
ORDER BY contract_id
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'When each contract was last updated, and what it is: as rates got it, kept; the views contracts and freshness read it';

CREATE MATERIALIZED VIEW IF NOT EXISTS funding.zscores_to_latest TO funding.latest_zscores AS
SELECT
    contract_id, feed, symbol, base, rate, interval_hours, rate_8h, apr, z, robust_z, percentile, samples,
    confidence, zone, mark_price, next_funding_time, event_time, received_at, computed_at, transport,
    raw_offset, raw_item, interval_source, interval_doubtful
FROM funding.zscores
COMMENT 'Copies what comes into zscores to latest_zscores';

CREATE MATERIALIZED VIEW IF NOT EXISTS funding.rates_to_latest TO funding.latest_rates AS
SELECT contract_id, feed, symbol, base, quote, multiplier, event_time
FROM funding.rates
COMMENT 'Copies what comes into rates to latest_rates';

-- What was stored before. Bars know no quote, and name contracts whose rates have expired.
INSERT INTO funding.latest_zscores
SELECT
    contract_id, feed, symbol, base, rate, interval_hours, rate_8h, apr, z, robust_z, percentile, samples,
    confidence, zone, mark_price, next_funding_time, event_time, received_at, computed_at, transport,
    raw_offset, raw_item, interval_source, interval_doubtful
FROM funding.zscores
WHERE event_time > now() - INTERVAL 1 DAY
ORDER BY contract_id, event_time DESC, received_at DESC, computed_at DESC, raw_offset DESC, raw_item DESC
LIMIT 1 BY contract_id;

INSERT INTO funding.latest_rates
SELECT
    contract_id, argMax(feed, event_time), argMax(symbol, event_time), argMax(base, event_time),
    argMax(quote, event_time), argMax(multiplier, event_time), max(event_time) AS newest
FROM funding.rates
GROUP BY contract_id
UNION ALL
SELECT contract_id, any(feed), any(symbol), argMax(base, hour), NULL, NULL, max(hour) AS newest
FROM funding.bars
WHERE contract_id NOT IN (SELECT contract_id FROM funding.rates)
GROUP BY contract_id;

-- As in 0008, from the table of the newest.
CREATE OR REPLACE VIEW funding.latest AS
SELECT
    contract_id, feed, symbol, base, rate, interval_hours, rate_8h, apr,
    z, robust_z, percentile, zone, confidence, samples,
    dateDiff('millisecond', event_time, now64(3)) / 1000 AS age_s,
    mark_price, next_funding_time, event_time, transport, interval_source, interval_doubtful
FROM funding.latest_zscores
WHERE event_time > now() - INTERVAL 1 DAY
ORDER BY contract_id, event_time DESC, received_at DESC, computed_at DESC, raw_offset DESC, raw_item DESC
LIMIT 1 BY contract_id
COMMENT 'One row a contract: its newest z-score of the last day, and how old it is';

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
    FROM funding.latest_rates
    WHERE event_time > now() - INTERVAL 1 DAY
    GROUP BY contract_id
)
GROUP BY feed
ORDER BY feed
COMMENT 'By feed: age of the newest update of each contract of the last day';

CREATE OR REPLACE VIEW funding.contracts AS
SELECT
    contract_id,
    argMax(feed, event_time) AS feed,
    argMax(symbol, event_time) AS symbol,
    argMax(base, event_time) AS base,
    argMax(quote, event_time) AS quote,
    argMax(multiplier, event_time) AS multiplier,
    max(event_time) AS updated_at
FROM funding.latest_rates
GROUP BY contract_id
COMMENT 'One row a contract that has had a rate: feed, symbol, the asset that it is about, and when it was last updated';

CREATE OR REPLACE VIEW funding.bars_daily AS
SELECT
    contract_id, feed, symbol,
    argMax(base, hour) AS base,
    toDate(hour) AS day,
    argMin(open, hour) AS open,
    max(high) AS high,
    min(low) AS low,
    argMax(close, hour) AS close,
    sum(b.mean * b.covered_s) / sum(b.covered_s) AS mean,
    sqrt(greatest(
        sum((b.std * b.std + b.mean * b.mean) * b.covered_s) / sum(b.covered_s) - mean * mean, 0
    )) AS std,
    sum(b.mean * 8 / b.interval_hours * b.covered_s) / sum(b.covered_s) AS mean_8h,
    sum(b.covered_s) AS covered_s,
    sum(b.updates) AS updates,
    sum(b.late_updates) AS late_updates,
    min(b.z_min) AS z_min,
    max(b.z_max) AS z_max,
    argMax(b.z_close, hour) AS z_close,
    argMax(b.mark_close, hour) AS mark_close,
    argMax(b.interval_hours, hour) AS interval_hours,
    count() AS hours
FROM funding.bars AS b FINAL
GROUP BY contract_id, feed, symbol, day
ORDER BY contract_id, day
COMMENT 'One row a contract and day, from the bars of its hours; mean and std weigh by time known, the rates are per interval except mean_8h';

-- What a settlement was in money. The mark price is that at the end of the hour before the one that
-- the settlement is in, from its bar: null where that is not known, as before the installation.
-- The day is in the join, so that who asks for some days reads the bars of those days; of all of
-- them, years, the merge takes a bounded memory and a hash table would not.
CREATE OR REPLACE VIEW funding.payments AS
SELECT
    s.contract_id AS contract_id, s.feed AS feed, s.symbol AS symbol, c.base AS base, c.quote AS quote,
    s.funding_time AS funding_time, s.day AS day, s.kind AS kind, s.rate AS rate,
    s.interval_hours AS interval_hours, s.rate_8h AS rate_8h, s.interval_doubtful AS interval_doubtful,
    b.mark_close AS mark_price,
    s.rate AS per_notional,
    s.rate * b.mark_close / c.multiplier AS per_unit
FROM
(
    SELECT
        contract_id, feed, symbol, funding_time, kind, rate, interval_hours, rate_8h, interval_doubtful,
        toDate(funding_time) AS day, toStartOfHour(funding_time) AS its_hour
    FROM funding.settlements FINAL
) AS s
LEFT ANY JOIN funding.contracts AS c ON s.contract_id = c.contract_id
LEFT ANY JOIN
(
    SELECT
        contract_id, mark_close,
        hour + INTERVAL 1 HOUR AS ended_at, toDate(hour + INTERVAL 1 HOUR) AS day
    FROM funding.bars FINAL
) AS b ON s.contract_id = b.contract_id AND s.day = b.day AND s.its_hour = b.ended_at
SETTINGS join_algorithm = 'full_sorting_merge'
COMMENT 'One row a settlement: what longs paid to shorts, per 1 of notional and per 1 unit of the base asset (in the quote asset); null where no mark price or multiplier is known';

CREATE OR REPLACE VIEW funding.paid AS
SELECT
    feed, contract_id, symbol, any(base) AS base, day,
    sumIf(rate, kind = 'regular') AS regular,
    sumIf(rate, kind = 'special') AS special,
    sum(rate) AS total,
    countIf(kind = 'regular') AS regular_count,
    countIf(kind = 'special') AS special_count,
    any(quote) AS quote,
    sum(per_unit) AS total_per_unit,
    countIf(per_unit IS NULL) AS unpriced_count
FROM funding.payments
GROUP BY feed, contract_id, symbol, day
ORDER BY contract_id, day
COMMENT 'By contract and day: the funding that longs paid to shorts, as a fraction of the position by kind and in total, and per unit of the base asset in the quote asset, as far as its settlements have a price';

CREATE OR REPLACE VIEW funding.paid_weekly AS
SELECT
    feed, contract_id, symbol, any(base) AS base, toMonday(day) AS week,
    sum(p.regular) AS regular,
    sum(p.special) AS special,
    sum(p.total) AS total,
    sum(p.regular_count) AS regular_count,
    sum(p.special_count) AS special_count,
    any(quote) AS quote,
    sum(p.total_per_unit) AS total_per_unit,
    sum(p.unpriced_count) AS unpriced_count
FROM funding.paid AS p
GROUP BY feed, contract_id, symbol, week
ORDER BY contract_id, week
COMMENT 'As paid, by week: week is its Monday, in UTC';

-- As in 0008, of a span: to compare all that is stored of a month takes minutes.
CREATE OR REPLACE VIEW funding.duplicates_between AS
SELECT 'rates' AS table, concat(contract_id, ' ', toString(event_time), ' ', toString(rate)) AS identity,
    count() AS count
FROM funding.rates FINAL
WHERE NOT late AND event_time >= {since:DateTime64(6, 'UTC')} AND event_time < {until:DateTime64(6, 'UTC')}
GROUP BY contract_id, event_time, rate
HAVING count > 1
UNION ALL
SELECT 'rates', concat(raw_topic, ' ', toString(raw_partition), ' ', toString(raw_offset), ' ',
    toString(raw_item)), count() AS count
FROM funding.rates FINAL
WHERE event_time >= {since:DateTime64(6, 'UTC')} AND event_time < {until:DateTime64(6, 'UTC')}
GROUP BY raw_topic, raw_partition, raw_offset, raw_item
HAVING count > 1
UNION ALL
SELECT 'settlements', concat(contract_id, ' ', toString(funding_time), ' ', toString(kind)), count() AS count
FROM funding.settlements FINAL
WHERE funding_time >= {since:DateTime64(6, 'UTC')} AND funding_time < {until:DateTime64(6, 'UTC')}
GROUP BY contract_id, funding_time, kind
HAVING count > 1
UNION ALL
SELECT 'alerts', alert_id, count() AS count
FROM funding.alerts FINAL
WHERE event_time >= {since:DateTime64(6, 'UTC')} AND event_time < {until:DateTime64(6, 'UTC')}
GROUP BY alert_id
HAVING count > 1
UNION ALL
SELECT 'zscores', concat(contract_id, ' ', toString(event_time), ' ', trigger, ' ', toString(rate)),
    count() AS count
FROM funding.zscores FINAL
WHERE event_time >= {since:DateTime64(6, 'UTC')} AND event_time < {until:DateTime64(6, 'UTC')}
GROUP BY contract_id, event_time, trigger, rate
HAVING count > 1
COMMENT 'As duplicates, between two event times: SELECT * FROM duplicates_between(since = …, until = …)';

CREATE OR REPLACE VIEW funding.duplicates AS
SELECT *
FROM funding.duplicates_between(since = now64(6) - INTERVAL 10 MINUTE, until = now64(6) + INTERVAL 1 DAY)
COMMENT 'What is stored twice under different keys, of event times of the last ten minutes on: must be empty; duplicates_between asks about any span';
