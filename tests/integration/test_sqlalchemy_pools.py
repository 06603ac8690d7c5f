"""SQLAlchemy's pools: who waits, who holds a connection, and that every checkout ends once, however it ends."""

import asyncio
import gc
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import AssertionPool, NullPool, QueuePool, SingletonThreadPool, StaticPool
from sqlalchemy.util.concurrency import greenlet_spawn

from otel_dynabase import bind_tenant, tenant

WAIT, CREATE, USE = (f"db.client.connection.{what}_time" for what in ("wait", "create", "use"))
ONE = text("SELECT 1")


def gauges(telemetry):
    """Return the pools' gauges added up, idle and used by state."""
    points = telemetry.collect()
    state = telemetry.values("db.client.connection.count", "db.client.connection.state", points)
    return {
        "idle": state.get("idle", 0),
        "used": state.get("used", 0),
        "pending": telemetry.value("db.client.connection.pending_requests", points),
        "queued": telemetry.value("tenant.connection.queue_depth", points),
    }


def times(telemetry):
    points = telemetry.collect()
    return tuple(telemetry.value(name, points) for name in (WAIT, CREATE, USE))


def resting(idle, used=0):
    """Return the gauges where nobody waits."""
    return {"idle": idle, "used": used, "pending": 0, "queued": 0}


def sizes(telemetry):
    """Return the pools' limits: (max, idle.max, idle.min); None where there is no such point."""
    points = telemetry.collect()
    names = [f"db.client.connection.{what}" for what in ("max", "idle.max", "idle.min")]
    return tuple(telemetry.value(name, points) if name in points else None for name in names)


@pytest.fixture
def sync_engine(pg):
    """Make engines for threads, over psycopg; they are disposed of at the end."""
    made = []

    def make(**options):
        made.append(sqlalchemy.create_engine(pg.dsn.replace("postgresql:", "postgresql+psycopg:"), **options))
        return made[-1]

    yield make
    for engine in made:
        engine.dispose()


@pytest.fixture
def async_url(pg):
    return pg.dsn.replace("postgresql:", "postgresql+asyncpg:")


async def use(engine, statement=ONE):
    async with engine.connect() as connection:
        return (await connection.execute(statement)).scalar()


# --- checking out and in ----------------------------------------------------------------------------------------------


async def test_a_checkout_is_followed_from_its_beginning_to_its_end(async_url, telemetry):
    engine = create_async_engine(async_url, pool_size=2, max_overflow=3)
    async with engine.connect():
        assert gauges(telemetry) == resting(0, used=1)
    assert gauges(telemetry) == resting(1)
    assert await use(engine) == 1
    assert times(telemetry) == (2, 1, 2)
    assert sizes(telemetry) == (5, 2, 0)
    await engine.dispose()
    assert telemetry.limit_hits() == {}
    assert sizes(telemetry) == (None, None, None)


def test_a_checkout_by_a_thread_is_followed_too(sync_engine, telemetry):
    engine = sync_engine(pool_size=2, max_overflow=3)
    with engine.connect():
        assert gauges(telemetry) == resting(0, used=1)
    assert gauges(telemetry) == resting(1)
    raw = engine.raw_connection()
    raw.close()
    raw.close()
    assert times(telemetry) == (2, 1, 2)
    assert sizes(telemetry) == (5, 2, 0)


def test_overflowing_connections_are_not_kept(sync_engine, telemetry):
    engine = sync_engine(pool_size=1, max_overflow=2)
    held = [engine.connect() for _ in range(3)]
    assert gauges(telemetry) == resting(0, used=3)
    for connection in held:
        connection.close()
    assert gauges(telemetry) == resting(1)
    assert times(telemetry) == (3, 3, 3)
    assert telemetry.limit_hits() == {}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"pool_size": 0}, (None, None, 0)),
        ({"pool_size": 2, "max_overflow": -1}, (None, 2, 0)),
        ({"poolclass": NullPool}, (None, 0, 0)),
        ({"poolclass": StaticPool}, (1, 1, 0)),
        ({"poolclass": AssertionPool}, (1, 1, 0)),
        ({"poolclass": SingletonThreadPool}, (None, None, 0)),
    ],
    ids=str,
)
def test_every_kind_of_pool_states_its_limits_and_balances(sync_engine, telemetry, options, expected):
    """What nothing limits has no maximum: it is absent, not 0."""
    engine = sync_engine(**options)
    for _ in range(2):
        with engine.connect():
            assert gauges(telemetry) == resting(0, used=1)
    kept = 0 if options.get("poolclass") is NullPool else 1
    assert gauges(telemetry) == resting(kept)
    assert times(telemetry) == (2, 2 - kept, 2)
    assert sizes(telemetry) == expected


