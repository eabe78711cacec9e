-- How much of each hour is known, from the consolidated bars.
CREATE OR REPLACE VIEW funding.coverage AS
SELECT feed, contract_id, hour, covered_s / 3600 AS covered, ws_s / 3600 AS covered_by_stream,
    rest_s / 3600 AS covered_by_rest, updates, late_updates
FROM funding.bars FINAL
COMMENT 'One row a contract and closed hour: the share of it for which a rate is known';

-- A late update is kept as evidence and not aggregated: that it came before is no double count.
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
