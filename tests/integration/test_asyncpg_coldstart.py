"""Cold starts against a server that is really stopped and started."""

import asyncio

import asyncpg
import pytest

from examples.stack.postgres import Postgres
from otel_dynabase import tenant

STARTS, FIRST = "tenant.cold_starts", "tenant.first_query.latency"
ABSENT = (OSError, asyncpg.CannotConnectNowError)


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


async def retry(call, server):
    """Fail once, wake the server, and try until it works: what an application behind a proxy does."""
    with pytest.raises(ABSENT):
        await call()
    await asyncio.to_thread(server.start)
    while True:
        try:
            return await call()
        except ABSENT:
            await asyncio.sleep(0.01)


def starts(telemetry):
    return {(a["project_id"], a["plan"], a["source_tier"]): point.value for a, point in telemetry.points(STARTS)}


async def test_a_server_that_wakes_up_is_one_cold_start(asleep, telemetry):
    async with tenant("proj_pro"):
        with telemetry.tracer.start_as_current_span("request"):
            connection = await retry(lambda: asyncpg.connect(asleep.dsn()), asleep)
            await connection.fetchval("SELECT 1")
            await connection.fetchval("SELECT 2")
        await connection.close()
        connection = await asyncpg.connect(asleep.dsn())
        await connection.fetchval("SELECT 3")
        await connection.close()
    assert starts(telemetry) == {("proj_pro", "pro", "WARM"): 1}
    assert telemetry.value("tenant.cold_start.duration", project_id="proj_pro", cache_level="unknown") == 1
    assert telemetry.value(FIRST, project_id="proj_pro", tier="HOT") == 1
    (event,), (span,) = telemetry.events("cold_start"), telemetry.spans("request")
    assert (event.trace_id, event.span_id) == (span.context.trace_id, span.context.span_id)
    ((_, duration),) = telemetry.points("tenant.cold_start.duration")
    assert event.attributes["startup_duration_ms"] == pytest.approx(duration.sum * 1000, abs=0.001)
    assert event.attributes["first_query_latency_ms"] > 0
    assert [name for name, _ in span.events].count("cold_start") == 1


async def test_a_pool_that_finds_the_server_asleep_is_one_cold_start(asleep, telemetry):
    async with asyncpg.create_pool(asleep.dsn(), min_size=0, max_size=5) as pool:
        async with tenant("proj_pro"):
            await retry(lambda: pool.fetchval("SELECT 1"), asleep)
            await asyncio.gather(*(pool.fetchval("SELECT 1") for _ in range(10)))
        assert starts(telemetry) == {("proj_pro", "pro", "WARM"): 1}
        assert telemetry.value(FIRST) == 1
        assert telemetry.value("db.errors", error_type="connection") >= 1


async def test_two_tenants_of_one_sleeping_server_are_two_cold_starts(asleep, telemetry):
    async def use(project):
        async with tenant(project):
            with pytest.raises(ABSENT):
                await asyncpg.connect(asleep.dsn())

    await use("proj_pro")
    await use("proj_free")
    await asyncio.to_thread(asleep.start)
    for project in ("proj_pro", "proj_free"):
        async with tenant(project):
            connection = await asyncpg.connect(asleep.dsn())
            await connection.fetchval("SELECT 1")
            await connection.close()
    assert starts(telemetry) == {("proj_pro", "pro", "WARM"): 1, ("proj_free", "free", "WARM"): 1}


async def test_a_tenant_without_an_entry_wakes_from_an_unknown_tier(asleep, telemetry):
    connection = await retry(lambda: asyncpg.connect(asleep.dsn()), asleep)
    await connection.fetchval("SELECT 1")
    await connection.close()
    assert starts(telemetry) == {("unknown", "unknown", "unknown"): 1}


async def test_a_first_statement_that_fails_completes_the_start(asleep, telemetry):
    async with tenant("proj_pro"):
        connection = await retry(lambda: asyncpg.connect(asleep.dsn()), asleep)
        with pytest.raises(asyncpg.DivisionByZeroError):
            await connection.fetchval("SELECT 1 / 0")
        await connection.close()
    assert starts(telemetry) == {("proj_pro", "pro", "WARM"): 1}
    assert telemetry.value(FIRST) == 1


async def test_a_start_without_a_statement_is_told_all_the_same(asleep, telemetry):
    async with tenant("proj_pro"):
        connection = await retry(lambda: asyncpg.connect(asleep.dsn()), asleep)
        await connection.close()
    assert starts(telemetry) == {}
    (event,) = telemetry.events("cold_start")
    assert "first_query_latency_ms" not in event.attributes
    assert starts(telemetry) == {("proj_pro", "pro", "WARM"): 1}
    assert telemetry.value(FIRST) == 0


