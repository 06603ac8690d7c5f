"""What psycopg's connections and cursors run, blocking and awaited: the same test for both."""

import asyncio
import time
from contextlib import asynccontextmanager

import psycopg
import pytest
from psycopg import sql
from psycopg.types import TypeInfo

from otel_dynabase import tenant
from tests.integration.either import all_of, done, inside

ROWS = "db.client.response.returned_rows"


KINDS = {"blocking": psycopg.Connection, "asynchronous": psycopg.AsyncConnection}


@pytest.fixture(params=KINDS)
def connecting(request, pg):
    """Connect in one way or the other, in autocommit mode unless told otherwise."""
    pg.execute("TRUNCATE scratch")

    @asynccontextmanager
    async def connect(dsn=pg.dsn, **options):
        connection = await done(KINDS[request.param].connect(dsn, **{"autocommit": True} | options))
        try:
            yield connection
        finally:
            await done(connection.close())

    connect.cursors = {
        name: getattr(psycopg, ("" if request.param == "blocking" else "Async") + name)
        for name in ("ClientCursor", "RawCursor", "ServerCursor")
    }
    return connect


def errors(telemetry):
    return {kind: count for kind, count in telemetry.values("db.errors", "error_type").items() if count}


def rows(telemetry):
    return sum(point.sum for _, point in telemetry.points(ROWS))


async def fails(error, call):
    with pytest.raises(error):
        await done(call())


# --- executing --------------------------------------------------------------------------------------------------------


async def test_all_ways_to_execute(connecting, telemetry):
    async with connecting() as connection, tenant("proj_pro"):
        cursor = connection.cursor()
        await done(connection.execute("SELECT 1"))
        await done(connection.execute(query="SELECT 1"))
        await done(cursor.execute("SELECT %s", (1,)))
        await done(cursor.execute(b"SELECT 1"))
        await done(cursor.execute(sql.SQL("SELECT {} FROM items LIMIT 1").format(sql.Identifier("id"))))
        await done(cursor.execute(sql.SQL("SELECT 1"), prepare=True))
        await done(connecting.cursors["ClientCursor"](connection).execute("SELECT %s", (1,)))
        await done(connecting.cursors["RawCursor"](connection).execute("SELECT $1::int", (1,)))
        await done(cursor.execute("SELECT 1; SELECT 2"))
    assert telemetry.queries(project_id="proj_pro") == {"SELECT": 9}
    assert rows(telemetry) == 9
    assert errors(telemetry) == {}


async def test_rows_are_what_a_statement_returns(connecting, telemetry):
    async with connecting() as connection:
        await done(connection.execute("SELECT id FROM items WHERE id <= 7"))
        await done(connection.execute("SELECT id FROM items WHERE id < 0"))
        await done(connection.execute("INSERT INTO scratch SELECT 1 FROM generate_series(1, 100)"))
        await done(connection.execute("DELETE FROM scratch RETURNING id"))
        await done(connection.execute("SET work_mem = '4MB'"))
    points = {a["db.operation.name"]: (p.count, p.sum) for a, p in telemetry.points(ROWS)}
    assert points == {"SELECT": (2, 7), "DELETE": (1, 100)}


async def test_failures(connecting, telemetry):
    async with connecting() as connection, tenant("proj_pro"):
        await fails(psycopg.errors.DivisionByZero, lambda: connection.execute("SELECT 1 / 0"))
        await fails(psycopg.errors.SyntaxError, lambda: connection.execute("SELEC"))
        await fails(psycopg.ProgrammingError, lambda: connection.execute("SELECT %s", ()))
        await fails(TypeError, lambda: connection.cursor().execute())
    assert errors(telemetry) == {
        "data_exception": 1,
        "syntax_error_or_access_rule_violation": 1,
        "client": 2,
    }
    assert telemetry.value("db.queries", status="ok") == 0


async def test_a_closed_connection(connecting, telemetry):
    """A cursor outlives its connection: whose work it was is known although nobody can be asked any more."""
    async with connecting() as connection:
        cursor = connection.cursor()
        await done(connection.close())
        await fails(psycopg.OperationalError, lambda: cursor.execute("SELECT 1"))
    assert sum(errors(telemetry).values()) == 1


