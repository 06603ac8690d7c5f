-- A project's statements in each bin of a range, out of the detail of metrics, where that is kept; a bin in which nobody
-- told of it has no row.
--
-- What a cumulative series has counted belongs to the bin of the point that says so. Its first point counts in full if
-- the series began within the range, and not at all if nothing is known of the time before it, so that nothing is made
-- up. Ten minutes before the range are looked at for that.
--
-- project String    whose
-- since, until      DateTime64(9, 'UTC'); until itself is not in the range
-- step UInt32       seconds; a bin begins at a whole multiple of them
WITH
    points AS
    (
        SELECT
            MetricName AS metric, StartTimeUnix AS began, TimeUnix AS at, Count AS total,
            AggregationTemporality = 1 AS delta,
            lagInFrame(toNullable(Count)) OVER (
                PARTITION BY MetricName, series, StartTimeUnix ORDER BY TimeUnix
                ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS earlier
        FROM metric_detail_histogram FINAL
        WHERE MetricName IN ('db.query.duration', 'db.client.operation.duration')
          AND project_id = {project:String}
          AND TimeUnix >= {since:DateTime64(9, 'UTC')} - INTERVAL 10 MINUTE
          AND TimeUnix < {until:DateTime64(9, 'UTC')}
          AND bitAnd(Flags, 1) = 0 -- a stale marker is no value
    ),
    increases AS
    (
        SELECT
            metric, intDiv(toUnixTimestamp(at), {step:UInt32}) * {step:UInt32} AS begin,
            multiIf(delta, toInt64(total),
                    isNotNull(earlier), toInt64(total) - toInt64(assumeNotNull(earlier)),
                    began >= {since:DateTime64(9, 'UTC')}, toInt64(total),
                    0) AS increase
        FROM points
        WHERE at >= {since:DateTime64(9, 'UTC')}
    )
SELECT
    begin,
    -- both names are of one accumulator
    coalesce(sumOrNullIf(increase, metric = 'db.query.duration'),
             sumOrNullIf(increase, metric = 'db.client.operation.duration')) AS statements
FROM increases
GROUP BY begin
ORDER BY begin
