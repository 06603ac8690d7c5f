"""What only psycopg_pool has: workers that connect in the background, lines that may be too long, changing sizes."""

import asyncio
import contextvars
import gc
import logging
import os
import random
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import psycopg
import psycopg_pool
import pytest
from psycopg_pool import AsyncConnectionPool, AsyncNullConnectionPool, ConnectionPool, NullConnectionPool

from examples.stack.postgres import Postgres
from otel_dynabase import bind_tenant, current_project, tenant
from tests.integration.pools.facts import gauges, measured

DEADLINE = 15.0
NEWEST = tuple(map(int, psycopg_pool.__version__.split(".")[:2])) >= (3, 3)


@pytest.fixture(autouse=True)
def worked(caplog):
    """Fail where a pool's worker has: it logs what it stumbles over, and goes on."""
    yield
    assert [record.getMessage() for record in caplog.records if "task run" in record.getMessage()] == []


def until(condition):
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


@pytest.fixture
def pool_of(pg):
    """Open blocking pools, which are closed at the end."""
    with ExitStack() as opened:

        def make(kind=ConnectionPool, dsn=pg.dsn, **options):
            options = {"min_size": 0, "max_size": 2, "open": False, "kwargs": {"autocommit": True}} | options
            return opened.enter_context(kind(dsn, **options))

        yield make


def use(pool, sql="SELECT 1", **options):
    with pool.connection(**options) as connection:
        return connection.execute(sql).fetchall()


def pool_names(telemetry):
    name = "db.client.connection.pool.name"
    return {attributes[name] for attributes, _ in telemetry.points("db.client.connection.pending_requests")}


@pytest.fixture
def server(tmp_path):
    with Postgres(tmp_path / "sleeper") as server:
        yield server


# --- the line ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [ConnectionPool, NullConnectionPool])
def test_a_line_that_is_too_long_turns_clients_away(pool_of, telemetry, kind):
    pool = pool_of(kind, max_size=1, max_waiting=1)
    with ThreadPoolExecutor() as threads, pool.connection():
        waiting = threads.submit(use, pool, timeout=0.5)
        until(lambda: gauges(telemetry).get("queue") == 1)
        with pytest.raises(psycopg_pool.TooManyRequests), tenant("proj_pro"):
            use(pool)
        assert isinstance(waiting.exception(), psycopg_pool.PoolTimeout)
    assert measured(telemetry, project_id="proj_pro") == {
        "errors": {"client": 1},
        "limit hits": {("max_pool_size", "rejected"): 1},
        "rejections": {"pool_exhausted": 1},
    }
    (event,) = (e for e in telemetry.events("limit_hit") if e.attributes["project_id"] == "proj_pro")
    told = {name: event.attributes[name] for name in ("limit_type", "action", "rejection_count", "queue_depth")}
    assert told == {"limit_type": "max_pool_size", "action": "rejected", "rejection_count": 1, "queue_depth": 1}


async def test_a_line_of_tasks_that_is_too_long_turns_clients_away(pg, telemetry, eventually):
    options = {"min_size": 0, "max_size": 1, "max_waiting": 1, "open": False}
    async with AsyncConnectionPool(pg.dsn, **options) as pool, pool.connection():
        waiting = asyncio.ensure_future(pool.getconn(timeout=0.3))
        await eventually(lambda: gauges(telemetry).get("queue") == 1)
        with pytest.raises(psycopg_pool.TooManyRequests), tenant("proj_pro"):
            await pool.getconn()
        with pytest.raises(psycopg_pool.PoolTimeout):
            await waiting
    assert measured(telemetry, project_id="proj_pro") == {
        "errors": {"client": 1},
        "limit hits": {("max_pool_size", "rejected"): 1},
        "rejections": {"pool_exhausted": 1},
    }


def test_who_waits_for_a_connection_being_made_did_not_queue(pool_of, telemetry):
    gate = threading.Event()
    pool = pool_of(max_size=3, configure=lambda _connection: gate.wait(DEADLINE))
    with ThreadPoolExecutor() as threads:
        clients = [threads.submit(use, pool) for _ in range(3)]
        until(lambda: gauges(telemetry).get("pending") == 3)
        assert "queue" not in gauges(telemetry)
        gate.set()
        assert [client.result() for client in clients] == [[(1,)]] * 3
    assert "limit hits" not in measured(telemetry)
    assert measured(telemetry)["waits"] == 3


