"""Promise 1: the application never notices. A scripted session gives the same with any telemetry, however it fails."""

import asyncio
import io
from contextlib import suppress

import asyncpg
import pytest
from opentelemetry import trace
from opentelemetry.instrumentation.asyncpg import AsyncPGInstrumentor
from opentelemetry.sdk._logs import Logger
from opentelemetry.sdk.metrics import export as metrics_export
from opentelemetry.sdk.metrics._internal import measurement_consumer
from opentelemetry.sdk.trace import Span

from otel_dynabase import bind_tenant, faults, tenant
from otel_dynabase.adapters.asyncpg.pools import PoolWrappers, internal
from otel_dynabase.adapters.asyncpg.statements import StatementWrappers
from otel_dynabase.directory import Directory
from otel_dynabase.events import EventLog
from otel_dynabase.probes.acquire import Connecting, Wait
from otel_dynabase.probes.coldstart import ColdStarts
from otel_dynabase.probes.limits import Limits
from otel_dynabase.probes.pool import PoolProbe, Pools
from otel_dynabase.probes.statement import Statements, StatementSeries
from otel_dynabase.probes.tenants import Tenants, TenantSeries
from otel_dynabase.store import Budget, Distribution, Store, Sum


class Script:
    """A session of everything that an application does, written down: each result, or the exception's type and text."""

    def __init__(self, pg):
        self.pg = pg
        self.seen = []

    async def note(self, call):
        try:
            result = await call()
        except Exception as error:
            result = error
            chain = [f"{type(e).__name__}" for e in (error, error.__cause__, error.__context__) if e is not None]
            self.seen.append((chain, str(error)))
        else:
            self.seen.append((type(result).__name__, repr(result)))
        return result

    async def run(self):
        async with self.pg.pool(max_size=2, max_inactive_connection_lifetime=0) as pool:
            bind_tenant(pool, "proj_pro")
            await self._statements(pool)
            async with tenant("proj_free"):
                await self._transactions(pool)
                await self._cursors(pool)
            await self._pool(pool)
        await self.note(pool.acquire)
        await self._connections()
        return self.seen

    async def _statements(self, pool):
        await self.note(lambda: pool.fetchval("SELECT 7"))
        await self.note(lambda: pool.fetch("SELECT id FROM items WHERE id < $1 ORDER BY id", 4))
        await self.note(lambda: pool.fetchrow(query="SELECT 1 AS a, 'x' AS b"))
        await self.note(lambda: pool.execute("SELECT 1 / 0"))
        await self.note(lambda: pool.fetch("SELEC"))
        await self.note(lambda: pool.fetch("SELECT $1::int", "x"))
        await self.note(lambda: pool.fetchval("SELECT pg_sleep(60)", timeout=0.02))
        await self.note(lambda: pool.copy_from_table("items", output=io.BytesIO()))
        await self.note(lambda: pool.executemany("SELECT $1::int", [(1,), (2,)]))

    async def _transactions(self, pool):
        async with pool.acquire() as connection:
            async with connection.transaction():
                async with connection.transaction():
                    await self.note(lambda: connection.execute("INSERT INTO scratch VALUES (1)"))
                await self.note(lambda: connection.fetchval("SELECT 1"))
            await self.note(lambda: self._deferred(connection))
            await self.note(lambda: connection.prepare("SELEC"))

    async def _deferred(self, connection):
        async with connection.transaction():
            await connection.execute("INSERT INTO children VALUES (404)")

    async def _cursors(self, pool):
        async with pool.acquire() as connection, connection.transaction():
            rows = [row["id"] async for row in connection.cursor("SELECT id FROM items ORDER BY id", prefetch=50)]
            self.seen.append(rows)
            cursor = await connection.cursor("SELECT id FROM items ORDER BY id")
            await self.note(lambda: cursor.forward(3))
            await self.note(lambda: cursor.fetch(2))
            await self.note(cursor.fetchrow)

    async def _pool(self, pool):
        first, second = await pool.acquire(), await pool.acquire(timeout=5)
        await self.note(lambda: pool.acquire(timeout=0.01))
        await self.note(lambda: asyncio.wait_for(pool.acquire(), 0.01))
        waiter = asyncio.ensure_future(pool.acquire())
        await asyncio.sleep(0)
        waiter.cancel()
        self.seen.append((await asyncio.gather(waiter, return_exceptions=True), waiter.cancelled()))
        await self.note(lambda: pool.release(first))
        await self.note(lambda: pool.release(first))
        second.terminate()
        await self.note(lambda: second.fetchval("SELECT 1"))
        await self.note(lambda: pool.release(second))
        await pool.expire_connections()
        await self.note(lambda: asyncio.gather(*(pool.fetchval("SELECT 1") for _ in range(6))))
        self.seen.append((pool.get_size(), pool.get_idle_size()))

    async def _connections(self):
        await self.note(lambda: self.pg.connect(password="guess"))
        await self.note(lambda: asyncpg.connect("postgresql://127.0.0.1:1/x", user="u", timeout=5))
        connection = await self.pg.connect()
        await connection.close()
        await self.note(lambda: connection.fetch("SELECT 1"))


def normal(seen):
    """Take out what differs from run to run: addresses of objects."""
    import re  # noqa: PLC0415

    return re.sub(r"0x[0-9a-f]+|port \d+|'127[^)]*\)", "…", repr(seen))


def fail(*_args, **_kwargs):
    raise RuntimeError("hostile")


