"""Costs of statements: a sample is planned, nothing is executed, and whatever was sampled is accounted for."""

import asyncio
import contextlib
import json
import logging
import re

import asyncpg
import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from otel_dynabase import tenant
from otel_dynabase.adapters.asyncpg.costs import Address, Sampling
from otel_dynabase.adapters.psycopg.costs import Address as PsycopgAddress
from otel_dynabase.catalog.metrics import QUERY_COST
from otel_dynabase.probes import cost as module

SCHEMA = """
CREATE TABLE IF NOT EXISTS planned (id int PRIMARY KEY, name text);
TRUNCATE planned;
INSERT INTO planned SELECT n, 'row ' || n FROM generate_series(1, 20000) n;
ANALYZE planned;
DROP SEQUENCE IF EXISTS tickets;
CREATE SEQUENCE tickets;
CREATE OR REPLACE FUNCTION writes() RETURNS int LANGUAGE plpgsql VOLATILE AS
    $$ BEGIN INSERT INTO scratch VALUES (1, 'written'); RETURN 1; END $$;
CREATE OR REPLACE FUNCTION draws() RETURNS bigint LANGUAGE sql IMMUTABLE AS $$ SELECT nextval('tickets') $$;
CREATE OR REPLACE FUNCTION sleeps() RETURNS int LANGUAGE plpgsql IMMUTABLE AS
    $$ BEGIN PERFORM pg_sleep(30); RETURN 1; END $$;
"""
SECRET = "sesame-4711"


class Select:
    """Where a statement of a tenant's goes, as the probe sees it."""

    operation = "SELECT"
    project_id = "proj_pro"


class Costs:
    """An instrumented process that samples each statement, and asks when it is told to."""

    def __init__(self, telemetry):
        self.telemetry = telemetry
        self.probe = telemetry.runtime.probes.costs
        telemetry.runtime._asking.stop(5)

    async def ask(self):
        await asyncio.to_thread(self.probe.round)
        return self.outcomes()

    def outcomes(self):
        found = self.telemetry.values("otel_dynabase.query_costs", "outcome")
        return {outcome: count for outcome, count in found.items() if count}

    def buckets(self, **labels):
        """Return the upper bounds of the buckets in which something is, with how much, and the sum of costs."""
        bounds = [*QUERY_COST.buckets, float("inf")]
        points = [point for _, point in self.telemetry.points("tenant.query.cost.distribution", **labels)]
        counts = [sum(counts) for counts in zip(*(point.bucket_counts for point in points), strict=True)]
        filled = {bound: count for bound, count in zip(bounds, counts, strict=False) if count}
        return filled, sum(point.sum for point in points)


@pytest.fixture
def costs(pg, instrument):
    pg.execute(SCHEMA)
    return Costs(instrument(query_cost_sample=1))


def explained(pg, sql):
    """Return what the server itself says when asked by hand."""
    return json.loads(pg.execute(f"EXPLAIN (FORMAT JSON, GENERIC_PLAN) {sql}"))[0]["Plan"]["Total Cost"]


def bucket(value):
    return next((bound for bound in QUERY_COST.buckets if value <= bound), float("inf"))


@contextlib.asynccontextmanager
async def connected(pg, **options):
    connection = await pg.connect(**options)
    try:
        yield connection
    finally:
        await connection.close()


async def count(pg, table):
    return int(await asyncio.to_thread(pg.execute, f"SELECT count(*) FROM {table}"))


