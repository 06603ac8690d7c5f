"""Where psycopg would connect to: libpq's own reading of the same arguments is the oracle."""

import pytest
from psycopg.conninfo import conninfo_to_dict

from otel_dynabase.adapters.psycopg.statements import text_of
from otel_dynabase.adapters.psycopg.target import target_of
from otel_dynabase.probes.statement import command


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in ("PGHOST", "PGPORT", "PGUSER", "PGDATABASE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PGUSER", "somebody")


CONNINFOS = {
    "url": ("postgresql://u:secret@db.example:6432/shop", {}),
    "short scheme": ("postgres://u@db.example/shop", {}),
    "escaped": ("postgresql://u%40x:p%2F@db.example/shop%20one", {}),
    "in the query": ("postgresql:///shop?host=db.example&port=6432", {}),
    "ipv6": ("postgresql://u@[::1]:6432/shop", {}),
    "several hosts": ("postgresql://u@one.example:1,two.example:2/shop", {}),
    "keywords": ("host=db.example port=6432 dbname='my shop' password=secret", {}),
    "arguments": ("", {"host": "db.example", "port": 6432, "dbname": "shop", "password": "secret"}),
    "arguments win": ("postgresql://u@db.example/other", {"dbname": "shop", "port": 6432}),
    "socket directory": ("host=/run/postgresql dbname=shop", {}),
    "not for libpq": ("dbname=shop host=db.example", {"autocommit": True, "row_factory": tuple}),
}


@pytest.mark.parametrize("name", CONNINFOS)
def test_host_port_and_database_are_libpqs(name):
    conninfo, kwargs = CONNINFOS[name]
    known = conninfo_to_dict(conninfo, **kwargs)
    target, database = target_of(conninfo, kwargs)
    assert database == known["dbname"]
    assert target == f"{known['host']}:{known.get('port', 5432)}/{known['dbname']}"
    assert "secret" not in target


def test_what_is_not_given_is_the_environments(monkeypatch):
    assert target_of("", {}) == ("localhost:5432/somebody", "somebody")
    assert target_of("user=u", {}) == ("localhost:5432/u", "u")
    monkeypatch.setenv("PGHOST", "db.example")
    monkeypatch.setenv("PGPORT", "6432")
    monkeypatch.setenv("PGDATABASE", "shop")
    assert target_of(None, {}) == ("db.example:6432/shop", "shop")


def test_an_address_stands_for_a_host():
    assert target_of("hostaddr=127.0.0.1 dbname=shop", {}) == ("127.0.0.1:5432/shop", "shop")


def test_what_libpq_cannot_parse_has_no_target():
    assert target_of("no such=syntax", {}) == ("unknown", None)


def test_an_account_without_a_name_has_no_database(monkeypatch):
    monkeypatch.delenv("PGUSER")
    monkeypatch.setattr("getpass.getuser", lambda: (_ for _ in ()).throw(KeyError("uid")))
    assert target_of("host=db.example", {}) == ("db.example:5432/", None)


# --- a statement's text -----------------------------------------------------------------------------------------------


class Template:
    """What psycopg 3.3 is given as `t"…"` on Python 3.14: its literal parts are in `strings`."""

    strings = ("WITH x AS (SELECT ", ") INSERT INTO t SELECT * FROM x")


def test_the_text_of_every_kind_of_query():
    from psycopg import sql  # noqa: PLC0415

    composed = sql.SQL("UPDATE {} SET a = {}").format(sql.Identifier("SELECT"), sql.Literal("DELETE"))
    nested = sql.SQL("WITH {} {}").format(sql.SQL("x AS (SELECT 1)"), sql.SQL("DELETE FROM t") + sql.SQL(" WHERE b"))
    queries = ["SELECT 1", b"insert into t", sql.SQL("VACUUM"), composed, nested, Template(), sql.Identifier("x")]
    commands = [command(text_of(query)) for query in queries]
    assert commands == ["SELECT", "INSERT", command("VACUUM"), "UPDATE", "DELETE", "INSERT", "OTHER"]
