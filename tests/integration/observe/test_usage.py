"""What the observer measures of projects' databases, on a real PostgreSQL."""

import asyncio
import os
import signal

import asyncpg
import pytest

from examples.stack.postgres import Postgres
from otel_dynabase.catalog.metrics import (
    ACTIVITY_STATE,
    CPU_USAGE,
    IO_BYTES,
    MEMORY_USAGE,
    QUERIES_BY_HOUR,
    SELF_BREAKS,
    SELF_UNREADABLE,
)
from tests.integration.observe.observed import FLUSH, Client, Observed, settled, shared


async def test_queries_of_a_project_are_counted_and_nobody_else_s(pg, database):
    observed = shared(pg, database)
    await observed.round()
    await database.queries(20)
    await observed.round()
    assert observed.total(QUERIES_BY_HOUR) == 20
    assert observed.total(QUERIES_BY_HOUR, database.name, "12") == 20
    assert observed.gauge(ACTIVITY_STATE, database.name) == 1
    await observed.round()
    assert observed.total(QUERIES_BY_HOUR) == 20
    assert observed.gauge(ACTIVITY_STATE, database.name) == 0


@pytest.mark.parametrize("own", [True, False], ids=["its own database", "a maintenance database"])
async def test_looking_is_no_activity_however_often(pg, database, own):
    template = pg.server.dsn("TARGET").replace(
        "TARGET", "{database}" if own else "postgres?application_name={project_id}"
    )
    observed = Observed([{"project_id": database.name}], observe_template=template)
    for _ in range(6):
        await observed.round()
        await settled(pg, database.name)
        assert observed.gauge(ACTIVITY_STATE, database.name) == 0
    assert observed.total(QUERIES_BY_HOUR) == 0
    await database.queries(7)
    await observed.round()
    await settled(pg, database.name)
    assert observed.total(QUERIES_BY_HOUR) == 7
    assert observed.gauge(ACTIVITY_STATE, database.name) == 1
    await observed.round()
    assert observed.total(QUERIES_BY_HOUR) == 7
    assert observed.gauge(ACTIVITY_STATE, database.name) == 0
    assert observed.in_vain() == {}


async def test_an_idle_pool_is_no_activity_and_its_statements_are(pg, database):
    observed = shared(pg, database)
    async with database.client() as pool:
        await pool.run(3)
        await observed.round()
        await asyncio.sleep(FLUSH)
        await pool.run(1)  # tells what it counted before
        await observed.round()
        before = observed.total(QUERIES_BY_HOUR)
        await observed.round()
        assert observed.total(QUERIES_BY_HOUR) == before
        assert observed.gauge(ACTIVITY_STATE) == 0


async def test_autovacuum_is_no_activity(tmp_path, eventually):
    with Postgres(tmp_path / "pg", autovacuum_naptime="1s") as server:
        server.execute("CREATE DATABASE lonely")
        server.execute("CREATE TABLE t (i int); INSERT INTO t VALUES (1)", "lonely")
        observed = Observed([{"project_id": "lonely"}], observe_servers=server.dsn())
        await observed.round()
        transactions = "SELECT xact_commit FROM pg_stat_database WHERE datname = 'lonely'"
        before = int(server.execute(transactions))
        await eventually(lambda: int(server.execute(transactions)) >= before + 4)
        await observed.round()
        assert (observed.total(QUERIES_BY_HOUR), observed.gauge(ACTIVITY_STATE)) == (0, 0)


async def test_a_statement_is_accounted_for_while_it_runs_and_not_again_when_it_ends(pg, database):
    """Its time becomes the server's only when its transaction ends: then there must be no jump."""
    observed = shared(pg, database)
    async with database.client() as client:
        await observed.round()
        transaction = client.connection.transaction()
        await transaction.start()
        sleeping = asyncio.create_task(client.run(1, "SELECT pg_sleep(1.6)"))
        seen = []
        for _ in range(4):
            await asyncio.sleep(0.5)
            await observed.round(0.5)
            seen.append(observed.gauge(CPU_USAGE))
        assert observed.gauge(ACTIVITY_STATE) in {0, 1}
        await sleeping
        await transaction.commit()
        await asyncio.sleep(0.1)
        await observed.round(0.5)
        seen.append(observed.gauge(CPU_USAGE))
        assert max(seen) < 1100
        assert min(seen[:2]) > 700
        assert observed.part._watched[database.name].day.seconds == pytest.approx(1.6, abs=0.3)


async def test_bytes_read_and_written_for_sorting(pg, database):
    observed = shared(pg, database)
    await database.queries(1, "SELECT count(*) FROM (SELECT 1) t")
    await observed.round()
    big = "SELECT count(*) FROM (SELECT n FROM generate_series(1, 400000) n ORDER BY n DESC OFFSET 0) t"
    await database.queries(1, big)
    await observed.round()
    written = pg.execute(f"SELECT temp_bytes FROM pg_stat_database WHERE datname = '{database.name}'")
    assert observed.total(IO_BYTES, "write") == int(written) > 0
    blocks = pg.execute(f"SELECT blks_read FROM pg_stat_database WHERE datname = '{database.name}'")
    assert 0 < observed.total(IO_BYTES, "read") <= int(blocks) * 8192