# --- what is measured -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "arguments"),
    [
        ("SELECT 1", ()),
        ("SELECT * FROM planned WHERE id = $1", (7,)),
        ("SELECT * FROM planned WHERE id > $1 ORDER BY name LIMIT $2", (7, 3)),
        ("SELECT * FROM planned WHERE id = ANY($1::int[]) -- the last word", ([1, 2],)),
        ("SELECT count(*) FROM planned a, planned b WHERE a.name < b.name AND a.id = 3;", ()),
        ("WITH few AS (SELECT * FROM planned LIMIT 5) SELECT * FROM few", ()),
        ("VALUES (1), (2)", ()),
        ("(SELECT 1) UNION (SELECT 2)", ()),
        ("SELECT '$1; DROP TABLE planned', $1::text", ("x",)),
        ("UPDATE planned SET name = $1 WHERE id = $2", ("changed", 3)),
        ("DELETE FROM planned WHERE id = $1", (4,)),
        ("INSERT INTO scratch VALUES ($1, $2)", (1, "one")),
        ("MERGE INTO planned USING (SELECT 5 AS id) s ON planned.id = s.id WHEN MATCHED THEN DO NOTHING", ()),
    ],
)
async def test_a_cost_is_what_the_server_says_when_asked_by_hand(pg, costs, sql, arguments):
    """To the last digit, and in the bucket that it belongs to; for parameters the generic plan's."""
    expected = await asyncio.to_thread(explained, pg, sql)
    async with connected(pg) as connection:
        with tenant("proj_pro"):
            await connection.fetch(sql, *arguments)
    assert await costs.ask() == {"explained": 1}
    found, total = costs.buckets(project_id="proj_pro", plan="pro", tier="HOT")
    assert (found, total) == ({bucket(expected): 1}, pytest.approx(expected))


async def test_every_way_to_run_a_statement_is_sampled(pg, costs):
    sql = "SELECT id FROM planned WHERE id = 5"
    async with pg.pool(max_size=1) as pool, pool.acquire() as connection, connection.transaction():
        for method in (connection.execute, connection.fetch, connection.fetchval, connection.fetchrow):
            await method(sql)
        await connection.execute(query=sql)
        prepared = await connection.prepare(sql)
        await prepared.fetch()
        await connection.cursor(sql)
        assert len([row async for row in connection.cursor(sql)]) == 1
    expected = await asyncio.to_thread(explained, pg, sql)
    assert await costs.ask() == {"explained": 8}
    assert costs.buckets() == ({bucket(expected): 8}, pytest.approx(8 * expected))


async def test_a_tenant_is_recorded_under_the_plan_that_it_has_now(pg, costs):
    async with connected(pg) as connection:
        with tenant("proj_free"):
            await connection.fetch("SELECT 1")
        costs.telemetry.rows[0] = {**costs.telemetry.rows[0], "plan": "enterprise"}
        costs.telemetry.refresh()
    await costs.ask()
    ((labels, _),) = costs.telemetry.points("tenant.query.cost.distribution")
    assert (labels["project_id"], labels["plan"]) == ("proj_free", "enterprise")


async def test_a_text_that_is_known_counts_again_without_being_asked_again(pg, costs, monkeypatch):
    async with connected(pg) as connection:
        for _ in range(5):
            await connection.fetch("SELECT * FROM planned")
        assert await costs.ask() == {"explained": 5}
        monkeypatch.setattr(Address, "session", None)
        for _ in range(5):
            await connection.fetch("SELECT * FROM planned")
    assert await costs.ask() == {"explained": 10}


async def test_what_is_known_is_asked_again_when_it_is_old(pg, costs):
    async with connected(pg) as connection:
        await connection.fetch("SELECT * FROM planned")
        await costs.ask()
        cheap = costs.buckets()[1]
        await connection.execute("DELETE FROM planned")
        await connection.execute("VACUUM (ANALYZE) planned")
        costs.probe._clock = lambda clock=costs.probe._clock: clock() + module.FRESH + 1
        await connection.fetch("SELECT * FROM planned")
        await costs.ask()
    found, total = costs.buckets()
    assert sum(found.values()) == 3
    assert total < cheap * 3


async def test_the_thread_asks_by_itself(pg, instrument, eventually, monkeypatch):
    monkeypatch.setattr(module, "INTERVAL", 0.05)
    telemetry = instrument(query_cost_sample=1)
    async with connected(pg) as connection:
        await connection.fetch("SELECT 1")
    await eventually(lambda: telemetry.value("tenant.query.cost.distribution") == 1)


async def test_one_in_so_many_is_sampled(pg, instrument):
    costs = Costs(instrument(query_cost_sample=10))
    async with connected(pg) as connection:
        for _ in range(1000):
            await connection.fetch("SELECT 1")
    await costs.ask()
    assert 50 < costs.outcomes()["explained"] < 150