def test_a_thread_that_asks_again_for_its_own_connection_waits_for_nothing(sync_engine, telemetry):
    pool = sync_engine(poolclass=SingletonThreadPool)
    first, second = pool.raw_connection(), pool.raw_connection()
    assert first is second
    first.close()
    assert gauges(telemetry) == resting(0, used=1)
    second.close()
    assert gauges(telemetry) == resting(1)
    assert times(telemetry) == (1, 1, 1)


def test_pools_of_other_databases_are_left_alone(telemetry, warnings_of):
    engine = sqlalchemy.create_engine("sqlite://")
    with engine.connect() as connection:
        assert connection.execute(ONE).scalar() == 1
    bind_tenant(engine, "proj_pro")
    assert times(telemetry) == (0, 0, 0)
    assert sizes(telemetry) == (None, None, None)
    assert [message.count("has no effect") for message in warnings_of()] == [1]
    engine.dispose()


async def test_a_pool_made_before_instrumenting_is_followed_with_what_it_holds(async_url, instrument):
    engine = create_async_engine(async_url, pool_size=2)
    await use(engine)
    held = await engine.connect()
    telemetry = instrument()
    assert await use(engine) == 1
    assert gauges(telemetry) == resting(1)
    await held.close()
    assert gauges(telemetry) == resting(2)
    assert times(telemetry) == (1, 1, 1)
    await engine.dispose()


async def test_a_pool_outlives_uninstrumenting_and_instrumenting_again(async_url, instrument):
    first = instrument()
    engine = create_async_engine(async_url, pool_size=1, max_overflow=0)
    untouched = set(vars(engine.pool)) | set(vars(engine.pool._pool._queue))
    held = await engine.connect()
    first.uninstrument()
    assert set(vars(engine.pool)) | set(vars(engine.pool._pool._queue)) == untouched
    await held.close()
    assert await use(engine) == 1
    second = instrument()
    assert await use(engine) == 1
    assert times(second) == (1, 0, 1)
    await engine.dispose()


def test_an_engine_with_options_shares_its_pool(sync_engine, telemetry):
    engine = sync_engine(pool_size=1)
    other = engine.execution_options(isolation_level="AUTOCOMMIT")
    for each in (engine, other):
        with each.connect():
            pass
    assert times(telemetry) == (2, 1, 2)
    assert gauges(telemetry) == resting(1)


# --- queueing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lifo", [False, True], ids=["fifo", "lifo"])
@pytest.mark.parametrize("warm", [0, 5], ids=["cold pool", "warm pool"])
async def test_twenty_checkouts_of_five_connections_are_fifteen_queued(async_url, telemetry, warm, lifo):
    engine = create_async_engine(async_url, pool_size=3 if not warm else 5, max_overflow=2 if not warm else 0)
    if lifo:
        await engine.dispose()
        engine = create_async_engine(async_url, pool_size=5, max_overflow=0, pool_use_lifo=True)
    held = [await engine.connect() for _ in range(warm)]
    for connection in held:
        await connection.close()
    async with tenant("proj_pro"):
        await asyncio.gather(*(use(engine, text("SELECT pg_sleep(0.02)")) for _ in range(20)))
    assert telemetry.limit_hits() == {("max_pool_size", "queued"): 15}
    assert telemetry.values("tenant.limit.queue.duration", "limit_type") == {"max_pool_size": 15}
    assert telemetry.value(WAIT, project_id="proj_pro") == 20
    assert gauges(telemetry) == resting(5 if warm or lifo else 3)
    await engine.dispose()


