"""Attributes: each is defined once here and referenced everywhere else."""

from __future__ import annotations

from dataclasses import dataclass

from otel_dynabase.catalog.plans import PLANS, RESOURCES, TIERS

UNKNOWN = "unknown"
OTHER_PROJECT = "_other"
"""The `project_id` of what was folded away; plan, tier and outcome are kept."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """A key of a metric label, a span attribute and an event column, spelled the same in all three.

    `values` is the whole set where the set is bounded by name, or empty where it is open.
    `constant` is the value of an attribute that has only one; it is not part of a series' key.
    """

    name: str
    what: str
    values: tuple[str, ...] = ()
    constant: str | None = None


PROJECT = Attribute(
    "project_id", "The project: one tenant database. `_other` where folded, `unknown` where nobody said."
)
TENANT = Attribute("tenant_id", "The organisation that owns the project; on spans and events only, never on a metric.")
TIER = Attribute("tier", "The compute tier that the project runs on now.", (*TIERS, UNKNOWN))
PLAN = Attribute("plan", "The subscription that the tenant pays for.", (*PLANS, UNKNOWN))
TENANT_LABELS = (PROJECT, TIER, PLAN)
"""What nearly every series of a tenant's begins with."""
DATABASE_TYPE = Attribute("database_type", "The ticket's name of the database system.", ("postgres",), "postgres")
DB_SYSTEM = Attribute("db.system.name", "The semantic-convention name of it.", ("postgresql",), "postgresql")
OPERATION = Attribute(
    "operation",
    "The statement's command.",
    (
        *("SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "COPY", "CALL", "FETCH", "SET", "BEGIN", "COMMIT"),
        *("ROLLBACK", "CREATE", "ALTER", "DROP", "TRUNCATE", "REFRESH", "OTHER"),
    ),
)
DB_OPERATION = Attribute("db.operation.name", "The same under its semantic-convention name.", OPERATION.values)
STATUS = Attribute("status", "How a statement ended.", ("ok", "error"))
POOL_STATUS = Attribute("status", "What a pool's connection does.", ("idle", "used"))
STATE = Attribute("db.client.connection.state", "The same under its semantic-convention name.", POOL_STATUS.values)
POOL_NAME = Attribute("db.client.connection.pool.name", "`host:port/database`, or the name the application gave.")
ERROR_TYPE = Attribute("error_type", "The SQLSTATE's class, or timeout, cancelled, connection, client.")
SEMCONV_ERROR_TYPE = Attribute("error.type", "The same under its semantic-convention name.")
LIMIT_TYPE = Attribute(
    "limit_type", "Which limit.", ("max_pool_size", "max_concurrent", "query_timeout", "connection_timeout")
)
ACTION = Attribute("action", "What the limit did.", ("queued", "rejected", "throttled"))
REJECTION = Attribute(
    "reason",
    "Why there is no connection.",
    ("tier_limit_exceeded", "circuit_open", "pool_exhausted", "auth_failure"),
)
AFFECTED_METRIC = Attribute(
    "metric",
    "What happened to them: the metric, under its OpenTelemetry name.",
    ("tenant.limit.hits", "tenant.connection.rejections", "db.errors", "tenant.cold_starts", "circuit_breaker.open"),
)
SOURCE_TIER = Attribute("source_tier", "The tier that the project slept in.", ("COLD", "WARM", UNKNOWN))
CACHE_LEVEL = Attribute("cache_level", "Which cache served the start.", ("L1_miss", "L2_hit", "L3_hit", UNKNOWN))
FROM_TIER = Attribute("from_tier", "The compute tier before.", TIER.values)
TO_TIER = Attribute("to_tier", "The compute tier after.", TIER.values)
TRANSITION = Attribute(
    "reason",
    "Why the tier changed.",
    ("automatic_promotion", "automatic_demotion", "manual_upgrade", "manual_downgrade", "scale_to_zero"),
)
SCALE_REASON = Attribute("reason", "Why compute was given up.", ("idle_timeout", "manual", "cost_optimization"))
FROM_PLAN = Attribute("from_tier", "The plan before, under the ticket's name.", PLAN.values)
TO_PLAN = Attribute("to_tier", "The plan after, under the ticket's name.", PLAN.values)
CHANGE_TYPE = Attribute(
    "change_type", "What kind of change.", ("upgrade", "downgrade", "trial_conversion", "cancellation")
)
RESOURCE = Attribute("resource", "Of what the plan's limit is reached.", RESOURCES)
POOL_TYPE = Attribute("pool_type", "Which memory.", ("buffer_pool", "shared_buffers", "work_mem"))
IO_OPERATION = Attribute("operation", "Which way.", ("read", "write"))
CACHE = Attribute("cache_level", "Where the answer was; `L4_miss`: in no cache.", ("L1", "L2", "L3", "L4_miss"))
EVICTION = Attribute("reason", "Why it had to go.", ("lru", "tier_demotion", "memory_pressure"))
HOUR = Attribute("hour", "The hour of the day, UTC.", tuple(str(hour) for hour in range(24)))
PERIOD = Attribute("duration_category", "How long the tenant was active.", ("<1h", "1-4h", "4-24h", ">24h"))
BREAKER_STATE = Attribute("state", "What a circuit breaker does.", ("closed", "half_open", "open"))
SLO = Attribute("slo", "Which objective.", ("query_latency", "availability", "cold_start"))
SLO_LATENCY = Attribute("slo_threshold_ms", "The plan's objective in milliseconds; 0: none may happen.")
SLO_SHARE = Attribute("slo_threshold_percent", "The plan's objective in percent.")
EVENT_OUTCOME = Attribute(
    "outcome",
    "What became of an event.",
    ("emitted", "amended", "acknowledged", "retried", "unanswered", "dropped", "coalesced"),
)
COST_OUTCOME = Attribute(
    "outcome",
    "What became of a sampled statement: its cost was recorded; the planner has none to say for it; too many waited; "
    "the server could not be asked.",
    ("explained", "skipped", "dropped", "failed"),
)
FAULT_PLACE = Attribute("place", "Which part of the instrumentation failed and was ignored.")
REPORT = Attribute("report", "Which function of the report API.")
REPORT_OUTCOME = Attribute("outcome", "What became of a report.", ("accepted", "refused", "dropped"))
OBSERVER_FAILURE = Attribute(
    "reason",
    "Why the observer could not ask a server; `late`: the round was over before it was its turn.",
    ("timeout", "absent", "connection", "auth_failure", "max_concurrent", "refused", "settings", "late"),
)
OBSERVER_BREAK = Attribute(
    "reason", "Why a database's counters cannot be compared with those before.", ("reset", "recreated", "moved", "lost")
)
OBSERVER_UNREADABLE = Attribute(
    "what", "What is not there to be read.", ("database", "connections", "executing", "statements", "buffers", "size")
)
OBSERVER_PLACE = Attribute("place", "What did not work: a part of the observer's, `directory` or `state`.")
ROUND_OUTCOME = Attribute("outcome", "How a round went.", ("complete", "partial"))
