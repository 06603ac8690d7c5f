"""What instrumenting does to psycopg: what is reached, what stays as it was, and that all of it is taken back."""

import importlib
import inspect
import subprocess
import sys

import psycopg
import psycopg_pool
import pytest
import wrapt

from otel_dynabase import adapters, bind_tenant
from otel_dynabase.adapters import psycopg as adapter

OWNERS = [
    psycopg,
    *(getattr(psycopg, name) for name in dir(psycopg) if isinstance(getattr(psycopg, name), type)),
    psycopg.types.TypeInfo,
    *(getattr(psycopg_pool, name) for name in dir(psycopg_pool) if isinstance(getattr(psycopg_pool, name), type)),
    *(
        getattr(module, name)
        for module in (psycopg_pool.pool, psycopg_pool.pool_async)
        for name in ("WaitingClient", "MaintenanceTask")
    ),
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


def found(module, path):
    thing = importlib.import_module(module)
    for name in path.split("."):
        thing = getattr(thing, name)
    return thing


@pytest.mark.parametrize("touchpoint", adapter.TOUCHPOINTS)
def test_a_private_part_that_the_adapter_relies_on_exists(touchpoint):
    found(*touchpoint.split(":"))


@pytest.mark.parametrize("kind", ["ConnectionPool", "NullConnectionPool"])
def test_a_private_part_of_pools_that_the_adapter_relies_on_exists(kind):
    pool = getattr(psycopg_pool, kind)(max_size=1, min_size=0, open=False)
    assert [name for name in adapter.INSTANCE_TOUCHPOINTS if not hasattr(pool, name)] == []


def test_every_patch_has_a_target(telemetry):
    table = adapter.patches(telemetry.runtime.probes)
    assert len(table) == len({(patch.module, patch.path) for patch in table})
    for patch in table:
        assert not patch.optional
        found(patch.module, patch.path)


# --- the exact originals ----------------------------------------------------------------------------------------------


def test_uninstrumenting_gives_back_the_exact_originals(instrument):
    before = snapshot()
    telemetry = instrument()
    assert len(changed(before)) > 60
    telemetry.uninstrument()
    assert changed(before) == []


def test_instrumenting_again_and_again_leaves_no_layer(instrument):
    before = snapshot()
    for _ in range(3):
        instrument().uninstrument()
    assert changed(before) == []


def test_what_can_be_seen_of_a_function_stays(instrument):
    """Name, signature and kind: an application may look before it calls."""

    def seen(patch):
        function = found(patch.module, patch.path)
        kinds = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction, inspect.ismethod)
        return function.__qualname__, inspect.signature(function), [kind(function) for kind in kinds]

    telemetry = instrument()
    table = [patch for patch in adapter.patches(telemetry.runtime.probes) if patch.path != "connect"]
    public = [patch for patch in table if not patch.path.rpartition(".")[2].startswith("_")]
    while_instrumented = {patch.path: seen(patch) for patch in public}
    telemetry.uninstrument()
    assert while_instrumented == {patch.path: seen(patch) for patch in public}


@pytest.mark.parametrize("ours_first", [True, False], ids=["ours first", "theirs first"])
@pytest.mark.parametrize("leave", ["ours", "theirs"])
def test_other_wrappers_in_every_order(pg, instrument, ours_first, leave):
    """Others wrap the function and the class method with wrapt, as contrib instrumentation does."""
    before, calls = snapshot(), []

    def count(wrapped, _instance, args, kwargs):
        calls.append(wrapped.__name__)
        return wrapped(*args, **kwargs)

    def wrap():
        wrapt.wrap_function_wrapper(psycopg, "connect", count)
        wrapt.wrap_function_wrapper(psycopg, "Connection.connect", count)
        wrapt.wrap_function_wrapper(psycopg, "Cursor.execute", count)

    def unwrap():
        for owner, name in ((psycopg, "connect"), (psycopg.Connection, "connect"), (psycopg.Cursor, "execute")):
            setattr(owner, name, vars(owner)[name].__wrapped__)

    telemetry = instrument() if ours_first else None
    wrap()
    telemetry = telemetry or instrument()
    first, second = (telemetry.uninstrument, unwrap) if leave == "ours" else (unwrap, telemetry.uninstrument)
    ran = []
    for after in (first, second):
        for connect in (psycopg.connect, psycopg.Connection.connect):
            with connect(pg.dsn) as connection:
                connection.execute("SELECT 1")
        ran.append((telemetry.value("db.queries"), len(calls)))
        after()
    assert ran == [(2, 4), (0, 8) if leave == "ours" else (4, 4)]
    assert changed(before) == []


def test_subclasses_are_reached(pg, telemetry):
    class Mine(psycopg.Connection):
        @classmethod
        def connect(cls, *args, **kwargs):
            connection = super().connect(*args, **kwargs)
            connection.mine = True
            return connection

    class Counting(psycopg.Cursor):
        def execute(self, *args, **kwargs):
            return super().execute(*args, **kwargs)

    with (
        psycopg_pool.ConnectionPool(
            pg.dsn, connection_class=Mine, kwargs={"cursor_factory": Counting}, min_size=1, open=False
        ) as pool,
        pool.connection() as connection,
    ):
        assert type(connection) is Mine
        assert connection.mine
        assert type(connection.execute("SELECT 1")) is Counting
    assert telemetry.queries() == {"SELECT": 1}
    assert telemetry.value("db.client.connection.create_time") >= 1


# --- where psycopg_pool is not ----------------------------------------------------------------------------------------

WITHOUT_POOL = """
import sys

sys.modules["psycopg_pool"] = None  # as if it were not installed
import psycopg
from otel_dynabase import DynabaseInstrumentor, bind_tenant, faults

faults.strict = True
instrumentor = DynabaseInstrumentor()
instrumentor.instrument(directory=lambda: [])
with psycopg.connect(sys.argv[1]) as connection:
    connection.execute("SELECT 1")
bind_tenant(connection, "proj_pro")
series = [metric.name for metric, _, _ in instrumentor.runtime.store.series()]
assert "db.client.operation.duration" in series, series
instrumentor.uninstrument()
"""


def test_psycopg_without_its_pools(pg):
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_POOL, pg.dsn], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, "cannot be instrumented" in done.stderr) == (0, False), done.stderr


def test_psycopg_is_a_library_that_there_is_an_adapter_for():
    assert "psycopg" in adapters.LIBRARIES


def test_binding_what_is_no_pool_is_said(pg, telemetry, warnings_of):
    with psycopg.connect(pg.dsn) as connection:
        bind_tenant(connection, "proj_pro")
    assert len(warnings_of()) == 1
