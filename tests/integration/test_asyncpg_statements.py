"""Every way in which asyncpg runs a statement, on a connection, through a pool and through its proxies."""

import asyncio
import io

import asyncpg
import pytest

from otel_dynabase import tenant

ALL = "SELECT * FROM items ORDER BY id"

pytestmark = pytest.mark.usefixtures("telemetry")


async def _iterate(connection, prefetch=50):
    async with connection.transaction():
        return [row async for row in connection.cursor(ALL, prefetch=prefetch)]


async def _walk(connection):
    async with connection.transaction():
        cursor = await connection.cursor(ALL)
        await cursor.forward(100)
        await cursor.fetchrow()
        return await cursor.fetch(50)


async def _prepared(connection, method, *args):
    statement = await connection.prepare("SELECT * FROM items WHERE id <= $1")
    return await getattr(statement, method)(*args)


async def _prepared_iteration(connection):
    async with connection.transaction():
        statement = await connection.prepare("SELECT * FROM items WHERE id <= $1")
        return [row async for row in statement.cursor(10)]


async def _prepared_many(connection):
    statement = await connection.prepare("INSERT INTO scratch VALUES ($1, 'x')")
    return await statement.executemany([(1,), (2,)])


STATEMENTS = {
    "execute": (lambda c: c.execute("UPDATE scratch SET id = 1 WHERE false"), {"UPDATE": 1}, {}),
    "execute with arguments": (lambda c: c.execute("DELETE FROM scratch WHERE id = $1", -1), {"DELETE": 1}, {}),
    "execute a script": (lambda c: c.execute("SELECT 1; SELECT 2"), {"SELECT": 1}, {}),
    "executemany": (lambda c: c.executemany("INSERT INTO scratch VALUES ($1)", [(1,), (2,)]), {"INSERT": 1}, {}),
    "fetch": (lambda c: c.fetch(ALL), {"SELECT": 1}, {"SELECT": 120}),
    "fetch nothing": (lambda c: c.fetch("SELECT 1 WHERE false"), {"SELECT": 1}, {"SELECT": 0}),
    "fetchval": (lambda c: c.fetchval("SELECT 7"), {"SELECT": 1}, {"SELECT": 1}),
    "fetchrow": (lambda c: c.fetchrow(ALL), {"SELECT": 1}, {"SELECT": 1}),
    "fetchrow nothing": (lambda c: c.fetchrow("SELECT 1 WHERE false"), {"SELECT": 1}, {"SELECT": 0}),
    "fetchmany": (
        lambda c: c.fetchmany("INSERT INTO scratch VALUES ($1) RETURNING id", [(1,), (2,), (3,)]),
        {"INSERT": 1},
        {"INSERT": 3},
    ),
    "copy from table": (lambda c: c.copy_from_table("items", output=io.BytesIO()), {"COPY": 1}, {"COPY": 120}),
    "copy from query": (
        lambda c: c.copy_from_query("SELECT * FROM items WHERE id <= 7", output=io.BytesIO()),
        {"COPY": 1},
        {"COPY": 7},
    ),
    "copy to table": (lambda c: c.copy_to_table("scratch", source=io.BytesIO(b"1\tx\n2\ty\n")), {"COPY": 1}, {}),
    "copy records": (lambda c: c.copy_records_to_table("scratch", records=[(1, "x")]), {"COPY": 1}, {}),
    "cursor iteration": (_iterate, {"SELECT": 1, "FETCH": 2}, {"SELECT": 50, "FETCH": 70}),
    "cursor iteration, one trip": (lambda c: _iterate(c, 500), {"SELECT": 1}, {"SELECT": 120}),
    "cursor": (_walk, {"SELECT": 1, "FETCH": 3}, {"FETCH": 20}),
    "prepared fetch": (lambda c: _prepared(c, "fetch", 9), {"SELECT": 1}, {"SELECT": 9}),
    "prepared fetchval": (lambda c: _prepared(c, "fetchval", 9), {"SELECT": 1}, {"SELECT": 1}),
    "prepared fetchrow": (lambda c: _prepared(c, "fetchrow", 0), {"SELECT": 1}, {"SELECT": 0}),
    "prepared fetchmany": (lambda c: _prepared(c, "fetchmany", [(1,), (2,)]), {"SELECT": 1}, {"SELECT": 3}),
    "prepared executemany": (_prepared_many, {"INSERT": 1}, {}),
    "prepared iteration": (_prepared_iteration, {"SELECT": 1}, {"SELECT": 10}),
}
"""What is called → the statements that it counts as, by operation, and the rows that they gave."""


