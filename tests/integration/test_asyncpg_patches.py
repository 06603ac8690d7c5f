"""What instrumenting does to asyncpg: what is reached, what stays as it was, and that all of it is taken back."""

import asyncio
import importlib
import importlib.util

import asyncpg
import pytest
from asyncpg import connect as connect_imported_early
from asyncpg import create_pool as create_pool_imported_early
from opentelemetry.instrumentation import asyncpg as official_module
from opentelemetry.instrumentation.asyncpg import AsyncPGInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_dynabase import adapters, bind_tenant, tenant
from otel_dynabase.adapters import asyncpg as adapter

OWNERS = [
    asyncpg.connection.Connection,
    asyncpg.pool.Pool,
    asyncpg.pool.PoolConnectionHolder,
    asyncpg.pool.PoolConnectionProxy,
    asyncpg.pool.PoolAcquireContext,
    asyncpg.cursor.Cursor,
    asyncpg.cursor.CursorIterator,
    asyncpg.cursor.CursorFactory,
    asyncpg.cursor.BaseCursor,
    asyncpg.prepared_stmt.PreparedStatement,
    asyncpg.transaction.Transaction,
    asyncpg.connect_utils,
    asyncpg.utils,
]


def snapshot():
    return [dict(vars(owner)) for owner in OWNERS]


def changed(before):
    """Return what differs from a snapshot: owner.name."""
    return [
        f"{owner.__name__}.{name}"
        for owner, was in zip(OWNERS, before, strict=True)
        for name in {*vars(owner), *was}
        if vars(owner).get(name) is not was.get(name)
    ]


@pytest.mark.parametrize("touchpoint", adapter.TOUCHPOINTS)
def test_a_private_part_that_the_adapter_relies_on_exists(touchpoint):
    """Slots, methods and functions can be looked up; what a Cython base class declares has no other name than this."""
    module, _, path = touchpoint.partition(":")
    found = importlib.import_module(module)
    for name in path.split("."):
        found = getattr(found, name)


def test_every_patch_has_a_target(telemetry):
    for patch in adapter.patches(telemetry.runtime.probes):
        owner = importlib.import_module(patch.module)
        for name in patch.path.split(".")[:-1]:
            owner = getattr(owner, name)
        assert patch.optional or hasattr(owner, patch.path.rpartition(".")[2]), patch.path


# --- the exact originals ----------------------------------------------------------------------------------------------


def test_uninstrumenting_gives_back_the_exact_originals(instrument):
    before = snapshot()
    telemetry = instrument()
    assert len(changed(before)) > 30
    telemetry.uninstrument()
    assert changed(before) == []


def test_instrumenting_again_and_again_leaves_no_layer(instrument):
    before = snapshot()
    for _ in range(3):
        instrument().uninstrument()
    assert changed(before) == []


@pytest.mark.parametrize("ours_first", [True, False], ids=["ours first", "theirs first"])
@pytest.mark.parametrize("leave", ["ours", "theirs"])
async def test_the_official_instrumentation_in_every_order(pg, instrument, ours_first, leave):
    """Both work while both are there; the one that stays works on; at the end nothing of either is left."""
    before, official, spans = snapshot(), AsyncPGInstrumentor(), InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(spans))
    telemetry = instrument() if ours_first else None
    official.instrument(tracer_provider=provider)
    telemetry = telemetry or instrument()
    first, second = (telemetry, official) if leave == "ours" else (official, telemetry)
    try:
        await run_a_query(pg)
        assert (telemetry.queries(), len(spans.get_finished_spans())) == ({"SELECT": 1}, 1)
        first.uninstrument()
        await run_a_query(pg)
        expected = ({}, 2) if leave == "ours" else ({"SELECT": 2}, 1)
        assert (telemetry.queries(), len(spans.get_finished_spans())) == expected
    finally:
        second.uninstrument()
        first.uninstrument()
    assert changed(before) == []


async def run_a_query(pg):
    connection = await pg.connect()
    await connection.fetchval("SELECT 1")
    await connection.close()


# --- with the official spans ------------------------------------------------------------------------------------------


@pytest.fixture
def official(telemetry):
    official = AsyncPGInstrumentor()
    official.instrument(tracer_provider=telemetry.tracer_provider)
    yield official
    official.uninstrument()


def spans_of(telemetry, sql):
    """Return a statement's spans; the official instrumentation makes spans of a pool's reset query too."""
    return [span for span in telemetry.spans() if span.attributes["db.statement"] == sql]


async def test_official_spans_name_the_tenant(pg, telemetry, official):
    async with pg.pool() as pool, tenant("proj_pro"):
        await pool.fetchval("SELECT 1")
    (span,) = spans_of(telemetry, "SELECT 1")
    wanted = {"project_id": "proj_pro", "tenant_id": "org_pro", "plan": "pro", "tier": "HOT"}
    assert wanted.items() <= span.attributes.items()


async def test_official_spans_name_the_tenant_of_a_bound_pool(pg, telemetry, official):
    async with pg.pool() as pool:
        bind_tenant(pool, "proj_pro")
        await pool.fetchval("SELECT 1")
    (span,) = spans_of(telemetry, "SELECT 1")
    assert (span.attributes["project_id"], span.attributes["plan"]) == ("proj_pro", "pro")


async def test_cursors_keep_their_official_spans(pg, telemetry, official):
    connection = await pg.connect()
    async with connection.transaction():
        assert len([row async for row in connection.cursor("SELECT * FROM items")]) == 120
    await connection.close()
    assert telemetry.queries() == {"SELECT": 1, "FETCH": 2}
    assert len(telemetry.spans("CURSOR: SELECT")) == 121


