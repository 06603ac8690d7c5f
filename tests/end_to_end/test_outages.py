"""Stores that stop and a collector that is killed lose nothing: every event is stored once, every total is right."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.end_to_end.running import App, by, eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from examples.stack.stack import Stack

pytestmark = pytest.mark.end_to_end

PLANS = {"steady_pro": "pro", "steady_starter": "starter"}
OUTAGE = 60.0
"""Seconds that ClickHouse is away."""


@pytest.fixture(scope="module")
def targets(stack: Stack) -> dict[str, str]:
    for project in PLANS:
        stack.postgres.execute(f"CREATE DATABASE {project}")
    return {project: stack.postgres.dsn(project) for project in PLANS}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("outages") / "tenants.yaml"
    rows = [{"project_id": project, "plan": plan, "tier": "HOT"} for project, plan in PLANS.items()]
    file.write_text(yaml.safe_dump({"tenants": rows}))
    return file


def test_an_outage_of_clickhouse_and_a_killed_collector_lose_no_event_and_no_count(
    stack: Stack, targets: dict[str, str], directory: Path, app: Callable[..., App]
) -> None:
    running = app(stack, "outage", directory, "steady", targets)
    assert running.said() == {"started": True}
    time.sleep(3)
    stack.clickhouse.stop()
    away = time.monotonic()
    time.sleep(OUTAGE / 3)
    stack.collector.kill()
    time.sleep(2)
    stack.collector.start()
    time.sleep(OUTAGE - (time.monotonic() - away))
    stack.clickhouse.start()
    time.sleep(3)
    running.go_on()
    totals = running.said()
    running.ended()
    check(stack, "outage", totals)


def test_stores_and_collector_that_are_away_at_the_start_get_everything_later(
    stack: Stack, targets: dict[str, str], directory: Path, app: Callable[..., App]
) -> None:
    stack.collector.stop()
    stack.clickhouse.stop()
    stack.prometheus.stop()
    running = app(stack, "late", directory, "steady", targets)
    assert running.said() == {"started": True}
    time.sleep(12)
    stack.prometheus.start()
    stack.clickhouse.start()
    stack.collector.start()
    time.sleep(5)
    running.go_on()
    totals = running.said()
    log = running.ended()
    assert log.count("the collector did not accept") == 1, log
    check(stack, "late", totals)


def check(stack: Stack, service: str, totals: dict[str, Any]) -> None:
    """Compare both stores with what the application counted itself."""
    expected = {(project,): float(count) for project, count in totals["queries"].items()}
    query = f'sum by (project_id) (db_queries_total{{job="{service}", status="ok"}})'
    assert eventually(lambda: by(stack, query, "project_id"), expected.__eq__) == expected
    hits = {(project,): float(count) for project, count in totals["hits"].items()}
    query = f'sum by (project_id) (tenant_limit_hits_total{{job="{service}"}})'
    assert by(stack, query, "project_id") == hits

    emitted = by(stack, f'otel_dynabase_events_total{{job="{service}"}}', "outcome")
    assert emitted["dropped",] == 0
    wanted = {"n": emitted["emitted",], "ids": emitted["emitted",], "last": emitted["emitted",]}
    assert eventually(lambda: stored(stack, service), wanted.__eq__) == wanted
    rows = stack.clickhouse.rows(
        "SELECT project_id, sum(hit_count) AS hits FROM tier_events FINAL "
        "WHERE ServiceName = {service:String} GROUP BY project_id",
        service=service,
    )
    assert {(row["project_id"],): row["hits"] for row in rows} == hits


def stored(stack: Stack, service: str) -> dict[str, int]:
    (row,) = stack.clickhouse.rows(
        "SELECT count() AS n, uniqExact(event_id) AS ids, max(event_seq) AS last FROM tier_events FINAL "
        "WHERE ServiceName = {service:String}",
        service=service,
    )
    return row