def _rows(telemetry):
    found = {}
    for attributes, point in telemetry.points("db.client.response.returned_rows"):
        operation = attributes["db.operation.name"]
        found[operation] = found.get(operation, 0) + point.sum
    return found


@pytest.mark.parametrize("how", ["connection", "pooled", "transaction"])
@pytest.mark.parametrize("name", STATEMENTS)
async def test_a_statement_is_counted_once_with_its_operation_and_rows(pg, telemetry, name, how):
    call, operations, rows = STATEMENTS[name]
    if how == "connection":
        connection = await pg.connect()
        await call(connection)
        await connection.close()
    else:
        async with pg.pool() as pool, pool.acquire() as connection:
            if how == "transaction":
                async with connection.transaction():
                    await call(connection)
            else:
                await call(connection)
    assert telemetry.queries() == operations
    assert _rows(telemetry) == rows
    assert telemetry.values("db.queries", "status") == {"ok": sum(operations.values())}
    assert telemetry.values("db.query.duration", "operation") == operations
    assert telemetry.value("db.errors") == 0


SHORTCUTS = [name for name in STATEMENTS if "cursor" not in name and "prepared" not in name]


@pytest.mark.parametrize("name", SHORTCUTS)
async def test_a_pools_shortcut_is_one_statement_and_one_acquire(pg, telemetry, name):
    call, operations, rows = STATEMENTS[name]
    async with pg.pool() as pool:
        await call(pool)
        assert telemetry.queries() == operations
        assert _rows(telemetry) == rows
        assert telemetry.value("db.client.connection.wait_time") == 1
        assert telemetry.value("db.client.connection.use_time") == 1


async def test_calls_by_keyword_work_and_count(pg, telemetry):
    connection = await pg.connect()
    assert await connection.execute(query="SELECT 1") == "SELECT 1"
    assert await connection.fetchval(query="SELECT 7", column=0, timeout=5) == 7
    assert (await connection.fetchrow(query="SELECT 7"))[0] == 7
    assert len(await connection.fetch(query=ALL)) == 120
    await connection.executemany(command="INSERT INTO scratch VALUES ($1)", args=[(1,)])
    await connection.fetchmany(query="INSERT INTO scratch VALUES ($1) RETURNING 1", args=[(1,)])
    await connection.close()
    assert telemetry.queries() == {"SELECT": 4, "INSERT": 2}


async def test_calls_by_keyword_work_through_a_pool(pg, telemetry):
    async with pg.pool() as pool:
        assert await pool.fetchval(query="SELECT 7") == 7
        await pool.executemany(command="INSERT INTO scratch VALUES ($1)", args=[(1,)])
        async with pool.acquire(timeout=5) as connection:
            assert await connection.fetchval(query="SELECT 8") == 8
    assert telemetry.queries() == {"SELECT": 2, "INSERT": 1}


async def test_a_wrong_call_raises_what_the_driver_raises(pg, telemetry):
    connection = await pg.connect()
    for call in (connection.fetch, connection.execute, connection.executemany):
        with pytest.raises(TypeError, match="missing"):
            await call()
    with pytest.raises(TypeError, match="unexpected keyword"):
        await connection.fetch("SELECT 1", no_such=1)
    await connection.close()


# --- what is not the application's statement --------------------------------------------------------------------------


async def test_transaction_control_reset_and_listening_are_not_statements(pg, telemetry):
    async with pg.pool(max_size=1) as pool, pool.acquire() as connection:
        await connection.add_listener("channel", print)
        async with connection.transaction(isolation="serializable"):
            async with connection.transaction():
                pass
            async with connection.transaction(isolation="serializable"):
                await connection.fetchval("SELECT 1")
        await connection.remove_listener("channel", print)
        await connection.reset()
    assert telemetry.queries() == {"SELECT": 1}
    assert telemetry.value("db.errors") == 0


