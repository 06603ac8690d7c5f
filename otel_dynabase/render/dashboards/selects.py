"""What is asked of ClickHouse: the events of all tenants, and their metrics where collector/detail.yaml keeps them.

`$__timeFilter`, `$__fromTime`, `$__toTime` and `$__timeInterval` are grafana-clickhouse-datasource's; variables of text
are quoted by Grafana (`:singlequote`). Every question has a time range, which is days of the tables' partitions, and a
bounded answer. `_doctor` is whose events `otel-dynabase doctor` sends.
"""

# ruff: noqa: S608  # nothing here is anybody's input: these are texts for Grafana, which quotes its variables

from __future__ import annotations

from typing import Final

from otel_dynabase.catalog.events import PROBE_PROJECT
from otel_dynabase.catalog.metrics import CPU_USAGE, MEMORY_USAGE, QUERY_DURATION
from otel_dynabase.catalog.plans import PLAN_TABLE, TIERS

TOP: Final = 20
"""As many tenants as a panel names."""
MOST: Final = 500
"""Rows of a table that lists events."""
BEFORE: Final = 30
"""Days before the range in which the beginning of a sleep is looked for."""
TENANTS: Final = f"project_id NOT IN ('', '_other', '{PROBE_PROJECT}')"
CHOSEN: Final = "event.plan IN (${plan:singlequote}) AND event.tier IN (${tier:singlequote})"
"""Of the events that a question calls `event`: its answer may have columns of the same names."""
PROJECT: Final = "project_id = ${project:singlequote}"
AWAKE: Final = "(event_type = 'cold_start' OR event_type = 'tier_transition' AND target_tier != 'COLD')"

# --- everybody --------------------------------------------------------------------------------------------------------

IN_TROUBLE: Final = f"""\
SELECT
    project_id,
    argMax(plan, Timestamp) AS plan,
    argMax(tier, Timestamp) AS tier,
    sumIf(hit_count, event_type = 'limit_hit' AND action != 'rejected') AS waited,
    sumIf(hit_count, event_type = 'limit_hit' AND action = 'rejected') AS rejected,
    maxIf(queue_duration_ms, event_type = 'limit_hit') AS worst_wait,
    countIf(event_type = 'cold_start') AS cold_starts,
    countIf(event_type = 'circuit_breaker_event' AND state = 'open') AS breaker_opened,
    max(Timestamp) AS last_event
FROM tier_events AS event FINAL
WHERE $__timeFilter(Timestamp) AND {TENANTS} AND {CHOSEN}
  AND event_type IN ('limit_hit', 'cold_start', 'circuit_breaker_event')
GROUP BY project_id
ORDER BY rejected + 10 * breaker_opened DESC, waited DESC, cold_starts DESC, project_id
LIMIT {TOP}"""

STAYS: Final = f"""\
SELECT
    source_tier AS tier,
    quantileExactInclusive(0.05)(stay) AS p5,
    quantileExactInclusive(0.25)(stay) AS p25,
    quantileExactInclusive(0.5)(stay) AS p50,
    quantileExactInclusive(0.75)(stay) AS p75,
    quantileExactInclusive(0.95)(stay) AS p95
FROM
(
    -- both ends of a stay are seen only if it began within the range, too
    SELECT
        source_tier,
        dateDiff('millisecond', lagInFrame(toNullable(Timestamp)) OVER of_project, Timestamp) / 1000 AS stay
    FROM tier_events FINAL
    WHERE $__timeFilter(Timestamp) AND {TENANTS} AND event_type = 'tier_transition'
      AND plan IN (${{plan:singlequote}})
    WINDOW of_project AS (
        PARTITION BY project_id ORDER BY Timestamp, event_seq ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
)
WHERE stay IS NOT NULL AND source_tier IN (${{tier:singlequote}})
GROUP BY tier
ORDER BY indexOf({list(TIERS)}, tier)"""

CEILINGS: Final = f"""\
SELECT
    project_id,
    any(plan_now) AS plan,
    argMax(tier, Timestamp) AS tier,
    resource_type AS resource,
    count() AS hits,
    max(Timestamp) AS last_hit,
    argMax(JSONExtractString(metadata, 'larger_plan'), Timestamp) AS next_plan
FROM
(
    -- hits under an earlier plan do not count: whoever has bought the larger one is no opportunity any more
    SELECT
        project_id, event_type, Timestamp, plan, tier, resource_type, metadata,
        argMax(plan, (Timestamp, event_seq)) OVER (PARTITION BY project_id) AS plan_now
    FROM tier_events FINAL
    WHERE $__timeFilter(Timestamp) AND {TENANTS} AND event_type IN ('tier_ceiling_hit', 'plan_change')
) AS event
WHERE event_type = 'tier_ceiling_hit' AND event.plan = plan_now AND {CHOSEN}
GROUP BY project_id, resource
ORDER BY hits DESC, project_id, resource
LIMIT 100"""