async def test_nothing_is_sampled_unless_asked_for(pg, telemetry):
    assert telemetry.runtime.probes.costs is None
    assert telemetry.runtime._asking._thread is None
    async with connected(pg) as connection:
        await connection.fetch("SELECT 1")
    points = telemetry.collect()
    assert "tenant.query.cost.distribution" not in points
    assert "otel_dynabase.query_costs" not in points


def test_what_begins_a_statement_is_the_same_function_unless_asked_for():
    """Off costs nothing: there is nothing there."""

    def begin(_subject, _args, _kwargs):
        return None

    off = Sampling(None)
    assert off.of_connection(begin, "query") is off.of_prepared(begin) is begin


async def test_our_own_connection_is_nobody_s_work(pg, costs):
    async with connected(pg) as connection:
        await connection.fetch("SELECT 1")
    before = costs.telemetry.queries()
    await costs.ask()
    assert costs.telemetry.queries() == before == {"SELECT": 1}
    assert costs.telemetry.value("db.errors") == 0
    assert costs.telemetry.spans() == []


# --- nothing is executed ----------------------------------------------------------------------------------------------


async def test_a_statement_that_writes_is_planned_and_not_repeated(pg, costs):
    async with connected(pg) as connection:
        await connection.execute("TRUNCATE scratch")
        await connection.execute("INSERT INTO scratch VALUES ($1, 'once')", 1)
        await connection.execute("INSERT INTO scratch SELECT nextval('tickets')::int, 'drawn'")
        await connection.fetch("SELECT writes()")
        await connection.fetch("WITH gone AS (DELETE FROM planned WHERE id < 11 RETURNING *) SELECT * FROM gone")
        rows = await connection.fetchval("SELECT count(*) FROM planned")
    outcomes = await costs.ask()
    assert outcomes == {"explained": 5, "skipped": 1}
    assert await count(pg, "scratch") == 3
    assert await count(pg, "planned") == rows
    assert await asyncio.to_thread(pg.execute, "SELECT last_value FROM tickets") == "1"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1; DELETE FROM planned",
        "SELECT 1; SELECT nextval('tickets')",
        "ANALYZE planned",
        "(ANALYZE) DELETE FROM planned",
        "ANALYZE DELETE FROM planned",
        "/* /* */ SELECT */ ANALYZE DELETE FROM planned",
        "EXPLAIN ANALYZE DELETE FROM planned",
        "CREATE TABLE made AS SELECT 1",
        "EXECUTE otel_dynabase_cost",
        "PREPARE p AS SELECT 1; EXECUTE p",
        "COPY planned TO STDOUT",
        "SELECT * FROM there_is_no_such_table",
        "SELECT 1 FROM",
        "SELECT draws()",
        "SELECT \x00",
        "",
        "SELECT 1" + " " * module.LONGEST,
    ],
    ids=lambda sql: sql[:40].strip() or "empty",
)
async def test_what_the_planner_has_nothing_to_say_about_is_skipped_and_harms_nothing(pg, costs, sql):
    """Offered as it is, past the look at its first word that keeps most of it away."""
    async with connected(pg) as connection:
        costs.probe.offer(Select, sql, Address(connection))
        costs.probe.offer(Select, "SELECT 1", Address(connection))
        assert await costs.ask() == {"explained": 1, "skipped": 1}
        assert await count(pg, "planned") == 20_000
        assert await asyncio.to_thread(pg.execute, "SELECT is_called FROM tickets") == "f"
        assert await asyncio.to_thread(pg.execute, "SELECT to_regclass('made') IS NULL") == "t"


async def test_a_query_that_makes_a_table_is_planned_and_makes_none(pg, costs):
    async with connected(pg) as connection:
        costs.probe.offer(Select, "SELECT 1 INTO made", Address(connection))
    assert await costs.ask() == {"explained": 1}
    assert await asyncio.to_thread(pg.execute, "SELECT to_regclass('made') IS NULL") == "t"


async def test_several_statements_in_one_text_are_skipped(pg, costs):
    async with connected(pg) as connection:
        await connection.execute("SELECT 1; INSERT INTO scratch VALUES (9, 'script')")
        rows = await count(pg, "scratch")
    assert await costs.ask() == {"skipped": 1}
    assert await count(pg, "scratch") == rows


