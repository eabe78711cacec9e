-- What an exchange's own number for the rate is (docs/exchanges/README.md), and what its mark price
-- can be compared by. Rows that were stored before are of feeds that send estimates per interval.
ALTER TABLE funding.rates ADD COLUMN IF NOT EXISTS rate_kind LowCardinality(String) DEFAULT 'estimate';
ALTER TABLE funding.zscores ADD COLUMN IF NOT EXISTS rate_kind LowCardinality(String) DEFAULT 'estimate';
ALTER TABLE funding.zscores ADD COLUMN IF NOT EXISTS quote LowCardinality(Nullable(String));
ALTER TABLE funding.zscores ADD COLUMN IF NOT EXISTS multiplier Nullable(Float64) CODEC(ZSTD(1));

-- How many contracts are silent because nothing of them changes.
ALTER TABLE funding.feeds ADD COLUMN IF NOT EXISTS contracts_quiet Int32 DEFAULT 0 CODEC(ZSTD(1));

CREATE TABLE IF NOT EXISTS funding.contract_facts
(
    contract_id      LowCardinality(String),
    feed             LowCardinality(String),
    symbol           LowCardinality(String),
    base             LowCardinality(String),
    quote            LowCardinality(String),
    multiplier       Float64 CODEC(ZSTD(1)),
    status           LowCardinality(String),
    status_word      LowCardinality(Nullable(String)),
    interval_hours   Nullable(Float64) CODEC(ZSTD(1)),
    rate_cap         Nullable(Float64) CODEC(ZSTD(1)),
    rate_floor       Nullable(Float64) CODEC(ZSTD(1)),
    listed_at        Nullable(DateTime64(6, 'UTC')) CODEC(ZSTD(1)),
    rate_kind        LowCardinality(String),
    turnover_24h     Nullable(Float64) CODEC(ZSTD(1)),
    turnover_at      Nullable(DateTime64(6, 'UTC')) CODEC(ZSTD(1)),
    open_interest    Nullable(Float64) CODEC(ZSTD(1)),
    open_interest_at Nullable(DateTime64(6, 'UTC')) CODEC(ZSTD(1)),
    updated_at       DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    raw_topic        LowCardinality(String),
    raw_partition    Int32 CODEC(ZSTD(1)),
    raw_offset       Int64 CODEC(Delta(8), ZSTD(1)),
    raw_item         Int32 CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(updated_at)
PRIMARY KEY (contract_id, updated_at)
ORDER BY (contract_id, updated_at, raw_topic, raw_partition, raw_offset, raw_item)
TTL toDateTime(updated_at) + INTERVAL 365 DAY
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'What each contract is and how much of it is traded, whenever one of that changed, for a year';

CREATE OR REPLACE VIEW funding.contract_facts_once AS
SELECT * FROM funding.contract_facts FINAL
COMMENT 'What each contract is and how much of it is traded, whenever one of that changed, each once';

-- As in 0006, with the columns of today.
CREATE OR REPLACE VIEW funding.feeds_once AS
SELECT * FROM funding.feeds FINAL
COMMENT 'What the producers reported about each feed, each once';

CREATE OR REPLACE VIEW funding.rates_once AS
SELECT * FROM funding.rates FINAL
COMMENT 'Every accepted update of a contract''s estimated rate, each once';

CREATE OR REPLACE VIEW funding.zscores_once AS
SELECT * FROM funding.zscores FINAL
COMMENT 'Rates against the 30-day baseline, as the zone policy emitted them, each once';

-- The newest facts of each contract beside, as the newest rates in 0010.
CREATE TABLE IF NOT EXISTS funding.latest_facts
(
    contract_id      LowCardinality(String),
    feed             LowCardinality(String),
    symbol           LowCardinality(String),
    base             LowCardinality(String),
    quote            LowCardinality(String),
    multiplier       Float64,
    status           LowCardinality(String),
    status_word      LowCardinality(Nullable(String)),
    interval_hours   Nullable(Float64),
    rate_cap         Nullable(Float64),
    rate_floor       Nullable(Float64),
    listed_at        Nullable(DateTime64(6, 'UTC')),
    rate_kind        LowCardinality(String),
    turnover_24h     Nullable(Float64),
    turnover_at      Nullable(DateTime64(6, 'UTC')),
    open_interest    Nullable(Float64),
    open_interest_at Nullable(DateTime64(6, 'UTC')),
    updated_at       DateTime64(6, 'UTC'),
    raw_offset       Int64,
    raw_item         Int32
)
ENGINE = ReplacingMergeTree(updated_at)
ORDER BY contract_id
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'The newest facts of each contract, as contract_facts got them, kept; the view contracts reads it';

CREATE MATERIALIZED VIEW IF NOT EXISTS funding.facts_to_latest TO funding.latest_facts AS
SELECT
    contract_id, feed, symbol, base, quote, multiplier, status, status_word, interval_hours, rate_cap,
    rate_floor, listed_at, rate_kind, turnover_24h, turnover_at, open_interest, open_interest_at,
    updated_at, raw_offset, raw_item
FROM funding.contract_facts
COMMENT 'Copies what comes into contract_facts to latest_facts';

-- Nothing is stored before this migration; after it, a table that was dropped is filled again.
INSERT INTO funding.latest_facts
SELECT
    contract_id, feed, symbol, base, quote, multiplier, status, status_word, interval_hours, rate_cap,
    rate_floor, listed_at, rate_kind, turnover_24h, turnover_at, open_interest, open_interest_at,
    updated_at, raw_offset, raw_item
FROM funding.contract_facts
ORDER BY contract_id, updated_at DESC, raw_offset DESC, raw_item DESC
LIMIT 1 BY contract_id;

-- As in 0010, with the contract's facts: null where they are not known.
CREATE OR REPLACE VIEW funding.contracts AS
SELECT
    rated.contract_id AS contract_id, rated.feed AS feed, rated.symbol AS symbol, rated.base AS base,
    rated.quote AS quote, rated.multiplier AS multiplier, rated.updated_at AS updated_at,
    nullIf(facts.status, '') AS status, facts.status_word AS status_word,
    facts.interval_hours AS listed_interval_hours, facts.rate_cap AS rate_cap,
    facts.rate_floor AS rate_floor, facts.listed_at AS listed_at,
    nullIf(facts.rate_kind, '') AS rate_kind,
    facts.turnover_24h AS turnover_24h, facts.turnover_at AS turnover_at,
    facts.open_interest AS open_interest, facts.open_interest_at AS open_interest_at
FROM
(
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
) AS rated
LEFT ANY JOIN
(
    SELECT *
    FROM funding.latest_facts
    ORDER BY contract_id, updated_at DESC, raw_offset DESC, raw_item DESC
    LIMIT 1 BY contract_id
) AS facts ON rated.contract_id = facts.contract_id
COMMENT 'One row a contract that has had a rate: feed, symbol, the asset that it is about, when it was last updated; its facts and liquidity (in the quote asset), null where not known';

-- As in 0010, with what is traded of the contract.
CREATE OR REPLACE VIEW funding.latest AS
SELECT
    z.contract_id AS contract_id, z.feed AS feed, z.symbol AS symbol, z.base AS base, z.rate AS rate,
    z.interval_hours AS interval_hours, z.rate_8h AS rate_8h, z.apr AS apr,
    z.z AS z, z.robust_z AS robust_z, z.percentile AS percentile, z.zone AS zone,
    z.confidence AS confidence, z.samples AS samples,
    dateDiff('millisecond', z.event_time, now64(3)) / 1000 AS age_s,
    z.mark_price AS mark_price, z.next_funding_time AS next_funding_time, z.event_time AS event_time,
    z.transport AS transport, z.interval_source AS interval_source,
    z.interval_doubtful AS interval_doubtful,
    c.quote AS quote, c.multiplier AS multiplier, ifNull(c.rate_kind, 'estimate') AS rate_kind,
    c.turnover_24h AS turnover_24h, c.open_interest AS open_interest
FROM
(
    SELECT *
    FROM funding.latest_zscores
    WHERE event_time > now() - INTERVAL 1 DAY
    ORDER BY contract_id, event_time DESC, received_at DESC, computed_at DESC, raw_offset DESC, raw_item DESC
    LIMIT 1 BY contract_id
) AS z
LEFT ANY JOIN funding.contracts AS c ON z.contract_id = c.contract_id
ORDER BY contract_id
COMMENT 'One row a contract: its newest z-score of the last day, how old it is, and how much of it is traded (in the quote asset; null: not known)';

CREATE OR REPLACE VIEW funding.extremes AS
SELECT
    contract_id, z, robust_z, percentile, rate_8h, apr, rate, interval_hours,
    confidence, samples, age_s, mark_price, next_funding_time, feed, symbol, base,
    interval_source, interval_doubtful, rate_kind, turnover_24h, open_interest
FROM funding.latest
WHERE z IS NOT NULL
ORDER BY abs(z) DESC, contract_id
COMMENT 'The newest z-scores, the largest in size first';

-- Two contracts that bear one name are about one asset where a unit of it costs the same on both. A
-- dollar is a dollar, whichever token stands for it. Where one has no mark price, or the currencies
-- differ, nothing tells: they are a pair whose price was not checked. The same share and the
-- same dollars stand in stream_app/pairing.py and in the page's spread-pairs.js; a test compares them.
CREATE OR REPLACE VIEW funding.pairs AS
WITH legs AS
(
    SELECT
        base, feed, contract_id, rate_8h, interval_hours, turnover_24h, open_interest,
        max(age_s) OVER (PARTITION BY base, feed) AS oldest_s,
        mark_price / multiplier AS price,
        if(
            quote IN (
                'USD', 'USDT', 'USDC', 'USDE', 'USDH', 'USD1', 'U', 'FDUSD', 'TUSD', 'BUSD', 'DAI', 'USDS',
                'USDD', 'USDG', 'PYUSD', 'RLUSD'
            ),
            'USD', nullIf(quote, '')
        ) AS currency
    FROM funding.latest
    WHERE age_s < 600 AND NOT interval_doubtful
)
SELECT
    high.base AS base,
    high.rate_8h - low.rate_8h AS gap_8h,
    gap_8h * 1095 AS gap_apr,
    high.feed AS high_feed,
    high.contract_id AS high_contract_id,
    high.rate_8h AS high_rate_8h,
    high.interval_hours AS high_interval_hours,
    low.feed AS low_feed,
    low.contract_id AS low_contract_id,
    low.rate_8h AS low_rate_8h,
    low.interval_hours AS low_interval_hours,
    greatest(high.oldest_s, low.oldest_s) AS oldest_s,
    high.turnover_24h AS high_turnover_24h,
    low.turnover_24h AS low_turnover_24h,
    if(
        isNull(high.turnover_24h) OR high.turnover_24h < low.turnover_24h, high.turnover_24h, low.turnover_24h
    ) AS min_turnover_24h,
    high.open_interest AS high_open_interest,
    low.open_interest AS low_open_interest,
    high.price AS high_price,
    low.price AS low_price,
    if(high.currency = low.currency, exp(abs(log(high.price / low.price))) - 1, NULL) AS price_gap,
    toBool(isNotNull(price_gap)) AS price_checked,
    toBool(ifNull(price_gap <= 0.05, 1)) AS same_asset
FROM legs AS high
INNER JOIN legs AS low ON high.base = low.base
WHERE high.feed != low.feed AND high.rate_8h >= low.rate_8h
COMMENT 'Any two contracts of one base on two feeds: the gap in rate_8h, liquidity of both (in their quote assets), prices of a unit, and whether these are near enough for one asset';

-- The widest of each base is chosen as it is grouped: to sort all pairs takes twice as long. A pair
-- whose prices could be compared comes before any other.
CREATE OR REPLACE VIEW funding.spreads AS
SELECT
    base,
    widest.1 AS gap_8h, widest.2 AS gap_apr, widest.3 AS high_feed, widest.4 AS high_contract_id,
    widest.5 AS high_rate_8h, widest.6 AS high_interval_hours, widest.7 AS low_feed, widest.8 AS
    low_contract_id, widest.9 AS low_rate_8h, widest.10 AS low_interval_hours, widest.11 AS oldest_s,
    widest.12 AS high_turnover_24h, widest.13 AS low_turnover_24h, widest.14 AS min_turnover_24h,
    widest.15 AS high_open_interest, widest.16 AS low_open_interest, widest.17 AS high_price, widest.18
    AS low_price, widest.19 AS price_gap, widest.20 AS price_checked
FROM
(
    SELECT
        base,
        argMin(
            (
                gap_8h, gap_apr, high_feed, high_contract_id, high_rate_8h, high_interval_hours, low_feed,
                low_contract_id, low_rate_8h, low_interval_hours, oldest_s, high_turnover_24h, low_turnover_24h,
                min_turnover_24h, high_open_interest, low_open_interest, high_price, low_price, price_gap,
                price_checked
            ),
            (NOT price_checked, -gap_8h, high_contract_id, low_contract_id)
        ) AS widest
    FROM funding.pairs
    WHERE same_asset
    GROUP BY base
)
ORDER BY gap_8h DESC, base, high_contract_id, low_contract_id
COMMENT 'Per base: the widest gap in rate_8h between two feeds, and both legs; never of two whose prices differ by more than 5 % (unpaired); one without price_checked only where no pair has it. A filter on liquidity belongs on pairs: here it drops a base whose widest pair is thin';

CREATE OR REPLACE VIEW funding.unpaired AS
SELECT
    base, price_gap,
    high_feed, high_contract_id, high_price,
    low_feed, low_contract_id, low_price
FROM funding.pairs
WHERE NOT same_asset
ORDER BY price_gap DESC, base, high_contract_id, low_contract_id
COMMENT 'Pairs of one base whose prices of a unit differ by more than 5 %: they may be two assets of one name, and are in no spread';
