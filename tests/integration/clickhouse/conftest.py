"""One ClickHouse engine for the session, and a database of its own for each test."""

import time
import uuid
from contextlib import contextmanager

import pytest

from examples.stack.clickhouse import ClickHouse
from otel_dynabase.clickhouse import migrations
from tests.integration.clickhouse.database import Database


@pytest.fixture(scope="session")
def clickhouse(tmp_path_factory):
    with ClickHouse(tmp_path_factory.mktemp("clickhouse")) as server:
        yield server


@contextmanager
def created(clickhouse):
    name = f"test_{time.monotonic_ns()}"
    clickhouse.execute(f"CREATE DATABASE {name}")
    with Database.connect(clickhouse, name) as database:
        yield database
    clickhouse.execute(f"DROP DATABASE {name} SYNC")


@pytest.fixture
def empty(clickhouse):
    """A database without tables."""
    with created(clickhouse) as database:
        yield database


@pytest.fixture
def database(empty):
    """A database with the schema of today."""
    migrations.bring_up_to_date(empty.connection)
    return empty


@pytest.fixture
def event_id():
    return str(uuid.uuid4())
