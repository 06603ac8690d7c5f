-- Who waited for a connection, was turned away or slowed down: out of the events.
--
-- since, until    DateTime64(9, 'UTC'); until itself is not in the range
-- pool String     only this connection pool; empty: all
SELECT
    project_id,
    argMax(plan, Timestamp) AS plan,
    sumIf(hit_count, action = 'queued') AS queued,
    sumIf(hit_count, action = 'rejected') AS rejected,
    sumIf(hit_count, action = 'throttled') AS throttled,
    max(queue_duration_ms) AS worst_wait_ms,
    arraySort(groupUniqArrayIf(8)(JSONExtractString(metadata, 'pool_name') AS name, name != '')) AS pools
FROM tier_events FINAL
WHERE event_type = 'limit_hit' AND project_id != '_doctor'
  AND Timestamp >= {since:DateTime64(9, 'UTC')} AND Timestamp < {until:DateTime64(9, 'UTC')}
  AND (empty({pool:String}) OR JSONExtractString(metadata, 'pool_name') = {pool:String})
GROUP BY project_id
ORDER BY project_id
