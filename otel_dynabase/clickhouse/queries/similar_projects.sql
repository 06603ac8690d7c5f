-- The projects whose names are most like one that has no events: at most 3, and none that is too different.
--
-- project String
SELECT project_id
FROM (SELECT DISTINCT project_id FROM tier_events WHERE project_id != '_doctor')
WHERE damerauLevenshteinDistance(project_id, {project:String}) <= greatest(1, intDiv(length({project:String}), 4))
   OR (length({project:String}) >= 3 AND positionCaseInsensitive(project_id, {project:String}) > 0)
ORDER BY damerauLevenshteinDistance(project_id, {project:String}), project_id
LIMIT 3