async def test_nothing_is_left_in_the_session(pg, costs):
    """Behind a pooler the next one gets it: no transaction, no prepared statement, whatever went wrong."""
    async with connected(pg) as connection:
        address = Address(connection)

        def session():
            with address.session() as session:
                for sql in ("SELECT 1", "SELECT 1; SELECT 2", "SELECT * FROM nowhere", "SELECT sleeps()", "SELECT 2"):
                    with contextlib.suppress(module.NotNowError):
                        module._cost(session, sql)
                left = session.ask("SELECT count(*) FROM pg_prepared_statements WHERE from_sql")
                return left, session.ask(
                    "SELECT count(*) FROM pg_stat_activity WHERE xact_start < now() - '1 s'::interval"
                )

        assert (await asyncio.to_thread(session))[0] == "0"


async def test_a_planner_that_takes_too_long_is_cut_short_and_not_asked_again_soon(pg, costs):
    """An IMMUTABLE function that sleeps is evaluated by the planner; the next statement is asked about all the same."""
    async with connected(pg) as connection:
        await connection.execute("PREPARE p AS SELECT 1")
        with pytest.raises(TimeoutError):
            await connection.fetch("SELECT sleeps()", timeout=0.1)
        await connection.fetch("SELECT 1")
        assert await costs.ask() == {"explained": 1, "skipped": 2}
        assert costs.probe._pauses == {}
        costs.probe.offer(Select, "SELECT sleeps()", Address(connection))
        began = asyncio.get_running_loop().time()
        assert await costs.ask() == {"explained": 1, "skipped": 3}
        assert asyncio.get_running_loop().time() - began < 0.5


async def test_one_database_does_not_take_all_the_time(pg, costs, monkeypatch):
    monkeypatch.setattr(module, "TURN", 0.5)
    async with connected(pg) as connection:
        for number in range(3):
            costs.probe.offer(Select, f"SELECT {number}, sleeps()", Address(connection))
    assert await costs.ask() == {"skipped": 1, "dropped": 2}


async def test_a_lock_in_the_way_is_not_waited_for(pg, costs):
    async with connected(pg) as holder, connected(pg) as connection:
        await connection.fetch("SELECT count(*) FROM planned")
        async with holder.transaction():
            await holder.execute("LOCK TABLE planned")
            began = asyncio.get_running_loop().time()
            assert await costs.ask() == {"failed": 1, "skipped": 1}
            assert asyncio.get_running_loop().time() - began < 3
        await connection.fetch("SELECT count(*) FROM planned")
    assert (await costs.ask())["explained"] == 1


# --- a guest that knows when to leave ---------------------------------------------------------------------------------


async def test_a_dead_server_is_left_alone(pg, costs, warnings_of):
    async with connected(pg) as connection:
        address = Address(connection)
        address._addr = ("127.0.0.1", 1)
        await connection.fetch("SELECT 1")
        costs.probe._waiting[0] = costs.probe._waiting[0]._replace(address=address)
        assert await costs.ask() == {"failed": 1}
        ((until, failures),) = costs.probe._pauses.values()
        assert failures == 1
        costs.probe.offer(Select, "SELECT 2", address)
        assert await costs.ask() == {"failed": 2}
        assert costs.probe._pauses[address.key] == (until, 1)
        costs.probe._clock = lambda clock=costs.probe._clock: clock() + module.PAUSES[0] + 1
        costs.probe.offer(Select, "SELECT 2", address)
        assert await costs.ask() == {"failed": 3}
        assert costs.probe._pauses[address.key][1] == 2
    (warning,) = warnings_of()
    assert "ConnectionRefusedError" in warning


async def test_a_tenant_s_last_connection_is_its_own(pg, costs):
    """The role may have one connection, and has it: the server refuses ours (53300)."""
    async with connected(pg, user="limited", password="limited") as connection:
        await connection.fetch("SELECT 1")
        assert await costs.ask() == {"failed": 1}
    assert costs.telemetry.value("tenant.limit.hits") == 0


