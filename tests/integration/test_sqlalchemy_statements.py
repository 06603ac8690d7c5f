"""SQLAlchemy's statements: what is its own work, what the application's, and whose."""

import asyncio
from inspect import signature

import asyncpg
import psycopg
import pytest
import sqlalchemy
from psycopg_pool import ConnectionPool
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool, SingletonThreadPool
from sqlalchemy.util.concurrency import greenlet_spawn

from otel_dynabase import bind_tenant, tenant
from tests.integration.pools.driver import in_thread
from tests.integration.pools.facts import measured

ONE = text("SELECT 1")


class Blocking:
    """An engine for threads. `run(work)` calls `work(connection)` with one of its connections."""

    def __init__(self, url, **options):
        self.engine = self.own = sqlalchemy.create_engine(url, **options)

    async def run(self, work):
        def borrow():
            with self.engine.connect() as connection:
                return work(connection)

        return await in_thread(borrow)

    async def dispose(self):
        await in_thread(self.engine.dispose)


class Async:
    """An asynchronous engine; `work` runs as the extension runs all of SQLAlchemy, in a greenlet."""

    def __init__(self, url, **options):
        self.own = create_async_engine(url, **options)
        self.engine = self.own.sync_engine

    async def run(self, work):
        async with self.own.connect() as connection:
            return await connection.run_sync(work)

    async def dispose(self):
        await self.own.dispose()


KINDS = {"psycopg": (Blocking, "psycopg"), "psycopg async": (Async, "psycopg"), "asyncpg": (Async, "asyncpg")}


@pytest.fixture(params=KINDS)
def make(request, pg):
    """Make engines of one kind, for one connection unless the test says otherwise; they are disposed of by the test."""
    kind, driver = KINDS[request.param]

    def made(url=None, **options):
        url = (url or pg.dsn).replace("postgresql:", f"postgresql+{driver}:", 1)
        size = {} if "poolclass" in options else {"pool_size": 1, "max_overflow": 0}
        return kind(url, **size | options)

    made.name = request.param
    return made


def one(connection):
    return connection.execute(ONE).scalar()


# --- SQLAlchemy's own work --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"isolation_level": "SERIALIZABLE"}, {"pool_pre_ping": True}], ids=str)
async def test_only_the_applications_statements_are_counted(make, telemetry, options):
    """Not: asking for version, schema and settings, types and codecs, pings, BEGIN, COMMIT, ROLLBACK, isolation."""
    engine = make(**options)

    def work(connection):
        assert connection.execute(ONE).scalar() == 1
        connection.commit()
        connection.execute(text("UPDATE items SET name = name WHERE id = 1"))
        connection.rollback()
        return connection.get_isolation_level()

    async with tenant("proj_pro"):
        for _ in range(2):
            assert await engine.run(work) == options.get("isolation_level", "READ COMMITTED")
    await engine.dispose()
    assert measured(telemetry) == {
        "waits": 2,
        "uses": 2,
        "creates": 1,
        "rows": 2,
        "queries": {"SELECT": 2, "UPDATE": 2},
    }
    assert measured(telemetry, project_id="proj_pro") == measured(telemetry)


async def test_savepoints_are_sqlalchemys_and_their_failure_the_tenants(make, telemetry):
    engine = make()

    def work(connection):
        with connection.begin_nested():
            connection.execute(ONE)
        connection.begin_nested().rollback()
        with pytest.raises(sqlalchemy.exc.DBAPIError):
            connection.exec_driver_sql("SELECT 1 / 0")
        with pytest.raises(sqlalchemy.exc.DBAPIError, match="current transaction is aborted"):
            connection.begin_nested()

    async with tenant("proj_pro"):
        await engine.run(work)
    await engine.dispose()
    found = measured(telemetry, project_id="proj_pro")
    assert found["queries"] == {"SELECT": 2}
    assert found["errors"] == {"data_exception": 1, "invalid_transaction_state": 1}


async def test_two_phase_transactions_are_sqlalchemys_and_their_failure_the_tenants(make, telemetry):
    """The server of the tests has `max_prepared_transactions = 0`."""
    engine = make()

    def work(connection):
        transaction = connection.begin_twophase()
        connection.execute(text("INSERT INTO scratch VALUES (2)"))
        with pytest.raises(sqlalchemy.exc.DBAPIError, match="prepared transactions are disabled"):
            transaction.prepare()
        connection.invalidate()

    async with tenant("proj_pro"):
        await engine.run(work)
    await engine.dispose()
    found = measured(telemetry, project_id="proj_pro")
    assert found["queries"] == {"INSERT": 1}
    assert sum(found["errors"].values()) == 1  # new psycopg makes an error without an SQLSTATE of it


async def test_a_commit_that_fails_is_one_error(make, telemetry):
    engine = make()

    def work(connection):
        connection.execute(text("INSERT INTO children VALUES (404)"))
        with pytest.raises(sqlalchemy.exc.IntegrityError):
            connection.commit()

    async with tenant("proj_pro"):
        await engine.run(work)
    await engine.dispose()
    found = measured(telemetry, project_id="proj_pro")
    assert found["queries"] == {"INSERT": 1}
    assert found["errors"] == {"integrity_constraint_violation": 1}


