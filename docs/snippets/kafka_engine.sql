CREATE DATABASE IF NOT EXISTS desk;

CREATE TABLE desk.zscores
(
    contract_id LowCardinality(String),
    event_time DateTime64(6, 'UTC'),
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
PARTITION BY toDate(event_time)
ORDER BY (contract_id, event_time, raw_topic, raw_partition, raw_offset, raw_item, trigger)
TTL toDateTime(event_time) + INTERVAL 90 DAY;

CREATE TABLE desk.zscores_queue
(
    contract_id String,
    event_time DateTime64(6, 'UTC'),
    rate Float64,
    apr Float64,
    z Nullable(Float64),
    zone String,
    trigger String,
    raw_topic String,
    raw_partition Int32,
    raw_offset Int64,
    raw_item Int32
)
ENGINE = Kafka
SETTINGS
    kafka_broker_list = '127.0.0.1:9092',
    kafka_topic_list = 'funding.zscores',
    kafka_group_name = 'my-clickhouse',
    kafka_format = 'AvroConfluent',
    format_avro_schema_registry_url = 'http://127.0.0.1:8081';

CREATE MATERIALIZED VIEW desk.zscores_consumer TO desk.zscores AS SELECT * FROM desk.zscores_queue;
