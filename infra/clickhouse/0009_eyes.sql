-- What the page shows of a feed: whether its rates are real, and how much of the REST limit is used.
ALTER TABLE funding.feeds ADD COLUMN IF NOT EXISTS simulated Bool DEFAULT false CODEC(ZSTD(1));
ALTER TABLE funding.feeds ADD COLUMN IF NOT EXISTS limit_used Nullable(Float64) CODEC(ZSTD(1));

-- As in 0006, with the columns of today.
CREATE OR REPLACE VIEW funding.feeds_once AS
SELECT * FROM funding.feeds FINAL
COMMENT 'What the producers reported about each feed, each once';