async def test_a_reset_of_the_statistics_is_no_loss_and_no_jump(pg, database):
    observed = shared(pg, database)
    await database.queries(30)
    await observed.round()
    await database.queries(10)
    await observed.round()
    assert observed.total(QUERIES_BY_HOUR) == 10
    pg.execute("SELECT pg_stat_reset()", database.name)
    await database.queries(5)
    await observed.round()
    assert observed.total(SELF_BREAKS, "reset") == 1
    assert 15 <= observed.total(QUERIES_BY_HOUR) <= 16  # the reset is a query itself
    await database.queries(50)
    await observed.round()
    assert 65 <= observed.total(QUERIES_BY_HOUR) <= 66


async def test_a_database_that_is_made_anew_begins_anew(pg, database):
    observed = shared(pg, database)
    await database.queries(30)
    await observed.round()
    pg.execute(f"DROP DATABASE {database.name}")
    await observed.round()
    assert observed.gauge(ACTIVITY_STATE) is None
    assert observed.gauge(SELF_UNREADABLE, "database") == 1
    pg.execute(f"CREATE DATABASE {database.name}")
    await database.queries(50)
    await observed.round()
    assert observed.total(SELF_BREAKS, "recreated") == 1
    assert observed.total(QUERIES_BY_HOUR) == 0  # nothing says when it was made
    await database.queries(5)
    await observed.round()
    assert observed.total(QUERIES_BY_HOUR) == 5
    assert observed.gauge(SELF_UNREADABLE, "database") is None


async def test_a_server_that_restarts_or_crashes_is_followed(tmp_path, eventually):
    """A clean restart keeps the statistics; a crash loses them, and the server says that it did."""
    with Postgres(tmp_path / "pg") as server:
        server.execute("CREATE DATABASE one")
        observed = Observed([{"project_id": "one"}], observe_servers=server.dsn())

        async def queries(times):
            connection = await asyncpg.connect(server.dsn("one"), statement_cache_size=0)
            await Client(connection).run(times)
            await connection.close()
            await asyncio.sleep(0.1)

        await queries(100)
        await observed.round()
        await queries(4)
        server.stop()
        await observed.round()
        assert (observed.in_vain(), observed.gauge(ACTIVITY_STATE)) == ({"absent": 1}, None)
        server.start()
        await queries(3)
        await observed.round(100)
        assert (observed.total(QUERIES_BY_HOUR), observed.total(SELF_BREAKS)) == (7, 0)
        os.kill(server.pid, signal.SIGQUIT)
        await eventually(lambda: not server.is_ready())
        server.stop()
        server.start()
        await queries(2)
        await observed.round()
        assert observed.total(SELF_BREAKS, "lost") == 1
        assert observed.total(QUERIES_BY_HOUR) == 9


async def test_a_database_that_lets_nobody_in_is_draining_until_the_last_has_left(pg, database):
    observed = shared(pg, database)
    async with database.client():
        pg.execute(f"ALTER DATABASE {database.name} WITH ALLOW_CONNECTIONS false")
        await observed.round()
        assert observed.gauge(ACTIVITY_STATE) == 2
    await settled(pg, database.name)
    await observed.round()
    assert observed.gauge(ACTIVITY_STATE) == 0
    pg.execute(f"ALTER DATABASE {database.name} WITH ALLOW_CONNECTIONS true CONNECTION LIMIT 0")
    async with database.client():  # a superuser may
        await observed.round()
        assert observed.gauge(ACTIVITY_STATE) == 2


@pytest.mark.parametrize("grant", ["pg_monitor", "pg_read_all_stats"])
async def test_a_role_with_the_grant_reads_all(pg, database, role, grant):
    pg.execute(f"REVOKE CONNECT ON DATABASE {database.name} FROM PUBLIC")
    observed = Observed([{"project_id": database.name, "plan": "free"}], observe_servers=role(grant))
    async with database.client():
        await observed.round()
        await observed.round()
        assert observed.gauge(CPU_USAGE) == 0
        watched = observed.part._watched[database.name]
        assert watched.unreadable == {"statements", "buffers"}  # extensions that this server lacks
        assert set(watched.ceilings) == {"connections", "storage", "compute_time"}


async def test_with_fewer_rights_what_cannot_be_read_is_absent_and_said_once(pg, database, role, warnings_of):
    observed = Observed([{"project_id": database.name, "plan": "free"}], observe_servers=role())
    async with database.client():
        await observed.round()
        async with database.client() as other:
            await other.run(6)
        await asyncio.sleep(0.1)
        await observed.round()
        assert observed.total(QUERIES_BY_HOUR) == 6
        assert observed.gauge(ACTIVITY_STATE) == 1
        assert observed.gauge(CPU_USAGE) is None
        assert observed.gauge(MEMORY_USAGE) is None
        assert "connections" not in observed.part._watched[database.name].ceilings
        assert observed.gauge(SELF_UNREADABLE, "connections") == 1
        await observed.round()
        said = [message for message in warnings_of() if "observe" in message]
        assert len(said) == 1
        assert "pg_read_all_stats" in said[0]
        pg.execute(f"ALTER DATABASE {database.name} WITH ALLOW_CONNECTIONS false")
        await observed.round()
        assert observed.gauge(ACTIVITY_STATE) is None  # whether anybody is there cannot be seen
