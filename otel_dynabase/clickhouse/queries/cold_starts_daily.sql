-- The same as cold_starts.sql out of what is counted by day, for ranges that begin before the events in full do.
--
-- Percentiles are of sketches: within 1 %. There is no average, and nothing says how many starts had no duration.
--
-- since, until    DateTime64(9, 'UTC'); their days are in the range as a whole
SELECT
    source_tier,
    plan,
    sum(events) AS cold_starts,
    NULL AS measured,
    uniqExact(project_id) AS projects,
    NULL AS avg_cold_start_ms,
    quantilesDDMerge(0.01, 0.5, 0.95, 0.99)(startup_duration_ms)[3] AS p95_cold_start_ms,
    max(startup_duration_ms_max) AS worst_cold_start_ms,
    quantilesDDMerge(0.01, 0.5, 0.95, 0.99)(first_query_latency_ms)[3] AS p95_first_query_ms
FROM tier_events_daily FINAL
WHERE event_type = 'cold_start'
  AND day >= toDate({since:DateTime64(9, 'UTC')}) AND day <= toDate({until:DateTime64(9, 'UTC')})
GROUP BY source_tier, plan
ORDER BY plan, source_tier
