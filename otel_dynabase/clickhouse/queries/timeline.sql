-- Everything that happened to one project, in order: the newest events of a range, as many as `most`.
-- With types = ['tier_transition'] it answers the ticket's "debugging tier transition logic".
--
-- project String    whose
-- since, until      DateTime64(9, 'UTC'); until itself is not in the range
-- types             Array(String); empty: every type
-- most UInt64
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
      AND (empty({types:Array(String)}) OR event_type IN {types:Array(String)})
    ORDER BY Timestamp DESC, event_seq DESC, event_id DESC
    LIMIT {most:UInt64}
)
ORDER BY time_ns, event_seq, event_id
