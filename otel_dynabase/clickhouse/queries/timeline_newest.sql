-- The newest events of each type, of one project in a range, in order: what is frequent does not crowd out what is rare.
--
-- project String    whose
-- since, until      DateTime64(9, 'UTC'); until itself is not in the range
-- most UInt64       how many of each type
SELECT *
FROM
(
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
      AND Timestamp >= {since:DateTime64(9, 'UTC')} AND Timestamp < {until:DateTime64(9, 'UTC')}
    ORDER BY Timestamp DESC, event_seq DESC, event_id DESC
    LIMIT {most:UInt64} BY event_type
)
ORDER BY time_ns, event_seq, event_id
