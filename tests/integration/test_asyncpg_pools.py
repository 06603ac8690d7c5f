"""Pools: who waits, who holds a connection, and that every acquire ends once, however it ends."""

import asyncio
import gc
import os
import socket
import weakref

import asyncpg
import pytest

from otel_dynabase import current_project, tenant
from tests.integration.pools.facts import measured

WAIT, CREATE, USE = (f"db.client.connection.{what}_time" for what in ("wait", "create", "use"))


def gauges(telemetry):
    """Return the pools' gauges added up, idle and used by state."""
    points = telemetry.collect()
    state = telemetry.values("db.client.connection.count", "db.client.connection.state", points)
    return {
        "idle": state.get("idle", 0),
        "used": state.get("used", 0),
        "max": telemetry.value("db.client.connection.max", points),
        "pending": telemetry.value("db.client.connection.pending_requests", points),
        "queued": telemetry.value("tenant.connection.queue_depth", points),
    }


def times(telemetry):
    points = telemetry.collect()
    return tuple(telemetry.value(name, points) for name in (WAIT, CREATE, USE))


def acquires_ended(telemetry):
    """Say that nobody waits and nothing is held: what must be true at the end of every story."""
    found = gauges(telemetry)
    return found["pending"] == found["used"] == found["queued"] == 0


# --- acquire and release ----------------------------------------------------------------------------------------------


async def test_both_ways_to_acquire_count_alike(pg, telemetry):
    async with pg.pool() as pool:
        connection = await pool.acquire()
        assert gauges(telemetry) == {"idle": 0, "used": 1, "max": 5, "pending": 0, "queued": 0}
        await pool.release(connection)
        assert gauges(telemetry) == {"idle": 1, "used": 0, "max": 5, "pending": 0, "queued": 0}
        async with pool.acquire() as connection:
            assert gauges(telemetry)["used"] == 1
        async with pool.acquire(timeout=5):
            pass
        assert times(telemetry) == (3, 1, 3)
        assert acquires_ended(telemetry)
    assert telemetry.limit_hits() == {}


async def test_a_second_release_changes_nothing(pg, telemetry):
    async with pg.pool() as pool:
        connection = await pool.acquire()
        await pool.release(connection)
        await pool.release(connection)
        assert times(telemetry) == (1, 1, 1)
        assert gauges(telemetry)["idle"] == 1


async def test_release_takes_the_drivers_own_proxy(pg, telemetry):
    """The driver tests `type(connection) is PoolConnectionProxy`: nothing of ours may stand in its place."""
    async with pg.pool() as pool, pg.pool() as other:
        connection = await pool.acquire()
        assert type(connection) is asyncpg.pool.PoolConnectionProxy
        assert type(connection._con) is asyncpg.Connection
        with pytest.raises(asyncpg.InterfaceError, match="not a member"):
            await other.release(connection)
        await pool.release(connection, timeout=5)
        assert times(telemetry) == (1, 1, 1)


async def test_the_size_methods_tell_what_the_gauges_tell(pg, telemetry):
    async with pg.pool(min_size=2, max_size=4) as pool, pool.acquire():
        found = gauges(telemetry)
        assert found["idle"] + found["used"] == pool.get_size() == 2
        assert found["idle"] == pool.get_idle_size() == 1
        assert telemetry.value("db.client.connection.idle.min") == pool.get_min_size()
        assert found["max"] == telemetry.value("db.client.connection.idle.max") == pool.get_max_size()


async def test_connections_without_a_pool_have_no_pool_metrics(pg, telemetry):
    connection = await pg.connect()
    await connection.close()
    assert times(telemetry) == (0, 0, 0)
    assert gauges(telemetry)["max"] == 0


async def test_idle_and_used_never_exceed_the_maximum(pg, telemetry):
    """Collected from another thread the whole time, while tasks come, go, are cancelled and lose their backends."""
    seen, stop = [], asyncio.Event()

    async def watch():
        while not stop.is_set():
            seen.append(await asyncio.to_thread(gauges, telemetry))

    async def use(pool, turn):
        async with pool.acquire() as connection:
            await connection.fetchval("SELECT 1")
            if turn % 7 == 0:
                connection.terminate()

    async with pg.pool(max_size=3) as pool:
        watcher = asyncio.create_task(watch())
        tasks = [asyncio.create_task(use(pool, turn)) for turn in range(60)]
        await asyncio.sleep(0)
        for task in tasks[::5]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        stop.set()
        await watcher
        assert acquires_ended(telemetry)
    assert len(seen) > 3
    assert all(found["idle"] + found["used"] <= found["max"] == 3 for found in seen if found["max"])
    assert times(telemetry)[0] == times(telemetry)[2] == 48


