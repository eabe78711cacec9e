-- Typed fields of audit events (docs/audit.md), so that no query has to read the sentence in
-- `detail`. Rows that were stored before have null in all of them.
ALTER TABLE funding.audit ADD COLUMN IF NOT EXISTS cause LowCardinality(Nullable(String));
ALTER TABLE funding.audit ADD COLUMN IF NOT EXISTS socket LowCardinality(Nullable(String));
ALTER TABLE funding.audit ADD COLUMN IF NOT EXISTS connection_id Nullable(String) CODEC(ZSTD(1));
ALTER TABLE funding.audit ADD COLUMN IF NOT EXISTS from_state LowCardinality(Nullable(String));
ALTER TABLE funding.audit ADD COLUMN IF NOT EXISTS to_state LowCardinality(Nullable(String));
ALTER TABLE funding.audit ADD COLUMN IF NOT EXISTS rest_polls Nullable(Int64) CODEC(ZSTD(1));
ALTER TABLE funding.audit ADD COLUMN IF NOT EXISTS rest_updates Nullable(Int64) CODEC(ZSTD(1));
ALTER TABLE funding.audit ADD COLUMN IF NOT EXISTS rest_filled_s Nullable(Float64) CODEC(ZSTD(1));
ALTER TABLE funding.audit ADD COLUMN IF NOT EXISTS first_offset Nullable(Int64) CODEC(ZSTD(1));
ALTER TABLE funding.audit ADD COLUMN IF NOT EXISTS last_offset Nullable(Int64) CODEC(ZSTD(1));
ALTER TABLE funding.audit ADD COLUMN IF NOT EXISTS rate Nullable(Float64) CODEC(ZSTD(1));
ALTER TABLE funding.audit ADD COLUMN IF NOT EXISTS other_rate Nullable(Float64) CODEC(ZSTD(1));
ALTER TABLE funding.audit ADD COLUMN IF NOT EXISTS tolerance Nullable(Float64) CODEC(ZSTD(1));
ALTER TABLE funding.audit ADD COLUMN IF NOT EXISTS from_interval_hours Nullable(Float64) CODEC(ZSTD(1));
ALTER TABLE funding.audit ADD COLUMN IF NOT EXISTS to_interval_hours Nullable(Float64) CODEC(ZSTD(1));
ALTER TABLE funding.audit ADD COLUMN IF NOT EXISTS shift_s Nullable(Float64) CODEC(ZSTD(1));

-- As in 0006, with the columns of today.
CREATE OR REPLACE VIEW funding.audit_once AS
SELECT a.subject AS subject, splitByChar(':', a.subject)[1] AS feed,
    substring(a.subject, length(feed) + 2) AS symbol, c.base AS base, a.* EXCEPT (subject)
FROM funding.audit AS a FINAL
LEFT ANY JOIN funding.contracts AS c ON a.subject = c.contract_id
COMMENT 'Audit events, each once; symbol and base are empty where one is about a whole feed';

-- One row an event that begins or ends a gap. A contract's gap has no socket. A feed's gap names
-- its socket; rows that were stored before the column was there have it in their sentence only.
CREATE OR REPLACE VIEW funding.gap_events AS
SELECT
    subject, kind, first_event_time AS since, last_event_time AS until, count, detail,
    cause, connection_id, rest_polls, rest_updates, rest_filled_s,
    multiIf(
        position(subject, ':') > 0, '',
        isNotNull(socket), assumeNotNull(socket),
        extract(detail, '^socket ([^:]*):')
    ) AS socket_name
FROM funding.audit FINAL
WHERE kind IN ('gap_opened', 'gap_closed')
COMMENT 'Beginnings and ends of gaps; socket_name is empty where one is about a contract';

-- As in 0005: an end names its gap by the beginning and the socket. A gap without an end of its own
-- (the contract is gone, the producer has died) ends with the first end of its subject and socket
-- that comes after it began, or with the next start of the producer. What a gone contract still
-- brought ends no later than it began to be silent.
CREATE OR REPLACE VIEW funding.gaps AS
WITH
    opened AS
    (
        SELECT subject, since, socket_name, cause FROM funding.gap_events WHERE kind = 'gap_opened'
    ),
    closed AS
    (
        SELECT subject, since, socket_name, until, count, detail, rest_polls, rest_updates, rest_filled_s
        FROM funding.gap_events
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
        SELECT subject, socket_name, until, 'a later end' AS detail FROM closed
        UNION ALL
        SELECT ended.subject AS subject, known.socket_name AS socket_name, ended.until AS until,
            ended.detail AS detail
        FROM ended INNER JOIN (SELECT DISTINCT subject, socket_name FROM opened) AS known USING (subject)
    ),
    own AS
    (
        SELECT opened.subject AS subject, opened.socket_name AS socket_name, opened.since AS since,
            opened.cause AS cause, closed.until AS until, closed.count AS count, closed.detail AS detail,
            closed.rest_polls AS rest_polls, closed.rest_updates AS rest_updates,
            closed.rest_filled_s AS rest_filled_s
        FROM opened LEFT JOIN closed USING (subject, since, socket_name)
    ),
    paired AS
    (
        SELECT own.subject AS subject, own.socket_name AS socket_name, own.since AS since,
            own.cause AS cause, own.count AS count, own.rest_polls AS rest_polls,
            own.rest_updates AS rest_updates, own.rest_filled_s AS rest_filled_s,
            if(own.until > own.since, own.until, later.until) AS until,
            if(own.until > own.since, own.detail, later.detail) AS detail
        FROM own
        ASOF LEFT JOIN later
            ON own.subject = later.subject AND own.socket_name = later.socket_name
            AND later.until > own.since
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
    if(paired.until <= paired.since AND gone.contract_id != '', 'delisted', paired.detail) AS filled_by,
    paired.socket_name AS socket,
    paired.cause AS cause,
    paired.rest_polls AS rest_polls,
    paired.rest_updates AS rest_updates,
    paired.rest_filled_s AS rest_filled_s
FROM paired
LEFT JOIN funding.gone AS gone ON paired.subject = gone.contract_id
COMMENT 'One row a gap in a contract''s stream or of a feed''s connection; closed_at is null while it is open';
