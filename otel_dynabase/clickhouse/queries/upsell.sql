-- The ticket's "identifying upsell opportunities": who keeps staying at a limit of the plan that they have now.
--
-- Hits under an earlier plan do not count: whoever has bought the larger plan is no opportunity any more.
--
-- since, until        DateTime64(9, 'UTC'); until itself is not in the range
-- more_than UInt64    hits that are not enough yet
SELECT
    project_id,
    argMax(tenant_id, Timestamp) AS tenant_id,
    any(plan_now) AS plan,
    countIf(counts) AS ceiling_hits,
    countIf(counts AND resource_type = 'connections') AS connections,
    countIf(counts AND resource_type = 'query_rate') AS query_rate,
    countIf(counts AND resource_type = 'storage') AS storage,
    countIf(counts AND resource_type = 'compute_time') AS compute_time,
    maxIf(Timestamp, counts) AS last_hit,
    argMaxIf(JSONExtractString(LogAttributes['metadata'], 'larger_plan'), Timestamp, counts) AS next_plan
FROM
(
    SELECT
        project_id, tenant_id, Timestamp, resource_type, LogAttributes,
        argMax(plan, (Timestamp, event_seq)) OVER (PARTITION BY project_id) AS plan_now,
        event_type = 'tier_ceiling_hit' AND plan = plan_now AS counts
    FROM tier_events FINAL
    WHERE event_type IN ('tier_ceiling_hit', 'plan_change') AND project_id != '_doctor'
      AND Timestamp >= {since:DateTime64(9, 'UTC')} AND Timestamp < {until:DateTime64(9, 'UTC')}
)
GROUP BY project_id
HAVING ceiling_hits > {more_than:UInt64}
ORDER BY ceiling_hits DESC, project_id
