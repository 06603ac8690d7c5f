-- The UTC days on which anything happened, in order: an export goes through them one at a time.
--
-- since, until    DateTime64(9, 'UTC'); until itself is not in the range
-- project String  empty: every project
-- types           Array(String); empty: every type
SELECT DISTINCT toDate(Timestamp) AS day
FROM tier_events
WHERE project_id != '_doctor' AND (empty({project:String}) OR project_id = {project:String})
  AND Timestamp >= {since:DateTime64(9, 'UTC')} AND Timestamp < {until:DateTime64(9, 'UTC')}
  AND (empty({types:Array(String)}) OR event_type IN {types:Array(String)})
ORDER BY day