def test_twenty_threads_and_five_connections_are_fifteen_queued(sync_engine, telemetry):
    engine = sync_engine(pool_size=2, max_overflow=3)
    everybody = threading.Barrier(20)

    def work(_):
        with tenant("proj_pro"):
            everybody.wait()
            with engine.connect() as connection:
                connection.execute(text("SELECT pg_sleep(0.3)"))

    with ThreadPoolExecutor(20) as threads:
        list(threads.map(work, range(20)))
    assert telemetry.limit_hits() == {("max_pool_size", "queued"): 15}
    assert telemetry.value(WAIT, project_id="proj_pro") == telemetry.value(USE, project_id="proj_pro") == 20
    assert gauges(telemetry)["pending"] == gauges(telemetry)["used"] == 0


def test_idle_and_used_never_exceed_the_maximum(sync_engine, telemetry):
    """Read the whole time, while threads come, go, and lose their connections."""
    engine, seen, done = sync_engine(pool_size=2, max_overflow=1), [], threading.Event()

    def work(turn):
        with engine.connect() as connection:
            connection.execute(ONE)
            if turn % 7 == 0:
                connection.invalidate()
            elif turn % 11 == 0:
                connection.rollback()
                connection.detach()

    def watch():
        while not done.is_set():
            seen.append(gauges(telemetry))

    with ThreadPoolExecutor(9) as threads:
        watching = threads.submit(watch)
        list(threads.map(work, range(200)))
        done.set()
        watching.result()
    assert len(seen) > 10
    assert max(found["idle"] + found["used"] for found in seen) <= 3
    assert times(telemetry)[0] == times(telemetry)[2] == 200
    assert gauges(telemetry)["used"] == gauges(telemetry)["pending"] == gauges(telemetry)["queued"] == 0


async def test_queueing_shows_while_it_lasts(async_url, telemetry, eventually):
    engine = create_async_engine(async_url, pool_size=1, max_overflow=0)
    held = await engine.connect()
    async with tenant("proj_pro"):
        waiting = [asyncio.ensure_future(use(engine)) for _ in range(3)]
    await eventually(lambda: gauges(telemetry)["pending"] == 3)
    assert telemetry.value("tenant.connection.queue_depth", project_id="proj_pro") == 3
    await held.close()
    await asyncio.gather(*waiting)
    assert gauges(telemetry) == resting(1)
    assert telemetry.limit_hits(project_id="proj_pro") == {("max_pool_size", "queued"): 3}
    await engine.dispose()


async def test_connecting_is_waiting_and_not_queueing(async_url, telemetry, eventually):
    import asyncpg  # noqa: PLC0415

    gate = asyncio.Event()

    async def connect(**options):
        await gate.wait()
        return await asyncpg.connect(async_url.replace("+asyncpg", ""))

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, pool_size=3)
    waiting = [asyncio.ensure_future(use(engine)) for _ in range(3)]
    await eventually(lambda: gauges(telemetry)["pending"] == 3)
    assert gauges(telemetry)["queued"] == 0
    gate.set()
    assert await asyncio.gather(*waiting) == [1, 1, 1]
    assert times(telemetry) == (3, 3, 3)
    assert telemetry.limit_hits() == {}
    await engine.dispose()


def test_a_thread_that_nobody_wakes_connects_by_itself_when_its_time_is_up(pg, telemetry):
    """A place in the pool that a failed connect gives up wakes none of those who queue (QueuePool._dec_overflow)."""
    import psycopg  # noqa: PLC0415

    connects = threading.Event()

    def connect():
        if not connects.is_set():
            connects.set()
            time.sleep(0.2)
            raise OSError("the application's")
        return psycopg.connect(pg.dsn)

    engine = sqlalchemy.create_engine(
        "postgresql+psycopg://", creator=connect, pool_size=1, max_overflow=0, pool_timeout=0.5
    )
    with ThreadPoolExecutor() as threads:
        refused = threads.submit(engine.connect)
        connects.wait()
        engine.connect().close()
        assert isinstance(refused.exception(), OSError)
    assert gauges(telemetry) == resting(1)
    assert telemetry.limit_hits() == {("max_pool_size", "queued"): 1}
    assert telemetry.value("db.client.connection.timeouts") == 0
    engine.dispose()


