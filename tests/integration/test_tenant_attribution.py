"""Whose work it is: the task's tenant, the pool's, the database's, or nobody's."""

import asyncio
import re

import asyncpg
import pytest

from otel_dynabase import bind_tenant, tenant

MANY = [{"project_id": f"proj_{n}", "plan": ("free", "pro")[n % 2], "tier": "HOT"} for n in range(6)]


def by_project(telemetry, name="db.queries"):
    return telemetry.values(name, "project_id")


# --- a pool that many tenants share -----------------------------------------------------------------------------------


async def test_each_task_is_measured_for_its_own_tenant(pg, telemetry):
    async with pg.pool(max_size=3) as pool:

        async def work(project, times):
            async with tenant(project):
                for _ in range(times):
                    await pool.fetchval("SELECT 1")
                await asyncio.gather(*(pool.fetchval("SELECT 1") for _ in range(times)))

        await asyncio.gather(work("proj_pro", 5), work("proj_free", 3), pool.fetchval("SELECT 1"))
        expected = {"proj_pro": 10, "proj_free": 6, "unknown": 1}
        for name in ("db.queries", "db.client.connection.wait_time", "db.client.connection.use_time"):
            assert by_project(telemetry, name) == expected
        shared = telemetry.points("db.pool.size")
        assert all("project_id" not in attributes for attributes, _ in shared)
        assert {attributes["db.client.connection.pool.name"] for attributes, _ in shared} == {
            f"127.0.0.1:{pg.server.port}/postgres"
        }


async def test_a_held_connection_is_its_holders_until_it_comes_back(pg, telemetry):
    """Statements belong to whoever runs them, the connection to whoever acquired it."""
    async with pg.pool(max_size=1) as pool:
        async with tenant("proj_pro"):
            connection = await pool.acquire()
        async with tenant("proj_free"):
            await connection.fetchval("SELECT 1")
            assert by_project(telemetry, "db.active_connections") == {"proj_pro": 1}
            await pool.release(connection)
    assert by_project(telemetry, "db.client.connection.use_time") == {"proj_pro": 1}
    assert by_project(telemetry) == {"proj_free": 1}


async def test_nested_tenants_and_leaving_them(pg, telemetry):
    connection = await pg.connect()
    with tenant("proj_pro"):
        await connection.fetchval("SELECT 1")
        with tenant("proj_free"):
            await connection.fetchval("SELECT 1")
        await connection.fetchval("SELECT 1")
    await connection.fetchval("SELECT 1")
    await connection.close()
    assert by_project(telemetry) == {"proj_pro": 2, "proj_free": 1, "unknown": 1}


async def test_a_change_in_the_directory_shows_from_the_next_statement_on(pg, telemetry):
    async with pg.pool() as pool, tenant("proj_pro"):
        await pool.fetchval("SELECT 1")
        telemetry.rows[1] = telemetry.rows[1] | {"plan": "enterprise", "tier": "PERSISTENT"}
        telemetry.refresh()
        await pool.fetchval("SELECT 1")
    found = {(a["plan"], a["tier"]): p.value for a, p in telemetry.points("db.queries", project_id="proj_pro")}
    assert found == {("pro", "HOT"): 1, ("enterprise", "PERSISTENT"): 1}


async def test_tenants_beyond_the_budget_share_a_series_that_keeps_plan_tier_and_outcome(pg, instrument):
    telemetry = instrument(*MANY, max_tenants=2)
    async with pg.pool(max_size=1) as pool:
        for row in MANY:
            async with tenant(row["project_id"]):
                await pool.fetchval("SELECT 1")
                with pytest.raises(asyncpg.DivisionByZeroError):
                    await pool.fetchval("SELECT 1 / 0")
                async with pool.acquire():
                    with pytest.raises(TimeoutError):
                        await pool.acquire(timeout=0.001)
    assert by_project(telemetry) == {"proj_0": 2, "proj_1": 2, "_other": 8}
    for status in ("ok", "error"):
        assert telemetry.values("db.queries", "plan", status=status) == {"free": 3, "pro": 3}
    assert telemetry.values("tenant.limit.hits", "plan") == {"free": 3, "pro": 3}
    told = {event.attributes["project_id"] for event in telemetry.events("limit_hit")}
    assert told == {row["project_id"] for row in MANY}
    assert telemetry.value("otel_dynabase.folded") > 0


