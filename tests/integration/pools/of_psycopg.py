"""The four pools of psycopg_pool."""

from contextlib import asynccontextmanager

import psycopg
import psycopg_pool

from tests.integration.pools.driver import Driver, Library, Pool, Session, in_thread


class _AsyncSession(Session):
    def __init__(self, connection):
        self.connection = connection

    async def rows(self, sql):
        return await (await self.connection.execute(sql)).fetchall()

    async def run(self, sql):
        await self.connection.execute(sql)

    async def transaction(self, *statements):
        async with self.connection.transaction():
            for sql in statements:
                await self.connection.execute(sql)


class _AsyncPool(Pool):
    def __init__(self, own):
        self.own = own

    @asynccontextmanager
    async def hold(self):
        async with self.own.connection() as connection:
            yield _AsyncSession(connection)

    async def close(self):
        await self.own.close()


class _Session(Session):
    def __init__(self, connection):
        self.connection = connection

    async def rows(self, sql):
        return await in_thread(lambda: self.connection.execute(sql).fetchall())

    async def run(self, sql):
        await in_thread(self.connection.execute, sql)

    async def transaction(self, *statements):
        await in_thread(self._transaction, statements)

    def _transaction(self, statements):
        with self.connection.transaction():
            for sql in statements:
                self.connection.execute(sql)


class _Pool(Pool):
    def __init__(self, own):
        self.own = own

    @asynccontextmanager
    async def hold(self):
        holding = self.own.connection()
        connection = await in_thread(holding.__enter__)
        try:
            yield _Session(connection)
        except BaseException as error:
            if not await in_thread(holding.__exit__, type(error), error, error.__traceback__):
                raise
        else:
            await in_thread(holding.__exit__, None, None, None)

    async def close(self):
        await in_thread(self.own.close)


def _options(size, timeout):
    given = {} if timeout is None else {"timeout": timeout}
    return {"min_size": 0, "max_size": size, "open": False, "kwargs": {"autocommit": True}} | given


def _opening(kind, wrapper):
    @asynccontextmanager
    async def open_pool(dsn, *, size, timeout=None):  # noqa: ASYNC109  # the pool's
        pool = wrapper(kind(dsn, **_options(size, timeout)))
        await (pool.own.open() if wrapper is _AsyncPool else in_thread(pool.own.open))
        try:
            yield pool
        finally:
            await pool.close()

    return open_pool


WITH_STOCK = {
    "timeout": psycopg_pool.PoolTimeout,
    "refusal": psycopg_pool.PoolTimeout,
    "closed": psycopg_pool.PoolClosed,
    "statement_errors": psycopg.Error,
    "cut_off": ("operator_intervention", "connection"),
}
WITHOUT = WITH_STOCK | {"refusal": None, "keeps": False}

DRIVERS = (
    Driver(
        "psycopg_pool.ConnectionPool",
        _opening(psycopg_pool.ConnectionPool, _Pool),
        Library(**WITH_STOCK, cancellable=False),
    ),
    Driver(
        "psycopg_pool.NullConnectionPool",
        _opening(psycopg_pool.NullConnectionPool, _Pool),
        Library(**WITHOUT, cancellable=False),
    ),
    Driver(
        "psycopg_pool.AsyncConnectionPool",
        _opening(psycopg_pool.AsyncConnectionPool, _AsyncPool),
        Library(**WITH_STOCK),
    ),
    Driver(
        "psycopg_pool.AsyncNullConnectionPool",
        _opening(psycopg_pool.AsyncNullConnectionPool, _AsyncPool),
        Library(**WITHOUT),
    ),
)