# --- queueing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"timeout": 30}], ids=["plain", "with a timeout"])
@pytest.mark.parametrize("warm", [0, 5], ids=["cold pool", "warm pool"])
async def test_twenty_acquires_of_five_connections_are_fifteen_queued(pg, telemetry, options, warm):
    async with pg.pool(min_size=warm, max_size=5) as pool:

        async def use():
            async with pool.acquire(**options) as connection:
                await connection.fetchval("SELECT 1")

        async with tenant("proj_pro"):
            await asyncio.gather(*(use() for _ in range(20)))
        assert telemetry.limit_hits() == {("max_pool_size", "queued"): 15}
        assert telemetry.values("tenant.limit.queue.duration", "limit_type") == {"max_pool_size": 15}
        assert telemetry.value("tenant.connection.rejections") == 0
        assert telemetry.value(WAIT) == telemetry.value("db.connection.acquire.duration") == 20
        assert acquires_ended(telemetry)
    (event,) = telemetry.events("limit_hit")
    assert (event.attributes["hit_count"], event.attributes["queue_depth"] > 0) == (15, True)


async def test_waiting_and_queueing_show_while_they_last(pg, telemetry, eventually):
    async with pg.pool(max_size=1) as pool:
        held = await pool.acquire()
        async with tenant("proj_pro"):
            waiting = [asyncio.ensure_future(pool.acquire()) for _ in range(3)]
        await eventually(lambda: gauges(telemetry)["pending"] == 3)
        assert telemetry.value("tenant.connection.queue_depth", project_id="proj_pro") == 3
        await pool.release(held)
        for task in waiting:
            await pool.release(await task)
        assert acquires_ended(telemetry)
    assert telemetry.limit_hits(project_id="proj_pro") == {("max_pool_size", "queued"): 3}
    assert telemetry.value("tenant.limit.hits") == 3


async def test_connecting_is_waiting_and_not_queueing(pg, telemetry, eventually):
    """A slow connect keeps everybody waiting; nobody queued for it as long as places are free."""
    gate = asyncio.Event()

    async def connect(*args, **kwargs):
        await gate.wait()
        return await asyncpg.connect(*args, **kwargs)

    async with pg.pool(max_size=3, connect=connect) as pool:
        waiting = [asyncio.ensure_future(pool.acquire()) for _ in range(3)]
        await eventually(lambda: gauges(telemetry)["pending"] == 3)
        assert gauges(telemetry)["queued"] == 0
        gate.set()
        for task in waiting:
            await pool.release(await task)
        assert times(telemetry) == (3, 3, 3)
    assert telemetry.limit_hits() == {}
    assert telemetry.value("tenant.limit.queue.duration") == 0


async def test_who_is_given_a_free_place_at_once_did_not_queue(pg, telemetry, eventually):
    """asyncio.Queue.get takes a free place at once, even if somebody who waits has been woken for it."""
    async with pg.pool(max_size=1) as pool:
        held = await pool.acquire()
        waiting = asyncio.ensure_future(pool.acquire())
        await eventually(lambda: gauges(telemetry)["queued"] == 1)
        held.terminate()
        await pool.release(await pool.acquire())
        await pool.release(await waiting)
    assert telemetry.limit_hits() == {("max_pool_size", "queued"): 1}


async def test_who_asks_the_pools_queue_past_the_pool_is_no_acquire(pg, telemetry):
    pool = await pg.pool(max_size=1)
    holder = await pool._queue.get()
    waiting = asyncio.ensure_future(pool.acquire(timeout=30))
    await asyncio.sleep(0)
    pool._queue.put_nowait(holder)
    await pool.release(await waiting)
    assert telemetry.limit_hits() == {("max_pool_size", "queued"): 1}
    assert acquires_ended(telemetry)
    await pool.close()