async def test_a_restart_under_an_open_pool_is_one_cold_start(server, telemetry, eventually):
    async with asyncpg.create_pool(server.dsn(), min_size=0, max_size=2) as pool, tenant("proj_pro"):
        await pool.fetchval("SELECT 1")
        assert starts(telemetry) == {}
        server.stop()
        await eventually(lambda: pool.get_size() == 0)
        await retry(lambda: pool.fetchval("SELECT 1"), server)
        await pool.fetchval("SELECT 1")
    assert starts(telemetry) == {("proj_pro", "pro", "WARM"): 1}


# --- what the directory says ------------------------------------------------------------------------------------------


async def test_a_cold_tenant_starts_once_for_each_time_that_the_directory_says_so(pg, telemetry):
    async def connect():
        async with tenant("proj_asleep"):
            connection = await pg.connect()
            await connection.fetchval("SELECT 1")
            await connection.close()

    await connect()
    await connect()
    telemetry.refresh()
    await connect()
    assert starts(telemetry) == {("proj_asleep", "starter", "COLD"): 1}
    for tier in ("HOT", "COLD"):
        telemetry.rows[2] = telemetry.rows[2] | {"tier": tier}
        telemetry.refresh()
        await connect()
    assert starts(telemetry) == {("proj_asleep", "starter", "COLD"): 2}
    assert telemetry.value(FIRST, project_id="proj_asleep", tier="COLD") == 2
    assert len(telemetry.events("cold_start")) == 2


async def test_another_tenants_change_is_no_cold_start(pg, telemetry):
    async def connect():
        async with tenant("proj_asleep"):
            connection = await pg.connect()
            await connection.fetchval("SELECT 1")
            await connection.close()

    await connect()
    telemetry.rows[0] = telemetry.rows[0] | {"tier": "HOT"}
    telemetry.refresh()
    await connect()
    assert starts(telemetry) == {("proj_asleep", "starter", "COLD"): 1}


async def test_idle_connections_of_a_cold_tenant_are_no_start(pg, instrument):
    """A connection that is open already wakes nobody."""
    telemetry = instrument({"project_id": "proj_pro", "plan": "pro", "tier": "HOT"})
    async with pg.pool(max_size=1) as pool, tenant("proj_pro"):
        await pool.fetchval("SELECT 1")
        telemetry.rows[0] = telemetry.rows[0] | {"tier": "COLD"}
        telemetry.refresh()
        await pool.fetchval("SELECT 1")
    assert starts(telemetry) == {}


# --- what is never one ------------------------------------------------------------------------------------------------


async def test_upkeep_is_never_a_cold_start(asleep, telemetry, eventually, caplog):
    """The floor (asyncpg 0.32) is restored by a task that inherits the context of whoever caused it."""
    asleep.start()
    async with asyncpg.create_pool(asleep.dsn(), min_size=2, max_size=2) as pool, tenant("proj_pro"):
        await pool.fetchval("SELECT 1")
        asleep.stop()
        await eventually(lambda: pool.get_size() == 0)
        if not hasattr(pool, "_maintain_min_size"):
            pytest.skip("this version of asyncpg keeps no floor")
        await eventually(lambda: "restore the pool connection floor" in caplog.text)
        await asyncio.to_thread(asleep.start)
        await eventually(lambda: pool.get_size() == 2)
        await pool.fetchval("SELECT 1")
    assert starts(telemetry) == {}
    assert telemetry.value("db.errors") == 0
    assert telemetry.events("cold_start") == []


async def test_expiry_use_up_and_inactivity_are_never_cold_starts(pg, telemetry, eventually):
    options = {"max_size": 1, "max_queries": 1, "max_inactive_connection_lifetime": 0.02}
    async with pg.pool(**options) as pool, tenant("proj_pro"):
        for _ in range(3):
            await pool.fetchval("SELECT 1")
        await pool.expire_connections()
        await pool.fetchval("SELECT 1")
        await eventually(lambda: pool.get_size() == 0)
        await pool.fetchval("SELECT 1")
    assert starts(telemetry) == {}


async def test_a_refused_login_is_no_cold_start(pg, telemetry):
    async with tenant("proj_pro"):
        with pytest.raises(asyncpg.InvalidPasswordError):
            await pg.connect(password="guess")
        connection = await pg.connect()
        await connection.fetchval("SELECT 1")
        await connection.close()
    assert starts(telemetry) == {}