async def test_what_listeners_of_the_pool_run_is_upkeep(make, telemetry):
    engine, ran = make(), []

    def run(connection, *_):
        cursor = connection.cursor()
        cursor.execute("SELECT 1")
        cursor.close()
        ran.append(1)

    for name in ("connect", "checkout", "reset", "checkin"):
        event.listen(engine.engine, name, run)
    assert await engine.run(one) == 1
    await engine.dispose()
    assert len(ran) == 4
    assert measured(telemetry) == {"waits": 1, "uses": 1, "creates": 1, "rows": 1, "queries": {"SELECT": 1}}


async def test_a_transaction_left_open_is_rolled_back_for_nobody(make, pg, telemetry, eventually):
    """Resetting a connection that the server has ended fails, which the application never hears of."""
    engine = make()

    def work(connection):
        pid = connection.connection.cursor()
        pid.execute("SELECT pg_backend_pid()")
        pg.execute(f"SELECT pg_terminate_backend({pid.fetchone()[0]})")
        pid.close()

    async with tenant("proj_pro"):
        await engine.run(work)
        assert await engine.run(one) == 1
    await engine.dispose()
    found = measured(telemetry, project_id="proj_pro")
    assert (found["queries"], found["creates"]) == ({"SELECT": 2}, 2)
    assert "errors" not in found


# --- the application's ------------------------------------------------------------------------------------------------


async def test_results_that_stay_on_the_server(make, telemetry):
    engine = make()

    def work(connection):
        result = connection.execution_options(stream_results=True, max_row_buffer=50).execute(
            text("SELECT id FROM items")
        )
        return len(list(result))

    assert await engine.run(work) == 120
    await engine.dispose()
    found = measured(telemetry)
    assert found["queries"]["SELECT"] == 1
    assert found["queries"]["FETCH"] >= 2
    assert found["rows"] == 120


async def test_many_parameters_are_one_statement(make, telemetry):
    engine = make()
    scratch = sqlalchemy.table("scratch", sqlalchemy.column("id"), sqlalchemy.column("name"))

    def work(connection):
        connection.execute(text("INSERT INTO scratch VALUES (:id)"), [{"id": n} for n in range(5)])
        connection.execute(scratch.insert(), [{"id": n, "name": "x"} for n in range(5)])
        connection.rollback()

    await engine.run(work)
    await engine.dispose()
    assert measured(telemetry)["queries"] == {"INSERT": 2}


async def test_a_statement_that_the_server_refuses_has_failed_once(make, telemetry):
    """Over asyncpg SQLAlchemy prepares what it runs, and it is the preparing that fails."""
    engine = make()

    def work(connection):
        for sql in ("SELECT no_such", "SELEC", "INSERT INTO items VALUES (1)"):
            with pytest.raises(sqlalchemy.exc.DBAPIError):
                connection.exec_driver_sql(sql)
            connection.rollback()

    async with tenant("proj_pro"):
        await engine.run(work)
    await engine.dispose()
    found = measured(telemetry, project_id="proj_pro")
    assert found["queries"] == {"SELECT": 1, "OTHER": 1, "INSERT": 1}
    assert found["errors"] == {"syntax_error_or_access_rule_violation": 2, "integrity_constraint_violation": 1}


async def test_a_statement_that_is_cancelled_is_one_error_at_most(pg, telemetry, eventually):
    engine = create_async_engine(pg.dsn.replace("postgresql:", "postgresql+asyncpg:"), pool_size=1, max_overflow=0)

    async def sleep():
        async with engine.connect() as connection:
            await connection.execute(text("SELECT pg_sleep(61)"))

    async with tenant("proj_pro"):
        task = asyncio.create_task(sleep())
        active = "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(61)' AND state = 'active'"
        await eventually(lambda: pg.execute(active) == "1")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()
    await eventually(lambda: measured(telemetry).get("uses") == 1)
    await eventually(lambda: pg.execute(active) == "0")
    await engine.dispose()
    assert measured(telemetry, project_id="proj_pro")["errors"] == {"cancelled": 1}


# --- whose ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("poolclass", [None, NullPool], ids=["queue", "null"])
async def test_a_bound_engine_is_its_tenants_before_and_after_it_is_disposed_of(make, telemetry, poolclass):
    engine = make(**{} if poolclass is None else {"poolclass": poolclass})
    bind_tenant(engine.own, "proj_pro")
    for _ in range(2):
        async with tenant("proj_free"):
            assert await engine.run(one) == 1
        await engine.dispose()
    assert measured(telemetry, project_id="proj_pro") == {
        "waits": 2,
        "uses": 2,
        "creates": 2,
        "rows": 2,
        "queries": {"SELECT": 2},
    }
    assert measured(telemetry, project_id="proj_free") == {}


