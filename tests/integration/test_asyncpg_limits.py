"""Limits as PostgreSQL and asyncpg enforce them, the events that tell of them, and the spans that carry them."""

import asyncio
from collections import Counter
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from otel_dynabase import tenant
from tests.integration.pools.facts import measured


def as_role(pg, role, password=None):
    parts = urlsplit(pg.dsn)
    return urlunsplit(parts._replace(netloc=f"{role}:{password or role}@{parts.hostname}:{parts.port}"))


async def free_of(pg, role, eventually):
    """Wait until the server has noticed that a role's connections are gone."""
    await eventually(lambda: pg.execute(f"SELECT count(*) FROM pg_stat_activity WHERE usename = '{role}'") == "0")


# --- connections ------------------------------------------------------------------------------------------------------


async def test_a_roles_connection_limit_is_a_tier_limit(pg, telemetry, eventually):
    await free_of(pg, "limited", eventually)
    dsn = as_role(pg, "limited")
    first = await pg.connect(dsn=dsn)
    with pytest.raises(asyncpg.TooManyConnectionsError):
        async with tenant("proj_pro"):
            await pg.connect(dsn=dsn)
    async with pg.pool(dsn=dsn) as pool, tenant("proj_pro"):
        with pytest.raises(asyncpg.TooManyConnectionsError):
            await pool.acquire()
        with pytest.raises(asyncpg.TooManyConnectionsError):
            await pool.fetchval("SELECT 1")
    await first.close()
    assert telemetry.limit_hits(project_id="proj_pro") == {("max_concurrent", "rejected"): 3}
    assert telemetry.value("tenant.limit.hits") == 3
    assert measured(telemetry)["rejections"] == {"tier_limit_exceeded": 3}
    assert telemetry.values("db.errors", "error_type") == {"insufficient_resources": 3}
    (event,) = telemetry.events("limit_hit")
    assert (event.attributes["hit_count"], event.attributes["rejection_count"]) == (3, 3)


async def test_a_wrong_password_is_a_refusal_and_no_limit_hit(pg, telemetry):
    with pytest.raises(asyncpg.InvalidPasswordError):
        await pg.connect(dsn=as_role(pg, "locked", "guess"))
    async with pg.pool(dsn=as_role(pg, "locked", "guess")) as pool:
        with pytest.raises(asyncpg.InvalidPasswordError):
            await pool.fetchval("SELECT 1")
    assert telemetry.values("tenant.connection.rejections", "reason") == {"auth_failure": 2}
    assert telemetry.values("db.errors", "error_type") == {"invalid_authorization_specification": 2}
    assert telemetry.limit_hits() == {}
    assert telemetry.events("limit_hit") == []


async def test_a_connect_callback_that_fails_is_one_error(pg, telemetry):
    async def connect(*args, **kwargs):
        return await asyncpg.connect(*args, **kwargs | {"password": "guess"})

    async with pg.pool(connect=connect) as pool:
        with pytest.raises(asyncpg.InvalidPasswordError):
            await pool.acquire()
    assert telemetry.value("db.errors") == 1
    assert telemetry.value("tenant.connection.rejections") == 1


async def test_a_connect_callback_that_connects_in_a_task_is_one_error(pg, telemetry):
    async def connect(*args, **kwargs):
        return await asyncio.gather(asyncpg.connect(*args, **kwargs | {"password": "guess"}))

    async with pg.pool(connect=connect) as pool:
        with pytest.raises(asyncpg.InvalidPasswordError):
            await pool.acquire()
    assert telemetry.value("db.errors") == 1


async def test_a_missing_database_is_an_error_only(pg, telemetry):
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await pg.connect(database="no_such")
    assert telemetry.values("db.errors", "error_type") == {"invalid_catalog_name": 1}
    assert telemetry.value("tenant.connection.rejections") == 0


# --- statements -------------------------------------------------------------------------------------------------------


async def test_the_servers_statement_timeout_is_a_limit(pg, telemetry):
    connection = await pg.connect(server_settings={"statement_timeout": "20ms"})
    with pytest.raises(asyncpg.QueryCanceledError):
        async with tenant("proj_pro"):
            await connection.fetch("SELECT pg_sleep(60)")
    await connection.close()
    assert telemetry.limit_hits(project_id="proj_pro") == {("query_timeout", "rejected"): 1}
    assert telemetry.value("tenant.connection.rejections") == 0
    assert telemetry.values("db.errors", "error_type") == {"operator_intervention": 1}


async def test_somebodys_cancel_request_is_no_limit(pg, telemetry, eventually):
    connection = await pg.connect()
    sleeping = asyncio.create_task(connection.fetch("SELECT pg_sleep(61)"))
    active = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(61)%' AND state = 'active'"
    await eventually(lambda: pg.execute(active) == "1")
    pg.execute(f"SELECT pg_cancel_backend({connection.get_server_pid()})")
    with pytest.raises(asyncpg.QueryCanceledError):
        await sleeping
    await connection.close()
    assert telemetry.limit_hits() == {}
    assert telemetry.values("db.errors", "error_type") == {"operator_intervention": 1}


