-- The same as upsell.sql out of what is counted by day, for ranges that begin before the events in full do.
--
-- since, until        DateTime64(9, 'UTC'); their days are in the range as a whole
-- more_than UInt64    hits that are not enough yet
SELECT
    project_id,
    '' AS tenant_id,
    any(plan_now) AS plan,
    sumIf(events, counts) AS ceiling_hits,
    sumIf(events, counts AND resource_type = 'connections') AS connections,
    sumIf(events, counts AND resource_type = 'query_rate') AS query_rate,
    sumIf(events, counts AND resource_type = 'storage') AS storage,
    sumIf(events, counts AND resource_type = 'compute_time') AS compute_time,
    toDateTime(maxIf(day, counts), 'UTC') AS last_hit,
    '' AS next_plan
FROM
(
    SELECT
        project_id, day, resource_type, events,
        -- on the day of a change the plan is the new one
        argMax(plan, (day, event_type = 'plan_change')) OVER (PARTITION BY project_id) AS plan_now,
        event_type = 'tier_ceiling_hit' AND plan = plan_now AS counts
    FROM tier_events_daily FINAL
    WHERE event_type IN ('tier_ceiling_hit', 'plan_change')
      AND day >= toDate({since:DateTime64(9, 'UTC')}) AND day <= toDate({until:DateTime64(9, 'UTC')})
)
GROUP BY project_id
HAVING ceiling_hits > {more_than:UInt64}
ORDER BY ceiling_hits DESC, project_id
