"""Promise 1 for SQLAlchemy: scripted sessions, of threads and of tasks, give the same with any telemetry."""

import asyncio
import gc
import warnings

import pytest
import sqlalchemy
from opentelemetry.instrumentation.asyncpg import AsyncPGInstrumentor
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool, QueuePool

from otel_dynabase import bind_tenant, faults, tenant
from otel_dynabase.adapters.sqlalchemy.pools import PoolWrappers
from tests.integration.test_promises import GUARDED_BY_CALLER, HOSTILE, SDK, fail, methods, normal

OPTIONS = {"pool_size": 1, "max_overflow": 1, "pool_timeout": 0.05, "pool_pre_ping": True}


def told(result):
    """Write down a result, or an exception with what it was made of."""
    if not isinstance(result, BaseException):
        return type(result).__name__, repr(result)
    chain = [type(error).__name__ for error in (result, result.__cause__, result.__context__) if error is not None]
    return chain, str(result)


def statements(connection):
    """Yield the calls of one connection's life, each of which may fail."""

    def run(sql):
        return lambda: connection.exec_driver_sql(sql).all()

    yield run("SELECT 7")
    yield run("SELECT id FROM items WHERE id < 4 ORDER BY id")
    yield connection.get_isolation_level
    yield run("SELECT 1 / 0")
    yield run("SELECT 1")
    yield connection.begin_nested
    yield connection.rollback
    yield run("SELEC")
    yield connection.rollback
    yield lambda: connection.exec_driver_sql("INSERT INTO children VALUES (404)")
    yield connection.commit
    yield connection.rollback
    yield lambda: _nested(connection)
    yield lambda: list(connection.execute(text("SELECT id FROM items").execution_options(stream_results=True)))
    yield connection.rollback
    yield lambda: connection.begin_twophase(xid="promised").prepare()


def _nested(connection):
    with connection.begin(), connection.begin_nested():
        return connection.exec_driver_sql("SELECT 5").scalar()


class Script:
    """What both sessions do with one connection, and with a pool that its engine shows."""

    def __init__(self, pg):
        self.pg = pg
        self.seen = []

    def note(self, call):
        try:
            result = call()
        except Exception as error:
            result = error
        self.seen.append(told(result))

    def use(self, connection):
        for call in statements(connection):
            self.note(call)
        connection.invalidate()

    def kill(self, connection):
        pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
        connection.rollback()
        self.pg.execute(f"SELECT pg_terminate_backend({pid})")

    def state(self, engine):
        self.seen.append(engine.pool.status())


class Threads(Script):
    """A session over psycopg."""

    def run(self):
        url = self.pg.dsn.replace("postgresql:", "postgresql+psycopg:")
        for engine in (sqlalchemy.create_engine(url, **OPTIONS), sqlalchemy.create_engine(url, poolclass=NullPool)):
            bind_tenant(engine, "proj_pro")
            for work in (self.use, self.kill):
                with engine.connect() as connection:
                    self.note(lambda connection=connection, work=work: work(connection))
            self.pool(engine)
            engine.dispose()
            self.state(engine)
        self.note(sqlalchemy.create_engine(url.replace("postgres:", "postgres:wrong")).connect)
        self.note(sqlalchemy.create_engine("postgresql+psycopg://u@127.0.0.1:1/x").connect)
        return self.seen

    def pool(self, engine):
        self.state(engine)
        first, second = engine.connect(), engine.connect()
        if isinstance(engine.pool, QueuePool):
            self.note(engine.connect)
        self.state(engine)
        first.detach()
        self.state(engine)
        first.close()
        del second
        gc.collect()
        self.state(engine)
        raw = engine.raw_connection()
        raw.invalidate(soft=True)
        raw.close()
        self.note(lambda: engine.connect().close())
        self.state(engine)