async def test_any_number_of_made_up_projects_costs_a_bounded_number_of_series(pg, instrument):
    telemetry = instrument(max_tenants=5)
    connection = await pg.connect()
    for n in range(200):
        async with tenant(f"made_up_{n}"):
            await connection.fetchval("SELECT 1")
    await connection.close()
    assert len(by_project(telemetry)) == 6
    assert telemetry.value("db.queries", plan="unknown") == 200
    assert telemetry.value("otel_dynabase.series") < 40


# --- a pool of one tenant's -------------------------------------------------------------------------------------------


async def test_a_bound_pool_is_its_tenants_whoever_the_task_works_for(pg, telemetry):
    async with pg.pool(max_size=2) as pool:
        bind_tenant(pool, "proj_pro")
        await pool.fetchval("SELECT 1")
        async with tenant("proj_free"), pool.acquire() as connection:
            await connection.fetchval("SELECT 1")
            assert telemetry.value("db.pool.size", project_id="proj_pro", status="used") == 1
            assert telemetry.value("db.active_connections", project_id="proj_pro") == 1
        assert by_project(telemetry) == {"proj_pro": 2}
        assert all("db.client.connection.pool.name" not in a for a, _ in telemetry.points("db.pool.size"))


async def test_binding_a_pool_that_was_used_before_counts_from_then_on(pg, telemetry):
    async with pg.pool() as pool:
        await pool.fetchval("SELECT 1")
        bind_tenant(pool, "proj_pro")
        await pool.fetchval("SELECT 1")
        bind_tenant(pool, "proj_free")
        await pool.fetchval("SELECT 1")
    assert by_project(telemetry) == {"unknown": 1, "proj_pro": 1, "proj_free": 1}


async def test_binding_what_is_no_open_pool_is_said(pg, telemetry, warnings_of):
    unopened = pg.pool()
    for wrong in (unopened, object(), None):
        bind_tenant(wrong, "proj_pro")
    assert [message.count("has no effect") for message in warnings_of()] == [1, 1, 1]


@pytest.mark.parametrize(
    "wrong",
    ["x" * 10_000_000, "two words", pytest.param("_other")],
    ids=["10 MB", "space", "_other"],
)
async def test_binding_to_what_is_no_project_is_nobodys(pg, telemetry, wrong):
    async with pg.pool() as pool:
        bind_tenant(pool, wrong)
        await pool.fetchval("SELECT 1")
    assert by_project(telemetry) == {"unknown": 1}


async def test_a_pool_bound_to_nonsense_hides_no_other_pool(pg, telemetry, lenient):
    async with pg.pool(max_size=2) as good, pg.pool(max_size=3) as bad:
        await good.fetchval("SELECT 1")
        await bad.fetchval("SELECT 1")
        bind_tenant(bad, ["proj_pro"])
        assert await bad.fetchval("SELECT 7") == 7
        assert telemetry.value("db.client.connection.max") == 5


async def test_a_database_of_a_projects_name_is_that_projects(pg, telemetry):
    dsn = pg.server.dsn("proj_pro")
    async with pg.pool(dsn=dsn, min_size=1) as pool, tenant("proj_free"):
        await pool.fetchval("SELECT 1")
        connection = await pg.connect(dsn=dsn)
        await connection.fetchval("SELECT 1")
        await connection.close()
        assert telemetry.value("db.pool.size", project_id="proj_pro") == 1
    assert by_project(telemetry) == {"proj_pro": 2}


