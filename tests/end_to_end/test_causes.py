"""Whatever happens at the database is found in Prometheus and in ClickHouse, in exactly the number that was caused."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.end_to_end.running import App, by, eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from examples.stack.postgres import Postgres
    from examples.stack.stack import Stack

pytestmark = pytest.mark.end_to_end

PLANS = {
    "saturated": "pro",
    "timed_out": "starter",
    "limited": "enterprise",
    "slow": "pro",
    "wrong_password": "starter",
    "sleeper": "enterprise",
    "free_1": "free",
    "free_2": "free",
}

REASONS = ("tier_limit_exceeded", "circuit_open", "pool_exhausted", "auth_failure")


@pytest.fixture(scope="module")
def targets(stack: Stack, sleeper: Postgres) -> dict[str, str]:
    """One database a project; a role that may connect once; a password that is wrong."""
    for project in PLANS.keys() - {"sleeper"}:
        stack.postgres.execute(f"CREATE DATABASE {project}")
    stack.postgres.execute("CREATE ROLE once LOGIN PASSWORD 'right' CONNECTION LIMIT 1")
    dsn = stack.postgres.dsn
    special = {
        "limited": dsn("limited", user="once", password="right"),
        "wrong_password": dsn("wrong_password", user="once", password="wrong"),
        "sleeper": sleeper.dsn("sleeper"),
    }
    return {project: special.get(project) or dsn(project) for project in PLANS}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("causes") / "tenants.yaml"
    tiers = {"sleeper": "WARM"}
    rows = [
        {"project_id": project, "tenant_id": f"org_{project}", "plan": plan, "tier": tiers.get(project, "HOT")}
        for project, plan in PLANS.items()
    ]
    file.write_text(yaml.safe_dump({"tenants": rows}))
    return file


def test_every_cause_is_in_both_stores_exactly_as_often_as_it_was_caused(
    stack: Stack, sleeper: Postgres, targets: dict[str, str], directory: Path, app: Callable[..., App]
) -> None:
    running = app(stack, "causes", directory, "causes", targets)
    assert running.said() == {"asleep": 2}
    sleeper.start()
    running.go_on()
    caused = running.said()
    log = running.ended()
    assert "otel-dynabase" not in log, log

    limits = {
        ("saturated", "max_pool_size", "queued"): caused["queued"],
        ("timed_out", "connection_timeout", "rejected"): caused["timed_out"],
        ("limited", "max_concurrent", "rejected"): caused["too_many"],
        ("slow", "query_timeout", "rejected"): caused["slow"],
    }
    folded = {("_other", "max_pool_size", "queued"): caused["free_queued"]}
    assert eventually(lambda: in_prometheus(stack), (limits | folded).__eq__) == limits | folded

    free = {("free_1", "max_pool_size", "queued"): 2, ("free_2", "max_pool_size", "queued"): 2}
    assert eventually(lambda: in_clickhouse(stack), (limits | free).__eq__) == limits | free

    # every reason is there for every tenant, at 0 where nothing happened: an alert must see the first increment
    nothing = {(project, reason): 0 for project in {*PLANS, "_other"} - {"free_1", "free_2"} for reason in REASONS}
    assert by(stack, "sum by (project_id, reason) (tenant_connection_rejections_total)", "project_id", "reason") == {
        **nothing,
        ("timed_out", "pool_exhausted"): caused["timed_out"],
        ("limited", "tier_limit_exceeded"): caused["too_many"],
        ("wrong_password", "auth_failure"): caused["wrong_password"],
    }
    check_cold_start(stack)
    check_events(stack)
    check_traces(stack)


def check_cold_start(stack: Stack) -> None:
    labels = ("project_id", "plan", "source_tier")
    nothing = {
        (project, "enterprise", tier): 0 for project in ("sleeper", "limited") for tier in ("COLD", "WARM", "unknown")
    }
    expected = nothing | {("sleeper", "enterprise", "WARM"): 1}
    assert by(stack, "tenant_cold_starts_total", *labels) == expected
    assert by(stack, "tenant_cold_start_duration_seconds_count", "project_id") == {("sleeper",): 1}
    assert by(stack, "tenant_first_query_latency_seconds_count", "project_id") == {("sleeper",): 1}
    rows = stack.clickhouse.rows(
        "SELECT project_id, plan, tenant_id, source_tier, startup_duration_ms > 0 AS took, "
        "first_query_latency_ms > 0 AS queried FROM tier_events FINAL WHERE event_type = 'cold_start' "
        "AND ServiceName = 'causes'"
    )
    expected = {"project_id": "sleeper", "plan": "enterprise", "tenant_id": "org_sleeper", "source_tier": "WARM"}
    assert rows == [expected | {"took": 1, "queried": 1}]


def check_events(stack: Stack) -> None:
    """Every event has an id of its own, none is missing in the sequence, and Prometheus knows how many there are."""
    (stored,) = stack.clickhouse.rows(
        "SELECT count() AS n, uniqExact(event_id) AS ids, max(event_seq) AS last, uniqExact(event_seq) AS seqs "
        "FROM tier_events FINAL WHERE ServiceName = 'causes'"
    )
    emitted = by(stack, 'otel_dynabase_events_total{job="causes"}', "outcome")
    assert {stored["n"], stored["ids"], stored["last"], stored["seqs"]} == {emitted["emitted",]}
    assert emitted["dropped",] == 0


def check_traces(stack: Stack) -> None:
    """A slow statement's event is in the trace of its official span, and so is its bucket's exemplar."""
    traces = stack.clickhouse.rows("SELECT DISTINCT TraceId FROM tier_events FINAL WHERE project_id = 'slow'")
    assert all(len(row["TraceId"]) == 32 for row in traces)
    now = time.time()
    found = stack.prometheus.exemplars('db_query_duration_seconds_bucket{project_id="saturated"}', now - 300, now)
    assert any(len(exemplar["labels"]["trace_id"]) == 32 for series in found for exemplar in series["exemplars"])


def in_prometheus(stack: Stack) -> dict[tuple[str, ...], float]:
    labels = ("project_id", "limit_type", "action")
    return by(stack, f"sum by ({', '.join(labels)}) (tenant_limit_hits_total)", *labels)


def in_clickhouse(stack: Stack) -> dict[tuple[str, ...], float]:
    rows = stack.clickhouse.rows(
        "SELECT project_id, limit_type, action, sum(hit_count) AS hits FROM tier_events FINAL "
        "WHERE event_type = 'limit_hit' AND ServiceName = 'causes' GROUP BY ALL"
    )
    return {(row["project_id"], row["limit_type"], row["action"]): row["hits"] for row in rows}