DRIVER_TIMEOUTS = {
    "timeout": ({}, lambda c: c.fetch("SELECT pg_sleep(60)", timeout=0.02)),
    "command_timeout": ({"command_timeout": 0.02}, lambda c: c.execute("SELECT pg_sleep(60)")),
    "prepared": ({}, lambda c: _prepared(c)),  # noqa: PLW0108  # defined below
    "cursor fetch": ({}, lambda c: _cursor_fetch(c)),  # noqa: PLW0108  # defined below
    "executemany": ({}, lambda c: c.executemany("SELECT pg_sleep($1)", [(60,)], timeout=0.02)),
}


async def _prepared(connection):
    statement = await connection.prepare("SELECT pg_sleep(60)")
    await statement.fetch(timeout=0.02)


async def _cursor_fetch(connection):
    async with connection.transaction():
        cursor = await connection.cursor("SELECT pg_sleep(60)")
        await cursor.fetch(1, timeout=0.02)


async def _iterate(connection):
    async with connection.transaction():
        async for _ in connection.cursor("SELECT pg_sleep(60)", timeout=0.02):
            pass


@pytest.mark.parametrize("name", DRIVER_TIMEOUTS)
async def test_the_drivers_own_time_limit_is_a_limit(pg, telemetry, name):
    options, call = DRIVER_TIMEOUTS[name]
    connection = await pg.connect(**options)
    with pytest.raises(TimeoutError):
        await call(connection)
    await connection.close()
    assert telemetry.limit_hits() == {("query_timeout", "rejected"): 1}
    assert telemetry.values("db.errors", "error_type") == {"timeout": 1}


async def test_a_cursors_time_limit_is_a_limit(pg, telemetry):
    connection = await pg.connect()
    with pytest.raises(TimeoutError):
        await _iterate(connection)
    await connection.close()
    assert telemetry.limit_hits() == {("query_timeout", "rejected"): 1}


# --- events and spans -------------------------------------------------------------------------------------------------


def _hits_told(telemetry):
    told = Counter()
    for event in telemetry.events("limit_hit"):
        a = event.attributes
        told[a["project_id"], a["limit_type"], a["action"]] += a["hit_count"]
    return told


def _hits_counted(telemetry):
    return {
        (a["project_id"], a["limit_type"], a["action"]): point.value
        for a, point in telemetry.points("tenant.limit.hits")
    }


@pytest.mark.parametrize("window", [0, 0.01, 3600], ids=["each its own", "short window", "long window"])
async def test_events_and_counters_never_disagree(pg, instrument, window):
    telemetry = instrument(event_window=window)
    async with pg.pool(max_size=2, command_timeout=10) as pool:

        async def use(project, turn):
            async with tenant(project):
                try:
                    async with pool.acquire(timeout=0.05 if turn % 3 else 30) as connection:
                        await connection.fetchval("SELECT pg_sleep(0.02)", timeout=0.001 if turn % 5 == 0 else None)
                except TimeoutError:
                    pass

        await asyncio.gather(*(use(("proj_free", "proj_pro")[turn % 2], turn) for turn in range(40)))
    assert _hits_counted(telemetry) == _hits_told(telemetry)
    hits = sum(_hits_counted(telemetry).values())
    events = telemetry.events("limit_hit")
    assert hits == len(events) + telemetry.value("otel_dynabase.events", outcome="coalesced")
    assert len(events) == telemetry.value("otel_dynabase.events", outcome="emitted")
    assert telemetry.value("tenant.connection.rejections") == sum(
        e.attributes["rejection_count"] for e in events if e.attributes["limit_type"] == "connection_timeout"
    )
    ids = [event.attributes["event_id"] for event in events]
    assert len(set(ids)) == len(ids)
    assert [event.attributes["event_seq"] for event in events] == list(range(1, len(events) + 1))


async def test_a_limit_hit_is_in_its_requests_trace(pg, telemetry):
    async with pg.pool(max_size=1) as pool, pool.acquire(), tenant("proj_pro"):
        with telemetry.tracer.start_as_current_span("request"), pytest.raises(TimeoutError):
            await pool.acquire(timeout=0.01)
    (event,), (span,) = telemetry.events("limit_hit"), telemetry.spans("request")
    assert (event.trace_id, event.span_id) == (span.context.trace_id, span.context.span_id)
    assert event.trace_flags & 1
    assert event.severity_text == "WARN"
    ((name, attributes),) = span.events
    assert (name, attributes["limit_type"], attributes["action"]) == ("limit_hit", "connection_timeout", "rejected")
    assert {"project_id": "proj_pro", "tenant_id": "org_pro", "plan": "pro", "tier": "HOT"}.items() <= {
        **event.attributes
    }.items()
    assert event.attributes["metadata"]["database_type"] == "postgres"
    assert span.attributes["project_id"] == "proj_pro"
