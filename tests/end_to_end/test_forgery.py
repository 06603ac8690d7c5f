"""Tenants cannot lie about themselves: what a client claims of plan and tier changes nothing in either store."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import httpx
import pytest
import yaml

from examples.service import RUN, WebService
from tests.end_to_end.running import by, eventually

if TYPE_CHECKING:
    from pathlib import Path

    from examples.stack.stack import Stack

pytestmark = pytest.mark.end_to_end

TENANTS = {"honest": ("starter", "WARM"), "victim": ("enterprise", "PERSISTENT"), "claimed": ("pro", "COLD")}
CLAIMS = "project_id={project},tenant_id=org_victim,plan=enterprise,tier=PERSISTENT"
REQUESTS = 4
"""At once, on one connection: all but one of them queue."""


@pytest.fixture(scope="module")
def directory(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    stack.postgres.execute("CREATE DATABASE honest")
    stack.postgres.execute("CREATE DATABASE everybodys")
    file = tmp_path_factory.mktemp("forgery") / "tenants.yaml"
    rows = [{"project_id": name, "plan": plan, "tier": tier} for name, (plan, tier) in TENANTS.items()]
    file.write_text(yaml.safe_dump({"tenants": rows}))
    return file


def run(stack: Stack, directory: Path, name: str, database: str, project: str, **settings: str) -> None:
    """Run a service on this database; let clients ask it who claim to be somebody."""
    environment = {
        "DSN": stack.postgres.dsn(database),
        "OTEL_DYNABASE_DIRECTORY": str(directory),
        "OTEL_DYNABASE_EVENT_WINDOW": "0.2",
        **settings,
    }
    claims = CLAIMS.format(project=project)
    headers = dict(pair.split("=") for pair in claims.split(",")) | {"baggage": claims, "x-project-id": project}
    with (
        WebService(
            name, "tests.end_to_end.one_pool_app:app", directory.parent, stack.endpoints, environment
        ) as service,
        httpx.Client(base_url=service.url, headers=headers, trust_env=False) as client,
        ThreadPoolExecutor(REQUESTS) as threads,
    ):
        answers = threads.map(lambda _: client.get("/work").status_code, range(REQUESTS))
        assert list(answers) == [200] * REQUESTS


def seen(stack: Stack, name: str) -> tuple[dict[tuple[str, ...], float], list[tuple[str, ...]]]:
    """Return statements by project, plan and tier, and whose events there are."""
    counted = by(stack, f'db_queries_total{{job="{RUN}/{name}", status="ok"}}', "project_id", "plan", "tier")
    rows = stack.clickhouse.rows(
        "SELECT DISTINCT project_id, tenant_id, plan, tier FROM tier_events FINAL WHERE ServiceName = {name:String}",
        name=name,
    )
    return counted, [tuple(row.values()) for row in rows]


def assert_seen(stack: Stack, name: str, project: str, plan: str, tier: str) -> None:
    expected = {(project, plan, tier): REQUESTS}, [(project, "", plan, tier)]
    assert eventually(lambda: seen(stack, name), expected.__eq__, 20) == expected


def test_a_clients_claims_change_nothing(stack: Stack, directory: Path) -> None:
    run(stack, directory, "distrustful", "honest", "victim")
    assert_seen(stack, "distrustful", "honest", *TENANTS["honest"])


def test_on_a_shared_pool_they_are_nobodys(stack: Stack, directory: Path) -> None:
    run(stack, directory, "distrustful-shared", "everybodys", "victim")
    assert_seen(stack, "distrustful-shared", "unknown", "unknown", "unknown")


def test_where_baggage_is_trusted_it_names_the_project_and_nothing_else(stack: Stack, directory: Path) -> None:
    run(stack, directory, "trustful", "everybodys", "claimed", OTEL_DYNABASE_TRUST_BAGGAGE="true")
    assert_seen(stack, "trustful", "claimed", *TENANTS["claimed"])


def test_trusted_baggage_does_not_outweigh_whose_the_database_is(stack: Stack, directory: Path) -> None:
    run(stack, directory, "trustful-own", "honest", "victim", OTEL_DYNABASE_TRUST_BAGGAGE="true")
    assert_seen(stack, "trustful-own", "honest", *TENANTS["honest"])
