"""The stack's PostgreSQL: real servers that die, come back, and keep strangers out."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from examples.stack.postgres import Postgres


@pytest.fixture(scope="module")
def postgres(tmp_path_factory):
    with Postgres(tmp_path_factory.mktemp("pg"), max_connections=17) as server:
        server.execute("CREATE ROLE acme LOGIN PASSWORD 'right' CONNECTION LIMIT 2; CREATE DATABASE acme OWNER acme")
        yield server


def fetch(dsn: str, sql: str):
    async def run():
        connection = await asyncpg.connect(dsn)
        try:
            return await connection.fetchval(sql)
        finally:
            await connection.close()

    return asyncio.run(run())


def test_settings_reach_the_server(postgres):
    assert fetch(postgres.dsn(), "SHOW max_connections") == "17"


def test_a_role_connects_with_its_password_only(postgres):
    assert fetch(postgres.dsn("acme", "acme", "right"), "SELECT current_user") == "acme"
    with pytest.raises(asyncpg.InvalidPasswordError):
        fetch(postgres.dsn("acme", "acme", "wrong"), "SELECT 1")


def test_the_superuser_needs_a_password_too(postgres):
    with pytest.raises(asyncpg.InvalidPasswordError):
        fetch(postgres.dsn(password="guess"), "SELECT 1")


def test_stopped_it_refuses_and_started_again_it_has_its_data_on_the_same_port(postgres):
    dsn = postgres.dsn("acme", "acme", "right")
    fetch(dsn, "CREATE TABLE kept AS SELECT 42 AS answer; ")
    postgres.stop()
    assert not postgres.running
    with pytest.raises(ConnectionRefusedError):
        fetch(dsn, "SELECT 1")
    postgres.start()
    assert fetch(dsn, "SELECT answer FROM kept") == 42


def test_committed_data_survives_a_crash(postgres):
    postgres.execute("CREATE TABLE survivors (n int); INSERT INTO survivors VALUES (1), (2)")
    postgres.kill()
    assert not postgres.running
    postgres.start()
    assert postgres.execute("SELECT count(*), sum(n) FROM survivors") == "2|3"


def test_a_paused_server_answers_nobody_until_it_is_resumed(postgres):
    async def run():
        connection = await asyncpg.connect(postgres.dsn())
        postgres.pause()
        try:
            with pytest.raises(TimeoutError):
                await connection.fetchval("SELECT 1", timeout=0.2)
        finally:
            postgres.resume()
            connection.terminate()

    asyncio.run(run())
    assert postgres.execute("SELECT 1") == "1"


def test_a_failed_statement_says_why(postgres):
    with pytest.raises(RuntimeError, match="division by zero"):
        postgres.execute("SELECT 1/0")


def test_servers_are_many(postgres, tmp_path):
    with Postgres(tmp_path / "second") as second:
        assert second.port != postgres.port
        assert fetch(second.dsn(), "SELECT 1") == fetch(postgres.dsn(), "SELECT 1")


def test_an_existing_server_is_used_but_not_ours_to_harm(postgres):
    theirs = Postgres.existing(postgres.dsn())
    theirs.start()
    assert theirs.dsn("acme", "acme", "right") == postgres.dsn("acme", "acme", "right")
    assert theirs.execute("SELECT 1") == "1"
    theirs.stop()
    assert postgres.running
    with pytest.raises(RuntimeError, match="not ours"):
        theirs.kill()
