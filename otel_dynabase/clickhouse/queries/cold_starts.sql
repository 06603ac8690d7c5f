-- The ticket's "measuring cold start impact per tier", by plan too: that is whose objective it is.
--
-- The 95th percentile interpolates, as SQL's PERCENTILE_CONT does. Starts without a measured duration are counted, and
-- leave the figures alone.
--
-- since, until    DateTime64(9, 'UTC'); until itself is not in the range
SELECT
    source_tier,
    plan,
    count() AS cold_starts,
    count(startup_duration_ms) AS measured,
    uniqExact(project_id) AS projects,
    avg(startup_duration_ms) AS avg_cold_start_ms,
    quantileExactInclusive(0.95)(startup_duration_ms) AS p95_cold_start_ms,
    max(startup_duration_ms) AS worst_cold_start_ms,
    quantileExactInclusive(0.95)(first_query_latency_ms) AS p95_first_query_ms
FROM tier_events FINAL
WHERE event_type = 'cold_start' AND project_id != '_doctor'
  AND Timestamp >= {since:DateTime64(9, 'UTC')} AND Timestamp < {until:DateTime64(9, 'UTC')}
GROUP BY source_tier, plan
ORDER BY plan, source_tier
