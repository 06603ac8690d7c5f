"""The directory's query, against a real PostgreSQL."""

import threading
from contextlib import contextmanager
from contextvars import ContextVar

import pytest

from examples.stack.postgres import Postgres
from otel_dynabase.config import QUERY
from otel_dynabase.directory import Directory, SqlSource
from otel_dynabase.directory import sql as sql_module

SCHEMA = """
CREATE TYPE tier AS ENUM ('COLD', 'WARM', 'HOT');
CREATE TABLE dynabase_tenants (project_id text, tenant_id uuid, plan text, tier tier, database name);
INSERT INTO dynabase_tenants VALUES
    ('proj_a', '00000000-0000-0000-0000-000000000001', 'pro', 'HOT', 'db_a'),
    ('proj_b', NULL, 'Free', 'COLD', NULL),
    (NULL, NULL, NULL, NULL, NULL),
    ('proj_c', NULL, 'gold', NULL, NULL);
CREATE TABLE numbered (id bigint, plan text);
INSERT INTO numbered VALUES (42, 'starter');
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Postgres(tmp_path_factory.mktemp("postgres")) as server:
        server.execute(SCHEMA)
        yield server


@pytest.fixture(autouse=True)
def short_timeouts(monkeypatch):
    monkeypatch.setattr(sql_module, "CONNECT_TIMEOUT", 2.0)
    monkeypatch.setattr(sql_module, "COMMAND_TIMEOUT", 0.5)


def rows(server, query):
    return list(SqlSource(server.dsn(), query).load())


def test_the_default_query_fills_the_directory(server, caplog):
    directory = Directory(SqlSource(server.dsn(), QUERY))
    assert directory.refresh()
    ada = directory.get("proj_a")
    assert (ada.plan, ada.tier, ada.tenant_id[-4:], ada.database) == ("pro", "HOT", "0001", "db_a")
    assert (directory.get("proj_b").plan, directory.get("proj_b").tier) == ("free", "COLD")
    assert (directory.get("proj_c").plan, directory.get("proj_c").tier) == ("unknown", "unknown")
    assert (directory.stats().entries, directory.stats().rejected, directory.stats().mended) == (3, 1, 1)
    assert len(caplog.records) == 1
    assert directory.refresh()
    assert directory.get("proj_a") is ada
    assert len(caplog.records) == 1


def test_numbers_from_the_server_identify(server):
    (row,) = rows(server, "SELECT id AS project_id, plan FROM numbered")
    assert row == {"project_id": "42", "plan": "starter"}


def test_the_connection_is_named_and_gone_afterwards(server):
    (row,) = rows(server, "SELECT application_name AS project_id FROM pg_stat_activity WHERE pid = pg_backend_pid()")
    assert row["project_id"] == "otel_dynabase_directory"
    left = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'otel_dynabase_directory'"
    assert server.execute(left) == "0"


@pytest.mark.parametrize("statement", ["DELETE FROM numbered RETURNING *", "SELECT nextval('counter')"])
def test_the_query_cannot_write(server, statement, caplog):
    server.execute("CREATE SEQUENCE IF NOT EXISTS counter")
    assert not Directory(SqlSource(server.dsn(), statement)).refresh()
    assert "read-only transaction" in caplog.text
    assert server.execute("SELECT count(*) FROM numbered") == "1"


def test_the_number_of_rows_is_bounded_on_the_server(server, monkeypatch):
    monkeypatch.setattr(sql_module, "MAX_ROWS", 100)
    assert len(rows(server, "SELECT generate_series(1, 1e12::bigint)::text AS project_id")) == 101


def test_a_slow_query_is_an_outage(server, caplog):
    directory = Directory(SqlSource(server.dsn(), "SELECT 'p' AS project_id FROM pg_sleep(60)"))
    assert not directory.refresh()
    assert "TimeoutError" in caplog.text


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("SELECT * FROM missing", 'relation "missing" does not exist'),
        ("SELECT 1; SELECT 2", "cannot insert multiple commands"),
        ("SELECT $1::text", "expects 1 argument"),
    ],
)
def test_a_bad_query_is_told(server, query, reason, caplog):
    assert not Directory(SqlSource(server.dsn(), query)).refresh()
    assert reason in caplog.text


def test_a_wrong_password_is_told_without_it(server, caplog):
    assert not Directory(SqlSource(server.dsn(password="hunter2"), QUERY)).refresh()
    assert "password authentication failed" in caplog.text
    assert "hunter2" not in caplog.text


def test_the_file_with_the_dsn_is_read_each_time(server, tmp_path, caplog):
    path = tmp_path / "dsn"
    directory = Directory(SqlSource(path, QUERY))
    assert not directory.refresh()
    path.write_text(server.dsn() + "\n")
    assert directory.refresh()
    assert directory.stats().entries == 3


def test_the_query_runs_in_quiet(server, monkeypatch):
    """The context reaches the driver although it runs in an event loop of its own, and ends with the query."""
    measured = ContextVar("measured", default=True)
    seen = []

    @contextmanager
    def quiet():
        token = measured.set(False)
        yield
        measured.reset(token)

    async def connect(*args):
        seen.append(measured.get())
        return await original(*args)

    original = sql_module.connect
    monkeypatch.setattr(sql_module, "connect", connect)
    list(SqlSource(server.dsn(), QUERY, quiet=quiet).load())
    assert (seen, measured.get()) == ([False], True)


def test_a_background_thread_can_ask(server):
    directory = Directory(SqlSource(server.dsn(), QUERY))
    thread = threading.Thread(target=directory.refresh)
    thread.start()
    thread.join()
    assert directory.stats().entries == 3


def test_an_outage_of_the_server_keeps_the_last_answer(server, caplog):
    directory = Directory(SqlSource(server.dsn(), QUERY))
    assert directory.refresh()
    caplog.clear()
    server.stop()
    try:
        assert [directory.refresh(), directory.refresh()] == [False, False]
    finally:
        server.start()
    assert directory.get("proj_a").tier == "HOT"
    assert len(caplog.records) == 1
    assert directory.refresh()
    assert directory.stats().failures == 0


def test_a_frozen_server_is_an_outage_after_the_timeout(server, caplog):
    directory = Directory(SqlSource(server.dsn(), QUERY))
    server.pause()
    try:
        assert not directory.refresh()
    finally:
        server.resume()
    assert "TimeoutError" in caplog.text
    assert directory.refresh()
