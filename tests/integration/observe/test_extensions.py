"""pg_stat_statements and pg_buffercache, which the wheel's PostgreSQL lacks: on the one that the system has, if any."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from examples.stack import postgres as stack
from otel_dynabase.catalog.metrics import ACTIVITY_STATE, IO_BYTES, MEMORY_USAGE, QUERIES_BY_HOUR, SELF_UNREADABLE
from tests.integration.observe.observed import Client, Observed

INSTALLED = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
pytestmark = pytest.mark.skipif(not INSTALLED, reason="no PostgreSQL with contrib in /usr/lib/postgresql")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The system's newest PostgreSQL with both extensions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stack, "binaries", lambda: INSTALLED[-1].parent)
        patch.delitem(stack.DEFAULTS, "scram_iterations")  # of PostgreSQL 16
        directory = tmp_path_factory.mktemp("system-postgres")
        preload = {"shared_preload_libraries": "pg_stat_statements", "pg_stat_statements.max": 100}
        with stack.Postgres(directory, **preload) as server:
            server.execute('CREATE SCHEMA "Odd"; CREATE EXTENSION pg_stat_statements SCHEMA "Odd"')
            server.execute('GRANT USAGE ON SCHEMA "Odd" TO PUBLIC')
            server.execute("CREATE EXTENSION pg_buffercache")
            server.execute("CREATE ROLE watcher LOGIN PASSWORD 'watcher' IN ROLE pg_monitor")
            server.execute("CREATE ROLE reader LOGIN PASSWORD 'reader' IN ROLE pg_read_all_stats")
            server.execute("CREATE DATABASE one")
            yield server


async def run(server, times, query="SELECT 1", database="one"):
    connection = await asyncpg.connect(server.dsn(database), statement_cache_size=0)
    await Client(connection).run(times, query)
    await connection.close()
    await asyncio.sleep(0.1)


def watched(server, role="watcher", **settings):
    dsn = server.dsn("postgres", user=role, password=role)
    return Observed([{"project_id": "one"}], **{"observe_servers": dsn, "observe_buffers_interval": 60} | settings)


async def test_statements_are_counted_even_in_one_transaction(server):
    """Which transactions are not: three statements of one are three."""
    observed = watched(server)
    await observed.round()
    connection = await asyncpg.connect(server.dsn("one"), statement_cache_size=0)
    async with connection.transaction():
        await Client(connection).run(5)
    await connection.close()
    await observed.round()
    assert observed.total(QUERIES_BY_HOUR) == 7  # BEGIN and COMMIT are statements too
    assert observed.gauge(ACTIVITY_STATE) == 1
    await observed.round()
    assert observed.total(QUERIES_BY_HOUR) == 7
    assert observed.gauge(ACTIVITY_STATE) == 0


async def test_the_observer_s_own_statements_are_not_counted_in_the_database_that_it_asks(server):
    server.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements", "one")
    address = server.dsn("{database}", user="watcher", password="watcher").replace("%7B", "{").replace("%7D", "}")
    observed = watched(server, observe_servers=None, observe_template=address)
    for _ in range(4):
        await observed.round()
        await asyncio.sleep(0.1)
    assert (observed.total(QUERIES_BY_HOUR), observed.gauge(ACTIVITY_STATE)) == (0, 0)
    await run(server, 6)
    await observed.round()
    assert (observed.total(QUERIES_BY_HOUR), observed.gauge(ACTIVITY_STATE)) == (6, 1)


async def test_evicted_statements_are_no_reset_and_no_loss(server):
    """With more different statements than pg_stat_statements keeps, transactions are counted in that interval."""
    observed = watched(server)
    await run(server, 20)
    await observed.round()
    for number in range(150):
        await run_as(server, f"SELECT 1 AS column_{number}")
    await observed.round()
    assert observed.total(QUERIES_BY_HOUR) == 150
    await run(server, 3)
    await observed.round()
    assert observed.total(QUERIES_BY_HOUR) == 153


async def run_as(server, query):
    connection = await asyncpg.connect(server.dsn("one"), statement_cache_size=0)
    await connection.fetchval(query)
    await connection.close()


async def test_reset_statements_are_no_jump(server):
    observed = watched(server)
    await observed.round()
    await run(server, 20)
    server.execute('SELECT "Odd".pg_stat_statements_reset()')
    await run(server, 5)
    await observed.round()
    assert observed.total(QUERIES_BY_HOUR) == 25


async def test_pages_in_the_buffers_and_blocks_written(server):
    observed = watched(server)
    await observed.round()
    before = observed.gauge(MEMORY_USAGE, "one", "shared_buffers")
    assert before > 0
    await run(server, 1, "CREATE TABLE filled AS SELECT n FROM generate_series(1, 100000) n")
    await observed.round()
    assert observed.gauge(MEMORY_USAGE, "shared_buffers") == before  # looked into once a minute
    await observed.round()
    assert observed.gauge(MEMORY_USAGE, "shared_buffers") > before + 1_000_000
    assert observed.total(IO_BYTES, "write") > 1_000_000
    assert observed.gauge(SELF_UNREADABLE) is None


async def test_without_pg_monitor_the_buffers_are_absent_and_said(server, warnings_of):
    observed = watched(server, role="reader")
    await observed.round()
    await observed.round()
    assert observed.gauge(MEMORY_USAGE, "shared_buffers") is None
    assert observed.gauge(SELF_UNREADABLE, "buffers") == 1
    assert observed.gauge(ACTIVITY_STATE) == 0
    (said,) = warnings_of()
    assert "permission denied" in said
