"""Promise 1 for psycopg: a scripted session gives the same with any telemetry, however it fails."""

import asyncio
import re

import psycopg
import psycopg_pool
import pytest
from opentelemetry import trace
from opentelemetry.sdk._logs import Logger
from opentelemetry.sdk.trace import Span

from otel_dynabase import bind_tenant, faults, tenant
from otel_dynabase.adapters.psycopg import blocking
from otel_dynabase.adapters.psycopg.connections import ConnectionWrappers
from otel_dynabase.adapters.psycopg.pools import PoolRecords, StockProbe
from otel_dynabase.adapters.psycopg.statements import StatementRecords
from otel_dynabase.directory import Directory
from otel_dynabase.events import EventLog
from otel_dynabase.probes.acquire import Connecting, Supplying, Wait
from otel_dynabase.probes.coldstart import ColdStarts
from otel_dynabase.probes.limits import Limits
from otel_dynabase.probes.pool import PoolProbe, Pools
from otel_dynabase.probes.statement import Statements, StatementSeries
from otel_dynabase.probes.tenants import Tenants, TenantSeries
from otel_dynabase.store import Budget, Distribution, Store, Sum
from tests.integration.either import all_of, done, inside

KINDS = {
    "blocking": (psycopg.Connection, psycopg_pool.ConnectionPool),
    "blocking, no stock": (psycopg.Connection, psycopg_pool.NullConnectionPool),
    "asynchronous": (psycopg.AsyncConnection, psycopg_pool.AsyncConnectionPool),
    "asynchronous, no stock": (psycopg.AsyncConnection, psycopg_pool.AsyncNullConnectionPool),
}


