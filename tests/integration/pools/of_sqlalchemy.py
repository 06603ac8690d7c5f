"""SQLAlchemy's pools that people use for PostgreSQL, each over its drivers."""

from contextlib import asynccontextmanager
from functools import partial

import sqlalchemy
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from tests.integration.pools.driver import Driver, Library, Pool, Session, in_thread


class _AsyncSession(Session):
    def __init__(self, connection):
        self.connection = connection

    async def rows(self, sql):
        return (await self.connection.exec_driver_sql(sql)).all()

    async def run(self, sql):
        await self.connection.exec_driver_sql(sql)

    async def transaction(self, *statements):
        await self.connection.rollback()
        await self.connection.execution_options(isolation_level="READ COMMITTED")
        async with self.connection.begin():
            for sql in statements:
                await self.connection.exec_driver_sql(sql)


class _AsyncPool(Pool):
    def __init__(self, own):
        self.own = own

    @asynccontextmanager
    async def hold(self):
        async with self.own.connect() as connection:
            yield _AsyncSession(connection)

    async def close(self):
        await self.own.dispose()


class _Session(Session):
    def __init__(self, connection):
        self.connection = connection

    async def rows(self, sql):
        return await in_thread(lambda: self.connection.exec_driver_sql(sql).all())

    async def run(self, sql):
        await in_thread(self.connection.exec_driver_sql, sql)

    async def transaction(self, *statements):
        await in_thread(self._transaction, statements)

    def _transaction(self, statements):
        self.connection.rollback()
        self.connection.execution_options(isolation_level="READ COMMITTED")
        with self.connection.begin():
            for sql in statements:
                self.connection.exec_driver_sql(sql)


class _Pool(Pool):
    def __init__(self, own):
        self.own = own

    @asynccontextmanager
    async def hold(self):
        connection = await in_thread(self.own.connect)
        try:
            yield _Session(connection)
        finally:
            await in_thread(connection.close)

    async def close(self):
        await in_thread(self.own.dispose)


def _options(size, timeout):
    given = {} if timeout is None else {"pool_timeout": timeout}
    return {"pool_size": size, "max_overflow": 0} | given


@asynccontextmanager
async def _open(dsn, *, size, timeout=None, driver, make, kind, poolclass=None):  # noqa: ASYNC109  # the pool's
    options = _options(size, timeout) if poolclass is None else {"poolclass": poolclass}
    url = dsn.replace("postgresql:", f"postgresql+{driver}:", 1)
    pool = kind(make(url, isolation_level="AUTOCOMMIT", **options))
    try:
        yield pool
    finally:
        await pool.close()


BLOCKING = {"make": sqlalchemy.create_engine, "kind": _Pool, "driver": "psycopg"}
ASYNC = {"make": create_async_engine, "kind": _AsyncPool}
ERRORS = {"timeout": sqlalchemy.exc.TimeoutError, "statement_errors": sqlalchemy.exc.DBAPIError}
PSYCOPG = ERRORS | {"cut_off": ("operator_intervention", "connection")}
ASYNCPG = ERRORS | {"cut_off": ("connection_exception",)}
WITHOUT = {"limited": False, "keeps": False}

DRIVERS = (
    Driver("QueuePool over psycopg", partial(_open, **BLOCKING), Library(**PSYCOPG, cancellable=False)),
    Driver("NullPool over psycopg", partial(_open, **BLOCKING, poolclass=NullPool), Library(**PSYCOPG, **WITHOUT)),
    Driver("AsyncAdaptedQueuePool over psycopg", partial(_open, **ASYNC, driver="psycopg"), Library(**PSYCOPG)),
    Driver("AsyncAdaptedQueuePool over asyncpg", partial(_open, **ASYNC, driver="asyncpg"), Library(**ASYNCPG)),
    Driver(
        "NullPool over asyncpg",
        partial(_open, **ASYNC, driver="asyncpg", poolclass=NullPool),
        Library(**ASYNCPG, **WITHOUT),
    ),
)
