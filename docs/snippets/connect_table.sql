CREATE TABLE desk.zscores_connect
(
    contract_id LowCardinality(String),
    event_time Int64,
    at DateTime64(6, 'UTC') ALIAS fromUnixTimestamp64Micro(event_time, 'UTC'),
    rate Float64,
    apr Float64,
    z Nullable(Float64),
    zone LowCardinality(String),
    trigger LowCardinality(String),
    raw_topic LowCardinality(String),
    raw_partition Int32,
    raw_offset Int64,
    raw_item Int32
)
ENGINE = ReplacingMergeTree
ORDER BY (contract_id, event_time, raw_topic, raw_partition, raw_offset, raw_item, trigger);
