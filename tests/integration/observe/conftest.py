"""A database and roles for each test of the observer's."""

import time
from contextlib import asynccontextmanager
from types import SimpleNamespace

import asyncpg
import pytest

from tests.integration.observe.observed import Client, settled


@pytest.fixture
def database(pg):
    """A database of its own for the test, and how to connect to it; dropped afterwards."""
    name = f"observed_{time.monotonic_ns()}"
    pg.execute(f"CREATE DATABASE {name} TEMPLATE template0 STRATEGY file_copy")

    @asynccontextmanager
    async def client():
        connection = await asyncpg.connect(pg.server.dsn(name), statement_cache_size=0)
        try:
            yield Client(connection)
        finally:
            await connection.close()

    async def queries(times, query="SELECT 1"):
        """Run statements on a connection that ends: the server has counted them when it is gone."""
        async with client() as one:
            await one.run(times, query)
        await settled(pg, name)

    yield SimpleNamespace(name=name, client=client, queries=queries, dsn=pg.server.dsn(name))
    pg.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture
def role(pg):
    """Make roles with these grants; dropped afterwards."""
    made = []

    def make(grant=None):
        name = f"observer_{time.monotonic_ns()}"
        pg.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'observer'" + (f" IN ROLE {grant}" if grant else ""))
        made.append(name)
        return pg.server.dsn("postgres", user=name, password="observer")

    yield make
    for name in made:
        pg.execute(f"DROP ROLE {name}")