async def test_an_open_transaction_that_release_rolls_back_is_not_a_statement(pg, telemetry):
    pool = await pg.pool(max_size=1)
    connection = await pool.acquire()
    await connection.execute("BEGIN")
    await pool.release(connection)
    assert telemetry.queries() == {"BEGIN": 1}
    await pool.close()


async def test_type_introspection_is_not_a_statement(pg, telemetry):
    connection = await pg.connect()
    assert (await connection.fetchval("SELECT (1, 'happy')::pair"))["right_part"] == "happy"
    await connection.set_type_codec("mood", encoder=str, decoder=str.upper)
    assert await connection.fetchval("SELECT 'sad'::mood") == "SAD"
    await connection.reload_schema_state()
    await connection.close()
    assert telemetry.queries() == {"SELECT": 2}


async def test_the_applications_own_transaction_control_is_a_statement(pg, telemetry):
    connection = await pg.connect()
    for sql in ("begin", "SAVEPOINT s", "rollback to s", "COMMIT"):
        await connection.execute(sql)
    await connection.close()
    assert telemetry.queries() == {"BEGIN": 1, "OTHER": 1, "ROLLBACK": 1, "COMMIT": 1}


async def test_quoting_the_arguments_of_a_copy_is_not_a_statement(pg, telemetry):
    connection = await pg.connect()
    await connection.copy_from_query("SELECT * FROM items WHERE id <= $1", 7, output=io.BytesIO())
    await connection.close()
    assert telemetry.queries() == {"COPY": 1}


async def test_listener_callbacks_run_as_the_applications_own_statements(pg, telemetry):
    """A callback runs in the context in which the connection was made, which was the driver's own work."""
    listening, answering, notifying = await pg.connect(), await pg.connect(), await pg.connect()
    heard = asyncio.Event()

    async def heard_it(connection, pid, channel, payload):
        await answering.fetchval("SELECT 1")
        heard.set()

    await listening.add_listener("channel", heard_it)
    await notifying.execute("NOTIFY channel")
    await asyncio.wait_for(heard.wait(), 10)
    await listening.remove_listener("channel", heard_it)
    for connection in (listening, answering, notifying):
        await connection.close()
    assert telemetry.queries() == {"OTHER": 1, "SELECT": 1}


# --- failures ---------------------------------------------------------------------------------------------------------


FAILURES = {
    "syntax": (lambda c: c.fetch("SELEC 1"), "syntax_error_or_access_rule_violation", {"OTHER": 1}),
    "data": (lambda c: c.fetchval("SELECT 1 / 0"), "data_exception", {"SELECT": 1}),
    "integrity": (
        lambda c: c.execute("INSERT INTO items VALUES (1)"),
        "integrity_constraint_violation",
        {"INSERT": 1},
    ),
    "driver refuses": (lambda c: c.fetch("SELECT $1::int", "x"), "data_exception", {"SELECT": 1}),
    "executemany": (
        lambda c: c.executemany("INSERT INTO items VALUES ($1)", [(1,)]),
        "integrity_constraint_violation",
        {"INSERT": 1},
    ),
    "copy": (
        lambda c: c.copy_to_table("items", source=io.BytesIO(b"1\tx\n")),
        "integrity_constraint_violation",
        {"COPY": 1},
    ),
    "cursor without transaction": (lambda c: _await(c.cursor(ALL)), "invalid_transaction_state", {"SELECT": 1}),
}


async def _await(awaitable):
    return await awaitable


@pytest.mark.parametrize("name", FAILURES)
async def test_a_failure_is_one_error_of_a_bounded_type(pg, telemetry, name):
    call, _, operations = FAILURES[name]
    async with pg.pool() as pool, pool.acquire() as connection:
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)) as raised:
            await call(connection)
    kind = getattr(raised.value, "sqlstate", None)
    assert telemetry.queries() == operations
    assert telemetry.values("db.queries", "status") == {"error": 1}
    ((attributes, point),) = telemetry.points("db.errors")
    assert (point.value, attributes["error_type"]) == (1, FAILURES[name][1] if kind else "client")
    ((attributes, point),) = telemetry.points("db.client.operation.duration")
    assert attributes["error.type"] == (FAILURES[name][1] if kind else "client")


