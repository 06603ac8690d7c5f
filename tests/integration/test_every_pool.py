"""One test body over every pool of every library: the same scenario gives the same facts and the same numbers.

What a library does differently is data of its driver (`Library`); the expected numbers say where they depend on it.
"""

import asyncio
from contextlib import AsyncExitStack
from urllib.parse import urlsplit, urlunsplit

import pytest

from examples.stack.postgres import Postgres
from otel_dynabase import bind_tenant, tenant
from tests.integration.pools.every import DRIVERS
from tests.integration.pools.facts import gauges, measured

POOLS = {driver.name: driver for driver in DRIVERS}


def those(condition):
    """Choose the pools that a test is about, by what their library does."""
    return pytest.mark.parametrize("name", [name for name, driver in POOLS.items() if condition(driver.library)])


every_pool = those(lambda library: True)
limited = those(lambda library: library.limited)


def as_role(pg, role, password=None):
    parts = urlsplit(pg.dsn)
    return urlunsplit(parts._replace(netloc=f"{role}:{password or role}@{parts.hostname}:{parts.port}"))


async def use(pool, sql="SELECT 1"):
    async with pool.hold() as session:
        return await session.rows(sql)


async def fails(pool, *errors):
    with pytest.raises(errors):
        await use(pool)


# --- what runs --------------------------------------------------------------------------------------------------------


@every_pool
async def test_statements(pg, telemetry, name):
    driver = POOLS[name]
    async with driver.open(pg.dsn, size=1) as pool, tenant("proj_pro"), pool.hold() as session:
        assert len(await session.rows("SELECT id FROM items LIMIT 3")) == 3
        assert len(await session.rows("WITH known AS (SELECT 1) SELECT * FROM known")) == 1
        await session.run("INSERT INTO scratch VALUES (1, 'one')")
        await session.run("UPDATE scratch SET name = 'two'")
        await session.run("DELETE FROM scratch")
        for wrong in ("SELECT 1 / 0", "SELECT no_such", "INSERT INTO items VALUES (1)"):
            with pytest.raises(driver.library.statement_errors):
                await session.run(wrong)
    assert measured(telemetry, project_id="proj_pro") == {
        "waits": 1,
        "uses": 1,
        "creates": 1,
        "rows": 4,
        "queries": {"SELECT": 4, "INSERT": 2, "UPDATE": 1, "DELETE": 1},
        "errors": {
            "data_exception": 1,
            "syntax_error_or_access_rule_violation": 1,
            "integrity_constraint_violation": 1,
        },
    }


@every_pool
async def test_a_transaction_is_the_drivers_own_and_its_failure_the_tenants(pg, telemetry, name):
    driver = POOLS[name]
    async with driver.open(pg.dsn, size=1) as pool, tenant("proj_pro"), pool.hold() as session:
        await session.transaction("INSERT INTO parents VALUES (1)", "DELETE FROM parents")
        with pytest.raises(driver.library.statement_errors):
            await session.transaction("INSERT INTO children VALUES (404)")
    found = measured(telemetry, project_id="proj_pro")
    assert found["queries"] == {"INSERT": 2, "DELETE": 1}
    assert found["errors"] == {"integrity_constraint_violation": 1}


# --- acquire and release ----------------------------------------------------------------------------------------------


@every_pool
async def test_a_pools_state_and_times(pg, telemetry, name):
    keeps, limited = POOLS[name].library.keeps, POOLS[name].library.limited
    top = {"max": 2} if limited else {}
    async with POOLS[name].open(pg.dsn, size=2) as pool, tenant("proj_pro"):
        async with pool.hold():
            assert gauges(telemetry) == {"used": 1, "active": 1} | top
            async with pool.hold():
                assert gauges(telemetry) == {"used": 2, "active": 2} | top
        assert gauges(telemetry) == ({"idle": 2} if keeps else {}) | top
        await use(pool)
        assert measured(telemetry, project_id="proj_pro") == {
            "waits": 3,
            "uses": 3,
            "creates": 2 if keeps else 3,
            "queries": {"SELECT": 1},
            "rows": 1,
        }