# --- ends of a checkout -----------------------------------------------------------------------------------------------


async def test_a_checkout_that_times_out_is_rejected(async_url, telemetry):
    engine = create_async_engine(async_url, pool_size=1, max_overflow=0, pool_timeout=0.05)
    async with engine.connect(), tenant("proj_pro"):
        for _ in range(2):
            with pytest.raises(sqlalchemy.exc.TimeoutError, match="QueuePool limit of size 1 overflow 0 reached"):
                await engine.connect()
    assert gauges(telemetry) == resting(1)
    assert telemetry.limit_hits() == {("connection_timeout", "rejected"): 2}
    assert telemetry.value("tenant.connection.rejections", reason="pool_exhausted") == 2
    assert telemetry.value("tenant.connection.rejections") == 2
    assert telemetry.value("db.client.connection.timeouts", project_id="proj_pro") == 2
    assert telemetry.values("db.errors", "error_type") == {"timeout": 2}
    (event_,) = telemetry.events("limit_hit")
    assert (event_.attributes["rejection_count"], event_.attributes["hit_count"]) == (2, 2)
    assert event_.attributes["queue_duration_ms"] >= 50 * 0.9
    await engine.dispose()


def test_a_thread_that_times_out_is_rejected(sync_engine, telemetry):
    engine = sync_engine(pool_size=1, max_overflow=0, pool_timeout=0.05)
    with engine.connect(), tenant("proj_pro"), pytest.raises(sqlalchemy.exc.TimeoutError):
        engine.connect()
    assert telemetry.limit_hits() == {("connection_timeout", "rejected"): 1}
    assert telemetry.value("db.client.connection.timeouts", project_id="proj_pro") == 1
    assert gauges(telemetry) == resting(1)


@pytest.mark.parametrize("how", ["cancel", "timeout", "wait_for"])
async def test_a_callers_own_end_of_waiting_is_cancellation(async_url, telemetry, eventually, how):
    """It did wait for a place; that it gave up is nobody's limit, and no connection is lost."""
    engine = create_async_engine(async_url, pool_size=1, max_overflow=0)

    async def give_up():
        if how == "timeout":
            async with asyncio.timeout(0.05):
                await engine.connect()
        await (asyncio.wait_for(use(engine), 0.05) if how == "wait_for" else use(engine))

    async with engine.connect():
        waiter = asyncio.ensure_future(give_up())
        await eventually(lambda: gauges(telemetry)["queued"] == 1)
        if how == "cancel":
            waiter.cancel()
        with pytest.raises(asyncio.CancelledError if how == "cancel" else TimeoutError):
            await waiter
        assert waiter.cancelled() is (how == "cancel")
    assert gauges(telemetry) == resting(1)
    assert await use(engine) == 1
    assert telemetry.limit_hits() == {("max_pool_size", "queued"): 1}
    assert telemetry.value("db.errors") == 0
    assert telemetry.value("db.client.connection.timeouts") == 0
    await engine.dispose()


async def test_cancelling_who_connects_frees_its_place_and_is_nobodys_failure(pg, telemetry, eventually):
    import asyncpg  # noqa: PLC0415

    gate = asyncio.Event()

    async def connect(**_options):
        await gate.wait()
        return await asyncpg.connect(pg.dsn)

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, pool_size=1, max_overflow=0)
    connecting, queueing = (asyncio.ensure_future(use(engine)) for _ in range(2))
    await eventually(lambda: gauges(telemetry)["queued"] == 1)
    for task in (queueing, connecting):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert gauges(telemetry) == resting(0)
    gate.set()
    assert await use(engine) == 1
    await engine.dispose()
    assert times(telemetry) == (1, 1, 1)
    assert telemetry.limit_hits() == {("max_pool_size", "queued"): 1}
    assert telemetry.value("db.errors") == 0
    assert telemetry.value("tenant.cold_starts") == 0