async def test_executemany_is_one_statement(connecting, telemetry):
    async with connecting() as connection:
        cursor = connection.cursor()
        await done(cursor.executemany("INSERT INTO scratch VALUES (%s)", [(1,), (2,), (3,)]))
        await done(cursor.executemany("SELECT id FROM items WHERE id <= %s", [(2,), (3,)], returning=True))
        await fails(psycopg.errors.DivisionByZero, lambda: cursor.executemany("SELECT 1 / %s", [(1,), (0,)]))
        await done(connection.execute("TRUNCATE scratch"))
    assert telemetry.queries() == {"INSERT": 1, "SELECT": 2, "TRUNCATE": 1}
    assert rows(telemetry) == 5
    assert errors(telemetry) == {"data_exception": 1}


async def test_a_cancelled_statement_is_the_callers_own_doing(pg, telemetry, eventually):
    async with await psycopg.AsyncConnection.connect(pg.dsn, autocommit=True) as connection:
        running = asyncio.ensure_future(connection.execute("SELECT pg_sleep(63)"))
        active = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(63)%' AND state = 'active'"
        await eventually(lambda: pg.execute(active) == "1")
        running.cancel()
        assert isinstance((await asyncio.gather(running, return_exceptions=True))[0], asyncio.CancelledError)
        await connection.execute("SELECT 1")
    assert errors(telemetry) == {"cancelled": 1}
    assert telemetry.limit_hits() == {}


# --- stream and copy --------------------------------------------------------------------------------------------------


async def test_a_stream_is_one_statement(connecting, telemetry):
    async with connecting() as connection:
        found = await all_of(connection.cursor().stream("SELECT id FROM items WHERE id <= %s", (5,)))
        assert len(found) == 5
        assert await all_of(connection.cursor().stream("SELECT id FROM items WHERE id < 0")) == []
    assert telemetry.queries() == {"SELECT": 2}
    assert rows(telemetry) == 5


async def test_a_stream_that_fails_on_the_way(connecting, telemetry):
    async with connecting() as connection:
        await fails(
            psycopg.errors.DivisionByZero,
            lambda: all_of(connection.cursor().stream("SELECT 1 / (3 - id) FROM items ORDER BY id")),
        )
        await done(connection.execute("SELECT 1"))
    assert errors(telemetry) == {"data_exception": 1}
    assert telemetry.queries() == {"SELECT": 2}


async def test_a_stream_that_is_left_early(connecting, telemetry):
    async with connecting() as connection:
        stream = connection.cursor().stream("SELECT generate_series(1, 1000000)")
        if hasattr(stream, "__anext__"):
            assert await anext(stream) == (1,)
            await stream.aclose()
        else:
            assert next(stream) == (1,)
            stream.close()
        await done(connection.execute("SELECT 2"))
    assert telemetry.queries() == {"SELECT": 2}
    assert rows(telemetry) == 2
    assert errors(telemetry) == {}


async def test_the_applications_time_between_rows_is_not_the_databases(connecting, telemetry):
    async with connecting() as connection:
        stream = connection.cursor().stream("SELECT generate_series(1, 3)")
        for _ in range(3):
            await done(anext(stream) if hasattr(stream, "__anext__") else next(stream))
            time.sleep(0.1)  # noqa: ASYNC251  # the application is busy
        assert await all_of(stream) == []
    ((_, point),) = telemetry.points("db.client.operation.duration")
    assert point.sum < 0.2


async def test_copy(connecting, telemetry):
    async with connecting() as connection:
        cursor = connection.cursor()
        async with inside(cursor.copy("COPY scratch FROM STDIN")) as copy:
            for number in range(4):
                await done(copy.write_row((number, "x")))
        assert cursor.rowcount == 4
        async with inside(cursor.copy("COPY scratch TO STDOUT")) as copy:
            assert len(await all_of(copy.rows())) == 4
        async with inside(cursor.copy(statement="COPY (SELECT generate_series(1, 9)) TO STDOUT")) as copy:
            await all_of(copy)
        await done(connection.execute("TRUNCATE scratch"))
    assert telemetry.queries()["COPY"] == 3
    assert rows(telemetry) == 13


async def test_copies_that_fail(connecting, telemetry):
    async with connecting() as connection:
        cursor = connection.cursor()
        with pytest.raises(psycopg.errors.UndefinedTable):
            async with inside(cursor.copy("COPY no_such TO STDOUT")):
                pass
        with pytest.raises(psycopg.errors.InvalidTextRepresentation):
            async with inside(cursor.copy("COPY scratch FROM STDIN")) as copy:
                await done(copy.write("x\ty\n"))
        with pytest.raises(LookupError):
            async with inside(cursor.copy("COPY scratch FROM STDIN")):
                raise LookupError
        await done(connection.execute("SELECT 1"))
    assert telemetry.queries() == {"COPY": 3, "SELECT": 1}
    assert errors(telemetry) == {
        "syntax_error_or_access_rule_violation": 1,
        "data_exception": 1,
        "client": 1,
    }