@every_pool
async def test_an_exception_inside_gives_the_connection_back(pg, telemetry, name):
    async with POOLS[name].open(pg.dsn, size=1) as pool:
        with pytest.raises(LookupError, match="the application's"):
            async with pool.hold():
                raise LookupError("the application's")
        await use(pool)
        assert "used" not in gauges(telemetry)
    found = measured(telemetry)
    assert (found["waits"], found["uses"]) == (2, 2)
    assert "errors" not in found


async def cut_off(pg, session, eventually):
    """Have the server end a connection while a statement runs on it."""
    running = asyncio.ensure_future(session.rows("SELECT pg_sleep(62)"))
    active = "FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(62)%' AND state = 'active'"
    await eventually(lambda: pg.execute(f"SELECT count(*) {active}") == "1")
    pg.execute(f"SELECT pg_terminate_backend(pid) {active}")
    await running


@every_pool
async def test_a_server_that_cuts_a_connection_off(pg, telemetry, name, eventually):
    driver = POOLS[name]
    async with driver.open(pg.dsn, size=1) as pool, tenant("proj_pro"):
        with pytest.raises(driver.library.statement_errors):
            async with pool.hold() as session:
                await cut_off(pg, session, eventually)
        await use(pool)
        assert "used" not in gauges(telemetry)
    found = measured(telemetry, project_id="proj_pro")
    assert found.pop("errors") in [{kind: 1} for kind in driver.library.cut_off]
    assert found == {"waits": 2, "uses": 2, "creates": 2, "rows": 1, "queries": {"SELECT": 2}}


# --- queueing ---------------------------------------------------------------------------------------------------------


@limited
async def test_those_who_find_every_connection_out_queue(pg, telemetry, name):
    async with POOLS[name].open(pg.dsn, size=2) as pool, tenant("proj_pro"):
        await asyncio.gather(*(use(pool, "SELECT pg_sleep(0.1)") for _ in range(6)))
        assert "used" not in gauges(telemetry)
    assert measured(telemetry, project_id="proj_pro") == {
        "waits": 6,
        "uses": 6,
        "creates": 2,
        "queued": 4,
        "limit hits": {("max_pool_size", "queued"): 4},
        "queries": {"SELECT": 6},
        "rows": 6,
    }
    (event,) = telemetry.events("limit_hit")
    told = {name: event.attributes[name] for name in ("limit_type", "action", "hit_count", "rejection_count")}
    assert told == {"limit_type": "max_pool_size", "action": "queued", "hit_count": 4, "rejection_count": 0}
    assert event.attributes["queue_depth"] > 0
    assert event.attributes["queue_duration_ms"] > 90


@limited
async def test_the_queue_shows_while_it_lasts(pg, telemetry, name, eventually):
    async with POOLS[name].open(pg.dsn, size=1) as pool, tenant("proj_pro"):
        async with pool.hold():
            waiting = [asyncio.ensure_future(use(pool)) for _ in range(3)]
            await eventually(lambda: gauges(telemetry).get("queue") == 3)
            assert gauges(telemetry) == {"used": 1, "active": 1, "max": 1, "pending": 3, "queue": 3}
        await asyncio.gather(*waiting)
        assert gauges(telemetry) == {"max": 1} | ({"idle": 1} if POOLS[name].library.keeps else {})
    assert measured(telemetry)["limit hits"] == {("max_pool_size", "queued"): 3}


@those(lambda library: library.limited and library.timeout is not None)
async def test_no_connection_in_time_is_a_rejection(pg, telemetry, name):
    library = POOLS[name].library
    async with POOLS[name].open(pg.dsn, size=1, timeout=0.3) as pool, tenant("proj_pro"), pool.hold():
        with telemetry.tracer.start_as_current_span("request"):
            await fails(pool, library.timeout)
        await fails(pool, library.timeout)
    assert measured(telemetry, project_id="proj_pro") == {
        "waits": 1,
        "uses": 1,
        "creates": 1,
        "timeouts": 2,
        "queued": 2,
        "errors": {"timeout": 2},
        "limit hits": {("connection_timeout", "rejected"): 2},
        "rejections": {"pool_exhausted": 2},
    }
    (event,), (span,) = telemetry.events("limit_hit"), telemetry.spans("request")
    assert (event.attributes["hit_count"], event.attributes["rejection_count"]) == (2, 2)
    assert event.attributes["queue_duration_ms"] >= 290
    assert (event.trace_id, event.span_id) == (span.context.trace_id, span.context.span_id)
    assert [name for name, _ in span.events].count("limit_hit") == 1