async def test_uninstrumenting_leaves_nothing_on_an_open_pool(pg, telemetry):
    pool = await pg.pool()
    before = set(vars(pool._queue))
    await pool.fetchval("SELECT 1")
    telemetry.uninstrument()
    assert set(vars(pool._queue)) == before
    assert await pool.fetchval("SELECT 1") == 1
    await pool.close()


# --- ends of an acquire -----------------------------------------------------------------------------------------------


async def test_an_acquire_that_times_out_queueing_is_rejected(pg, telemetry):
    async with pg.pool(max_size=1) as pool:
        async with pool.acquire(), tenant("proj_pro"):
            for _ in range(2):
                with pytest.raises(TimeoutError):
                    await pool.acquire(timeout=0.02)
        assert acquires_ended(telemetry)
    assert telemetry.limit_hits() == {("connection_timeout", "rejected"): 2}
    assert measured(telemetry)["rejections"] == {"pool_exhausted": 2}
    assert telemetry.value("db.client.connection.timeouts", project_id="proj_pro") == 2
    assert telemetry.values("db.errors", "error_type") == {"timeout": 2}
    (event,) = telemetry.events("limit_hit")
    assert (event.attributes["rejection_count"], event.attributes["hit_count"]) == (2, 2)
    assert event.attributes["queue_duration_ms"] >= 20 * 0.9


async def test_a_timeout_of_zero_is_a_timeout(pg, telemetry):
    async with pg.pool(max_size=1) as pool:
        async with pool.acquire():
            with pytest.raises(TimeoutError):
                await pool.acquire(timeout=0)
        assert acquires_ended(telemetry)
    assert telemetry.value("db.client.connection.timeouts") == 1


async def test_an_acquire_that_times_out_connecting_is_no_limit_hit(pg, telemetry):
    async def connect(*args, **kwargs):
        await asyncio.Event().wait()

    async with pg.pool(connect=connect) as pool:
        with pytest.raises(TimeoutError):
            await pool.acquire(timeout=0.02)
        assert acquires_ended(telemetry)
    assert telemetry.value("db.client.connection.timeouts") == 1
    assert telemetry.values("db.errors", "error_type") == {"timeout": 1}
    assert telemetry.limit_hits() == {}


async def test_a_connect_timeout_is_one_error_and_not_the_acquires_own(pg, telemetry):
    """A built-in TimeoutError can come from connecting too; only `acquire(timeout=)` running out is the acquire's."""
    silent = socket.create_server(("127.0.0.1", 0))  # the kernel takes the connection, nobody answers
    dsn = f"postgresql://postgres:x@127.0.0.1:{silent.getsockname()[1]}/postgres"
    pool = await pg.pool(dsn=dsn, timeout=0.05, ssl=False)
    for options in ({}, {"timeout": 30}):
        with pytest.raises(TimeoutError):
            await pool.acquire(**options)
    assert acquires_ended(telemetry)
    pool.terminate()
    silent.close()
    assert telemetry.values("db.errors", "error_type") == {"timeout": 2}
    assert telemetry.value("db.client.connection.timeouts") == 0
    assert telemetry.limit_hits() == {}
    assert telemetry.value("tenant.cold_starts") == 0


async def test_a_callers_own_timeout_while_queueing_is_cancellation(pg, telemetry):
    """It did wait for a place; that it gave up is nobody's limit."""

    async def give_up(pool):
        async with asyncio.timeout(0.02):
            await pool.acquire()

    async with pg.pool(max_size=1) as pool:
        async with pool.acquire():
            with pytest.raises(TimeoutError):
                await give_up(pool)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(pool.acquire(), 0.02)
        assert acquires_ended(telemetry)
        assert await pool.fetchval("SELECT 1") == 1
    assert telemetry.limit_hits() == {("max_pool_size", "queued"): 2}
    assert telemetry.value("db.errors") == 0
    assert telemetry.value("db.client.connection.timeouts") == 0


async def test_cancelling_a_waiter_loses_neither_cancellation_nor_connection(pg, telemetry, eventually):
    async with pg.pool(max_size=1) as pool:
        async with pool.acquire():
            waiter = asyncio.ensure_future(pool.acquire())
            await eventually(lambda: gauges(telemetry)["queued"] == 1)
            waiter.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiter
            assert waiter.cancelled()
        assert acquires_ended(telemetry)
        assert await pool.fetchval("SELECT 1") == 1


