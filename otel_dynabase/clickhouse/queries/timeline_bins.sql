-- How much happened to one project in each bin of a range: every event is counted, however many there are.
--
-- plan and tier are what the first event of each row says of its project.
--
-- project String    whose
-- since, until      DateTime64(9, 'UTC'); until itself is not in the range
-- step UInt32       seconds; a bin begins at a whole multiple of them
SELECT
    intDiv(toUnixTimestamp64Second(Timestamp), {step:UInt32}) * {step:UInt32} AS begin,
    event_type,
    limit_type,
    action,
    state,
    count() AS events,
    sum(hit_count) AS hits,
    max(queue_duration_ms) AS worst_wait_ms,
    toUnixTimestamp64Nano(min(Timestamp)) AS first_ns,
    toUnixTimestamp64Nano(max(Timestamp)) AS last_ns,
    argMin(plan, Timestamp) AS plan,
    argMin(tier, Timestamp) AS tier
FROM tier_events FINAL
WHERE project_id = {project:String}
  AND Timestamp >= {since:DateTime64(9, 'UTC')} AND Timestamp < {until:DateTime64(9, 'UTC')}
GROUP BY begin, event_type, limit_type, action, state
ORDER BY begin, event_type, limit_type, action, state