async def test_binding_a_pool_binds_its_engine(make, telemetry):
    engine = make()
    await engine.run(one)
    bind_tenant(engine.engine.pool, "proj_pro")
    await engine.run(one)
    await engine.dispose()
    assert telemetry.values("db.queries", "project_id") == {"unknown": 1, "proj_pro": 1}


async def test_each_engine_is_its_own_tenants(make, telemetry):
    engines = {project: make() for project in ("proj_pro", "proj_free")}
    for project, engine in engines.items():
        bind_tenant(engine.own, project)
    for _ in range(3):
        assert await asyncio.gather(*(engine.run(one) for engine in engines.values())) == [1, 1]
    for engine in engines.values():
        await engine.dispose()
    assert telemetry.values("db.queries", "project_id") == {"proj_pro": 3, "proj_free": 3}


async def test_a_detached_connection_stays_its_pools_tenants(make, telemetry):
    engine = make()
    bind_tenant(engine.own, "proj_pro")

    def work(connection):
        connection.detach()
        result = one(connection)
        connection.rollback()
        if make.name == "psycopg async":  # SQLAlchemy leaves it open
            connection.connection.dbapi_connection.close()
        return result

    assert await engine.run(work) == 1
    await engine.dispose()
    assert telemetry.values("db.queries", "project_id") == {"proj_pro": 1}


async def test_an_application_that_connects_by_itself(pg, telemetry):
    """The engine does not know the database then; its driver does."""
    dsn = pg.server.dsn("proj_pro")
    blocking = sqlalchemy.create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(dsn))
    asynchronous = create_async_engine("postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(dsn))
    with blocking.connect() as connection:
        one(connection)
    blocking.dispose()
    async with asynchronous.connect() as connection:
        await connection.run_sync(one)
    await asynchronous.dispose()
    assert telemetry.values("db.queries", "project_id") == {"proj_pro": 2}
    assert measured(telemetry)["creates"] == 2


@pytest.mark.skipif("close_returns" not in signature(ConnectionPool.__init__).parameters, reason="new in 3.3")
async def test_a_pool_of_psycopgs_beneath_is_the_one_that_counts_statements_and_refusals(pg, telemetry):
    """As SQLAlchemy's documentation has it: without a pool of its own, over a pool of psycopg_pool's."""
    beneath = ConnectionPool(pg.dsn, min_size=0, max_size=1, timeout=0.1, open=True, close_returns=True)
    bind_tenant(beneath, "proj_pro")
    engine = sqlalchemy.create_engine("postgresql+psycopg://", poolclass=NullPool, creator=beneath.getconn)

    def work():
        with engine.connect() as connection:
            one(connection)
            with pytest.raises(sqlalchemy.exc.OperationalError, match="couldn't get a connection"):
                engine.connect()

    await in_thread(work)
    await in_thread(beneath.close)
    found = measured(telemetry)
    assert found["queries"] == {"SELECT": 1}
    assert found["errors"] == {"timeout": 1}
    assert found["limit hits"] == {("connection_timeout", "rejected"): 1}
    assert telemetry.values("db.queries", "project_id") == {"proj_pro": 1}


async def test_a_threads_own_connection_is_its_bound_engines_tenants(pg, telemetry):
    engine = sqlalchemy.create_engine(
        pg.dsn.replace("postgresql:", "postgresql+psycopg:"), poolclass=SingletonThreadPool
    )
    bind_tenant(engine, "proj_pro")

    def work():
        with engine.connect() as connection, engine.connect() as again:
            return one(connection) + one(again)

    assert await in_thread(work) == 2
    await in_thread(engine.dispose)
    assert telemetry.values("db.queries", "project_id") == {"proj_pro": 2}


async def test_binding_what_is_none_of_sqlalchemys_is_said(telemetry, warnings_of):
    from sqlalchemy.orm import Session  # noqa: PLC0415

    for wrong in (sqlalchemy.create_engine("sqlite://"), Session(), sqlalchemy.MetaData()):
        bind_tenant(wrong, "proj_pro")
    assert [message.count("has no effect") for message in warnings_of()] == [1, 1, 1]


async def test_the_orm_is_measured_through_its_session(make, telemetry):
    from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column  # noqa: PLC0415

    class Base(DeclarativeBase):
        pass

    class Scratch(Base):
        __tablename__ = "scratch"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]

    engine = make()

    def work():
        with Session(engine.engine) as session, session.begin():
            session.add(Scratch(id=77, name="x"))
            session.flush()
            with session.begin_nested():
                session.get(Scratch, 77).name = "y"
            session.delete(session.get(Scratch, 77))

    async with tenant("proj_pro"):
        await (in_thread(work) if isinstance(engine, Blocking) else greenlet_spawn(work))
    await engine.dispose()
    found = measured(telemetry, project_id="proj_pro")
    assert found["queries"] == {"INSERT": 1, "UPDATE": 1, "DELETE": 1} | (
        {"SELECT": found["queries"]["SELECT"]} if "SELECT" in found["queries"] else {}
    )
    assert (found["waits"], found["uses"]) == (1, 1)