async def test_cancelling_a_holder_returns_its_connection(pg, telemetry, eventually):
    async with pg.pool(max_size=1) as pool:

        async def hold():
            async with pool.acquire() as connection:
                await connection.fetchval("SELECT pg_sleep(60)")

        holder = asyncio.create_task(hold())
        await eventually(lambda: gauges(telemetry)["used"] == 1)
        holder.cancel()
        with pytest.raises(asyncio.CancelledError):
            await holder
        await eventually(lambda: acquires_ended(telemetry))
        assert await pool.fetchval("SELECT 1") == 1
        assert times(telemetry)[0] == times(telemetry)[2] == 2


async def test_a_backend_killed_while_held_is_a_return(pg, telemetry, eventually):
    async with pg.pool(max_size=1) as pool:
        connection = await pool.acquire()
        pg.execute(f"SELECT pg_terminate_backend({connection.get_server_pid()})")
        await eventually(lambda: connection._con is None or connection.is_closed())
        await pool.release(connection)
        await eventually(lambda: acquires_ended(telemetry))
        assert times(telemetry) == (1, 1, 1)
        assert await pool.fetchval("SELECT 1") == 1
        assert times(telemetry) == (2, 2, 2)
    assert telemetry.value("tenant.cold_starts") == 0


async def test_a_connection_terminated_or_closed_while_held_is_a_return(pg, telemetry):
    async with pg.pool(max_size=1) as pool:
        connection = await pool.acquire()
        connection.terminate()
        await pool.release(connection)
        connection = await pool.acquire()
        await connection.close()
        await pool.release(connection)
        assert times(telemetry) == (2, 2, 2)
        assert acquires_ended(telemetry)


# --- upkeep -----------------------------------------------------------------------------------------------------------


async def test_expired_and_used_up_connections_are_made_anew(pg, telemetry):
    async with pg.pool(max_size=1, max_queries=1) as pool:
        await pool.fetchval("SELECT 1")
        await pool.fetchval("SELECT 1")
        await pool.expire_connections()
        await pool.fetchval("SELECT 1")
        assert times(telemetry) == (3, 3, 3)
    assert telemetry.queries() == {"SELECT": 3}
    assert telemetry.value("tenant.cold_starts") == 0


async def test_a_connection_closed_for_inactivity_leaves_the_gauges(pg, telemetry, eventually):
    async with pg.pool(max_size=2, max_inactive_connection_lifetime=0.05) as pool:
        await pool.fetchval("SELECT 1")
        assert gauges(telemetry)["idle"] == 1
        await eventually(lambda: gauges(telemetry)["idle"] == 0)
        assert times(telemetry) == (1, 1, 1)


async def test_opening_a_pool_connects_without_anybody_waiting(pg, telemetry):
    async with pg.pool(min_size=3, max_size=4) as pool:
        assert gauges(telemetry) == {"idle": 3, "used": 0, "max": 4, "pending": 0, "queued": 0}
        assert times(telemetry) == (0, 3, 0)
        assert pool.get_size() == 3


# --- the application's callbacks --------------------------------------------------------------------------------------


async def test_callbacks_of_a_pool_are_no_statements_and_run_unchanged(pg, telemetry):
    seen = []

    async def note(connection):
        seen.append(type(connection).__name__)
        await connection.execute("SELECT 1")

    async with pg.pool(max_size=1, init=note, setup=note, reset=note) as pool:
        assert await pool.fetchval("SELECT 7") == 7
        assert await pool.fetchval("SELECT 8") == 8
    assert seen == ["Connection", *["PoolConnectionProxy", "Connection"] * 2]
    assert telemetry.queries() == {"SELECT": 2}


async def test_a_task_started_in_a_callback_works_for_the_application(pg, telemetry):
    started = []

    async def work(pool):
        return await pool.fetchval("SELECT 1")

    async with pg.pool(max_size=2) as other:

        async def init(connection):
            started.append(asyncio.create_task(work(other)))

        async with pg.pool(max_size=1, init=init) as pool:
            await pool.fetchval("SELECT 1")
        await asyncio.gather(*started)
    assert telemetry.queries() == {"SELECT": 2}


async def test_a_callbacks_statements_in_tasks_that_it_awaits_are_no_statements(pg, telemetry):
    async def init(connection):
        await asyncio.gather(connection.execute("SELECT 1"))

    async with pg.pool(max_size=1, init=init) as pool:
        await pool.fetchval("SELECT 7")
    assert telemetry.queries() == {"SELECT": 1}


