-- Whether an event of `otel-dynabase doctor` has arrived.
--
-- event_id UUID
SELECT count() AS stored
FROM tier_events
WHERE project_id = '_doctor' AND event_id = {event_id:UUID}