class Script:
    """A session of everything that an application does, written down: each result, or the exception's type and text."""

    def __init__(self, pg, kind):
        self.pg = pg
        self.connection, self.pool = KINDS[kind]
        self.seen = []

    async def note(self, call):
        try:
            result = await done(call())
        except Exception as error:
            result = error
            chain = [type(e).__name__ for e in (error, error.__cause__, error.__context__) if e is not None]
            self.seen.append((chain, str(error)))
        else:
            shown = await self._rows(result) if isinstance(result, psycopg.Cursor | psycopg.AsyncCursor) else result
            self.seen.append((type(result).__name__, repr(shown)))
        return result

    @staticmethod
    async def _rows(cursor):
        rows = await done(cursor.fetchall()) if cursor.description else None
        return rows, cursor.rowcount, cursor.statusmessage

    async def run(self):
        options = {"min_size": 0, "max_size": 2, "timeout": 5, "max_waiting": 1}
        pool = self.pool(self.pg.dsn, open=False, kwargs={"autocommit": True}, **options)
        async with inside(pool):
            bind_tenant(pool, "proj_pro")
            async with inside(pool.connection()) as connection:
                await self._statements(connection)
                async with tenant("proj_free"):
                    await self._cursors(connection)
                    await self._transactions(connection)
            await self._pool(pool)
        await self.note(pool.getconn)
        await self._connections()
        return self.seen

    async def _statements(self, connection):
        cursor = connection.cursor()
        await self.note(lambda: connection.execute("SELECT 7"))
        await self.note(lambda: connection.execute("SELECT id FROM items WHERE id < %s ORDER BY id", (4,)))
        await self.note(lambda: connection.execute(query="SELECT 1 AS a, 'x' AS b"))
        await self.note(lambda: connection.execute("SELECT 1 / 0"))
        await self.note(lambda: connection.execute("SELEC"))
        await self.note(lambda: connection.execute("SELECT %s", ()))
        await self.note(cursor.execute)
        await self.note(lambda: cursor.executemany("SELECT %s::int", [(1,), (2,)], returning=True))
        await self.note(lambda: cursor.executemany("SELECT 1 / %s", [(1,), (0,)]))
        await self.note(lambda: all_of(cursor.stream("SELECT id FROM items WHERE id < 4 ORDER BY id")))
        await self.note(lambda: all_of(cursor.stream("SELECT 1 / (2 - id) FROM items ORDER BY id")))
        await self.note(lambda: self._copy(cursor, "COPY (SELECT 1) TO STDOUT"))
        await self.note(lambda: self._copy(cursor, "COPY no_such TO STDOUT"))
        await self.note(lambda: self._pipeline(connection, "SELECT 1 / 0"))
        await self.note(lambda: self._pipeline(connection, "SELECT 5"))

    async def _copy(self, cursor, statement):
        async with inside(cursor.copy(statement)) as copy:
            return [bytes(block) for block in await all_of(copy)]

    async def _pipeline(self, connection, statement):
        async with inside(connection.pipeline()):
            cursor = await done(connection.execute(statement))
            return await done(cursor.fetchone())

    async def _cursors(self, connection):
        async with inside(connection.transaction()), inside(connection.cursor("named", scrollable=True)) as cursor:
            await done(cursor.execute("SELECT id FROM items ORDER BY id"))
            await self.note(cursor.fetchone)
            await self.note(lambda: cursor.fetchmany(2))
            await self.note(lambda: cursor.scroll(-1))
            await self.note(lambda: all_of(cursor))
        await self.note(cursor.fetchone)

    async def _transactions(self, connection):
        await self.note(lambda: self._transaction(connection, "INSERT INTO children VALUES (404)"))
        await self.note(lambda: self._transaction(connection, "SELECT 1"))
        await self.note(lambda: self._transaction(connection, "SELECT 1 / 0"))
        await self.note(connection.commit)

    async def _transaction(self, connection, statement):
        async with inside(connection.transaction()), inside(connection.transaction()):
            await done(connection.execute(statement))

    async def _pool(self, pool):
        first, second = await done(pool.getconn()), await done(pool.getconn(timeout=5))
        await self.note(lambda: pool.getconn(timeout=0.01))
        if isinstance(first, psycopg.AsyncConnection):
            await self._cancelled(pool)
        await done(pool.putconn(first))
        await self.note(lambda: pool.putconn(first))
        self.pg.execute(f"SELECT pg_terminate_backend({second.info.backend_pid})")
        with pytest.raises(psycopg.Error):  # which one is up to the network
            await done(second.execute("SELECT 1"))
        await done(pool.putconn(second))
        await self.note(lambda: self._used(pool))
        stats = pool.get_stats()
        self.seen.append({name: stats.get(name, 0) for name in ("requests_num", "requests_errors", "returns_bad")})

    async def _cancelled(self, pool):
        waiter = asyncio.ensure_future(pool.getconn())
        for _ in range(5):
            await asyncio.sleep(0)
        await self.note(pool.getconn)  # one too many
        waiter.cancel()
        self.seen.append((await asyncio.gather(waiter, return_exceptions=True), waiter.cancelled()))

    async def _used(self, pool):
        async with inside(pool.connection()) as connection:
            return await done((await done(connection.execute("SELECT 3"))).fetchone())

    async def _connections(self):
        connect = self.connection.connect
        await self.note(lambda: connect(self.pg.dsn, password="guess"))
        await self.note(lambda: connect("host=127.0.0.1 port=1 user=u"))
        await self.note(lambda: connect("no such=syntax"))
        connection = await done(connect(self.pg.dsn))
        cursor = connection.cursor()
        await done(connection.close())
        await self.note(lambda: cursor.execute("SELECT 1"))


def normal(seen):
    """Take out what differs from run to run: addresses of objects, numbers of pools."""
    return re.sub(r"0x[0-9a-f]+|port \d+|'pool-\d+'", "…", repr(seen))


def fail(*_args, **_kwargs):
    raise RuntimeError("hostile")


def methods(owner):
    """Return the methods of a class that can be made to fail: all but its constructor's own."""
    return [
        name
        for name, value in vars(owner).items()
        if callable(value) and not name.startswith("__") and not isinstance(value, type)
    ]