async def test_a_prepare_that_fails_is_an_error_and_no_statement(pg, telemetry):
    connection = await pg.connect()
    with pytest.raises(asyncpg.PostgresSyntaxError):
        await connection.prepare("SELEC 1")
    await connection.close()
    assert telemetry.queries() == {}
    assert telemetry.values("db.errors", "error_type") == {"syntax_error_or_access_rule_violation": 1}


async def test_a_commit_that_fails_is_an_error_and_no_statement(pg, telemetry):
    async with pg.pool() as pool, pool.acquire() as connection:
        with pytest.raises(asyncpg.ForeignKeyViolationError):
            async with connection.transaction():
                await connection.execute("INSERT INTO children VALUES (404)")
    assert telemetry.queries() == {"INSERT": 1}
    assert telemetry.values("db.queries", "status") == {"ok": 1}
    assert telemetry.values("db.errors", "error_type") == {"integrity_constraint_violation": 1}


async def test_manual_commit_rollback_and_a_failing_start_are_control(pg, telemetry):
    connection = await pg.connect()
    transaction = connection.transaction()
    await transaction.start()
    await transaction.rollback()
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("INSERT INTO children VALUES (404)")
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await transaction.commit()
    await connection.execute("BEGIN")
    with pytest.raises(asyncpg.InterfaceError, match="manually started"):
        await connection.transaction().start()
    await connection.close()
    assert telemetry.queries() == {"INSERT": 1, "BEGIN": 1}
    assert telemetry.values("db.errors", "error_type") == {"integrity_constraint_violation": 1, "client": 1}


async def test_a_nested_transaction_that_rolls_back_leaves_the_outer_one(pg, telemetry):
    connection = await pg.connect()
    async with connection.transaction():
        with pytest.raises(asyncpg.DivisionByZeroError):
            async with connection.transaction():
                await connection.execute("SELECT 1 / 0")
        assert await connection.fetchval("SELECT 5") == 5
    await connection.close()
    assert telemetry.queries() == {"SELECT": 2}
    assert telemetry.value("db.errors") == 1


async def test_a_backend_killed_under_a_statement_is_one_error(pg, telemetry, eventually):
    connection = await pg.connect()
    sleeping = asyncio.create_task(connection.fetch("SELECT pg_sleep(60)"))
    active = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(60)%' AND wait_event = 'PgSleep'"
    await eventually(lambda: pg.execute(active) == "1")
    pg.execute(f"SELECT pg_terminate_backend({connection.get_server_pid()})")
    with pytest.raises((asyncpg.PostgresError, OSError)):
        await sleeping
    with pytest.raises(asyncpg.InterfaceError, match="closed"):
        await connection.fetch("SELECT 1")
    assert telemetry.queries() == {"SELECT": 2}
    assert telemetry.value("db.errors") == 2


async def test_a_cancelled_statement_counts_as_cancelled_and_stays_cancelled(pg, telemetry):
    connection = await pg.connect()
    for make in (lambda: asyncio.wait_for(connection.fetch("SELECT pg_sleep(60)"), 0.05), lambda: _expire(connection)):
        with pytest.raises(TimeoutError):
            await make()
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()
    assert telemetry.values("db.errors", "error_type") == {"cancelled": 2}
    assert telemetry.limit_hits() == {}


async def _expire(connection):
    async with asyncio.timeout(0.05):
        await connection.fetch("SELECT pg_sleep(60)")


async def test_a_cursor_left_early_is_one_statement(pg, telemetry):
    connection = await pg.connect()
    async with connection.transaction():
        async for row in connection.cursor(ALL, prefetch=10):
            if row["id"] == 15:
                break
    await connection.close()
    assert telemetry.queries() == {"SELECT": 1, "FETCH": 1}


async def test_statements_carry_the_tenants_labels(pg, telemetry):
    connection = await pg.connect()
    async with tenant("proj_pro"):
        await connection.fetch("SELECT 1")
    async with tenant("proj_stranger"):
        await connection.fetch("SELECT 1")
    await connection.fetch("SELECT 1")
    await connection.close()
    found = [attributes for attributes, _ in telemetry.points("db.queries")]
    assert sorted((a["project_id"], a["plan"], a["tier"]) for a in found) == [
        ("proj_pro", "pro", "HOT"),
        ("proj_stranger", "unknown", "unknown"),
        ("unknown", "unknown", "unknown"),
    ]
    assert {(a["database_type"], a["status"]) for a in found} == {("postgres", "ok")}
