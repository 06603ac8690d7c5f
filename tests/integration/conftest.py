"""One PostgreSQL server for the session; tests that are coroutine functions run in an event loop of their own."""

import asyncio
import inspect
import time
from types import SimpleNamespace

import asyncpg
import pytest

from examples.stack.postgres import Postgres

DEADLINE = 15.0
"""Seconds after which something that must happen has not."""

SCHEMA = """
CREATE TABLE items (id int PRIMARY KEY, name text);
INSERT INTO items SELECT n, 'item ' || n FROM generate_series(1, 120) n;
CREATE TABLE parents (id int PRIMARY KEY);
CREATE TABLE children (parent int REFERENCES parents (id) DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE scratch (id int, name text);
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE TYPE pair AS (left_part int, right_part mood);
CREATE ROLE limited LOGIN PASSWORD 'limited' CONNECTION LIMIT 1;
CREATE ROLE locked LOGIN PASSWORD 'locked';
CREATE DATABASE proj_pro;
"""


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    """Run coroutine functions; a test that hangs fails at a deadline."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    asyncio.run(asyncio.wait_for(pyfuncitem.obj(**arguments), 40))
    return True


@pytest.fixture(scope="session")
def postgres(tmp_path_factory):
    with Postgres(tmp_path_factory.mktemp("postgres"), max_connections=60) as server:
        server.execute(SCHEMA)
        yield server


@pytest.fixture
def pg(postgres):
    """The shared server, and ways to connect to it: `pg.connect()`, `async with pg.pool(max_size=…)`."""
    dsn = postgres.dsn()

    def pool(**options):
        return asyncpg.create_pool(**{"dsn": dsn, "min_size": 0, "max_size": 5} | options)

    def connect(**options):
        return asyncpg.connect(**{"dsn": dsn} | options)

    return SimpleNamespace(server=postgres, dsn=dsn, pool=pool, connect=connect, execute=postgres.execute)


@pytest.fixture
def eventually():
    """Wait until a condition holds, and fail if it does not within the deadline."""

    async def wait(condition):
        end = time.monotonic() + DEADLINE
        while not condition():
            assert time.monotonic() < end, "it did not happen"
            await asyncio.sleep(0.005)

    return wait