async def test_a_connection_that_would_be_the_last_one_is_given_back_at_once(pg, costs):
    await asyncio.to_thread(pg.execute, "CREATE ROLE narrow LOGIN PASSWORD 'narrow' CONNECTION LIMIT 2")
    async with connected(pg, user="narrow", password="narrow") as connection:
        await connection.fetch("SELECT 1")
        assert await costs.ask() == {"failed": 1}
        assert costs.probe._pauses
        await asyncio.to_thread(pg.execute, "ALTER ROLE narrow CONNECTION LIMIT 3")
        costs.probe._pauses.clear()
        await connection.fetch("SELECT 1")
        assert await costs.ask() == {"failed": 1, "explained": 1}
    await asyncio.to_thread(pg.execute, "DROP ROLE narrow")


async def test_a_database_s_own_limit_is_respected_too(pg, costs):
    await asyncio.to_thread(
        pg.execute, "ALTER DATABASE proj_pro CONNECTION LIMIT 2; CREATE ROLE guest LOGIN PASSWORD 'g'"
    )
    async with connected(pg, user="guest", password="g", database="proj_pro") as connection:
        await connection.fetch("SELECT 1")
        assert await costs.ask() == {"failed": 1}
        await asyncio.to_thread(pg.execute, "ALTER DATABASE proj_pro CONNECTION LIMIT -1")
        costs.probe._pauses.clear()
        await connection.fetch("SELECT 1")
        assert await costs.ask() == {"failed": 1, "explained": 1}
    await asyncio.to_thread(pg.execute, "DROP ROLE guest")


async def test_a_server_s_last_connections_are_for_others(pg, costs):
    """As many as are neither reserved nor used: the last one of these is not ours to hold."""
    async with connected(pg) as connection:
        left = int(await connection.fetchval(module.ROOM))
        assert await costs.ask() == {"explained": 1}
        costs.probe._known.clear()
        async with contextlib.AsyncExitStack() as others:
            for _ in range(left - 1):
                await others.enter_async_context(connected(pg))
            assert await connection.fetchval(module.ROOM) == 1
            assert await costs.ask() == {"explained": 1, "failed": 1}


async def test_a_role_without_rights_is_skipped(pg, costs):
    await asyncio.to_thread(pg.execute, "CREATE ROLE nosy LOGIN PASSWORD 'nosy'")
    async with connected(pg, user="nosy", password="nosy") as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.fetch("SELECT * FROM planned")
        await connection.fetch("SELECT 1")
        assert await costs.ask() == {"explained": 1, "skipped": 1}
    await asyncio.to_thread(pg.execute, "DROP ROLE nosy")


async def test_a_changed_password_is_a_failure(pg, costs):
    await asyncio.to_thread(pg.execute, "CREATE ROLE rotated LOGIN PASSWORD 'old'")
    async with connected(pg, user="rotated", password="old") as connection:
        await connection.fetch("SELECT 1")
        await asyncio.to_thread(pg.execute, "ALTER ROLE rotated PASSWORD 'new'")
        assert await costs.ask() == {"failed": 1}
    await asyncio.to_thread(pg.execute, "DROP ROLE rotated")
    assert costs.telemetry.value("tenant.connection.rejections") == 0


async def test_a_password_that_a_function_gives_is_not_asked_for(pg, costs):
    asked = []

    def password():
        asked.append(1)
        return pg.server.password

    async with connected(
        pg, dsn=None, host="127.0.0.1", port=pg.server.port, user="postgres", password=password
    ) as one:
        await one.fetch("SELECT 1")
    assert await costs.ask() == {"skipped": 1}
    assert asked == [1]


async def test_too_many_samples_are_dropped_and_counted(pg, costs, monkeypatch):
    monkeypatch.setattr(module, "QUEUED", 3)
    async with connected(pg) as connection:
        for _ in range(5):
            await connection.fetch("SELECT 1")
    assert await costs.ask() == {"dropped": 2, "explained": 3}


async def test_a_database_is_asked_about_so_many_texts_a_round(pg, costs, monkeypatch):
    monkeypatch.setattr(module, "ASKED", 3)
    async with connected(pg) as connection:
        for number in range(5):
            await connection.fetch(f"SELECT {number}")
    assert await costs.ask() == {"dropped": 2, "explained": 3}