@pytest.mark.parametrize("timeout", [0, -1])
def test_no_time_at_all(pool_of, telemetry, timeout):
    pool = pool_of()
    use(pool)
    if NEWEST:
        with pytest.raises(psycopg_pool.PoolTimeout):
            pool.getconn(timeout=timeout)
        assert measured(telemetry)["timeouts"] == 1
    assert "limit hits" not in measured(telemetry)
    assert "pending" not in gauges(telemetry)


# --- state ------------------------------------------------------------------------------------------------------------


def test_sizes_as_they_are_now(pool_of, telemetry):
    pool = pool_of(min_size=1, max_size=None)
    use(pool)
    assert gauges(telemetry)["max"] == 1
    pool.resize(2, 4)
    points = telemetry.collect()
    sizes = {name: telemetry.value(f"db.client.connection.{name}", points) for name in ("max", "idle.max", "idle.min")}
    assert sizes == {"max": 4, "idle.max": 4, "idle.min": 2}
    until(lambda: gauges(telemetry).get("idle") == 2)
    assert pool.get_stats()["pool_available"] == 2


def test_a_pool_without_stock_and_without_limit(pool_of, telemetry):
    pool = pool_of(NullConnectionPool, max_size=0)
    with pool.connection(), pool.connection():
        assert gauges(telemetry) == {"used": 2, "active": 2}
    assert telemetry.points("db.client.connection.max") == []
    assert telemetry.value("db.client.connection.idle.max") == 0
    assert measured(telemetry) == {"waits": 2, "uses": 2, "creates": 2}


def test_a_pools_name(pool_of, pg, telemetry):
    use(pool_of())
    use(pool_of(name="orders"))
    assert pool_names(telemetry) == {f"127.0.0.1:{pg.server.port}/postgres", "orders"}


@pytest.mark.skipif(not NEWEST, reason="a target that is a function came with psycopg_pool 3.3")
def test_a_target_that_is_a_function_is_known_from_the_first_connection(pool_of, pg, telemetry):
    calls = []
    pool = pool_of(dsn=lambda: calls.append(None) or pg.server.dsn("proj_pro"), kwargs=lambda: {"autocommit": True})
    use(pool)
    use(pool)
    assert len(calls) == 1
    assert telemetry.queries(project_id="proj_pro") == {"SELECT": 2}


def test_a_target_that_cannot_be_parsed_is_the_applications_own_mistake(pool_of, telemetry):
    pool = pool_of(dsn="no such=syntax")
    with pytest.raises(psycopg_pool.PoolTimeout):
        use(pool, timeout=0.2)
    assert measured(telemetry) == {"timeouts": 1, "errors": {"client": 1}}


def test_a_pool_that_is_not_open_or_closed(telemetry, pg):
    pool = ConnectionPool(pg.dsn, open=False)
    with pytest.raises(psycopg_pool.PoolClosed):
        pool.getconn()
    with pool:
        use(pool)
        assert gauges(telemetry)["max"] == 4
    assert gauges(telemetry) == {}
    with pytest.raises(psycopg_pool.PoolClosed):
        pool.getconn()
    assert measured(telemetry)["errors"] == {"client": 1}


def test_a_pool_from_before(pg, instrument):
    with ConnectionPool(pg.dsn, min_size=1, max_size=1, open=True) as pool:
        pool.wait()
        with pool.connection():
            telemetry = instrument()
        with tenant("proj_pro"):
            use(pool)
        assert measured(telemetry, project_id="proj_pro") == {
            "waits": 1,
            "uses": 1,
            "queries": {"SELECT": 1},
            "rows": 1,
        }
        assert gauges(telemetry) == {"idle": 1, "max": 1}
        (connection,) = pool._pool
        telemetry.uninstrument()
        assert not [name for thing in (pool, connection) for name in vars(thing) if "dynabase" in name]
        use(pool)


def test_a_pool_that_is_dropped_is_gone_at_once(pg, telemetry, caplog):
    """Nothing of ours keeps a pool, nor what its workers stumbled over; without the garbage collector's help."""
    caplog.set_level(logging.CRITICAL, logger="psycopg.pool")  # a log record keeps the error, its frames and the pool
    pool = ConnectionPool(pg.dsn, min_size=0, max_size=1, open=False, kwargs={"password": "guess"})
    with pool, suppress(psycopg_pool.PoolTimeout):
        use(pool, timeout=0.2)
    assert measured(telemetry) == {
        "timeouts": 1,
        "errors": {"invalid_authorization_specification": 1},
        "rejections": {"auth_failure": 1},
    }
    gc.collect()
    gone = weakref.ref(pool), weakref.ref(vars(pool)["_otel_dynabase_probe"])
    gc.disable()
    try:
        del pool
        assert [reference() for reference in gone] == [None, None]
    finally:
        gc.enable()


