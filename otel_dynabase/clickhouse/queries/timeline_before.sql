-- The last change of a project's tier, and the last of its plan, before a range.
--
-- project String    whose
-- since             DateTime64(9, 'UTC')
SELECT
    toUnixTimestamp64Nano(Timestamp) AS time_ns,
    event_type,
    event_id,
    event_seq,
    TraceId AS trace_id,
    SpanId AS span_id,
    ServiceName AS service_name,
    service_instance_id,
    LogAttributes AS attributes
FROM tier_events FINAL
WHERE project_id = {project:String}
  AND event_type IN ('tier_transition', 'plan_change')
  AND Timestamp < {since:DateTime64(9, 'UTC')}
ORDER BY Timestamp DESC, event_seq DESC, event_id DESC
LIMIT 1 BY event_type