CONVERTED: Final = f"""\
SELECT uniqExact(project_id) AS converted
FROM tier_events FINAL
WHERE $__timeFilter(Timestamp) AND {TENANTS} AND event_type = 'plan_change'
  AND from_tier = 'free' AND change_type IN ('upgrade', 'trial_conversion')"""


def asleep(whose: str, chosen: str = "true") -> str:
    """Return the hours in the range between scaling to zero and what woke the tenant, and what they would have cost.

    Whoever sleeps at the end of the range has slept until then. Whose sleep began more than BEFORE days ahead of the
    range is not counted: it is not known to be asleep. `chosen` is about the beginning of a sleep: the plan may be
    another one at its end.
    """
    return f"""\
SELECT
    sum(dateDiff('second', greatest(began, $__fromTime), least(coalesce(woke, $__toTime), $__toTime))) / 3600 AS asleep,
    asleep * toFloat64OrZero('${{compute_cost_per_hour}}') AS saved
FROM
(
    SELECT
        event_type, plan, toDateTime(Timestamp) AS began,
        leadInFrame(toNullable(toDateTime(Timestamp))) OVER of_project AS woke
    FROM tier_events FINAL
    WHERE Timestamp >= $__fromTime - INTERVAL {BEFORE} DAY AND Timestamp <= $__toTime AND {whose}
      AND (event_type = 'scale_to_zero' OR {AWAKE})
    WINDOW of_project AS (
        PARTITION BY project_id ORDER BY Timestamp, event_seq ROWS BETWEEN CURRENT ROW AND 1 FOLLOWING)
)
WHERE event_type = 'scale_to_zero' AND coalesce(woke, $__toTime) > $__fromTime AND {chosen}"""


SAVED: Final = asleep(TENANTS, "plan IN (${plan:singlequote})")

# --- one project ------------------------------------------------------------------------------------------------------

PROJECTS: Final = f"""\
SELECT project_id FROM tier_events
WHERE $__timeFilter(Timestamp) AND {TENANTS}
GROUP BY project_id ORDER BY count() DESC, project_id LIMIT 200"""

WHO: Final = f"""\
SELECT
    argMax(if(event_type = 'plan_change', to_tier, plan), Timestamp) AS plan,
    argMax(if(event_type = 'tier_transition', target_tier, tier), Timestamp) AS tier,
    argMax(tenant_id, Timestamp) AS tenant,
    toString(toDateTime(max(Timestamp))) AS `last event`
FROM tier_events AS event FINAL
WHERE {PROJECT} AND Timestamp <= $__toTime AND event.tier != ''
HAVING count() > 0"""

MY_SLEEP: Final = asleep(PROJECT)


def state(column: str, changed_by: str, changed_to: str) -> str:
    """Return a project's plan or tier along the range: as each event found it, and as a change left it.

    The last state before the range is its first.
    """
    return f"""\
SELECT greatest(toDateTime64(Timestamp, 3), toDateTime64($__fromTime, 3)) AS time, argMax(now_is, Timestamp) AS {column}
FROM
(
    SELECT Timestamp, if(event_type = '{changed_by}', {changed_to}, {column}) AS now_is
    FROM tier_events FINAL
    WHERE {PROJECT} AND Timestamp <= $__toTime
)
WHERE now_is NOT IN ('', 'unknown')
GROUP BY time
ORDER BY time"""


def of_events(event_type: str, name: str, value: str) -> str:
    """Return a number of a project's events, added up or taken at its worst, by interval."""
    return f"""\
SELECT $__timeInterval(Timestamp) AS time, {name} AS what, {value} AS Value
FROM tier_events FINAL
WHERE {PROJECT} AND $__timeFilter(Timestamp) AND event_type = '{event_type}'
GROUP BY time, what
ORDER BY time, what"""


LIMIT_HITS: Final = of_events("limit_hit", "concat(limit_type, ' ', action)", "sum(hit_count)")
WAITS: Final = of_events("limit_hit", "concat(limit_type, ', worst wait')", "max(queue_duration_ms)")