async def test_a_round_ends_in_time(pg, costs, monkeypatch):
    monkeypatch.setattr(module, "ROUND", -1)
    async with connected(pg) as connection:
        await connection.fetch("SELECT 1")
    assert await costs.ask() == {"dropped": 1}


async def test_what_waits_at_the_end_is_dropped_and_counted(pg, costs):
    async with connected(pg) as connection:
        await connection.fetch("SELECT 1")
    costs.telemetry.runtime.close()
    assert costs.outcomes() == {"dropped": 1}


async def test_what_is_remembered_is_bounded(pg, costs, monkeypatch):
    monkeypatch.setattr(module, "REMEMBERED", 3)
    async with connected(pg) as connection:
        for number in range(10):
            await connection.fetch(f"SELECT {number}")
    await costs.ask()
    assert len(costs.probe._known) == 3


async def test_a_fork_leaves_what_waits_to_the_parent(pg, costs):
    async with connected(pg) as connection:
        await connection.fetch("SELECT 1")
    costs.probe.after_fork()
    assert await costs.ask() == {}


# --- psycopg ----------------------------------------------------------------------------------------------------------


async def by_psycopg(pg, *statements, cursor=psycopg.Cursor, **options):
    """Run statements by a blocking connection."""

    def run():
        with psycopg.connect(**{"conninfo": pg.dsn, "autocommit": True} | options, cursor_factory=cursor) as connection:
            for statement in statements:
                connection.execute(*statement)

    await asyncio.to_thread(run)


@pytest.mark.parametrize(
    ("statement", "as_planned"),
    [
        (("SELECT * FROM planned WHERE id = %s", (7,)), "SELECT * FROM planned WHERE id = $1"),
        (
            ("SELECT * FROM planned WHERE name LIKE '%%7' AND id > %(low)s", {"low": 7}),
            "SELECT * FROM planned WHERE name LIKE '%7' AND id > $1",
        ),
        (("SELECT * FROM planned WHERE name LIKE '%7'",), "SELECT * FROM planned WHERE name LIKE '%7'"),
        ((SQL("SELECT * FROM {} LIMIT %s").format(Identifier("planned")), (3,)), "SELECT * FROM planned LIMIT $1"),
        ((b"DELETE FROM planned WHERE id = %s", (3,)), "DELETE FROM planned WHERE id = $1"),
    ],
)
async def test_psycopg_s_statements_are_planned_as_the_server_got_them(pg, costs, statement, as_planned):
    expected = await asyncio.to_thread(explained, pg, as_planned)
    await by_psycopg(pg, statement)
    assert await costs.ask() == {"explained": 1}
    assert costs.buckets() == ({bucket(expected): 1}, pytest.approx(expected))


async def test_every_way_to_run_a_statement_with_psycopg_is_sampled(pg, costs):
    sql = "SELECT id FROM planned WHERE id = %s"
    expected = await asyncio.to_thread(explained, pg, "SELECT id FROM planned WHERE id = $1")
    async with await psycopg.AsyncConnection.connect(pg.dsn, autocommit=True) as connection:
        async with connection.pipeline():
            await connection.execute(sql, (6,))
        await connection.execute(sql, (1,))
        async with connection.cursor() as cursor:
            await cursor.execute(sql, (2,))
            await cursor.executemany(sql, [(3,), (4,)])
            assert [row async for row in cursor.stream(sql, (5,))] == [(5,)]
    assert await costs.ask() == {"explained": 5}
    assert costs.buckets() == ({bucket(expected): 5}, pytest.approx(5 * expected))


async def test_a_text_that_psycopg_s_client_has_bound_is_planned_with_its_values(pg, costs):
    expected = await asyncio.to_thread(explained, pg, "SELECT * FROM planned WHERE id < 19000")
    await by_psycopg(pg, ("SELECT * FROM planned WHERE id < %s", (19_000,)), cursor=psycopg.ClientCursor)
    assert await costs.ask() == {"explained": 1}
    assert costs.buckets()[1] == pytest.approx(expected)