GUARDED_BY_CALLER = {
    StatementSeries: {"done", "failed"},
    Wait: {"done", "failed"},
    Connecting: {"done", "failed"},
    Supplying: {"done", "failed"},
}
"""Methods that promise to keep their own failures to themselves: what they call is made to fail instead."""
HOSTILE = {
    "statement": [StatementSeries, Statements],
    "pool": [PoolProbe, StockProbe, Pools, Wait, Connecting, Supplying],
    "limits and cold starts": [Limits, ColdStarts],
    "tenants": [Tenants, TenantSeries],
    "store": [Store, Sum, Distribution, Budget],
    "events": [EventLog],
    "directory": [Directory],
}


def break_all_of(owners, monkeypatch):
    for owner in owners:
        for name in methods(owner):
            if name not in GUARDED_BY_CALLER.get(owner, ()):
                monkeypatch.setattr(owner, name, fail)


@pytest.fixture(params=KINDS)
def script(request, pg):
    return lambda: Script(pg, request.param)


async def test_the_script_gives_the_same_with_telemetry_as_without(script, instrument):
    plain = normal(await script().run())
    telemetry = instrument()
    assert normal(await script().run()) == plain
    assert telemetry.value("db.queries") > 20
    assert telemetry.value("db.client.connection.pending_requests") == 0
    assert not faults.counts


@pytest.mark.parametrize("what", HOSTILE)
async def test_a_hostile_probe_changes_nothing(script, instrument, lenient, monkeypatch, what):
    plain = normal(await script().run())
    instrument()
    break_all_of(HOSTILE[what], monkeypatch)
    assert normal(await script().run()) == plain
    monkeypatch.undo()
    faults.strict = False
    assert lenient


ADAPTER = {
    "series_of": ConnectionWrappers,
    "series_of_database": ConnectionWrappers,
    "probe": PoolRecords,
    "_begin": StatementRecords,
    "of_fetch": StatementRecords,
}


@pytest.mark.parametrize("name", ADAPTER)
async def test_a_hostile_adapter_changes_nothing(script, instrument, lenient, monkeypatch, name):
    plain = normal(await script().run())
    instrument()
    monkeypatch.setattr(ADAPTER[name], name, fail)
    assert normal(await script().run()) == plain


async def test_everything_at_once_changes_nothing(script, instrument, lenient, monkeypatch):
    """Every probe, the store, the events, the directory and the SDK fail, inside a span."""
    plain = normal(await script().run())
    telemetry = instrument()
    with telemetry.tracer.start_as_current_span("request", kind=trace.SpanKind.SERVER):
        for owners in HOSTILE.values():
            break_all_of(owners, monkeypatch)
        monkeypatch.setattr(Logger, "emit", fail)
        monkeypatch.setattr(Span, "set_attributes", fail)
        monkeypatch.setattr(Span, "add_event", fail)
        assert normal(await script().run()) == plain
        monkeypatch.undo()
        faults.strict = False


@pytest.mark.parametrize("error", [asyncio.CancelledError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_is_no_error_passes_through_the_wrappers(telemetry, error):
    """Guards catch Exception only, and a driver's BaseException reaches the application as it is."""
    raised = error("the driver's")

    def original(*_args, **_kwargs):
        raise raised

    class Subject:
        _closed, _check = False, original
        conninfo, kwargs, name = "", None, "pool-1"

    records = telemetry.runtime.probes
    pools = blocking.BlockingPools(PoolRecords(records))
    statements = blocking.BlockingStatements(StatementRecords(records, ConnectionWrappers(records)))
    wrapped = [
        pools.getconn(original),
        pools.closing(original),
        pools.upkeep(original),
        pools.connect(original),
        blocking.internal(original),
        statements.timed(lambda *_: None, lambda *_: None)(original),
    ]
    for function in wrapped:
        with pytest.raises(error) as caught:
            function(Subject())
        assert caught.value is raised