class Tasks(Script):
    """A session over asyncpg."""

    async def attempt(self, awaitable):
        self.seen.append(told((await asyncio.gather(awaitable, return_exceptions=True))[0]))

    async def run(self):
        url = self.pg.dsn.replace("postgresql:", "postgresql+asyncpg:")
        for engine in (create_async_engine(url, **OPTIONS), create_async_engine(url, poolclass=NullPool)):
            bind_tenant(engine, "proj_pro")
            for work in (self.use, self.kill):
                async with engine.connect() as connection, tenant("proj_free"):
                    await self.attempt(connection.run_sync(work))
                await asyncio.sleep(0.1)  # until the driver knows, or old versions stumble over it
            await self.pool(engine)
            await engine.dispose()
            self.state(engine)
        for wrong in (url.replace("postgres:", "postgres:wrong"), "postgresql+asyncpg://u@127.0.0.1:1/x"):
            engine = create_async_engine(wrong)
            await self.attempt(engine.connect().start())
            await engine.dispose()
        return self.seen

    async def pool(self, engine):
        first, second = await engine.connect(), await engine.connect()
        if isinstance(engine.pool, QueuePool):
            await self.attempt(engine.connect().start())
            await self.attempt(asyncio.wait_for(engine.connect().start(), 0.01))
            waiter = asyncio.ensure_future(engine.connect().start())
            await asyncio.sleep(0.01)
            waiter.cancel()
            await self.attempt(waiter)
            self.seen.append(waiter.cancelled())
        self.state(engine)
        await first.close()
        sleeping = asyncio.ensure_future(self.one(engine, "SELECT pg_sleep(60)"))
        await asyncio.sleep(0.1)
        sleeping.cancel()
        await self.attempt(sleeping)
        with warnings.catch_warnings(record=True, action="always") as warned:
            del second
            gc.collect()
        self.seen.append([warning.category.__name__ for warning in warned])
        self.state(engine)
        await self.attempt(asyncio.gather(*(self.one(engine, "SELECT 1") for _ in range(2))))

    async def one(self, engine, sql):
        async with engine.connect() as connection:
            return (await connection.execute(text(sql))).scalar()


SESSIONS = {"threads": Threads, "tasks": Tasks}


@pytest.fixture(params=SESSIONS)
def session(request, pg):
    """Run one session and return what it saw."""

    async def run():
        script = SESSIONS[request.param](pg)
        return normal(await (asyncio.to_thread(script.run) if request.param == "threads" else script.run()))

    return run


async def test_a_session_is_the_same_with_telemetry_as_without(session, instrument):
    plain = await session()
    telemetry = instrument()
    assert await session() == plain
    assert telemetry.value("db.queries") > 10
    assert telemetry.value("db.client.connection.wait_time") > 5
    assert telemetry.value("db.client.connection.pending_requests") == 0
    assert telemetry.value("tenant.connection.queue_depth") == 0
    assert not faults.counts


@pytest.mark.parametrize("what", HOSTILE)
async def test_a_hostile_probe_changes_nothing(session, instrument, lenient, monkeypatch, what):
    plain = await session()
    instrument()
    for owner in HOSTILE[what]:
        for name in methods(owner):
            if name not in GUARDED_BY_CALLER.get(owner, ()):
                monkeypatch.setattr(owner, name, fail)
    assert await session() == plain
    monkeypatch.undo()
    faults.strict = False
    assert lenient


async def test_a_hostile_adapter_changes_nothing(session, instrument, lenient, monkeypatch):
    plain = await session()
    instrument()
    monkeypatch.setattr(PoolWrappers, "follow", fail)
    assert await session() == plain
    assert lenient


async def test_everything_at_once_changes_nothing(session, instrument, lenient, monkeypatch):
    """Every probe, the store, the events, the directory and the SDK fail, under the official instrumentation too."""
    plain = await session()
    telemetry = instrument()
    official = AsyncPGInstrumentor()
    official.instrument(tracer_provider=telemetry.tracer_provider)
    for owners in HOSTILE.values():
        for owner in owners:
            for name in methods(owner):
                if name not in GUARDED_BY_CALLER.get(owner, ()):
                    monkeypatch.setattr(owner, name, fail)
    SDK["emitting"](monkeypatch)
    try:
        assert await session() == plain
    finally:
        official.uninstrument()
        monkeypatch.undo()
        faults.strict = False


@pytest.mark.parametrize("error", [asyncio.CancelledError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_is_no_error_passes_through_the_wrappers(pg, telemetry, error):
    """Guards catch Exception only: what a creator raises reaches the application as it is, and nothing is left."""
    raised = error("the application's")

    def connect():
        raise raised

    engine = sqlalchemy.create_engine("postgresql+psycopg://", creator=connect)
    with pytest.raises(error) as caught:
        engine.connect()
    assert caught.value is raised
    assert telemetry.value("db.client.connection.pending_requests") == 0
    assert engine.pool.checkedout() == 0
