-- The tables are ReplacingMergeTree: a row that was delivered twice, or corrected, is there twice
-- until parts are merged, and a sum over the table counts it twice. The views *_once have each row
-- once, whatever has been merged, and the asset that a contract is about (base) in each row.

-- Bars are kept for ever and name the base of all contracts but those that are younger than their
-- first full hour: only these are looked for among the z-scores.
CREATE OR REPLACE VIEW funding.contracts AS
SELECT contract_id, any(feed) AS feed, any(symbol) AS symbol, argMax(base, hour) AS base
FROM funding.bars
GROUP BY contract_id
UNION ALL
SELECT contract_id, any(feed) AS feed, any(symbol) AS symbol, argMax(base, event_time) AS base
FROM funding.zscores
WHERE event_time > now() - INTERVAL 3 HOUR AND contract_id NOT IN (SELECT contract_id FROM funding.bars)
GROUP BY contract_id
COMMENT 'One row a contract that has had a rate: feed, symbol, and the asset that it is about';

CREATE OR REPLACE VIEW funding.settlements_once AS
SELECT s.contract_id AS contract_id, s.feed AS feed, s.symbol AS symbol, c.base AS base,
    s.* EXCEPT (contract_id, feed, symbol)
FROM funding.settlements AS s FINAL
LEFT ANY JOIN funding.contracts AS c ON s.contract_id = c.contract_id
COMMENT 'Settled funding rates, each once, with the base; empty where a contract has had no rate yet';

CREATE OR REPLACE VIEW funding.rates_once AS
SELECT * FROM funding.rates FINAL
COMMENT 'Every accepted update of a contract''s estimated rate, each once';

CREATE OR REPLACE VIEW funding.zscores_once AS
SELECT * FROM funding.zscores FINAL
COMMENT 'Rates against the 30-day baseline, as the zone policy emitted them, each once';

CREATE OR REPLACE VIEW funding.bars_once AS
SELECT * FROM funding.bars FINAL
COMMENT 'Consolidated history: one row a contract and hour';

CREATE OR REPLACE VIEW funding.alerts_once AS
SELECT a.subject AS subject, splitByChar(':', a.subject)[1] AS feed,
    substring(a.subject, length(feed) + 2) AS symbol, c.base AS base, a.* EXCEPT (subject)
FROM funding.alerts AS a FINAL
LEFT ANY JOIN funding.contracts AS c ON a.subject = c.contract_id
COMMENT 'Alerts, each once; symbol and base are empty where one is about a whole feed';

CREATE OR REPLACE VIEW funding.audit_once AS
SELECT a.subject AS subject, splitByChar(':', a.subject)[1] AS feed,
    substring(a.subject, length(feed) + 2) AS symbol, c.base AS base, a.* EXCEPT (subject)
FROM funding.audit AS a FINAL
LEFT ANY JOIN funding.contracts AS c ON a.subject = c.contract_id
COMMENT 'Audit events, each once; symbol and base are empty where one is about a whole feed';

CREATE OR REPLACE VIEW funding.feeds_once AS
SELECT * FROM funding.feeds FINAL
COMMENT 'What the producers reported about each feed, each once';

-- A producer reports every few seconds for as long as it runs, whatever its exchange does.
CREATE OR REPLACE VIEW funding.observed AS
SELECT feed, toDate(reported_at) AS day, min(reported_at) AS since
FROM funding.feeds
WHERE state != 'connecting'
GROUP BY feed, day
COMMENT 'By feed and day: when its producer first had it connected, or told that it cannot';

-- Bars come when their hour is over. What is known of the hours since is in the rates: each holds
-- until the next one, at most for the stale threshold of its feed. It is complete up to the newest
-- rate of any feed; when all are silent, up to a minute before the newest report of a producer.
CREATE OR REPLACE VIEW funding.open_hours AS
WITH
    (
        SELECT greatest(
            toInt64(toUnixTimestamp(max(hour))) + 3600,
            toInt64(toUnixTimestamp(toStartOfHour(now('UTC')))) - 3600
        )
        FROM funding.bars
        WHERE hour <= now() - INTERVAL 65 MINUTE
    ) AS begin_s,
    (
        SELECT max(toUnixTimestamp64Micro(received_at)) / 1e6
        FROM funding.rates
        WHERE event_time > toDateTime(assumeNotNull(begin_s)) AND received_at <= now64(6)
    ) AS rates_to_s,
    (
        SELECT max(toUnixTimestamp64Micro(reported_at)) / 1e6 - 60
        FROM funding.feeds
        WHERE reported_at > toDateTime(assumeNotNull(begin_s)) AND reported_at <= now64(6)
    ) AS reports_to_s,
    streamed AS
    (
        SELECT
            contract_id,
            any(feed) AS its_feed,
            arraySort(groupArray((toUnixTimestamp64Micro(event_time) / 1e6, transport = 'ws'))) AS updates
        FROM funding.rates
        WHERE event_time > toDateTime(assumeNotNull(begin_s)) - INTERVAL 10 MINUTE
          AND NOT late AND NOT out_of_range
        GROUP BY contract_id
    ),
    closed AS
    (
        SELECT contract_id, any(feed) AS its_feed, toInt64(toUnixTimestamp(max(hour))) AS bar_s
        FROM funding.bars
        GROUP BY contract_id
    ),
    known AS
    (
        SELECT
            if(closed.contract_id != '', closed.contract_id, streamed.contract_id) AS contract_id,
            if(closed.contract_id != '', closed.its_feed, streamed.its_feed) AS feed,
            closed.bar_s AS bar_s,
            streamed.updates AS updates
        FROM closed
        FULL JOIN streamed ON closed.contract_id = streamed.contract_id
    ),
    hours AS
    (
        SELECT contract_id, feed, bar_s, updates,
            arrayJoin([assumeNotNull(begin_s), assumeNotNull(begin_s) + 3600]) AS hour_s
        FROM known
    )
