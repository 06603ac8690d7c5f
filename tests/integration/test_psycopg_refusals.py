"""libpq has no SQLSTATE for a connection that the server refuses; asyncpg, which has, is the oracle for our reading."""

import os
import signal
from contextlib import ExitStack

import asyncpg
import psycopg
import pytest

from examples.stack.postgres import Postgres
from otel_dynabase.probes.failures import error_type, server_absent, sqlstate

ROLES = """
CREATE ROLE plain LOGIN PASSWORD 'plain';
CREATE ROLE limited LOGIN PASSWORD 'limited' CONNECTION LIMIT 0;
CREATE ROLE nobody_logs_in PASSWORD 'x';
CREATE DATABASE full_up CONNECTION LIMIT 0;
CREATE DATABASE shut ALLOW_CONNECTIONS false;
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    directory = tmp_path_factory.mktemp("refusing")
    with Postgres(directory, max_connections=5, superuser_reserved_connections=1, max_wal_senders=0) as server:
        server.execute(ROLES)
        rules = (directory / "data" / "pg_hba.conf").read_text()
        (directory / "data" / "pg_hba.conf").write_text(
            "host rejected all all reject\nhost all all all scram-sha-256\n"
        )
        server.execute("SELECT pg_reload_conf()")
        yield server
        (directory / "data" / "pg_hba.conf").write_text(rules)


async def refused(dsn):
    """Return how asyncpg and how psycopg tell of the same refusal."""
    with pytest.raises(asyncpg.PostgresError) as theirs:
        await asyncpg.connect(dsn)
    with pytest.raises(psycopg.OperationalError) as ours:
        psycopg.connect(dsn)
    return theirs.value, ours.value


REFUSALS = {
    "wrong password": ("28P01", {"user": "plain", "password": "guess"}),
    "no such role": ("28P01", {"user": "no_such", "password": "guess"}),
    "not permitted to log in": ("28000", {"user": "nobody_logs_in", "password": "x"}),
    "rejected by pg_hba.conf": ("28000", {"database": "rejected"}),
    "role limit": ("53300", {"user": "limited", "password": "limited"}),
    "database limit": ("53300", {"user": "plain", "password": "plain", "database": "full_up"}),
    "no such database": ("3D000", {"database": "no_such"}),
    "database that takes none": ("55000", {"database": "shut"}),
}


@pytest.mark.parametrize("name", REFUSALS)
async def test_a_refusal_is_read_as_the_protocol_has_it(server, name):
    state, options = REFUSALS[name]
    theirs, ours = await refused(server.dsn(**options))
    assert (theirs.sqlstate, sqlstate(ours)) == (state, state)
    assert error_type(ours) == error_type(theirs)
    assert server_absent(ours) is server_absent(theirs) is False


@pytest.mark.parametrize("options", [{}, {"user": "plain", "password": "plain"}], ids=["superuser", "anybody"])
async def test_a_full_server_is_read_as_the_protocol_has_it(server, options):
    with ExitStack() as held:
        for _ in range(4):
            held.enter_context(psycopg.connect(server.dsn(user="plain", password="plain")))
        if not options:
            held.enter_context(psycopg.connect(server.dsn()))
        theirs, ours = await refused(server.dsn(**options))
    assert (theirs.sqlstate, sqlstate(ours)) == ("53300", "53300")


async def test_a_server_that_shuts_down_is_absent(tmp_path):
    with Postgres(tmp_path / "leaving") as server:
        with psycopg.connect(server.dsn()):
            os.kill(server.pid, signal.SIGTERM)  # "smart": waits for its clients, and takes no new ones
            while True:
                try:
                    psycopg.connect(server.dsn()).close()
                except psycopg.OperationalError:
                    break
            theirs, ours = await refused(server.dsn())
        assert (theirs.sqlstate, sqlstate(ours)) == ("57P03", "57P03")
        assert server_absent(ours)


@pytest.mark.parametrize(
    "conninfo",
    ["host=127.0.0.1 port=1", "host=localhost port=1", "host=/no_such_directory"],
    ids=["refused", "refused at every address", "no socket"],
)
def test_nobody_there_is_absent(conninfo):
    with pytest.raises(psycopg.OperationalError) as caught:
        psycopg.connect(conninfo, user="u")
    assert (server_absent(caught.value), error_type(caught.value)) == (True, "connection")


def test_an_unknown_host_is_a_network_error_and_no_absence():
    with pytest.raises(psycopg.OperationalError) as caught:
        psycopg.connect("host=no-such-host.invalid", user="u")
    assert (server_absent(caught.value), error_type(caught.value)) == (False, "connection")