async def test_cancelling_a_holder_returns_its_place(async_url, telemetry, eventually):
    engine = create_async_engine(async_url, pool_size=1, max_overflow=0)
    holder = asyncio.create_task(use(engine, text("SELECT pg_sleep(60)")))
    await eventually(lambda: gauges(telemetry)["used"] == 1)
    await asyncio.sleep(0.05)
    holder.cancel()
    with pytest.raises(asyncio.CancelledError):
        await holder
    await eventually(lambda: gauges(telemetry)["used"] == 0)
    assert await use(engine) == 1
    assert times(telemetry)[0] == times(telemetry)[2] == 2
    await engine.dispose()


async def test_a_connection_that_the_garbage_collector_finds_is_a_return(async_url, telemetry):
    engine = create_async_engine(async_url, pool_size=1, max_overflow=0)
    lost = [await engine.connect()]
    assert gauges(telemetry)["used"] == 1
    with pytest.warns(sqlalchemy.exc.SAWarning, match="garbage collector"):
        lost.clear()
    assert gauges(telemetry) == resting(0)
    assert await use(engine) == 1
    assert times(telemetry) == (2, 2, 2)
    await engine.dispose()


def test_a_threads_connection_that_the_garbage_collector_finds_is_a_return(sync_engine, telemetry):
    engine = sync_engine(pool_size=1, max_overflow=0)
    lost = engine.connect()
    assert gauges(telemetry)["used"] == 1
    del lost
    gc.collect()
    assert gauges(telemetry) == resting(1)
    assert times(telemetry) == (1, 1, 1)


def test_a_detached_connection_has_left_the_pool(sync_engine, telemetry):
    engine = sync_engine(pool_size=1, max_overflow=0)
    with engine.connect() as connection:
        connection.detach()
        assert gauges(telemetry) == resting(0)
        with engine.connect():
            assert gauges(telemetry) == resting(0, used=1)
    assert gauges(telemetry) == resting(1)
    assert times(telemetry) == (2, 2, 2)


def test_a_connection_that_a_listener_detaches_is_not_held(sync_engine, telemetry):
    engine = sync_engine(pool_size=1, max_overflow=0)
    event.listen(engine, "checkout", lambda _connection, _record, fairy: fairy.detach())
    fairy = engine.raw_connection()
    assert gauges(telemetry) == resting(0)
    fairy.close()
    assert gauges(telemetry) == resting(0)


@pytest.mark.parametrize("soft", [False, True], ids=["invalidated", "soft"])
def test_an_invalidated_connection_is_made_anew(sync_engine, telemetry, soft):
    engine = sync_engine(pool_size=1, max_overflow=0)
    fairy = engine.raw_connection()
    fairy.invalidate(soft=soft)
    fairy.close() if soft else None
    assert gauges(telemetry) == resting(int(soft))
    time.sleep(0.01)  # SQLAlchemy compares times
    with engine.connect():
        pass
    assert times(telemetry) == (2, 2, 2)
    assert telemetry.value("tenant.cold_starts") == 0


async def test_a_listener_that_fails_the_checkout_leaves_nothing_held(async_url, telemetry):
    engine = create_async_engine(async_url, pool_size=1, max_overflow=0)

    def fail(*_):
        raise RuntimeError("the application's")

    event.listen(engine.sync_engine, "checkout", fail)
    with pytest.raises(RuntimeError, match="the application's"):
        await engine.connect()
    event.remove(engine.sync_engine, "checkout", fail)
    assert gauges(telemetry) == resting(0)
    assert await use(engine) == 1
    assert times(telemetry) == (1, 2, 1)
    assert telemetry.values("db.errors", "error_type") == {"client": 1}
    await engine.dispose()


# --- upkeep -----------------------------------------------------------------------------------------------------------


