"""Where asyncpg would connect to: the driver's own reading of the same arguments is the oracle."""

import asyncio
import inspect

import pytest
from asyncpg.connect_utils import _parse_connect_dsn_and_args

from otel_dynabase.adapters.asyncpg.target import target_of

UNGIVEN = dict.fromkeys(inspect.signature(_parse_connect_dsn_and_args).parameters)


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    for name in ("PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGPASSWORD", "PGSERVICE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PGUSER", "somebody")
    monkeypatch.setenv("HOME", str(tmp_path))


def as_the_driver(**arguments):
    """Return the first address and the database that the driver would use."""
    addresses, parameters = _parse_connect_dsn_and_args(**UNGIVEN | {"ssl": False} | arguments)
    first = addresses[0]
    return (first if isinstance(first, tuple) else (first, None)), parameters.database


ARGUMENTS = {
    "plain": {"dsn": "postgresql://u:secret@db.example:6432/shop"},
    "short scheme": {"dsn": "postgres://u@db.example/shop"},
    "no database": {"dsn": "postgresql://u@db.example"},
    "escaped": {"dsn": "postgresql://u%40x:p%2F@db.example/shop%20one"},
    "host in the query": {"dsn": "postgresql:///shop?host=db.example&port=6432"},
    "database in the query": {"dsn": "postgresql://u@db.example?dbname=shop"},
    "database in the query, other name": {"dsn": "postgresql://u@db.example?database=shop"},
    "user in the query": {"dsn": "postgresql://db.example?user=shop"},
    "ipv6": {"dsn": "postgresql://u@[::1]:6432/shop"},
    "arguments only": {"host": "db.example", "port": 6432, "user": "u", "database": "shop"},
    "argument wins: database": {"dsn": "postgresql://u@db.example/other", "database": "shop"},
    "argument wins: port": {"dsn": "postgresql://u@db.example/shop", "port": 6432},
    "argument wins: user": {"dsn": "postgresql://u@db.example", "user": "shop"},
    "list of hosts": {"host": ["one.example", "two.example"], "port": [1, 2], "database": "shop"},
    "socket directory": {"host": "/run/postgresql", "database": "shop"},
    "port as text": {"dsn": "postgresql://u@db.example/shop", "port": "6432"},
    "other settings": {"dsn": "postgresql://u@db.example/shop?application_name=x"},
}


def named(**arguments):
    dsn = arguments.pop("dsn", None)
    return target_of(() if dsn is None else (dsn,), arguments)


@pytest.mark.parametrize("name", ARGUMENTS)
def test_host_port_and_database_are_the_drivers(name):
    arguments = ARGUMENTS[name]
    (host, port), database = as_the_driver(**arguments)
    target, ours = named(**arguments)
    assert ours == database
    assert target == (f"{host}:{port}/{database}" if port is not None else "/run/postgresql:5432/shop")


UNLIKE = {
    "host beside a DSN with a port": {"dsn": "postgresql://u@other.example:7777/shop", "host": "db.example"},
    "empty path": {"dsn": "postgresql://u@db.example/?dbname=shop"},
    "key given twice": {"dsn": "postgresql://u@db.example?dbname=one&dbname=shop"},
    "empty database": {"dsn": "postgresql://u@db.example/"},
}


@pytest.mark.parametrize("name", UNLIKE)
def test_unusual_arguments_are_read_as_the_driver_reads_them(name):
    (host, port), database = as_the_driver(**UNLIKE[name])
    assert named(**UNLIKE[name]) == (f"{host}:{port}/{database}", database)


@pytest.mark.parametrize("variable", ["PGHOST", "PGPORT", "PGDATABASE", "PGUSER"])
def test_environment_variables_fill_in_as_for_the_driver(monkeypatch, variable):
    monkeypatch.setenv(variable, "6432" if variable == "PGPORT" else "from.environment")
    arguments = {} if variable == "PGHOST" else {"host": "db.example"}
    (host, port), database = as_the_driver(**arguments)
    assert named(**arguments) == (f"{host}:{port}/{database}", database)


@pytest.mark.parametrize("name", ARGUMENTS)
def test_the_name_contains_no_credentials(name):
    target, _ = named(**ARGUMENTS[name], password="hunter2")
    assert "secret" not in target
    assert "hunter2" not in target
    assert "@" not in target


def test_several_hosts_in_a_dsn_are_named_together_without_credentials():
    target, database = named(dsn="postgresql://u:secret@one.example:1,two.example:2/shop")
    assert database == "shop"
    assert "one.example" in target
    assert "secret" not in target


def test_a_pools_first_argument_and_a_connects_keyword_are_the_same():
    assert target_of(("postgresql://h/d",), {}) == target_of((), {"dsn": "postgresql://h/d"}) == ("h:5432/d", "d")


def test_reading_needs_no_event_loop():
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()
    assert target_of((None,), {"host": None})[0] == "localhost:5432/somebody"