SELECT
    feed, contract_id,
    toDateTime64(hour_s, 6, 'UTC') AS hour,
    to_s - from_s AS expected_s,
    covered.1 + covered.2 AS covered_s,
    covered.1 AS ws_s,
    covered.2 AS rest_s
FROM
(
    SELECT
        hours.feed AS feed, hours.contract_id AS contract_id, hours.hour_s AS hour_s,
        greatest(
            toFloat64(hours.hour_s),
            toUnixTimestamp64Micro(observed.since) / 1e6,
            if(hours.bar_s = 0, hours.updates[1].1, 0.)
        ) AS from_s,
        least(hours.hour_s + 3600., greatest(assumeNotNull(rates_to_s), assumeNotNull(reports_to_s))) AS to_s,
        arrayMap(
            (update, following) -> (
                greatest(0., least(following, update.1 + thresholds.stale_s, to_s) - greatest(update.1, from_s)),
                update.2
            ),
            hours.updates,
            arraySlice(arrayPushBack(arrayMap(update -> update.1, hours.updates), 1e12), 2)
        ) AS holds,
        (
            arraySum(hold -> if(hold.2, hold.1, 0.), holds),
            arraySum(hold -> if(hold.2, 0., hold.1), holds)
        ) AS covered
    FROM hours
    LEFT JOIN funding.thresholds AS thresholds ON hours.feed = thresholds.feed
    LEFT JOIN funding.observed AS observed
        ON hours.feed = observed.feed AND toDate(toDateTime(hours.hour_s, 'UTC')) = observed.day
    WHERE hours.hour_s > hours.bar_s
)
WHERE to_s > from_s
COMMENT 'One row a contract and hour that has no bar yet: for how much of it so far a rate is known';

-- A feed counts from when it was first observed on a day, and until what is known is complete. The
-- hour in which a contract appeared counts only where the feed itself began in it: when within the
-- hour another one appeared is not known. Nor does that in which one ended.
CREATE OR REPLACE VIEW funding.uptime AS
WITH
    closed AS
    (
        SELECT
            hours.feed AS feed, hours.contract_id AS contract_id, hours.hour AS hour,
            toFloat64(toUnixTimestamp(hours.hour)) AS hour_s,
            toUnixTimestamp64Micro(observed.since) / 1e6 AS since_s,
            hour_s + 3600 - greatest(hour_s, since_s) AS expected_s,
            if(covered * 3600 > expected_s, expected_s / covered, 3600) AS scale,
            covered * scale AS covered_s,
            covered_by_stream * scale AS ws_s,
            covered_by_rest * scale AS rest_s
        FROM
        (
            SELECT
                feed, contract_id, hour, covered, covered_by_stream, covered_by_rest,
                min(hour) OVER (PARTITION BY contract_id) AS first_hour,
                min(hour) OVER (PARTITION BY feed) AS first_hour_of_feed
            FROM funding.coverage
        ) AS hours
        LEFT JOIN funding.observed AS observed
            ON hours.feed = observed.feed AND toDate(hours.hour) = observed.day
        WHERE expected_s > 0
          AND (hours.hour > hours.first_hour OR (hours.hour = hours.first_hour_of_feed AND since_s >= hour_s))
    ),
    hours AS
    (
        SELECT feed, contract_id, hour, expected_s, covered_s, ws_s, rest_s FROM closed
        UNION ALL
        SELECT feed, contract_id, hour, expected_s, covered_s, ws_s, rest_s FROM funding.open_hours
    )
SELECT
    feed,
    toDate(hour) AS day,
    uniqExact(contract_id) AS contracts,
    sum(expected_s) / 3600 AS contract_hours,
    sum(covered_s) / sum(expected_s) AS uptime,
    sum(ws_s) / sum(expected_s) AS uptime_by_stream,
    sum(rest_s) / sum(expected_s) AS uptime_by_rest
FROM hours
LEFT JOIN funding.gone AS gone ON hours.contract_id = gone.contract_id
WHERE gone.contract_id = '' OR hour < toStartOfHour(gone.ended_at)
GROUP BY feed, day
ORDER BY feed, day
COMMENT 'By feed and day: the share of its contracts'' time for which a rate younger than the stale threshold was known';
