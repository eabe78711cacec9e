-- The seven tables that the sink fills. Columns carry the Avro names and types; keys are business
-- identities, so that whatever is delivered twice becomes one row; the deduplication window lets
-- the server drop a repeated insert by its token. Time is always UTC, to the microsecond.
-- Sorting by contract and time makes neighbours alike: times compress as differences, numbers that
-- are held for minutes compress with Gorilla.

CREATE TABLE IF NOT EXISTS funding.rates
(
    contract_id       LowCardinality(String),
    feed              LowCardinality(String),
    symbol            LowCardinality(String),
    base              LowCardinality(String),
    quote             LowCardinality(String),
    multiplier        Float64 CODEC(ZSTD(1)),
    rate              Float64 CODEC(Gorilla, ZSTD(1)),
    interval_hours    Float64 CODEC(ZSTD(1)),
    interval_source   LowCardinality(String),
    rate_8h           Float64 CODEC(Gorilla, ZSTD(1)),
    apr               Float64 CODEC(Gorilla, ZSTD(1)),
    mark_price        Nullable(Float64) CODEC(Gorilla, ZSTD(1)),
    index_price       Nullable(Float64) CODEC(Gorilla, ZSTD(1)),
    next_funding_time Nullable(DateTime64(6, 'UTC')) CODEC(ZSTD(1)),
    event_time        DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    event_time_source LowCardinality(String),
    received_at       DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    transport         LowCardinality(String),
    late              Bool,
    raw_topic         LowCardinality(String),
    raw_partition     Int32 CODEC(ZSTD(1)),
    raw_offset        Int64 CODEC(Delta(8), ZSTD(1)),
    raw_item          Int32 CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toDate(event_time)
PRIMARY KEY (contract_id, event_time)
ORDER BY (contract_id, event_time, raw_topic, raw_partition, raw_offset, raw_item)
TTL toDateTime(event_time) + INTERVAL 7 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000
COMMENT 'Every accepted update of a contract''s estimated rate, for 7 days';

CREATE TABLE IF NOT EXISTS funding.zscores
(
    contract_id       LowCardinality(String),
    feed              LowCardinality(String),
    symbol            LowCardinality(String),
    base              LowCardinality(String),
    rate              Float64 CODEC(Gorilla, ZSTD(1)),
    interval_hours    Float64 CODEC(ZSTD(1)),
    rate_8h           Float64 CODEC(Gorilla, ZSTD(1)),
    apr               Float64 CODEC(Gorilla, ZSTD(1)),
    z                 Nullable(Float64) CODEC(Gorilla, ZSTD(1)),
    robust_z          Nullable(Float64) CODEC(Gorilla, ZSTD(1)),
    percentile        Nullable(Float64) CODEC(Gorilla, ZSTD(1)),
    mean              Nullable(Float64) CODEC(Gorilla, ZSTD(1)),
    std               Nullable(Float64) CODEC(Gorilla, ZSTD(1)),
    samples           Int32 CODEC(ZSTD(1)),
    confidence        LowCardinality(String),
    stats_as_of       Nullable(DateTime64(6, 'UTC')) CODEC(ZSTD(1)),
    zone              LowCardinality(String),
    trigger           LowCardinality(String),
    crossed           Nullable(Float64) CODEC(ZSTD(1)),
    mark_price        Nullable(Float64) CODEC(Gorilla, ZSTD(1)),
    next_funding_time Nullable(DateTime64(6, 'UTC')) CODEC(ZSTD(1)),
    event_time        DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    received_at       DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    computed_at       DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    transport         LowCardinality(String),
    raw_topic         LowCardinality(String),
    raw_partition     Int32 CODEC(ZSTD(1)),
    raw_offset        Int64 CODEC(Delta(8), ZSTD(1)),
    raw_item          Int32 CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toDate(event_time)
PRIMARY KEY (contract_id, event_time)
ORDER BY (contract_id, event_time, raw_topic, raw_partition, raw_offset, raw_item, trigger)
TTL toDateTime(event_time) + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000
COMMENT 'Rates against the 30-day baseline, as the zone policy emitted them, for 30 days';

CREATE TABLE IF NOT EXISTS funding.bars
(
    contract_id    LowCardinality(String),
    feed           LowCardinality(String),
    symbol         LowCardinality(String),
    base           LowCardinality(String),
    hour           DateTime64(6, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    open           Float64 CODEC(Gorilla, ZSTD(1)),
    high           Float64 CODEC(Gorilla, ZSTD(1)),
    low            Float64 CODEC(Gorilla, ZSTD(1)),
    close          Float64 CODEC(Gorilla, ZSTD(1)),
    mean           Float64 CODEC(Gorilla, ZSTD(1)),
    std            Float64 CODEC(Gorilla, ZSTD(1)),
    covered_s      Float64 CODEC(ZSTD(1)),
    updates        Int64 CODEC(ZSTD(1)),
    late_updates   Int64 CODEC(ZSTD(1)),
    z_min          Nullable(Float64) CODEC(Gorilla, ZSTD(1)),
    z_max          Nullable(Float64) CODEC(Gorilla, ZSTD(1)),
    z_close        Nullable(Float64) CODEC(Gorilla, ZSTD(1)),
    interval_hours Float64 CODEC(ZSTD(1)),
    mark_close     Nullable(Float64) CODEC(Gorilla, ZSTD(1)),
    ws_s           Float64 CODEC(ZSTD(1)),
    rest_s         Float64 CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(hour)
ORDER BY (contract_id, hour)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Consolidated history: one row a contract and hour, kept';

CREATE TABLE IF NOT EXISTS funding.settlements
(
    contract_id      LowCardinality(String),
    feed             LowCardinality(String),
    symbol           LowCardinality(String),
    funding_time     DateTime64(6, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    funding_time_raw DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    rate             Float64 CODEC(Gorilla, ZSTD(1)),
    interval_hours   Float64 CODEC(ZSTD(1)),
    rate_8h          Float64 CODEC(Gorilla, ZSTD(1)),
    source           LowCardinality(String),
    received_at      DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    raw_topic        LowCardinality(String),
    raw_partition    Int32 CODEC(ZSTD(1)),
    raw_offset       Int64 CODEC(ZSTD(1)),
    raw_item         Int32 CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(funding_time)
ORDER BY (contract_id, funding_time)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Settled funding rates, each once, kept';

CREATE TABLE IF NOT EXISTS funding.alerts
(
    alert_id      String CODEC(ZSTD(1)),
    subject       LowCardinality(String),
    kind          LowCardinality(String),
    severity      LowCardinality(String),
    value         Nullable(Float64) CODEC(ZSTD(1)),
    threshold     Nullable(Float64) CODEC(ZSTD(1)),
    message       String CODEC(ZSTD(1)),
    event_time    DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    created_at    DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    raw_topic     LowCardinality(Nullable(String)),
    raw_partition Nullable(Int32) CODEC(ZSTD(1)),
    raw_offset    Nullable(Int64) CODEC(ZSTD(1)),
    raw_item      Nullable(Int32) CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(event_time)
ORDER BY (subject, event_time, alert_id)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'What a person should look at, each once, kept';

-- The raw coordinates are part of the key and may be absent (an event about a whole feed).
CREATE TABLE IF NOT EXISTS funding.audit
(
    subject          LowCardinality(String),
    kind             LowCardinality(String),
    count            Int64 CODEC(ZSTD(1)),
    first_event_time DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    last_event_time  DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    detail           String CODEC(ZSTD(1)),
    raw_topic        LowCardinality(Nullable(String)),
    raw_partition    Nullable(Int32) CODEC(ZSTD(1)),
    raw_offset       Nullable(Int64) CODEC(ZSTD(1)),
    raw_item         Nullable(Int32) CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(first_event_time)
PRIMARY KEY (subject, kind, first_event_time)
ORDER BY (subject, kind, first_event_time, raw_topic, raw_partition, raw_offset, raw_item)
TTL toDateTime(first_event_time) + INTERVAL 365 DAY
SETTINGS allow_nullable_key = 1, non_replicated_deduplication_window = 10000
COMMENT 'Decisions that were not the plain path, and how often they were taken, for a year';

CREATE TABLE IF NOT EXISTS funding.feeds
(
    feed               LowCardinality(String),
    state              LowCardinality(String),
    transport          LowCardinality(Nullable(String)),
    since              DateTime64(6, 'UTC') CODEC(ZSTD(1)),
    reported_at        DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    last_data_at       Nullable(DateTime64(6, 'UTC')) CODEC(ZSTD(1)),
    contracts_expected Int32 CODEC(ZSTD(1)),
    contracts_live     Int32 CODEC(ZSTD(1)),
    connections        Int32 CODEC(ZSTD(1)),
    connects           Int64 CODEC(Delta(8), ZSTD(1)),
    frames             Int64 CODEC(Delta(8), ZSTD(1)),
    updates            Int64 CODEC(Delta(8), ZSTD(1)),
    rest_calls         Int64 CODEC(Delta(8), ZSTD(1)),
    backfill_done      Int32 CODEC(ZSTD(1)),
    detail             String CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(reported_at)
ORDER BY (feed, reported_at)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'What the producers reported about each feed, kept';