@pytest.mark.parametrize(
    "callback",
    [
        pytest.param("connect"),
        pytest.param("init"),
        "setup",
    ],
)
async def test_callbacks_see_the_tenant_that_they_prepare_a_connection_for(pg, telemetry, callback):
    """Row-level security is set up there: `set_config('app.project', current_project(), …)`."""
    seen = []

    async def note(*args, **kwargs):
        seen.append(current_project())
        return await asyncpg.connect(*args, **kwargs) if callback == "connect" else None

    async with pg.pool(**{callback: note}) as pool, tenant("proj_pro"):
        await pool.fetchval("SELECT 1")
    assert seen == ["proj_pro"]


@pytest.mark.parametrize("callback", ["init", "setup"])
async def test_a_failing_callback_fails_the_acquire_as_ever(pg, telemetry, callback):
    async def fail(connection):
        if len(failures) < 2:
            failures.append(await connection.execute("SELECT 1"))
            raise LookupError("the application's own")

    failures = []
    async with pg.pool(max_size=1, **{callback: fail}) as pool:
        for _ in range(2):
            with pytest.raises(LookupError, match="own"):
                await pool.fetchval("SELECT 1")
        assert await pool.fetchval("SELECT 1") == 1
        assert acquires_ended(telemetry)
        assert times(telemetry)[0] == times(telemetry)[2] == 1
    assert telemetry.values("db.errors", "error_type") == {"client": 2}
    assert telemetry.queries() == {"SELECT": 1}


async def test_a_callback_that_times_out_itself_is_no_timeout_of_the_acquire(pg, telemetry):
    async def setup(connection):
        raise TimeoutError("the application's own")

    async with pg.pool(max_size=1, setup=setup) as pool:
        with pytest.raises(TimeoutError, match="own"):
            await pool.acquire(timeout=30)
        assert acquires_ended(telemetry)
    assert telemetry.value("db.client.connection.timeouts") == 0
    assert telemetry.limit_hits() == {}


async def test_a_failing_reset_fails_the_release_as_ever(pg, telemetry, eventually):
    async def reset(connection):
        raise LookupError("the application's own")

    async with pg.pool(max_size=1, reset=reset) as pool:
        connection = await pool.acquire()
        with pytest.raises(LookupError, match="own"):
            await pool.release(connection)
        await eventually(lambda: acquires_ended(telemetry))
        assert times(telemetry) == (1, 1, 1)


# --- the end of a pool ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["close", "terminate", "terminate while held"])
async def test_a_pool_that_ended_shows_no_gauges(pg, telemetry, how):
    pool = await pg.pool(min_size=1)
    connection = await pool.acquire()
    assert gauges(telemetry)["max"] == 5
    if how == "terminate while held":
        pool.terminate()
    else:
        await pool.release(connection)
        await pool.close() if how == "close" else pool.terminate()
    assert gauges(telemetry) == dict.fromkeys(("idle", "used", "max", "pending", "queued"), 0)
    assert "db.client.connection.max" not in telemetry.collect()
    with pytest.raises(asyncpg.InterfaceError, match="closed"):
        await pool.acquire()
    assert "db.client.connection.max" not in telemetry.collect()
    assert times(telemetry)[2] == 1


async def test_a_close_that_is_cancelled_terminates_and_ends_the_gauges(pg, telemetry):
    pool = await pg.pool()
    held = await pool.acquire()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(pool.close(), 0.02)
    assert held._con is None
    assert "db.client.connection.max" not in telemetry.collect()


async def test_a_waiter_of_a_terminated_pool_is_not_waiting_for_ever_in_the_gauges(pg, telemetry, eventually):
    pool = await pg.pool(max_size=1)
    await pool.acquire()
    waiter = asyncio.ensure_future(pool.acquire())
    await eventually(lambda: gauges(telemetry)["queued"] == 1)
    pool.terminate()
    waiter.cancel()
    await asyncio.gather(waiter, return_exceptions=True)
    assert telemetry.value("db.client.connection.pending_requests") == 0
    assert telemetry.value("tenant.connection.queue_depth") == 0


