"""What instrumenting does to SQLAlchemy: what it relies on, what stays as it was, and that all of it is taken back."""

import importlib

import pytest
import sqlalchemy
from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
from sqlalchemy import engine, event, pool, text, util
from sqlalchemy.dialects.postgresql import base as postgresql
from sqlalchemy.ext import asyncio as extension

from otel_dynabase import adapters, tenant
from otel_dynabase.adapters import sqlalchemy as adapter
from tests.integration.pools.facts import measured

OWNERS = [
    sqlalchemy,
    engine,
    engine.base,
    engine.create,
    engine.Engine,
    engine.Connection,
    engine.default.DefaultDialect,
    postgresql.PGDialect,
    extension,
    pool.base,
    pool.base._ConnectionFairy,
    pool.base._ConnectionRecord,
    *(getattr(pool, name) for name in ("Pool", "AsyncAdaptedQueuePool", *adapter.POOLS)),
    util.queue.AsyncAdaptedQueue,
    util.queue.Queue,
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
    module, _, path = touchpoint.partition(":")
    found = importlib.import_module(module)
    for name in path.split("."):
        found = getattr(found, name)


@pytest.mark.parametrize("touchpoint", adapter.INSTANCE_TOUCHPOINTS)
def test_a_private_part_that_a_pool_is_given_exists(touchpoint):
    name, *path = touchpoint.split(".")
    found = getattr(pool, name)(lambda: None)
    for part in path:
        assert hasattr(found, part), f"{type(found).__name__}.{part}"
        found = getattr(found, part)


def test_every_patch_has_a_target(telemetry):
    for patch in adapter.patches(telemetry.runtime.probes):
        owner = importlib.import_module(patch.module)
        for name in patch.path.split(".")[:-1]:
            owner = getattr(owner, name)
        assert patch.path.rpartition(".")[2] in vars(owner), patch.path


def test_the_table_of_libraries_names_this_one(telemetry):
    assert "sqlalchemy" in [library for library, _ in adapters.tables(telemetry.runtime.probes)]


# --- the exact originals ----------------------------------------------------------------------------------------------


def test_uninstrumenting_gives_back_the_exact_originals(instrument):
    before = snapshot()
    telemetry = instrument()
    assert len(changed(before)) > 20
    telemetry.uninstrument()
    assert changed(before) == []


def test_instrumenting_again_and_again_leaves_no_layer(instrument):
    before = snapshot()
    for _ in range(3):
        instrument().uninstrument()
    assert changed(before) == []


def test_an_unsupported_version_is_left_alone_and_said(instrument, monkeypatch, warnings_of):
    """One missing function: no patch of that table stays, and the application runs."""
    monkeypatch.delattr(pool.base._ConnectionRecord, "checkin")
    half = snapshot()
    instrument()
    assert changed(half) == []
    assert any("sqlalchemy cannot be instrumented" in message for message in warnings_of())


def test_functions_keep_their_names_and_signatures(telemetry):
    for function in (pool.Pool.connect, pool.QueuePool._do_get, util.queue.Queue.get, pool.base._finalize_fairy):
        assert function.__name__ in {"connect", "_do_get", "get", "_finalize_fairy"}
        assert function.__wrapped__.__module__.startswith("sqlalchemy.")


# --- with the official spans ------------------------------------------------------------------------------------------


async def use(asynchronous, blocking):
    async with asynchronous.connect() as connection:
        await connection.execute(text("SELECT 1"))
    with blocking.connect() as connection:
        connection.execute(text("SELECT 2"))


def engines(pg):
    """Make an asynchronous and a blocking engine, by the names that the official instrumentation replaces."""
    return (
        extension.create_async_engine(pg.dsn.replace("postgresql:", "postgresql+asyncpg:")),
        sqlalchemy.create_engine(pg.dsn.replace("postgresql:", "postgresql+psycopg:")),
    )


@pytest.mark.parametrize("ours_first", [True, False], ids=["ours first", "theirs first"])
@pytest.mark.parametrize("leave", ["ours", "theirs"])
async def test_the_official_instrumentation_in_every_order(pg, instrument, ours_first, leave):
    """Both work while both are there; the one that stays works on; at the end nothing of either is left."""
    before, official = snapshot(), SQLAlchemyInstrumentor()
    telemetry = instrument() if ours_first else None
    official.instrument(skip_dep_check=True)  # it knows SQLAlchemy before 2.1
    telemetry = telemetry or instrument()
    made = engines(pg)
    first, second = (telemetry, official) if leave == "ours" else (official, telemetry)
    try:
        async with tenant("proj_pro"):
            await use(*made)
        assert measured(telemetry, project_id="proj_pro") == {
            "waits": 2,
            "uses": 2,
            "creates": 2,
            "rows": 2,
            "queries": {"SELECT": 2},
        }
        first.uninstrument()
        async with tenant("proj_pro"):
            await use(*made)
        assert measured(telemetry).get("queries") == (None if leave == "ours" else {"SELECT": 4})
    finally:
        second.uninstrument()
        first.uninstrument()
    await made[0].dispose()
    made[1].dispose()
    assert changed(before) == []


async def test_official_spans_name_the_tenant(pg, telemetry):
    official = SQLAlchemyInstrumentor()
    official.instrument(skip_dep_check=True, tracer_provider=telemetry.tracer_provider)
    made = engines(pg)
    async with tenant("proj_pro"):
        await use(*made)
    await made[0].dispose()
    made[1].dispose()
    official.uninstrument()
    wanted = {"project_id": "proj_pro", "tenant_id": "org_pro", "plan": "pro", "tier": "HOT"}
    spans = [span for span in telemetry.spans() if "db.statement" in span.attributes]
    assert [span.attributes["db.statement"] for span in spans] == ["SELECT 1", "SELECT 2"]
    assert all(wanted.items() <= span.attributes.items() for span in spans)


async def test_comments_that_the_official_instrumentation_writes_into_statements(pg, telemetry):
    official = SQLAlchemyInstrumentor()
    official.instrument(skip_dep_check=True, enable_commenter=True, tracer_provider=telemetry.tracer_provider)
    made = engines(pg)
    seen = []
    event.listen(made[1], "after_cursor_execute", lambda _connection, _cursor, sql, *_: seen.append(sql))
    await use(*made)
    await made[0].dispose()
    made[1].dispose()
    official.uninstrument()
    assert "traceparent" in seen[0]
    assert measured(telemetry)["queries"] == {"SELECT": 2}