OBJECTIVES: Final = {plan.name: 1000 * (plan.cold_start_p95 or 0) for plan in PLAN_TABLE}
"""Milliseconds that a plan's cold starts may take; 0: none may happen."""
COLD_STARTS: Final = f"""\
SELECT *
FROM
(
    SELECT
        Timestamp AS time,
        startup_duration_ms AS `start`,
        first_query_latency_ms AS `first query`,
        transform(plan, {list(OBJECTIVES)}, {list(OBJECTIVES.values())}, 0) AS objective
    FROM tier_events FINAL
    WHERE {PROJECT} AND $__timeFilter(Timestamp) AND event_type = 'cold_start'
    ORDER BY time DESC
    LIMIT {MOST}
)
ORDER BY time"""

EVENTS: Final = f"""\
SELECT
    Timestamp AS time,
    event_type AS event,
    multiIf(event_type = 'tier_transition', concat(source_tier, ' → ', target_tier),
            event_type = 'plan_change', concat(from_tier, ' → ', to_tier, ', ', change_type),
            event_type = 'limit_hit', concat(limit_type, ', ', action, ' x', toString(hit_count)),
            event_type = 'cold_start', concat('from ', source_tier, ', ', cache_level),
            event_type = 'tier_ceiling_hit', resource_type,
            event_type = 'circuit_breaker_event', state,
            cache_level) AS what,
    reason,
    coalesce(startup_duration_ms, queue_duration_ms, idle_duration_sec * 1000) AS took,
    trigger_conditions,
    plan,
    tier,
    ServiceName AS service,
    TraceId AS trace_id
FROM tier_events FINAL
WHERE {PROJECT} AND $__timeFilter(Timestamp)
ORDER BY Timestamp DESC, event_seq DESC
LIMIT {MOST}"""

MARKED: Final = f"""\
SELECT
    Timestamp AS time,
    event_type AS title,
    multiIf(event_type = 'tier_transition', concat(source_tier, ' → ', target_tier, ', ', reason),
            event_type = 'plan_change', concat(from_tier, ' → ', to_tier, ', ', change_type),
            reason) AS text,
    event_type AS tags
FROM tier_events FINAL
WHERE {PROJECT} AND $__timeFilter(Timestamp)
  AND event_type IN ('tier_transition', 'plan_change', 'scale_to_zero', 'cold_start')
ORDER BY time DESC
LIMIT {MOST}"""


# --- one project's metrics, unfolded ----------------------------------------------------------------------------------

STATEMENTS: Final = f"""\
SELECT
    $__timeInterval(at) AS time,
    sum(times) / $__interval_s AS `a second`,
    sum(spent) / nullIf(sum(times), 0) * 1000 AS `mean duration`
FROM
(
    -- what a series rose by since its point before; delta series say so themselves; one that begins, begins at 0
    SELECT
        TimeUnix AS at,
        toFloat64(Count) - if(AggregationTemporality = 1, 0, lagInFrame(toFloat64(Count)) OVER of_series) AS times,
        Sum - if(AggregationTemporality = 1, 0, lagInFrame(Sum) OVER of_series) AS spent,
        row_number() OVER of_series > 1 OR StartTimeUnix >= $__fromTime OR AggregationTemporality = 1 AS known
    FROM metric_detail_histogram FINAL
    WHERE {PROJECT} AND MetricName = '{QUERY_DURATION.name}' AND $__timeFilter(TimeUnix)
      AND bitAnd(Flags, 1) = 0 -- a stale marker is no value
    WINDOW of_series AS (
        PARTITION BY series, StartTimeUnix ORDER BY TimeUnix ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
)
WHERE known
GROUP BY time
ORDER BY time"""


def detail_gauge(metric: str, name: str) -> str:
    """Return a gauge of a project's, by interval; Grafana leaves `Value` out of a series' name."""
    return f"""\
SELECT $__timeInterval(TimeUnix) AS time, {name} AS what, avg(point.Value) AS Value
FROM metric_detail_gauge AS point FINAL
WHERE {PROJECT} AND MetricName = '{metric}' AND $__timeFilter(TimeUnix) AND bitAnd(Flags, 1) = 0
GROUP BY time, what
ORDER BY time, what"""


CPU: Final = detail_gauge(CPU_USAGE.name, "'CPU'")
MEMORY: Final = detail_gauge(MEMORY_USAGE.name, "Attributes['pool_type']")