# --- giving back ------------------------------------------------------------------------------------------------------


def test_giving_back_twice_or_elsewhere(pool_of, telemetry):
    pool, other = pool_of(), pool_of()
    connection = pool.getconn()
    with pytest.raises(ValueError, match="it comes from pool"):
        other.putconn(connection)
    assert gauges(telemetry)["used"] == 1
    pool.putconn(connection)
    with pytest.raises(ValueError, match="doesn't come from any pool"):
        pool.putconn(connection)
    assert measured(telemetry) == {"waits": 1, "uses": 1, "creates": 1}


def test_a_connection_that_is_never_given_back_is_not_kept_alive(pool_of, telemetry):
    pool = pool_of()
    lost = weakref.ref(pool.getconn())
    gc.collect()
    assert lost() is None
    assert measured(telemetry) == {"waits": 1, "creates": 1}


def test_a_connection_in_a_transaction_is_rolled_back_by_the_pool(pool_of, telemetry):
    pool = pool_of(kwargs={"autocommit": False})
    connection = pool.getconn()
    connection.execute("SELECT 1")
    pool.putconn(connection)
    assert measured(telemetry) == {"waits": 1, "uses": 1, "creates": 1, "queries": {"SELECT": 1}, "rows": 1}


@pytest.mark.skipif(not NEWEST, reason="closing returns connections since psycopg_pool 3.3")
def test_closing_that_gives_back(pool_of, telemetry):
    pool = pool_of(close_returns=True)
    pool.getconn().close()
    assert gauges(telemetry) == {"idle": 1, "max": 2}
    assert measured(telemetry) == {"waits": 1, "uses": 1, "creates": 1}


# --- upkeep -----------------------------------------------------------------------------------------------------------


def test_callbacks_are_upkeep(pool_of, telemetry):
    ran = []

    def callback(what):
        def run(connection):
            connection.execute("SELECT 'upkeep'")
            ran.append((what, current_project()))

        return run

    pool = pool_of(max_size=1, **{what: callback(what) for what in ("configure", "check", "reset")})
    with tenant("proj_pro"):
        use(pool)
        use(pool)
        pool.check()
    until(lambda: len(ran) >= 5)
    assert {what for what, _ in ran} == {"configure", "check", "reset"}
    assert dict(ran)["configure"] == "unknown"
    assert measured(telemetry)["queries"] == {"SELECT": 2}
    assert "errors" not in measured(telemetry)


async def test_callbacks_of_an_asynchronous_pool_are_upkeep(pg, telemetry, eventually):
    ran = []

    async def callback(connection):
        await asyncio.gather(connection.execute("SELECT 'upkeep'"))
        ran.append(current_project())

    with tenant("proj_pro"):
        pool = AsyncConnectionPool(
            pg.dsn,
            min_size=1,
            max_size=1,
            open=False,
            configure=callback,
            check=callback,
            reset=callback,
            kwargs={"autocommit": True},
        )
        async with pool:
            for _ in range(2):
                async with pool.connection() as connection:
                    await connection.execute("SELECT 1")
            await pool.check()
            await eventually(lambda: len(ran) >= 5)
    assert measured(telemetry)["queries"] == {"SELECT": 2}


def test_a_check_that_fails_makes_the_pool_try_the_next(pool_of, telemetry):
    verdicts = iter([False, True])

    def check(connection):
        if not next(verdicts):
            connection.close()
            raise psycopg.OperationalError("broken")

    pool = pool_of(max_size=1, check=check)
    with tenant("proj_pro"):
        use(pool)
    assert measured(telemetry) == {
        "waits": 1,
        "uses": 1,
        "creates": 2,
        "queries": {"SELECT": 1},
        "rows": 1,
    }
    assert "pending" not in gauges(telemetry)


async def test_workers_inherit_nobodys_tenant(pg, telemetry, eventually):
    """The tasks of an asynchronous pool are started in the context of whoever opens it."""
    with tenant("proj_pro"):
        pool = AsyncConnectionPool(pg.dsn, min_size=2, max_size=2, open=False)
        await pool.open(wait=True)
    assert telemetry.values("db.client.connection.create_time", "project_id") == {"unknown": 2}
    await pool.close()