@pytest.mark.skipif(not hasattr(official_module, "_PREPARED_STMT_METHODS"), reason="this version knows none")
async def test_prepared_statements_keep_their_official_spans(pg, telemetry, official):
    connection = await pg.connect()
    statement = await connection.prepare("SELECT 1")
    assert await statement.fetchval() == 1
    await connection.close()
    assert telemetry.queries() == {"SELECT": 1}
    assert len(spans_of(telemetry, "SELECT 1")) == 1


async def test_calls_by_keyword_work_under_the_official_instrumentation(pg, telemetry, official):
    connection = await pg.connect()
    assert await connection.fetchval(query="SELECT 7") == 7
    assert await connection.fetch(query="SELECT 7", timeout=5)
    await connection.executemany(command="SELECT $1::int", args=[(1,)])
    await connection.close()
    assert telemetry.queries() == {"SELECT": 3}


async def test_exemplars_lead_to_official_spans(pg, telemetry, official):
    connection = await pg.connect()
    for _ in range(3):
        await connection.fetchval("SELECT 1")
    await connection.close()
    ((_, point),) = telemetry.points("db.client.operation.duration")
    spans = {(span.context.trace_id, span.context.span_id) for span in telemetry.spans("SELECT")}
    assert point.exemplars
    assert {(exemplar.trace_id, exemplar.span_id) for exemplar in point.exemplars} <= spans


# --- what the application sees ----------------------------------------------------------------------------------------


async def test_names_imported_before_instrumenting_are_measured(pg, telemetry):
    connection = await connect_imported_early(pg.dsn)
    await connection.fetchval("SELECT 1")
    await connection.close()
    async with create_pool_imported_early(pg.dsn, min_size=0) as pool:
        await pool.fetchval("SELECT 1")
    assert telemetry.queries() == {"SELECT": 2}
    assert telemetry.value("db.client.connection.wait_time") == 1


@pytest.mark.parametrize("open_first", [True, False], ids=["open", "not opened"])
async def test_a_pool_made_before_instrumenting_is_measured(pg, instrument, open_first):
    pool = pg.pool(min_size=1, max_size=2)
    if open_first:
        await pool
        held = await pool.acquire()
        telemetry = instrument()
        assert await held.fetchval("SELECT 1") == 1
        await pool.release(held)
    else:
        telemetry = instrument()
        await pool
    assert await pool.fetchval("SELECT 2") == 2
    assert telemetry.queries() == {"SELECT": 1 + open_first}
    assert telemetry.value("db.client.connection.max") == 2
    assert telemetry.values("db.client.connection.count", "db.client.connection.state") == {"idle": 1, "used": 0}
    assert telemetry.value("db.client.connection.use_time") == 1
    await pool.close()
    assert "db.client.connection.max" not in telemetry.collect()


async def test_a_pool_outlives_uninstrumenting_and_instrumenting_again(pg, instrument):
    first = instrument()
    pool = await pg.pool(max_size=2)
    held = await pool.acquire()
    first.uninstrument()
    assert await held.fetchval("SELECT 1") == 1
    await pool.release(held)
    assert await pool.fetchval("SELECT 1") == 1
    second = instrument()
    assert await pool.fetchval("SELECT 1") == 1
    await pool.close()
    assert second.queries() == {"SELECT": 1}
    assert second.value("db.client.connection.wait_time") == 1


class Connection(asyncpg.Connection):
    """An application's own connection class."""

    __slots__ = ()

    async def fetch(self, query, *args, **kwargs):
        return await super().fetch(query, *args, **kwargs)

    async def answer(self):
        return await self.fetchval("SELECT 42")


class Record(asyncpg.Record):
    """An application's own record class."""


async def test_connection_and_record_classes_are_preserved(pg, telemetry):
    async with pg.pool(connection_class=Connection, record_class=Record) as pool, pool.acquire() as connection:
        assert type(connection._con) is Connection
        assert await connection.answer() == 42
        assert [type(row) for row in await connection.fetch("SELECT 1")] == [Record]
        assert type(await connection.fetchrow("SELECT 1")) is Record
        assert type(await connection.fetchrow("SELECT 1", record_class=asyncpg.Record)) is asyncpg.Record
        async with connection.transaction():
            assert [type(row) async for row in connection.cursor("SELECT 1")] == [Record]
    assert telemetry.queries() == {"SELECT": 5}


async def test_the_drivers_query_logger_still_works(pg, telemetry):
    logged = []
    connection = await pg.connect()
    with connection.query_logger(lambda record: logged.append(record.query)):
        await connection.fetchval("SELECT 1")
    await connection.close()
    assert logged == ["SELECT 1"]


async def test_functions_keep_their_names_signatures_and_kind(telemetry):
    for method in ("fetch", "execute", "copy_to_table"):
        function = getattr(asyncpg.Connection, method)
        assert (function.__name__, function.__doc__ is not None) == (method, True)
        assert asyncio.iscoroutinefunction(function)


def test_an_unsupported_driver_is_left_alone_and_said(instrument, monkeypatch, warnings_of):
    """One missing function: no patch of that table stays, the application runs, the SDK's part works on."""
    before = snapshot()
    monkeypatch.delattr(asyncpg.pool.PoolConnectionHolder, "_release")
    half = snapshot()
    telemetry = instrument()
    assert changed(half) == []
    assert any("asyncpg cannot be instrumented" in message for message in warnings_of())
    monkeypatch.undo()
    assert changed(before) == []
    assert "otel_dynabase.series" in telemetry.collect()


@pytest.mark.skipif(importlib.util.find_spec("asyncpg") is None, reason="the library is there in all test runs")
def test_the_table_of_libraries_names_this_one(telemetry):
    assert "asyncpg" in [library for library, _ in adapters.tables(telemetry.runtime.probes)]