@those(lambda library: library.limited and library.cancellable)
async def test_a_cancelled_client_has_queued_and_that_is_all(pg, telemetry, name, eventually):
    async with POOLS[name].open(pg.dsn, size=1) as pool, tenant("proj_pro"):
        async with pool.hold():
            waiting = [asyncio.ensure_future(use(pool)) for _ in range(2)]
            await eventually(lambda: gauges(telemetry).get("queue") == 2)
            for task in waiting:
                task.cancel()
            ended = await asyncio.gather(*waiting, return_exceptions=True)
            assert [type(error) for error in ended] == [asyncio.CancelledError] * 2
        await use(pool)
        assert gauges(telemetry) == {"max": 1} | ({"idle": 1} if POOLS[name].library.keeps else {})
    found = measured(telemetry)
    assert found["limit hits"] == {("max_pool_size", "queued"): 2}
    assert "errors" not in found
    assert "timeouts" not in found


@those(lambda library: library.limited and library.closed is not None)
async def test_a_pool_that_is_closed_ends_its_queue(pg, telemetry, name, eventually):
    library = POOLS[name].library
    async with POOLS[name].open(pg.dsn, size=1) as pool, tenant("proj_pro"), pool.hold():
        waiting = asyncio.ensure_future(use(pool))
        await eventually(lambda: gauges(telemetry).get("queue") == 1)
        await pool.close()
        with pytest.raises(library.closed):
            await waiting
    assert gauges(telemetry) == {}
    found = measured(telemetry)
    assert (found["limit hits"], found["errors"]) == ({("max_pool_size", "queued"): 1}, {"client": 1})


# --- whose it is ------------------------------------------------------------------------------------------------------


@every_pool
async def test_a_pool_of_one_database_is_its_tenants(pg, telemetry, name):
    async with POOLS[name].open(pg.server.dsn("proj_pro"), size=1) as pool, tenant("proj_free"):
        await use(pool)
        assert telemetry.value("db.client.connection.max", project_id="proj_free") == 0
    assert measured(telemetry, project_id="proj_free") == {}
    assert measured(telemetry, project_id="proj_pro")["queries"] == {"SELECT": 1}


@every_pool
async def test_a_pool_that_is_bound_is_its_tenants(pg, telemetry, name):
    async with POOLS[name].open(pg.dsn, size=1) as pool:
        bind_tenant(pool.own, "proj_pro")
        await use(pool)
        bind_tenant(pool.own, "proj_free")
        await use(pool)
    for project in ("proj_pro", "proj_free"):
        assert measured(telemetry, project_id=project)["queries"] == {"SELECT": 1}


@every_pool
async def test_a_pool_of_many_tenants(pg, telemetry, name):
    async with POOLS[name].open(pg.dsn, size=2) as pool:
        for project in ("proj_pro", "proj_free", "proj_pro"):
            async with tenant(project):
                await use(pool)
    assert measured(telemetry, project_id="proj_pro")["waits"] == 2
    assert measured(telemetry, project_id="proj_free")["waits"] == 1
    assert "unknown" not in telemetry.values("db.queries", "project_id")


# --- what the server refuses ------------------------------------------------------------------------------------------


def refused(library, driver_errors=Exception):
    """Return what a client sees of a connection that the server refuses, and what its own wait adds to the facts."""
    if library.waits_out_refusals:
        return library.refusal, {"timeouts": 1}
    return driver_errors, {}


@every_pool
async def test_a_wrong_password_is_a_refusal(pg, telemetry, name):
    error, waited = refused(POOLS[name].library)
    async with POOLS[name].open(as_role(pg, "locked", "guess"), size=1, timeout=0.5) as pool, tenant("proj_pro"):
        await fails(pool, error)
    assert measured(telemetry, project_id="proj_pro") == waited | {
        "errors": {"invalid_authorization_specification": 1},
        "rejections": {"auth_failure": 1},
    }
    assert measured(telemetry) == measured(telemetry, project_id="proj_pro")