def test_connections_of_one_tenants_pool_are_made_for_it(pool_of, telemetry):
    pool = ConnectionPool(pool_of().conninfo, min_size=2, open=False)
    bind_tenant(pool, "proj_pro")
    with pool:
        pool.wait()
        assert telemetry.values("db.client.connection.create_time", "project_id") == {"proj_pro": 2}


def test_an_idle_pool_that_cannot_connect_counts_nothing(pg, telemetry, caplog):
    """Nobody asked for anything: neither errors nor a start, however often its workers try."""
    with tenant("proj_pro"), ConnectionPool("host=127.0.0.1 port=1 dbname=proj_pro", min_size=2, open=False) as pool:
        until(lambda: pool.get_stats().get("connections_num", 0) > 2)
        assert measured(telemetry) == {}
        assert telemetry.events() == []


def test_a_client_that_waits_in_vain_is_one_error(telemetry):
    """Its workers try several times meanwhile; a second client finds them at rest, and is one error too."""
    with ConnectionPool("host=127.0.0.1 port=1 user=u", min_size=0, max_size=2, open=False) as pool, tenant("proj_pro"):
        for timeout in (1.4, 0.1):
            with pytest.raises(psycopg_pool.PoolTimeout):
                use(pool, timeout=timeout)
        assert pool.get_stats()["connections_errors"] >= 2
    assert measured(telemetry) == {"timeouts": 2, "errors": {"connection": 2}}


def test_a_client_that_waits_until_the_server_is_up_saw_one_cold_start(pool_of, server, telemetry):
    server.stop()
    pool = pool_of(dsn=server.dsn(), min_size=1)
    with ThreadPoolExecutor() as threads, tenant("proj_pro"):
        client = threads.submit(contextvars.copy_context().run, use, pool)
        until(lambda: pool.get_stats().get("connections_errors", 0) >= 1)
        server.start()
        assert client.result() == [(1,)]
    found = measured(telemetry, project_id="proj_pro")
    assert (found["cold starts"], found["first queries"]) == (1, 1)
    assert "errors" not in measured(telemetry)
    (event,) = telemetry.events("cold_start")
    assert event.attributes["source_tier"] == "WARM"
    assert event.attributes["startup_duration_ms"] > 500


def test_a_start_that_nobody_waited_for_to_its_end_is_one_too(pool_of, server, telemetry):
    """Who asked first gave up; the pool's worker connects when nobody waits; who asks then is served at once."""
    server.stop()
    pool = pool_of(dsn=server.dsn(), min_size=1, timeout=0.5)
    with tenant("proj_pro"):
        with pytest.raises(psycopg_pool.PoolTimeout):
            use(pool)
        server.start()
        until(lambda: pool.get_stats().get("pool_available", 0) >= 1)
        assert use(pool) == [(1,)]
        assert use(pool) == [(1,)]
    found = measured(telemetry, project_id="proj_pro")
    assert (found["cold starts"], found["first queries"]) == (1, 1)
    assert found["errors"] == {"connection": 1}


async def test_a_task_that_waits_until_the_server_is_up_saw_one_cold_start(server, telemetry, eventually):
    server.stop()
    options = {"min_size": 1, "max_size": 2, "open": False, "kwargs": {"autocommit": True}}
    async with AsyncConnectionPool(server.dsn(), **options) as pool:

        async def client():
            async with pool.connection() as connection:
                return await (await connection.execute("SELECT 1")).fetchall()

        with tenant("proj_pro"):
            waiting = asyncio.ensure_future(client())
        await eventually(lambda: pool.get_stats().get("connections_errors", 0) >= 1)
        await asyncio.to_thread(server.start)
        assert await waiting == [(1,)]
    found = measured(telemetry, project_id="proj_pro")
    assert (found["cold starts"], found["first queries"]) == (1, 1)
    assert "errors" not in measured(telemetry)


def test_upkeep_is_never_a_cold_start(pool_of, server, telemetry):
    """The pool has lost its connections, and makes new ones while nobody waits; whoever comes then finds them."""
    pool = pool_of(dsn=server.dsn(), min_size=1)
    with tenant("proj_pro"):
        use(pool)
        server.stop()
        server.start()
        pool.check()
        until(lambda: pool.get_stats()["pool_available"] >= 1)
        use(pool)
    assert "cold starts" not in measured(telemetry)
    assert "errors" not in measured(telemetry)


def test_connections_from_stock_wake_no_cold_tenant(pool_of, telemetry):
    pool = pool_of(min_size=2)
    pool.wait()
    with tenant("proj_asleep"):
        use(pool)
    assert "cold starts" not in measured(telemetry)


