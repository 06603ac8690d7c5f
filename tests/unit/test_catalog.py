"""The catalogue: names, labels and buckets are what the specification and the plans ask for."""

import itertools
import re

import pytest

from otel_dynabase.catalog.attributes import PLAN, PROJECT, TENANT, TIER
from otel_dynabase.catalog.events import EVENTS
from otel_dynabase.catalog.kinds import Counter, Gauge, Histogram, Recorded, UpDownCounter
from otel_dynabase.catalog.metrics import (
    ACQUIRE_DURATION,
    COLD_START_DURATION,
    CONNECTION_WAIT,
    METRICS,
    OPERATION_DURATION,
    QUERY_DURATION,
)
from otel_dynabase.catalog.plans import PLAN_TABLE, PLANS, TIERS

BY_NAME = {metric.name: metric for metric in METRICS}
TICKET = {
    "db.active_connections", "db.pool.size", "db.queries", "db.errors", "db.query.duration",
    "db.connection.acquire.duration", "circuit_breaker.state", "circuit_breaker.open",
    "tenant.current_tier", "tenant.tier.duration", "tenant.tier.transitions", "tenant.activity_state",
    "tenant.limit.hits", "tenant.limit.queue.duration", "tenant.connection.queue_depth", "tenant.connection.rejections",
    "tenant.cpu.usage.millicores", "tenant.memory.usage", "tenant.io", "tenant.query.cost.distribution",
    "tenant.scale_to_zero", "tenant.cold_starts", "tenant.cold_start.duration", "tenant.first_query.latency",
    "tenant.plan.changes", "tenants.by_tier", "revenue_units.by_tier", "tenant.tier.ceiling.hits",
    "tenant.cache.hits", "tenant.cache.access.latency", "tenant.cache.memory", "tenant.cache.evictions",
    "tenant.query.rate.per_minute", "tenant.queries.by_hour", "tenant.active_hours_per_day",
    "tenant.sustained_activity.periods", "tenant.idle.duration",
    "slo_query_latency_compliance", "slo_cold_start_compliance", "slo_availability_compliance",
}  # fmt: skip
TIERLESS = {
    "tenant.current_tier", "tenant.tier.transitions", "tenant.cold_starts", "tenant.cold_start.duration",
    "tenant.plan.changes", "tenant.active_hours_per_day", "tenant.sustained_activity.periods",
}  # fmt: skip
"""The tier is what they count, or means nothing to them."""
SEMCONV = {
    "db.client.operation.duration", "db.client.response.returned_rows",
    *(f"db.client.connection.{name}" for name in (
        "count", "idle.max", "idle.min", "max", "pending_requests", "timeouts", "create_time", "wait_time", "use_time",
    )),
}  # fmt: skip
OBJECTIVES = {
    "slo_target", "plan:slo_events:rate1m", "plan:slo_bad_events:rate1m", "plan:slo_events:increase1m",
    "plan:slo_bad_events:increase1m", "plan:slo_bad_events:share30d", "plan:slo_error_budget_remaining:30d",
    *(f"plan:slo_burn_rate:{window}" for window in ("5m", "30m", "1h", "2h", "6h", "1d", "3d")),
}  # fmt: skip
"""What compliance and budgets are computed from."""


def test_names_are_unique_and_all_that_were_promised_are_there():
    assert len(BY_NAME) == len(METRICS)
    itself = {name for name in BY_NAME if name.startswith("otel_dynabase.")}
    assert set(BY_NAME) - itself == TICKET | SEMCONV | OBJECTIVES | {"tenants.affected"}
    assert len(TICKET) == 40


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_is_well_formed(metric):
    if isinstance(metric, Recorded):
        assert re.fullmatch(r"slo_[a-z_]+|plan:slo_[a-z_]+:[a-z]*\d+[mhd]", metric.name)
    else:
        assert re.fullmatch(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+", metric.name)
        assert re.fullmatch(r"s|By|\{[a-z]+\}", metric.unit), "a unit of 1 becomes _ratio"
    assert type(metric) in {Counter, Gauge, Histogram, Recorded, UpDownCounter}
    names = [label.name for label in metric.labels]
    assert len(set(names)) == len(names)
    assert TENANT not in metric.labels
    assert metric.what.endswith(".")


@pytest.mark.parametrize("metric", [m for m in METRICS if PROJECT in m.labels], ids=lambda metric: metric.name)
def test_every_tenants_series_carries_plan_and_begins_with_the_project(metric):
    assert metric.labels[0] is PROJECT
    assert PLAN in metric.labels or metric.name == "tenant.plan.changes"
    assert TIER in metric.labels or metric.name in TIERLESS


@pytest.mark.parametrize("metric", [m for m in METRICS if isinstance(m, Histogram)], ids=lambda metric: metric.name)
def test_buckets_ascend(metric):
    assert metric.buckets
    assert all(low < high for low, high in itertools.pairwise(metric.buckets))


def test_every_objective_is_a_buckets_edge():
    """Compliance is counted, not guessed."""
    for plan in PLAN_TABLE:
        assert plan.query_p95 in QUERY_DURATION.buckets
        assert plan.connection_timeout in ACQUIRE_DURATION.buckets
        assert plan.cold_start_p95 is None or plan.cold_start_p95 in COLD_START_DURATION.buckets


def test_the_semantic_conventions_edges_are_all_there():
    assert {0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10} <= set(OPERATION_DURATION.buckets)


@pytest.mark.parametrize("metric", [m for m in METRICS if m.view_of is not None], ids=lambda metric: metric.name)
def test_a_view_fits_its_source(metric):
    source = metric.view_of.source
    key = metric.view_of.key(tuple(f"v{n}" for n in range(len(source.key))))
    assert len(key) == len(metric.key)
    assert source.view_of is None
    if isinstance(metric, Histogram):
        assert metric.buckets == source.buckets


def test_a_family_follows_from_the_name():
    assert {metric.name for metric in METRICS if metric.family == "semconv"} == SEMCONV
    assert CONNECTION_WAIT.family != ACQUIRE_DURATION.family


def test_constants_are_no_part_of_a_key():
    for metric in METRICS:
        assert all(label.constant is None for label in metric.key)


def test_plans_and_tiers_are_the_tickets():
    assert PLANS == ("free", "starter", "pro", "enterprise")
    assert TIERS == ("COLD", "WARM", "HOT", "PERSISTENT")


def test_events_are_named_and_none_of_their_attributes_is_a_common_one():
    common = {"event_id", "event_seq", "project_id", "tenant_id", "plan", "tier", "metadata"}
    assert {event.name for event in EVENTS} == {
        "tier_transition", "limit_hit", "scale_to_zero", "cold_start", "plan_change", "tier_ceiling_hit",
        "circuit_breaker_event", "cache_efficiency_alert",
    }  # fmt: skip
    for event in EVENTS:
        assert not common & set(event.attributes)
