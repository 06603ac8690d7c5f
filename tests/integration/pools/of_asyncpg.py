"""asyncpg.Pool."""

from contextlib import asynccontextmanager

import asyncpg

from tests.integration.pools.driver import Driver, Library, Pool, Session


class _Session(Session):
    def __init__(self, connection):
        self.connection = connection

    async def rows(self, sql):
        return await self.connection.fetch(sql)

    async def run(self, sql):
        await self.connection.execute(sql)

    async def transaction(self, *statements):
        async with self.connection.transaction():
            for sql in statements:
                await self.connection.execute(sql)


class _Pool(Pool):
    def __init__(self, own, timeout):
        self.own, self.timeout = own, timeout

    @asynccontextmanager
    async def hold(self):
        async with self.own.acquire(timeout=self.timeout) as connection:
            yield _Session(connection)

    async def close(self):
        self.own.terminate()


@asynccontextmanager
async def _open(dsn, *, size, timeout=None):  # noqa: ASYNC109  # the pool's
    async with asyncpg.create_pool(dsn, min_size=0, max_size=size) as own:
        yield _Pool(own, timeout)


DRIVERS = (
    Driver(
        "asyncpg.Pool",
        _open,
        Library(statement_errors=asyncpg.PostgresError, cut_off=("connection_exception",)),
    ),
)
