"""Cold starts as SQLAlchemy's pools see them; what all pools have in common is in test_every_pool.py."""

import asyncio

import pytest
import sqlalchemy
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from examples.stack.postgres import Postgres
from otel_dynabase import bind_tenant

PID = text("SELECT pg_backend_pid()")


@pytest.fixture
def engine(pg):
    """An engine with one connection, which pings before use, and its first use."""
    engine = create_async_engine(
        pg.dsn.replace("postgresql:", "postgresql+asyncpg:"), pool_size=1, max_overflow=0, pool_pre_ping=True
    )
    bind_tenant(engine, "proj_pro")
    return engine


async def use(engine):
    async with engine.connect() as connection:
        return (await connection.execute(PID)).scalar()


def says(telemetry, tier):
    """Have the directory say a tier of proj_pro."""
    telemetry.rows[1] = telemetry.rows[1] | {"tier": tier}
    telemetry.refresh()


def starts(telemetry):
    return telemetry.value("tenant.cold_starts"), telemetry.value("tenant.first_query.latency")


async def test_an_open_connection_of_a_sleeping_tenant_wakes_nobody(engine, telemetry):
    pid = await use(engine)
    says(telemetry, "COLD")
    assert await use(engine) == pid
    await engine.dispose()
    assert starts(telemetry) == (0, 0)


@pytest.mark.parametrize("how", ["for its age", "softly invalidated"])
async def test_a_connection_replaced_while_it_is_open_wakes_nobody(engine, telemetry, how):
    pid = await use(engine)
    says(telemetry, "COLD")
    if how == "for its age":
        engine.pool._recycle = 0
    else:
        fairy = await engine.raw_connection()
        fairy.invalidate(soft=True)
        fairy.close()
        await asyncio.sleep(0.02)  # SQLAlchemy compares times
    assert await use(engine) != pid
    await engine.dispose()
    assert telemetry.value("db.client.connection.create_time") == 2
    assert starts(telemetry) == (0, 0)


@pytest.mark.parametrize(("tier", "expected"), [("HOT", (0, 0)), ("COLD", (1, 1))])
async def test_a_lost_connection_that_is_made_anew_is_a_start_only_if_the_tenant_slept(
    pg, engine, telemetry, tier, expected
):
    """Its compute went to sleep under an open pool, and whoever asks now waits for it to wake up."""
    pid = await use(engine)
    says(telemetry, tier)
    pg.execute(f"SELECT pg_terminate_backend({pid})")
    await asyncio.sleep(0.05)
    assert await use(engine) != pid
    assert await use(engine)
    await engine.dispose()
    assert starts(telemetry) == expected


@pytest.fixture(scope="module")
def sleeper(tmp_path_factory):
    """A server of this module's own, to be put to sleep."""
    with Postgres(tmp_path_factory.mktemp("sleeper")) as server:
        yield server


def test_a_server_that_falls_asleep_under_an_open_pool_and_wakes_up(sleeper, telemetry):
    """The ping fails, the reconnect is refused: one error each try, and one start when it is served."""
    engine = sqlalchemy.create_engine(
        sleeper.dsn().replace("postgresql:", "postgresql+psycopg:"), pool_size=1, max_overflow=0, pool_pre_ping=True
    )
    bind_tenant(engine, "proj_pro")

    def ask():
        with engine.connect() as connection:
            return connection.execute(PID).scalar()

    ask()
    sleeper.stop()
    for _ in range(2):
        with pytest.raises(sqlalchemy.exc.OperationalError):
            ask()
    sleeper.start()
    ask()
    engine.dispose()
    assert starts(telemetry) == (1, 1)
    assert telemetry.values("db.errors", "error_type", project_id="proj_pro") == {"connection": 2}
    (event,) = telemetry.events("cold_start")
    assert event.attributes["project_id"] == "proj_pro"
    assert event.attributes["startup_duration_ms"] > 0