@every_pool
async def test_a_roles_connection_limit_is_a_tier_limit(pg, telemetry, name, eventually):
    error, waited = refused(POOLS[name].library)
    gone = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'limited'"
    await eventually(lambda: pg.execute(gone) == "0")
    first = await pg.connect(dsn=as_role(pg, "limited"))
    async with POOLS[name].open(as_role(pg, "limited"), size=1, timeout=0.5) as pool, tenant("proj_pro"):
        await fails(pool, error)
    await first.close()
    assert measured(telemetry, project_id="proj_pro") == waited | {
        "errors": {"insufficient_resources": 1},
        "limit hits": {("max_concurrent", "rejected"): 1},
        "rejections": {"tier_limit_exceeded": 1},
    }
    (event,) = telemetry.events("limit_hit")
    assert (event.attributes["limit_type"], event.attributes["hit_count"]) == ("max_concurrent", 1)


@every_pool
async def test_a_missing_database_is_an_error_only(pg, telemetry, name):
    error, waited = refused(POOLS[name].library)
    async with POOLS[name].open(pg.server.dsn("no_such"), size=1, timeout=0.5) as pool, tenant("proj_pro"):
        await fails(pool, error)
    assert measured(telemetry) == waited | {"errors": {"invalid_catalog_name": 1}}


@every_pool
async def test_the_servers_statement_timeout_is_a_limit(pg, telemetry, name):
    driver = POOLS[name]
    async with driver.open(pg.dsn, size=1) as pool, tenant("proj_pro"), pool.hold() as session:
        await session.run("SET statement_timeout = '20ms'")
        with pytest.raises(driver.library.statement_errors):
            await session.rows("SELECT pg_sleep(30)")
    found = measured(telemetry, project_id="proj_pro")
    assert found["limit hits"] == {("query_timeout", "rejected"): 1}
    assert found["errors"] == {"operator_intervention": 1}
    assert found["queries"] == {"SET": 1, "SELECT": 1}


# --- cold starts ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server of this module's own, to be put to sleep."""
    with Postgres(tmp_path_factory.mktemp("sleeper")) as server:
        yield server


@pytest.fixture
def asleep(server):
    server.stop()
    yield server
    server.start()


async def until_it_works(pool, errors):
    while True:
        try:
            return await use(pool)
        except errors:
            await asyncio.sleep(0.05)


@every_pool
async def test_a_server_that_wakes_up_is_one_cold_start(asleep, telemetry, name):
    error, waited = refused(POOLS[name].library)
    async with POOLS[name].open(asleep.dsn(), size=2, timeout=0.5) as pool, tenant("proj_pro"):
        await fails(pool, error)
        assert measured(telemetry) == waited | {"errors": {"connection": 1}}
        await asyncio.to_thread(asleep.start)
        await until_it_works(pool, error)
        await asyncio.gather(use(pool), use(pool))
    found = measured(telemetry, project_id="proj_pro")
    assert (found["cold starts"], found["first queries"]) == (1, 1)
    assert telemetry.values("tenant.cold_starts", "source_tier") == {"WARM": 1}
    assert set(found["errors"]) <= {"connection", "operator_intervention"}
    (event,) = telemetry.events("cold_start")
    assert event.attributes["startup_duration_ms"] > 0
    assert event.attributes["first_query_latency_ms"] > 0


@every_pool
async def test_a_cold_tenant_starts_once(pg, telemetry, name):
    """The directory says COLD: the first connection that somebody waits for is a start, no other one is."""
    async with POOLS[name].open(pg.dsn, size=2) as pool, tenant("proj_asleep"):
        await use(pool)
        await use(pool)
        async with AsyncExitStack() as held:
            for _ in range(2):
                await held.enter_async_context(pool.hold())
    assert telemetry.values("tenant.cold_starts", "source_tier") == {"COLD": 1}
    assert measured(telemetry)["first queries"] == 1