async def test_what_psycopg_writes_is_written_once(pg, costs):
    await by_psycopg(
        pg,
        ("TRUNCATE scratch",),
        ("INSERT INTO scratch VALUES (%s, 'once')", (1,)),
        ("INSERT INTO scratch SELECT nextval('tickets')::int, 'drawn'",),
        ("SELECT 1; INSERT INTO scratch VALUES (2, 'script')",),
        ("SELECT writes()",),
    )
    assert await costs.ask() == {"explained": 3, "skipped": 2}
    assert await count(pg, "scratch") == 4
    assert await asyncio.to_thread(pg.execute, "SELECT last_value FROM tickets") == "1"


async def test_a_server_side_cursor_of_psycopg_s_is_skipped(pg, costs):
    def run():
        with psycopg.connect(pg.dsn) as connection, connection.cursor("named") as cursor:
            cursor.execute("SELECT * FROM planned")

    await asyncio.to_thread(run)
    assert await costs.ask() == {"skipped": 1}


async def test_asking_by_psycopg_is_nobody_s_work_and_leaves_nothing(pg, costs):
    await by_psycopg(pg, ("SELECT 1",), ("SELECT 1",), ("SELECT * FROM planned",))
    before = costs.telemetry.queries()
    assert await costs.ask() == {"explained": 3}
    assert costs.telemetry.queries() == before == {"SELECT": 3}
    assert costs.telemetry.spans() == []
    ours = f"SELECT count(*) FROM pg_stat_activity WHERE application_name = '{module.APPLICATION_NAME}'"
    assert await asyncio.to_thread(pg.execute, ours) == "0"


async def test_psycopg_is_a_polite_guest_too(pg, costs, caplog):
    """No connection to spare, no right, a dead server; and no secret told."""
    caplog.set_level(logging.DEBUG)
    role = f"CREATE ROLE quiet LOGIN PASSWORD '{SECRET}' CONNECTION LIMIT 2"
    await asyncio.to_thread(pg.execute, role)

    def run():
        with psycopg.connect(pg.dsn, user="quiet", password=SECRET, autocommit=True) as connection:
            connection.execute("SELECT 'private-text'")
            address = PsycopgAddress(connection)
            assert SECRET not in repr(address) + str(address) + repr(address.key)
            costs.probe.round()
            assert costs.outcomes() == {"failed": 1}
            pg.execute("ALTER ROLE quiet CONNECTION LIMIT -1")
            costs.probe._pauses.clear()
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute("SELECT * FROM planned")
            connection.execute("SELECT 'private-text'")
            costs.probe.offer(Select, "SELECT * FROM planned", address)
            costs.probe.round()
            assert costs.outcomes() == {"failed": 1, "explained": 1, "skipped": 1}
            address._parameters["port"] = address._parameters["hostaddr"] = None
            address._parameters["host"], address.key = "/nowhere", "nowhere"
            costs.probe.offer(Select, "SELECT 1", address)
            costs.probe.round()
            assert costs.outcomes() == {"failed": 2, "explained": 1, "skipped": 1}

    await asyncio.to_thread(run)
    await asyncio.to_thread(pg.execute, "DROP ROLE quiet")
    assert not re.search(f"{SECRET}|private-text", caplog.text)


# --- nothing is told --------------------------------------------------------------------------------------------------


async def test_neither_password_nor_text_is_shown_anywhere(pg, costs, caplog, lenient):
    caplog.set_level(logging.DEBUG)
    await asyncio.to_thread(pg.execute, f"CREATE ROLE shy LOGIN PASSWORD '{SECRET}' CONNECTION LIMIT 1")
    async with connected(pg, user="shy", password=SECRET) as connection:
        address = Address(connection)
        await connection.fetch("SELECT 'private-text'")
        assert SECRET not in repr(address) + str(address) + repr(address.key)
        await costs.ask()
    await asyncio.to_thread(pg.execute, "DROP ROLE shy")
    told = caplog.text + json.dumps(costs.telemetry.collect(), default=str)
    assert not re.search(f"{SECRET}|private-text", told)
    assert "TooManyConnectionsError" in caplog.text


async def test_a_failure_of_ours_is_not_the_application_s(pg, costs, lenient, monkeypatch):
    monkeypatch.setattr(type(costs.probe), "offer", None)
    async with connected(pg) as connection:
        assert await connection.fetchval("SELECT 1") == 1
    assert lenient == {"sampling a statement": 1}
    assert costs.telemetry.queries() == {"SELECT": 1}