@pytest.mark.parametrize(
    "arguments",
    [
        {"database": "proj_pro"},
        {"dsn": "postgresql://{credentials}@{address}/proj_pro"},
        {"dsn": "postgresql://{credentials}@{address}?dbname=proj_pro"},
        {"dsn": "postgres://{address}/proj_pro", "user": "postgres", "password": "{password}"},
    ],
    ids=["argument", "path", "query", "arguments beside"],
)
async def test_the_database_is_found_however_it_was_given(pg, telemetry, arguments):
    """The name that we read from the arguments must be the database that the driver connects to."""
    address = f"127.0.0.1:{pg.server.port}"
    known = {"credentials": f"postgres:{pg.server.password}", "address": address, "password": pg.server.password}
    arguments = {"dsn": pg.dsn} | {name: value.format(**known) for name, value in arguments.items()}
    pool = await asyncpg.create_pool(**arguments, min_size=0, max_size=1)
    assert await pool.fetchval("SELECT current_database()") == "proj_pro"
    assert telemetry.value("db.pool.size", project_id="proj_pro") == 1
    await pool.close()


async def test_a_pattern_finds_the_project_in_the_databases_name(pg, instrument):
    telemetry = instrument(
        {"project_id": "pro", "plan": "pro", "tier": "HOT"}, database_pattern=re.compile("proj_(?P<project_id>.+)")
    )
    async with pg.pool(dsn=pg.server.dsn("proj_pro")) as pool:
        await pool.fetchval("SELECT 1")
    assert telemetry.values("db.queries", "plan", project_id="pro") == {"pro": 1}


# --- background work --------------------------------------------------------------------------------------------------


async def test_upkeep_of_a_shared_pool_is_nobodys(pg, telemetry, eventually):
    """The floor (asyncpg 0.32) is restored by a task that inherits the context of whoever lost the connection."""
    async with pg.pool(min_size=1, max_size=1) as pool, tenant("proj_pro"):
        connection = await pool.acquire()
        connection.terminate()
        await pool.release(connection)
        if hasattr(pool, "_maintain_min_size"):
            await eventually(lambda: pool.get_size() == 1)
    assert by_project(telemetry, "db.client.connection.create_time") == {"unknown": 1, "proj_pro": 0}
    assert by_project(telemetry, "db.errors") == {}


async def test_opening_and_resetting_are_nobodys_statements(pg, telemetry):
    async with tenant("proj_pro"), pg.pool(min_size=2, max_size=2) as pool, pool.acquire():
        pass
    assert by_project(telemetry) == {}


async def test_a_listeners_callback_is_nobodys_although_a_tenant_connected(pg, telemetry):
    """Transport callbacks inherit the context in which the connection was made."""
    heard = asyncio.Event()
    async with pg.pool(max_size=2) as pool:
        async with tenant("proj_pro"):
            listening = await pool.acquire()

        async def heard_it(*_):
            await pool.fetchval("SELECT 1")
            heard.set()

        await listening.add_listener("channel", heard_it)
        await pool.execute("NOTIFY channel")
        await asyncio.wait_for(heard.wait(), 10)
        await listening.remove_listener("channel", heard_it)
        await pool.release(listening)
    assert by_project(telemetry) == {"unknown": 2}


# --- baggage ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trusted", [True, False])
async def test_baggage_names_a_project_only_where_it_is_trusted_and_nothing_else_ever(pg, instrument, trusted):
    from opentelemetry import baggage, context  # noqa: PLC0415

    telemetry = instrument(trust_baggage=trusted)
    claims = {"project_id": "proj_free", "plan": "enterprise", "tier": "PERSISTENT", "tenant_id": "org_pro"}
    carried = context.get_current()
    for name, value in claims.items():
        carried = baggage.set_baggage(name, value, carried)
    token = context.attach(carried)
    connection = await pg.connect()
    await connection.fetchval("SELECT 1")
    await connection.close()
    context.detach(token)
    ((attributes, _),) = telemetry.points("db.queries")
    expected = ("proj_free", "free", "WARM") if trusted else ("unknown", "unknown", "unknown")
    assert tuple(attributes[name] for name in ("project_id", "plan", "tier")) == expected
