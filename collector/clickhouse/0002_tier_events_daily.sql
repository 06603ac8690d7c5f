-- What happened on each UTC day, for two years; an event counts once, however often and however late its copies arrive.
--
-- A materialized view over INSERTs would count each copy. So whole days are counted, from tier_events FINAL: every five
-- minutes those days that got rows since they were counted last. That costs one read of today's events, and of an older
-- day's when something late came in. A day's detail is kept for 90 days and the day is counted again for 88, so it is
-- never counted from what is left of it. An event that comes later than that is not counted.
--
-- Read it with FINAL: a day that was counted again has replaced rows.
--
--   SELECT day, source_tier, sum(events) AS starts, quantilesDDMerge(0.01, 0.5, 0.95, 0.99)(startup_duration_ms) AS ms
--   FROM tier_events_daily FINAL WHERE event_type = 'cold_start' GROUP BY ALL ORDER BY ALL;
--
--   SELECT day, limit_type, action, sum(hit_count) AS hits
--   FROM tier_events_daily FINAL WHERE event_type = 'limit_hit' GROUP BY ALL ORDER BY ALL;
--
-- In the same way: tier_transition by source_tier, target_tier, reason; plan_change by from_tier, to_tier, change_type;
-- tier_ceiling_hit by resource_type; scale_to_zero by reason; circuit_breaker_event by state.
CREATE TABLE IF NOT EXISTS tier_events_daily
(
    day Date CODEC(Delta, ZSTD(1)),

    -- whose, at the time of the event
    project_id String CODEC(ZSTD(1)),
    plan LowCardinality(String),
    tier LowCardinality(String),

    -- what: empty where it does not apply to the event
    event_type LowCardinality(String),
    source_tier LowCardinality(String),
    target_tier LowCardinality(String),
    from_tier LowCardinality(String),
    to_tier LowCardinality(String),
    change_type LowCardinality(String),
    limit_type LowCardinality(String),
    action LowCardinality(String),
    reason LowCardinality(String),
    cache_level LowCardinality(String),
    resource_type LowCardinality(String),
    state LowCardinality(String),

    -- how much
    events UInt64 CODEC(ZSTD(1)),
    hit_count UInt64 CODEC(ZSTD(1)),
    rejection_count UInt64 CODEC(ZSTD(1)),
    queue_duration_ms_max Nullable(Float64) CODEC(ZSTD(1)),
    startup_duration_ms_max Nullable(Float64) CODEC(ZSTD(1)),
    -- sketches: these quantiles of any days and tenants together, within 1 % of the value, of what was measured
    startup_duration_ms AggregateFunction(quantilesDD(0.01, 0.5, 0.95, 0.99), Nullable(Float64)) CODEC(ZSTD(1)),
    first_query_latency_ms AggregateFunction(quantilesDD(0.01, 0.5, 0.95, 0.99), Nullable(Float64)) CODEC(ZSTD(1)),

    counted_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    is_gone UInt8
)
ENGINE = ReplacingMergeTree(counted_at, is_gone)
PARTITION BY toYYYYMM(day)
PRIMARY KEY (project_id, event_type, day)
ORDER BY (
    project_id, event_type, day, plan, tier, source_tier, target_tier, from_tier, to_tier, change_type, limit_type,
    action, reason, cache_level, resource_type, state)
TTL day + INTERVAL 2 YEAR DELETE
SETTINGS index_granularity = 1024;

-- It reads and writes with the rights of whoever ran the migration; system.view_refreshes says how it does.
CREATE MATERIALIZED VIEW IF NOT EXISTS tier_events_daily_count
REFRESH EVERY 5 MINUTE APPEND TO tier_events_daily
DEFINER = CURRENT_USER SQL SECURITY DEFINER
AS
WITH due AS
(
    SELECT day
    FROM
    (
        SELECT toDate(partition) AS day, modification_time AS changed_at, toDateTime64(0, 3) AS counted_at
        FROM system.parts
        WHERE database = currentDatabase() AND table = 'tier_events' AND active
        UNION ALL
        SELECT day, toDateTime(0), counted_at FROM tier_events_daily
    )
    WHERE day >= toDate(now('UTC')) - 88
    GROUP BY day
    -- ten minutes: a part that was written before a count began may have become visible after it
    HAVING max(counted_at) < max(changed_at) + INTERVAL 10 MINUTE
)
SELECT
    day, project_id, plan, tier, event_type, source_tier, target_tier, from_tier, to_tier, change_type, limit_type,
    action, reason, cache_level, resource_type, state,
    sum(here) AS events,
    sum(hits) AS hit_count,
    sum(rejections) AS rejection_count,
    max(queued) AS queue_duration_ms_max,
    max(startup) AS startup_duration_ms_max,
    quantilesDDState(0.01, 0.5, 0.95, 0.99)(startup) AS startup_duration_ms,
    quantilesDDState(0.01, 0.5, 0.95, 0.99)(first_query) AS first_query_latency_ms,
    now64(3, 'UTC') AS counted_at,
    events = 0 AS is_gone
FROM
(
    SELECT
        toDate(Timestamp) AS day, project_id, plan, tier, event_type, source_tier, target_tier, from_tier, to_tier,
        change_type, limit_type, action, reason, cache_level, resource_type, state,
        1 AS here, hit_count AS hits, rejection_count AS rejections, queue_duration_ms AS queued,
        startup_duration_ms AS startup, first_query_latency_ms AS first_query
    FROM tier_events FINAL
    WHERE toDate(Timestamp) IN (SELECT day FROM due)
      AND project_id != '_doctor' -- with which `otel-dynabase doctor` tries the way: nothing happened
    UNION ALL
    -- What was counted before, as nothing: if an amended event moved to another row, the row that it left is gone.
    SELECT
        day, project_id, plan, tier, event_type, source_tier, target_tier, from_tier, to_tier, change_type, limit_type,
        action, reason, cache_level, resource_type, state,
        0, 0, 0, NULL, NULL, NULL
    FROM tier_events_daily FINAL
    WHERE day IN (SELECT day FROM due)
)
GROUP BY
    day, project_id, plan, tier, event_type, source_tier, target_tier, from_tier, to_tier, change_type, limit_type,
    action, reason, cache_level, resource_type, state;