async def test_a_dead_connection_is_replaced_by_the_ping(pg, async_url, telemetry):
    """The ping, its failure and the reconnect are the pool's: no statement, no error, one more connection made."""
    engine = create_async_engine(async_url, pool_size=1, pool_pre_ping=True)
    async with tenant("proj_pro"):
        pid = await use(engine, text("SELECT pg_backend_pid()"))
        pg.execute(f"SELECT pg_terminate_backend({pid})")
        await asyncio.sleep(0.05)
        assert await use(engine, text("SELECT pg_backend_pid()")) != pid
    assert times(telemetry) == (2, 2, 2)
    assert telemetry.queries() == {"SELECT": 2}
    assert telemetry.value("db.errors") == 0
    assert telemetry.value("tenant.cold_starts") == 0
    await engine.dispose()


async def test_recycling_is_one_more_connection_made(async_url, telemetry):
    engine = create_async_engine(async_url, pool_size=1)
    async with tenant("proj_pro"):
        await use(engine)
        engine.pool._recycle = 0  # seconds that a connection may have been open
        await use(engine)
    assert times(telemetry) == (2, 2, 2)
    assert telemetry.value("tenant.cold_starts") == 0
    await engine.dispose()


async def test_disposing_replaces_the_pool_and_forgets_the_old_one(async_url, telemetry):
    engine = create_async_engine(async_url, pool_size=2, max_overflow=0)
    await use(engine)
    await engine.dispose()
    assert gauges(telemetry) == resting(0)
    assert await use(engine) == 1
    assert gauges(telemetry) == resting(1)
    assert sizes(telemetry) == (2, 2, 0)
    assert times(telemetry) == (2, 2, 2)
    await engine.dispose()


async def test_a_connection_out_when_its_pool_is_replaced_shows_until_it_comes_back(async_url, telemetry):
    engine = create_async_engine(async_url, pool_size=2, max_overflow=0)
    held = await engine.connect()
    old = engine.pool
    await engine.dispose()
    assert gauges(telemetry) == resting(0, used=1)
    await use(engine)
    assert gauges(telemetry) == resting(1, used=1)
    await held.close()
    assert gauges(telemetry) == resting(1)
    assert sizes(telemetry) == (2, 2, 0)
    await greenlet_spawn(old.dispose)
    await engine.dispose()


def test_a_pool_that_nobody_has_any_more_is_forgotten(sync_engine, telemetry):
    engine = sqlalchemy.create_engine(sync_engine().url, poolclass=NullPool)
    with engine.connect():
        pass
    assert sizes(telemetry) == (None, 0, 0)
    del engine
    gc.collect()
    assert sizes(telemetry) == (None, None, None)


# --- pools without an engine ------------------------------------------------------------------------------------------


def test_a_pool_without_an_engine_is_followed_once_it_is_bound(pg, telemetry):
    import psycopg  # noqa: PLC0415

    pool = QueuePool(lambda: psycopg.connect(pg.dsn), pool_size=1, max_overflow=0, timeout=0.05)
    pool.connect().close()
    assert times(telemetry) == (0, 0, 0)
    bind_tenant(pool, "proj_pro")
    held = pool.connect()
    with pytest.raises(sqlalchemy.exc.TimeoutError):
        pool.connect()
    held.close()
    assert telemetry.limit_hits(project_id="proj_pro") == {("connection_timeout", "rejected"): 1}
    successor = pool.recreate()
    successor.connect().close()
    assert telemetry.value(WAIT, project_id="proj_pro") == 2
    for each in (pool, successor):
        each.dispose()


def test_what_connects_for_a_pool_that_is_not_followed_is_the_drivers_to_measure(pg, telemetry):
    import psycopg  # noqa: PLC0415

    pool = QueuePool(lambda: psycopg.connect(pg.dsn, password="guess"))  # a wrong one
    with tenant("proj_pro"), pytest.raises(psycopg.OperationalError):
        pool.connect()
    assert telemetry.value("tenant.connection.rejections", project_id="proj_pro", reason="auth_failure") == 1
    assert telemetry.values("db.errors", "error_type") == {"invalid_authorization_specification": 1}
    assert times(telemetry) == (0, 0, 0)


def test_a_pools_own_name_is_its_name(sync_engine, telemetry):
    with sync_engine(pool_logging_name="orders").connect():
        pass
    assert telemetry.value(WAIT, db__client__connection__pool__name="orders") == 1