# --- server-side cursors ----------------------------------------------------------------------------------------------


async def test_every_trip_of_a_server_side_cursor_is_a_fetch(connecting, telemetry):
    async with (
        connecting(autocommit=False) as connection,
        inside(connection.cursor("named", scrollable=True)) as cursor,
    ):
        await done(cursor.execute("SELECT id FROM items ORDER BY id"))
        assert telemetry.queries() == {"SELECT": 1}
        assert await done(cursor.fetchone()) == (1,)
        assert len(await done(cursor.fetchmany(10))) == 10
        await done(cursor.scroll(-1))
        assert await done(cursor.fetchone()) == (11,)
        cursor.itersize = 50
        assert len(await all_of(cursor)) == 109
        assert await done(cursor.fetchall()) == []
    assert telemetry.queries() == {"SELECT": 1, "FETCH": 8}
    assert rows(telemetry) == 1 + 10 + 1 + 109


async def test_a_fetch_that_fails(connecting, telemetry):
    async with connecting(autocommit=False) as connection, inside(connection.cursor("named")) as cursor:
        await done(cursor.execute("SELECT 1 / (3 - id) FROM items ORDER BY id"))
        await fails(psycopg.errors.DivisionByZero, cursor.fetchall)
    assert telemetry.queries() == {"SELECT": 1, "FETCH": 1}
    assert errors(telemetry) == {"data_exception": 1}


async def test_a_cancelled_fetch_is_the_callers_own_doing(pg, telemetry, eventually):
    async with await psycopg.AsyncConnection.connect(pg.dsn) as connection:
        async with connection.cursor("named") as cursor:
            await cursor.execute("SELECT pg_sleep(64)")
            running = asyncio.ensure_future(cursor.fetchone())
            active = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'FETCH FORWARD%' AND state = 'active'"
            await eventually(lambda: pg.execute(active) == "1")
            running.cancel()
            assert isinstance((await asyncio.gather(running, return_exceptions=True))[0], asyncio.CancelledError)
        await connection.rollback()
    assert errors(telemetry) == {"cancelled": 1}


# --- pipelines --------------------------------------------------------------------------------------------------------


async def test_a_pipeline(connecting, telemetry):
    async with connecting() as connection:
        async with inside(connection.pipeline()) as pipeline:
            first = await done(connection.execute("SELECT 1"))
            await done(connection.execute("INSERT INTO scratch VALUES (1)"))
            await done(pipeline.sync())
            assert await done(first.fetchone()) == (1,)
        await done(connection.execute("TRUNCATE scratch"))
    assert telemetry.queries()["SELECT"] == telemetry.queries()["INSERT"] == 1
    assert errors(telemetry) == {}


PIPELINE_ENDS = {
    "at the fetch": lambda pipeline, cursor: cursor.fetchone(),
    "at the sync": lambda pipeline, cursor: pipeline.sync(),
    "at the end": lambda pipeline, cursor: None,
}


async def fail_in_a_pipeline(connection, end):
    async with inside(connection.pipeline()) as pipeline:
        cursor = await done(connection.execute("SELECT 1 / 0"))
        await done(end(pipeline, cursor))


@pytest.mark.parametrize("where", PIPELINE_ENDS)
async def test_a_statement_of_a_pipeline_fails_once_wherever_that_shows(connecting, telemetry, where):
    async with connecting() as connection:
        await fails(psycopg.errors.DivisionByZero, lambda: fail_in_a_pipeline(connection, PIPELINE_ENDS[where]))
        await done(connection.execute("SELECT 1"))
    assert errors(telemetry) == {"data_exception": 1}


# --- what is the driver's own -----------------------------------------------------------------------------------------


async def test_transactions_are_not_statements(connecting, telemetry):
    async with connecting(autocommit=False) as connection:
        async with inside(connection.transaction()):
            async with inside(connection.transaction()):
                await done(connection.execute("SELECT 1"))
            with pytest.raises(LookupError):
                async with inside(connection.transaction()):
                    raise LookupError
            async with inside(connection.transaction()) as inner:
                raise psycopg.Rollback(inner)
        await done(connection.execute("SELECT 2"))
        await done(connection.commit())
        await done(connection.rollback())
    assert telemetry.queries() == {"SELECT": 2}
    assert errors(telemetry) == {}


