-- What each project's statements and connections took, out of the detail of metrics, where that is kept.
--
-- A cumulative series counts from its last point before the range; from 0 if it began within it; from its first point
-- if neither is known, so that nothing is made up. Ten minutes before the range are looked at for that.
--
-- since, until    DateTime64(9, 'UTC'); until itself is not in the range
-- pool String     only this connection pool, which statements do not say; empty: all
WITH
    points AS
    (
        SELECT
            project_id, plan, MetricName AS metric, series, StartTimeUnix AS began, TimeUnix AS at, Sum AS total,
            Count AS times, AggregationTemporality = 1 AS delta, TimeUnix >= {since:DateTime64(9, 'UTC')} AS here
        FROM metric_detail_histogram FINAL
        WHERE MetricName IN ('db.query.duration', 'db.client.operation.duration', 'db.client.connection.use_time',
                             'tenant.limit.queue.duration')
          AND project_id NOT IN ('', '_other', '_doctor')
          AND TimeUnix >= {since:DateTime64(9, 'UTC')} - INTERVAL 10 MINUTE
          AND TimeUnix < {until:DateTime64(9, 'UTC')}
          AND bitAnd(Flags, 1) = 0 -- a stale marker is no value
          AND (empty({pool:String}) OR Attributes['db.client.connection.pool.name'] = {pool:String})
    ),
    increases AS
    (
        SELECT
            project_id, plan, metric,
            multiIf(any(delta), sumIf(total, here),
                    countIf(NOT here) > 0, max(total) - maxIf(total, NOT here),
                    began >= {since:DateTime64(9, 'UTC')}, max(total),
                    max(total) - min(total)) AS spent,
            multiIf(any(delta), toInt64(sumIf(times, here)),
                    countIf(NOT here) > 0, toInt64(max(times)) - toInt64(maxIf(times, NOT here)),
                    began >= {since:DateTime64(9, 'UTC')}, toInt64(max(times)),
                    toInt64(max(times)) - toInt64(min(times))) AS counted,
            max(at) AS seen
        FROM points
        GROUP BY project_id, plan, metric, series, began
        HAVING countIf(here) > 0
    )
SELECT
    project_id,
    argMax(plan, seen) AS plan,
    -- both names are of one accumulator; NULL where nothing was kept
    coalesce(sumOrNullIf(spent, metric = 'db.query.duration'), sumOrNullIf(spent, metric = 'db.client.operation.duration'))
        AS executing_s,
    coalesce(sumOrNullIf(counted, metric = 'db.query.duration'),
             sumOrNullIf(counted, metric = 'db.client.operation.duration')) AS statements,
    sumOrNullIf(spent, metric = 'db.client.connection.use_time') AS holding_s,
    sumOrNullIf(spent, metric = 'tenant.limit.queue.duration') AS waiting_s
FROM increases
GROUP BY project_id
ORDER BY project_id