async def test_a_pool_that_could_not_be_opened_shows_no_gauges(pg, telemetry):
    pool = pg.pool(dsn=pg.server.dsn(password="wrong"), min_size=1)
    with pytest.raises(asyncpg.InvalidPasswordError):
        await pool
    if not pool._closed:
        pytest.skip("this version of asyncpg leaves such a pool open, to be used when the server lets it")
    assert "db.client.connection.max" not in telemetry.collect()


async def test_a_pool_closed_before_its_first_acquire_shows_no_gauges(pg, telemetry):
    pool = await pg.pool()
    await pool.close()
    with pytest.raises(asyncpg.InterfaceError, match="closed"):
        await pool.acquire()
    assert "db.client.connection.max" not in telemetry.collect()


async def _use(pool, how):
    if how == "failed":
        with pytest.raises(asyncpg.PostgresError):
            await pool.fetchval("SELECT 1 / 0")
    elif how != "never":
        await pool.fetchval("SELECT 1")
    if how == "cancelled":
        async with pool.acquire():
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(pool.acquire(), 0.01)


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the driver's, about what is dropped
@pytest.mark.parametrize("how", ["never", "once", "failed", "cancelled"])
async def test_a_dropped_pool_is_freed(pg, telemetry, how):
    """Pools cannot be weakly referenced; their queue can, and lives and dies with its pool."""
    pool = await pg.pool(max_size=1, max_inactive_connection_lifetime=0)
    queue = weakref.ref(pool._queue)
    await _use(pool, how)
    transport = pool._holders[0]._con._transport if how != "never" else None
    pool = None
    gc.collect()
    if transport is not None:
        transport.abort()
    assert queue() is None


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
async def test_a_forked_child_forgets_the_parents_pools(pg, telemetry):
    async with pg.pool(min_size=2) as pool, pool.acquire():
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.write(writing, repr(gauges(telemetry)).encode())
            finally:
                os._exit(0)
        os.close(writing)
        await asyncio.to_thread(os.waitpid, child, 0)
        with os.fdopen(reading) as said:
            assert said.read() == repr(dict.fromkeys(("idle", "used", "max", "pending", "queued"), 0))
        assert gauges(telemetry) == {"idle": 1, "used": 1, "max": 5, "pending": 0, "queued": 0}


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the driver's, about what is dropped
async def test_a_dropped_pool_that_was_never_used_shows_no_gauges(pg, telemetry):
    await pg.pool()
    gc.collect()
    assert "db.client.connection.max" not in telemetry.collect()


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the driver's, about what is dropped
@pytest.mark.parametrize("how", ["once", "failed", "cancelled"])
async def test_a_dropped_pool_shows_no_gauges(pg, telemetry, how):
    """The loop keeps an open transport, and that the context it was made in: it must not keep our probe."""
    pool = await pg.pool(max_size=1, max_inactive_connection_lifetime=0)
    await _use(pool, how)
    transport = pool._holders[0]._con._transport
    pool = None
    gc.collect()
    points = telemetry.collect()
    transport.abort()
    assert "db.client.connection.max" not in points


async def _freed_after_closing(pg):
    async with pg.pool(min_size=2) as pool:
        await pool.fetchval("SELECT 1")
        queue = weakref.ref(pool._queue)
    pool = None
    await asyncio.sleep(0)
    gc.collect()
    return queue() is None


async def test_closing_frees_what_it_frees_without_us(pg, telemetry):
    measured = await _freed_after_closing(pg)
    telemetry.uninstrument()
    assert measured == await _freed_after_closing(pg)


async def _close_while_waiting(pg):
    """Close a pool while somebody waits for its only connection; say how both end."""
    pool = await pg.pool(max_size=1)
    held = await pool.acquire()
    waiting = asyncio.ensure_future(pool.acquire(timeout=0.5))
    closing = asyncio.ensure_future(pool.close())
    await asyncio.sleep(0.05)
    await pool.release(held)
    ends = await asyncio.gather(waiting, closing, return_exceptions=True)
    pool.terminate()
    return [(type(end).__name__, str(end) if isinstance(end, BaseException) else "") for end in ends]


async def test_closing_a_pool_while_somebody_waits_ends_as_without_us(pg, instrument):
    plain = await _close_while_waiting(pg)
    telemetry = instrument()
    assert await _close_while_waiting(pg) == plain
    assert all(not probe.pending and not probe.queue for probe in telemetry.runtime.probes.pools._live)
    assert telemetry.value("tenant.limit.hits") == 1