BREAK = "INSERT INTO children VALUES (404)"


async def break_and_commit(connection):
    await done(connection.execute(BREAK))
    await done(connection.commit())


async def break_and_leave(connection):
    async with inside(connection):
        await done(connection.execute(BREAK))


async def break_and_leave_a_transaction(connection):
    async with inside(connection.transaction()):
        await done(connection.execute(BREAK))


@pytest.mark.parametrize("broken", [break_and_commit, break_and_leave, break_and_leave_a_transaction])
async def test_a_commit_that_fails_is_one_error(connecting, telemetry, broken):
    async with connecting(autocommit=False) as connection, tenant("proj_pro"):
        await fails(psycopg.errors.ForeignKeyViolation, lambda: broken(connection))
    assert errors(telemetry) == {"integrity_constraint_violation": 1}
    assert telemetry.queries(project_id="proj_pro") == {"INSERT": 1}


async def use_what_was_cut_off(pg, connection):
    async with inside(connection):
        pg.execute(f"SELECT pg_terminate_backend({connection.info.backend_pid})")
        await done(connection.execute("SELECT 1"))


async def test_what_the_driver_swallows_is_no_error(pg, connecting, telemetry):
    """Leaving a connection that was cut off, psycopg tries to roll back, fails, and says nothing of it."""
    async with connecting(autocommit=False) as connection:
        await fails(psycopg.Error, lambda: use_what_was_cut_off(pg, connection))
    assert sum(errors(telemetry).values()) == 1


async def test_looking_up_types_is_the_drivers_own_work(connecting, telemetry):
    async with connecting() as connection:
        assert (await done(TypeInfo.fetch(connection, "mood"))).name == "mood"
        assert await done(TypeInfo.fetch(connection, "no_such")) is None
        await done(connection.tpc_recover())
        await done(connection.set_autocommit(False))
    assert telemetry.queries() == {}
    assert errors(telemetry) == {}


# --- whose they are ---------------------------------------------------------------------------------------------------


async def test_a_connection_is_its_databases_tenants(pg, connecting, telemetry):
    async with connecting(pg.server.dsn("proj_pro")) as connection, tenant("proj_free"):
        await done(connection.execute("SELECT 1"))
        await done(connection.execute("SELECT 1"))
    async with connecting() as connection:
        await done(connection.execute("SELECT 1"))
        async with tenant("proj_free"):
            await done(connection.execute("SELECT 1"))
    assert telemetry.values("db.queries", "project_id") == {"proj_pro": 2, "unknown": 1, "proj_free": 1}


async def test_a_connection_from_before(pg, connecting, instrument):
    async with connecting(pg.server.dsn("proj_pro")) as connection:
        telemetry = instrument()
        await done(connection.execute("SELECT 1"))
        assert telemetry.queries(project_id="proj_pro") == {"SELECT": 1}
        telemetry.uninstrument()
        assert not [name for name in vars(connection) if "dynabase" in name]
        await done(connection.execute("SELECT 1"))


async def test_connecting_that_fails(pg, connecting, telemetry):
    async with tenant("proj_pro"):
        with pytest.raises(psycopg.OperationalError):
            async with connecting("host=127.0.0.1 port=1 user=u"):
                pass
        with pytest.raises(psycopg.OperationalError):
            async with connecting(pg.dsn, password="guess"):
                pass
        with pytest.raises(psycopg.ProgrammingError):
            async with connecting("no such=syntax"):
                pass
    assert errors(telemetry) == {"connection": 1, "invalid_authorization_specification": 1, "client": 1}
    reasons = telemetry.values("tenant.connection.rejections", "reason", project_id="proj_pro")
    assert reasons["auth_failure"] == 1


async def test_the_modules_own_connect(pg, telemetry):
    with tenant("proj_pro"), pytest.raises(psycopg.OperationalError):
        psycopg.connect(pg.dsn, password="guess")
    with psycopg.connect(conninfo=pg.dsn) as connection:
        connection.execute("SELECT 1")
    assert errors(telemetry) == {"invalid_authorization_specification": 1}
    assert telemetry.queries() == {"SELECT": 1}