def methods(owner):
    """Return the methods of a class that can be made to fail: all but its constructor's own."""
    return [
        name
        for name, value in vars(owner).items()
        if callable(value) and not name.startswith("__") and not isinstance(value, type)
    ]


async def test_the_script_gives_the_same_with_telemetry_as_without(pg, instrument):
    plain = normal(await Script(pg).run())
    telemetry = instrument()
    assert normal(await Script(pg).run()) == plain
    assert telemetry.value("db.queries") > 20
    assert telemetry.value("db.client.connection.pending_requests") == 0
    assert not faults.counts


HOSTILE = {
    "statement": [StatementSeries, Statements],
    "pool": [PoolProbe, Pools, Wait, Connecting],
    "limits and cold starts": [Limits, ColdStarts],
    "tenants": [Tenants, TenantSeries],
    "store": [Store, Sum, Distribution, Budget],
    "events": [EventLog],
    "directory": [Directory],
}
GUARDED_BY_CALLER = {StatementSeries: {"done", "failed"}, Wait: {"done", "failed"}, Connecting: {"done", "failed"}}
"""Methods that promise to keep their own failures to themselves: what they call is made to fail instead."""


@pytest.mark.parametrize("what", HOSTILE)
async def test_a_hostile_probe_changes_nothing(pg, instrument, lenient, monkeypatch, what):
    plain = normal(await Script(pg).run())
    instrument()
    for owner in HOSTILE[what]:
        for name in methods(owner):
            if name not in GUARDED_BY_CALLER.get(owner, ()):
                monkeypatch.setattr(owner, name, fail)
    assert normal(await Script(pg).run()) == plain
    monkeypatch.undo()
    faults.strict = False
    assert lenient


ADAPTER = {"probe": PoolWrappers, "series_of_database": PoolWrappers, "_tenant": StatementWrappers}


@pytest.mark.parametrize("name", ADAPTER)
async def test_a_hostile_adapter_changes_nothing(pg, instrument, lenient, monkeypatch, name):
    plain = normal(await Script(pg).run())
    instrument()
    monkeypatch.setattr(ADAPTER[name], name, fail)
    assert normal(await Script(pg).run()) == plain


SDK = {
    "current span": lambda patch: patch.setattr(trace, "get_current_span", fail),
    "span attributes": lambda patch: patch.setattr(Span, "set_attributes", fail),
    "span events": lambda patch: patch.setattr(Span, "add_event", fail),
    "emitting": lambda patch: patch.setattr(Logger, "emit", fail),
    "collecting": lambda patch: patch.setattr(measurement_consumer.SynchronousMeasurementConsumer, "collect", fail),
    "data points": lambda patch: patch.setattr(metrics_export, "NumberDataPoint", fail),
}


@pytest.mark.parametrize("what", SDK)
async def test_an_sdk_that_fails_changes_nothing_and_is_said_once(pg, instrument, lenient, monkeypatch, what):
    plain = normal(await Script(pg).run())
    telemetry, said = instrument(), []
    monkeypatch.setattr(faults.logger, "warning", lambda _text, place, **_options: said.append(place))
    with telemetry.tracer.start_as_current_span("request", kind=trace.SpanKind.SERVER):
        SDK[what](monkeypatch)
        assert normal(await Script(pg).run()) == plain
    for _ in range(2):
        with suppress(RuntimeError):  # the SDK's own failure reaches who called the SDK, as without us
            telemetry.events()
        with suppress(RuntimeError):
            telemetry.collect()
    telemetry.uninstrument()
    assert sorted(said) == sorted(lenient)


async def test_everything_at_once_changes_nothing(pg, instrument, lenient, monkeypatch):
    """Every probe, the store, the events, the directory and the SDK fail, under the official instrumentation too."""
    plain = normal(await Script(pg).run())
    telemetry = instrument()
    official = AsyncPGInstrumentor()
    official.instrument(tracer_provider=telemetry.tracer_provider)
    for owners in HOSTILE.values():
        for owner in owners:
            for name in methods(owner):
                if name not in GUARDED_BY_CALLER.get(owner, ()):
                    monkeypatch.setattr(owner, name, fail)
    SDK["emitting"](monkeypatch)
    try:
        assert normal(await Script(pg).run()) == plain
    finally:
        official.uninstrument()
        monkeypatch.undo()
        faults.strict = False


@pytest.mark.parametrize("error", [asyncio.CancelledError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_is_no_error_passes_through_the_wrappers(telemetry, error):
    """Guards catch Exception only, and a driver's BaseException reaches the application as it is."""
    from otel_dynabase.adapters.asyncpg import patches  # noqa: PLC0415

    async def original(*_args, **_kwargs):
        raise raised

    raised = error("the driver's")
    subject = type("Subject", (), {"_queue": None, "_connection": None})()
    tested = 0
    for patch in patches(telemetry.runtime.probes):
        if patch.path.rpartition(".")[2] in {"terminate", "_release"}:
            continue  # not coroutine functions
        coroutine = patch.wrap(original)(subject, timeout=None) if patch.path == "Pool._acquire" else None
        if coroutine is not None:
            with pytest.raises(error) as caught:
                coroutine.send(None)
            assert caught.value is raised
            tested += 1
    assert tested


async def test_a_coroutine_that_is_thrown_away_leaves_as_quietly_as_without_us(pg, telemetry):
    """Python closes what a stopped loop leaves behind, in another context than it ran in."""
    import contextvars  # noqa: PLC0415

    class Pending:
        def __await__(self):
            yield

    async def original(_self):
        await Pending()

    coroutine = internal(original)(None)
    contextvars.copy_context().run(coroutine.send, None)
    coroutine.close()