def test_expiry_is_never_a_cold_start(pool_of, telemetry):
    pool = pool_of(min_size=1, max_size=1, max_lifetime=0.001)
    with tenant("proj_pro"):
        for _ in range(3):
            use(pool, "SELECT pg_sleep(0.01)")
    found = measured(telemetry)
    assert found["creates"] >= 3
    assert "cold starts" not in found


def test_a_client_held_up_by_its_roles_limit(pool_of, pg, telemetry):
    """The pool may be bigger than its role: workers are refused, clients wait until a connection comes back."""
    until(lambda: pg.execute("SELECT count(*) FROM pg_stat_activity WHERE usename = 'limited'") == "0")
    pool = pool_of(dsn=psycopg.conninfo.make_conninfo(pg.dsn, user="limited", password="limited"))
    with ThreadPoolExecutor() as threads, tenant("proj_pro"):
        with pool.connection():
            client = threads.submit(contextvars.copy_context().run, use, pool)
            until(lambda: pool.get_stats().get("connections_errors", 0) >= 1)
        assert client.result() == [(1,)]
    found = measured(telemetry, project_id="proj_pro")
    assert found["limit hits"] == {("max_concurrent", "queued"): 1}
    assert telemetry.values("tenant.limit.queue.duration", "limit_type") == {"max_concurrent": 1}
    assert "errors" not in found


# --- cancelling -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [AsyncConnectionPool, AsyncNullConnectionPool])
async def test_cancelling_clients_at_any_moment_loses_nothing(pg, telemetry, kind):
    """Cancelled while waiting, while given a connection, or while it connects in its own task."""
    chance = random.Random(7)  # the same each time
    async with kind(pg.dsn, min_size=0, max_size=2, open=False, kwargs={"autocommit": True}) as pool:

        async def client():
            async with pool.connection() as connection:
                await connection.execute("SELECT 1")

        for _ in range(12):
            clients = [asyncio.ensure_future(client()) for _ in range(6)]
            for task in chance.sample(clients, 3):
                for _ in range(chance.randrange(12)):
                    await asyncio.sleep(0)
                task.cancel()
            await asyncio.gather(*clients, return_exceptions=True)
        (probe,) = telemetry.runtime.probes.pools._live
        assert not probe.pending
        assert not probe.queue
        assert not probe.held
        found = measured(telemetry)
        assert found["waits"] == found["uses"]


# --- threads ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [ConnectionPool, NullConnectionPool])
def test_many_threads(pool_of, telemetry, kind):
    """Collected from another thread the whole time, nothing is lost and nothing counted twice."""
    pool = pool_of(kind, max_size=4)
    seen, stop = [], threading.Event()

    def watch():
        while not stop.is_set():
            seen.append(gauges(telemetry))

    def client(number):
        with tenant(("proj_pro", "proj_free")[number % 2]):
            for turn in range(20):
                with pool.connection() as connection:
                    connection.execute("SELECT 1")
                    if (number + turn) % 17 == 0:
                        connection.close()

    watcher = threading.Thread(target=watch)
    watcher.start()
    with ThreadPoolExecutor(max_workers=12) as threads:
        for done in [threads.submit(client, number) for number in range(12)]:
            done.result()
    stop.set()
    watcher.join()
    (probe,) = telemetry.runtime.probes.pools._live
    assert (probe.pending, len(probe.queue), len(probe.held), len(probe.out)) == (0, 0, 0, 0)
    for project in ("proj_pro", "proj_free"):
        found = measured(telemetry, project_id=project)
        assert (found["waits"], found["uses"], found["queries"]) == (120, 120, {"SELECT": 120})
    found = measured(telemetry)
    assert found["limit hits"] == {("max_pool_size", "queued"): found["queued"]}
    assert len(seen) > 3
    assert all(state.get("idle", 0) + state.get("used", 0) <= 4 for state in seen)
    assert sum(event.attributes["hit_count"] for event in telemetry.events("limit_hit")) == found["queued"]


# --- forks ------------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_forgets_the_parents_pools(pool_of, telemetry):
    pool = pool_of(max_size=1)
    use(pool)
    assert gauges(telemetry) == {"idle": 1, "max": 1}
    child = os.fork()
    if child == 0:
        os._exit(0 if gauges(telemetry) == {} and measured(telemetry) == {} else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert gauges(telemetry) == {"idle": 1, "max": 1}
