"""What the load arranges must be possible under the service's limits, or it would prove nothing."""

import asyncio

import httpx
import pytest

from examples import load
from examples.app import FAILURES, PLAN_LIMITS, Pools, app
from examples.demo import REQUEST_TIMEOUT
from examples.ledger import LIMIT_HITS
from examples.tenants import CONNECTION_LIMITED, DIRECTORY, LOCKED_OUT, ROLE_CONNECTIONS, SLEEPER, read_tenants
from otel_dynabase.catalog.attributes import ACTION, BREAKER_STATE, LIMIT_TYPE, REJECTION
from otel_dynabase.catalog.plans import PLANS
from otel_dynabase.directory.file import FileSource
from otel_dynabase.directory.rows import read_rows
from otel_dynabase.probes.failures import SQLSTATE_CLASSES

TENANTS = {tenant.project_id: tenant for tenant in read_tenants()}
HARMLESS = {load.Load.promote, load.Load.read_again, load.Load.read_all}
EFFECTS = [value for value in vars(load).values() if isinstance(value, load.Effect)]


def whom(incident):
    return [PLAN_LIMITS[TENANTS[project].plan] for project, what in load.INCIDENTS.items() if what is incident]


def test_the_directory_has_no_flaws_and_names_each_database_once():
    table = read_rows(FileSource(DIRECTORY).load(), {})
    assert not table.flaws
    assert table.databases == {tenant.database: project for project, tenant in TENANTS.items()}


def test_every_plan_is_there_and_has_limits_and_quiet_tenants():
    assert {tenant.plan for tenant in TENANTS.values()} == set(PLANS) == set(PLAN_LIMITS) == set(load.RATES)
    eventful = {project for project, what in load.INCIDENTS.items() if what not in HARMLESS}
    assert {tenant.plan for project, tenant in TENANTS.items() if project not in eventful} == set(PLANS)


def test_every_incident_happens_to_somebody():
    assert set(load.INCIDENTS) | set(load.EVENINGS) <= set(TENANTS)
    assert {SLEEPER, LOCKED_OUT, CONNECTION_LIMITED} <= set(load.INCIDENTS)


def test_who_queues_is_served_before_the_plan_s_patience_ends():
    for limits in whom(load.Load.saturate):
        assert limits.acquire_timeout > load.HOLD + load.SETTLE
        assert limits.statement_timeout > load.HOLD


def test_who_is_turned_away_gives_up_while_connections_are_still_busy():
    for limits in whom(load.Load.exhaust):
        assert limits.acquire_timeout + load.MARGIN < limits.statement_timeout


def test_who_hangs_looks_idle_to_a_platform_that_counts_requests():
    everyday = {plan: rate * load.LATELY for plan, rate in load.RATES.items()}
    (demoted,) = (project for project, what in load.INCIDENTS.items() if what is load.Load.overrun_and_demote)
    plan = TENANTS[demoted].plan
    hanging = 3 * PLAN_LIMITS[plan].statement_timeout
    assert 3 + load.RATES[plan] * (load.LATELY - hanging) + 1 < load.HOT_FROM < everyday[plan]
    (promoted,) = (project for project, what in load.INCIDENTS.items() if what is load.Load.promote)
    assert everyday[TENANTS[promoted].plan] > load.HOT_FROM


def test_the_role_s_limit_is_reached_before_the_pool_s():
    for limits in whom(load.Load.crowd):
        assert limits.connections >= ROLE_CONNECTIONS + 4
        assert limits.statement_timeout > load.HOLD


def test_no_request_outlasts_the_client():
    longest = max(limits.statement_timeout + limits.acquire_timeout for limits in PLAN_LIMITS.values())
    assert longest < REQUEST_TIMEOUT


@pytest.mark.parametrize("effect", EFFECTS, ids=str)
def test_effects_use_the_catalogue_s_words(effect):
    statuses = {200, 201} | {status for status, _message in FAILURES.values()}
    details = {
        "queries": {"ok", "error"},
        "errors": {*SQLSTATE_CLASSES.values(), "timeout", "connection"},
        "limit hits": {f"{limit} {action}" for limit in LIMIT_TYPE.values for action in ACTION.values},
        "rejections": set(REJECTION.values),
        "cold starts": {"COLD", "WARM"},
        "circuit breaker": set(BREAKER_STATE.values),
        "circuit openings": {""},
    }
    assert effect.status in statuses
    assert all(detail in details[kind] for kind, detail in effect.causes)


def test_all_limits_of_the_catalogue_are_hit():
    hit = {detail.split()[0] for effect in EFFECTS for kind, detail in effect.causes if kind == LIMIT_HITS}
    assert hit == set(LIMIT_TYPE.values)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/health", 200),
        ("/proj_nobody/orders", 404),
        ("/proj_a/report?seconds=soon", 400),
        ("/proj_a/report?seconds=nan", 400),
        ("/proj_a/report?seconds=61", 400),
    ],
)
def test_the_service_answers_without_a_database_where_it_can(path, status):
    async def get():
        app.state.pools = Pools({"proj_a": "postgresql://nowhere"}, {"proj_a": "free"})
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client:
            return await client.get(path)

    assert asyncio.run(get()).status_code == status
