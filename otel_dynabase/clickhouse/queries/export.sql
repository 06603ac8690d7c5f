-- Every event of a range, once each, in the order that it happened.
--
-- since, until    DateTime64(9, 'UTC'); until itself is not in the range
-- project String  empty: every project
-- types           Array(String); empty: every type
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
WHERE project_id != '_doctor' AND (empty({project:String}) OR project_id = {project:String})
  AND Timestamp >= {since:DateTime64(9, 'UTC')} AND Timestamp < {until:DateTime64(9, 'UTC')}
  AND (empty({types:Array(String)}) OR event_type IN {types:Array(String)})
ORDER BY Timestamp, event_seq, event_id
