"""Circuit breakers of pybreaker and purgatory: one test body over each way to use them."""

import asyncio
import gc
import importlib
import sys
import threading
import time

import purgatory
import pybreaker
import pytest
from purgatory import AsyncCircuitBreakerFactory, AsyncInMemoryUnitOfWork, SyncCircuitBreakerFactory
from purgatory.domain.model import Context, OpenedState
from purgatory.service._async.circuitbreaker import AsyncCircuitBreaker
from purgatory.service._async.repository import AsyncAbstractRepository
from purgatory.service._sync.circuitbreaker import SyncCircuitBreaker
from pybreaker import CircuitBreaker, CircuitBreakerError, CircuitBreakerListener, CircuitMemoryStorage

from otel_dynabase import bind_tenant, tenant
from otel_dynabase.adapters import purgatory as purgatory_adapter
from otel_dynabase.adapters import pybreaker as pybreaker_adapter

THRESHOLD = 3
RESET = 0.15
"""Seconds until an open breaker lets a trial call through."""


class DownError(Exception):
    """What the guarded call fails with."""


class Pybreaker:
    """`CircuitBreaker.call`."""

    refusal = CircuitBreakerError

    def __init__(self, name, **options):
        self.breaker = CircuitBreaker(
            **{"fail_max": THRESHOLD, "reset_timeout": RESET, "throw_new_error_on_trip": False, "name": name} | options
        )

    async def run(self, function):
        return self.breaker.call(function)

    async def bindable(self):
        return self.breaker


class PybreakerDecorated(Pybreaker):
    """A function that the breaker decorates."""

    async def run(self, function):
        return self.breaker(function)()


class PybreakerCalling(Pybreaker):
    """`with breaker.calling():`."""

    async def run(self, function):
        with self.breaker.calling():
            return function()


class PurgatoryAsync:
    """`async with await factory.get_breaker(name):`."""

    refusal = OpenedState
    make = AsyncCircuitBreakerFactory

    def __init__(self, name, **options):
        self.name = name or ""
        self.factory = self.make(default_threshold=THRESHOLD, default_ttl=RESET, **options)

    async def run(self, function):
        async with await self.factory.get_breaker(self.name):
            return function()

    async def bindable(self):
        return await self.factory.get_breaker(self.name)


class PurgatoryDecorated(PurgatoryAsync):
    """A coroutine function that the factory decorates."""

    async def run(self, function):
        async def coroutine():
            return function()

        return await self.factory(self.name)(coroutine)()


class PurgatorySync(PurgatoryAsync):
    """`with factory.get_breaker(name):`."""

    make = SyncCircuitBreakerFactory

    async def run(self, function):
        with self.factory.get_breaker(self.name):
            return function()

    async def bindable(self):
        return self.factory.get_breaker(self.name)


class Rows(AsyncAbstractRepository):
    """What purgatory's Redis repository keeps of a circuit, kept in a dictionary."""

    def __init__(self):
        self.rows = {}
        self.messages = []

    async def get(self, name):
        return Context(**self.rows[name]) if name in self.rows else None

    async def register(self, context):
        kept = ("name", "threshold", "ttl", "state", "opened_at", "failure_count")
        self.rows[context.name] = {name: getattr(context, name) for name in kept}

    async def update_state(self, name, state, opened_at):
        self.rows[name] |= {"state": state, "opened_at": opened_at}

    async def inc_failures(self, name, failure_count):
        self.rows[name]["failure_count"] += 1

    async def reset_failure(self, name):
        self.rows[name]["failure_count"] = 0


class ServerUnitOfWork(AsyncInMemoryUnitOfWork):
    """A storage of the application's own that makes a new context for each call, as purgatory's Redis storage does."""

    def __init__(self):
        self.contexts = Rows()


class PurgatoryStored(PurgatoryAsync):
    """The same with contexts that live for one call each."""

    def __init__(self, name, uow=None):
        super().__init__(name, uow=uow or ServerUnitOfWork())


WAYS = [
    *(Pybreaker, PybreakerDecorated, PybreakerCalling),
    *(PurgatoryAsync, PurgatoryDecorated, PurgatorySync, PurgatoryStored),
]


@pytest.fixture(params=WAYS, ids=lambda way: way.__name__)
def way(request):
    return request.param


def works():
    return "done"


def fails():
    raise DownError


async def trip(guard, failures=THRESHOLD):
    """Fail as often as the breaker allows: it opens."""
    for _ in range(failures):
        with pytest.raises(DownError):
            await guard.run(fails)


def states(telemetry, **labels):
    return telemetry.values("circuit_breaker.state", "project_id", **labels)


def told(telemetry):
    return [
        tuple(record.attributes.get(name) for name in ("project_id", "state", "error_threshold", "volume"))
        for record in telemetry.events("circuit_breaker_event")
    ]


def rejections(telemetry, **labels):
    return telemetry.value("tenant.connection.rejections", reason="circuit_open", **labels)


# --- what is measured -------------------------------------------------------------------------------------------------


async def test_a_breaker_s_life(way, telemetry):
    """Closed, open, refusing, half-open and closed again, with the figures of the library's own."""
    guard = way("proj_pro")
    assert await guard.run(works) == "done"
    assert states(telemetry) == {"proj_pro": 0}
    await trip(guard)
    assert states(telemetry, plan="pro", tier="HOT") == {"proj_pro": 2}
    for _ in range(4):
        with pytest.raises(way.refusal):
            await guard.run(works)
    assert rejections(telemetry, project_id="proj_pro", plan="pro", tier="HOT") == 4
    await asyncio.sleep(RESET * 1.5)
    assert await guard.run(works) == "done"
    assert states(telemetry) == {"proj_pro": 0}
    assert [event[:3] for event in told(telemetry)] == [
        ("proj_pro", "open", THRESHOLD),
        ("proj_pro", "half_open", THRESHOLD),
        ("proj_pro", "closed", THRESHOLD),
    ]
    assert telemetry.value("circuit_breaker.open", project_id="proj_pro") == 1
    assert rejections(telemetry) == 4
    (opened, *_) = telemetry.events("circuit_breaker_event")
    assert opened.severity_text == "WARN"
    assert opened.attributes["metadata"] == {"breaker": "proj_pro"}
    assert opened.attributes["database_type"] == "postgres"


async def test_a_trial_call_that_fails_opens_again_and_is_no_refusal(way, telemetry):
    guard = way("proj_pro")
    await trip(guard)
    await asyncio.sleep(RESET * 1.5)
    with pytest.raises(DownError):
        await guard.run(fails)
    assert [event[1] for event in told(telemetry)] == ["open", "half_open", "open"]
    assert telemetry.value("circuit_breaker.open") == 2
    assert rejections(telemetry) == 0
    with pytest.raises(way.refusal):
        await guard.run(works)
    assert rejections(telemetry) == 1


@pytest.mark.parametrize("volume_of", [Pybreaker, PurgatoryAsync, PurgatorySync])
async def test_the_volume_is_the_failures_at_that_moment(volume_of, telemetry):
    """A breaker that closes has none any more; purgatory does not know how many there were when it is half open."""
    guard = volume_of("proj_pro")
    await trip(guard)
    await asyncio.sleep(RESET * 1.5)
    await guard.run(works)
    (opened, half_open, closed) = told(telemetry)
    assert opened == ("proj_pro", "open", THRESHOLD, THRESHOLD)
    assert half_open[3] == (THRESHOLD if volume_of is Pybreaker else None)
    assert closed[3] == (0 if volume_of is Pybreaker else None)


async def test_the_event_marks_the_span_that_suffered(way, telemetry):
    guard = way("db")
    with telemetry.tracer.start_as_current_span("request"), tenant("proj_free"):
        await trip(guard)
    (span,) = telemetry.spans("request")
    ((name, attributes),) = span.events
    assert (name, attributes["state"], attributes["error_threshold"]) == ("circuit_breaker_event", "open", THRESHOLD)
    (event,) = telemetry.events("circuit_breaker_event")
    assert event.trace_id == span.context.trace_id


async def test_opening_by_a_new_error_of_the_library_s_is_no_refusal(telemetry):
    """The default of pybreaker: the failure that trips it is replaced by CircuitBreakerError, once."""
    breaker = CircuitBreaker(fail_max=1, reset_timeout=RESET, name="proj_pro")
    with pytest.raises(CircuitBreakerError, match="threshold reached"):
        breaker.call(fails)
    assert rejections(telemetry) == 0
    with pytest.raises(CircuitBreakerError, match="still open"):
        breaker.call(works)
    assert rejections(telemetry) == 1
    await asyncio.sleep(RESET * 1.5)
    with pytest.raises(CircuitBreakerError, match="Trial call failed"):
        breaker.call(fails)
    assert rejections(telemetry) == 1
    assert telemetry.value("circuit_breaker.open") == 2


async def test_a_refusal_inside_another_breaker_is_counted_once(telemetry):
    inner = CircuitBreaker(fail_max=1, reset_timeout=60, name="proj_pro", throw_new_error_on_trip=False)
    outer = CircuitBreaker(fail_max=1, reset_timeout=RESET, name="proj_free", throw_new_error_on_trip=False)
    inner.open()
    outer.open()
    await asyncio.sleep(RESET * 1.5)
    with pytest.raises(CircuitBreakerError, match="still open"):
        outer.call(inner.call, works)
    assert telemetry.values("tenant.connection.rejections", "project_id", reason="circuit_open") in (
        {"proj_pro": 1, "proj_free": 0},
        {"proj_pro": 1},
    )


def test_a_change_by_hand_is_one_change(telemetry):
    breaker = CircuitBreaker(name="proj_pro")
    for change in (breaker.open, breaker.open, breaker.half_open, breaker.close, breaker.close):
        change()
    assert [event[1] for event in told(telemetry)] == ["open", "half_open", "closed"]
    assert telemetry.value("circuit_breaker.open") == 1


def test_many_threads_that_open_a_breaker_open_it_once(telemetry):
    breaker, barrier = CircuitBreaker(name="proj_pro"), threading.Barrier(8)

    def opens():
        barrier.wait()
        breaker.open()

    threads = [threading.Thread(target=opens) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert telemetry.value("circuit_breaker.open") == len(told(telemetry)) == 1


# --- whose it is ------------------------------------------------------------------------------------------------------


async def test_a_bound_breaker_is_its_tenant_s_whoever_calls(way, telemetry):
    guard = way("proj_free")
    bind_tenant(await guard.bindable(), "proj_pro")
    with tenant("proj_asleep"):
        await trip(guard)
        with pytest.raises(way.refusal):
            await guard.run(works)
    assert states(telemetry) == {"proj_pro": 2}
    assert {event[0] for event in told(telemetry)} == {"proj_pro"}
    assert rejections(telemetry, project_id="proj_pro") == rejections(telemetry) == 1


async def test_binding_a_breaker_in_use_moves_it(way, telemetry, warnings_of):
    guard = way("db")
    await trip(guard)
    assert states(telemetry) == {"unknown": 2}
    bind_tenant(await guard.bindable(), "proj_pro")
    assert states(telemetry) == {"proj_pro": 2}
    assert warnings_of() == []


async def test_a_shared_breaker_is_whose_call_changed_it(way, telemetry):
    guard = way("db")
    with tenant("proj_pro"):
        await trip(guard)
    with tenant("proj_free"), pytest.raises(way.refusal):
        await guard.run(works)
    assert [event[0] for event in told(telemetry)] == ["proj_pro"]
    assert rejections(telemetry, project_id="proj_free") == 1
    assert telemetry.value("circuit_breaker.open", project_id="proj_pro") == 1
    assert sum(states(telemetry).values()) == 2


async def test_nobody_s_breaker_is_unknown(way, telemetry):
    guard = way(None)
    await trip(guard)
    assert states(telemetry) == {"unknown": 2}


async def test_the_directory_moves_an_open_breaker_to_its_new_plan(way, telemetry):
    guard = way("proj_free")
    await trip(guard)
    telemetry.rows[0] = {**telemetry.rows[0], "plan": "enterprise", "tier": "PERSISTENT"}
    telemetry.refresh()
    ((labels, point),) = telemetry.points("circuit_breaker.state")
    assert (labels["plan"], labels["tier"], point.value) == ("enterprise", "PERSISTENT", 2)


# --- shared storages --------------------------------------------------------------------------------------------------


class CountingStorage(pybreaker.CircuitBreakerStorage):
    """A storage that is not in memory: whoever asks it for the failures is noted."""

    def __init__(self):
        super().__init__("elsewhere")
        self.kept = CircuitMemoryStorage("closed")
        self.counter_reads = 0

    state = property(lambda self: self.kept.state, lambda self, state: setattr(self.kept, "state", state))
    opened_at = property(lambda self: self.kept.opened_at, lambda self, at: setattr(self.kept, "opened_at", at))
    success_counter = property(lambda self: self.kept.success_counter)

    @property
    def counter(self):
        self.counter_reads += 1
        return self.kept.counter

    def increment_counter(self):
        self.kept.increment_counter()

    def reset_counter(self):
        self.kept.reset_counter()

    def increment_success_counter(self):
        self.kept.increment_success_counter()

    def reset_success_counter(self):
        self.kept.reset_success_counter()


async def test_a_change_made_elsewhere_is_shown_and_not_counted(telemetry):
    """Two breakers over one storage are two processes: the one that opened it has counted."""
    storage = CircuitMemoryStorage("closed")
    first, second = Pybreaker("proj_pro", state_storage=storage), Pybreaker("proj_free", state_storage=storage)
    await second.run(works)
    await trip(first)
    with pytest.raises(CircuitBreakerError):
        await second.run(works)
    assert states(telemetry) == {"proj_pro": 2, "proj_free": 2}
    assert telemetry.values("circuit_breaker.open", "project_id") == {"proj_pro": 1, "proj_free": 0}
    assert [event[0] for event in told(telemetry)] == ["proj_pro"]
    assert rejections(telemetry, project_id="proj_free") == 1


async def test_a_circuit_that_another_process_opened_is_shown_and_not_counted(telemetry):
    uow = ServerUnitOfWork()
    first, second = PurgatoryStored("proj_pro", uow), PurgatoryStored("proj_pro", uow)
    await second.run(works)
    await trip(first)
    assert telemetry.value("circuit_breaker.open") == len(told(telemetry)) == 1
    with pytest.raises(OpenedState):
        await second.run(works)
    assert states(telemetry) == {"proj_pro": 2}
    assert telemetry.value("circuit_breaker.open") == len(told(telemetry)) == 1
    assert len(telemetry.runtime.probes.breakers._live) == 1


async def test_circuits_of_a_server_are_remembered_up_to_a_bound(telemetry, monkeypatch):
    monkeypatch.setattr(purgatory_adapter, "KEPT", 3)
    uow = ServerUnitOfWork()
    for number in range(10):
        await PurgatoryStored(f"proj_{number}", uow).run(works)
    gc.collect()
    assert len(telemetry.runtime.probes.breakers._live) == 3


async def test_a_storage_that_may_be_a_server_is_asked_nothing_more(instrument):
    """As many reads with us as without; so its events have no volume."""
    reads = []
    for measured in (False, True):
        telemetry = instrument() if measured else None
        storage = CountingStorage()
        guard = Pybreaker("proj_pro", state_storage=storage)
        await trip(guard)
        await asyncio.sleep(RESET * 1.5)
        await guard.run(works)
        reads.append(storage.counter_reads)
    assert reads[0] == reads[1]
    assert [event[3] for event in told(telemetry)] == [None, None, None]


# --- what the application sees ----------------------------------------------------------------------------------------


class Listener(CircuitBreakerListener):
    def __init__(self):
        self.heard = []

    def state_change(self, cb, old_state, new_state):
        self.heard.append((old_state.name, new_state.name))


async def test_the_application_s_listeners_are_as_they_were(telemetry):
    listener = Listener()
    guard = Pybreaker("proj_pro", listeners=[listener])
    await trip(guard)
    assert guard.breaker.listeners == (listener,)
    assert listener.heard == [("closed", "open")]


async def test_purgatory_s_hooks_are_as_they_were(telemetry):
    heard = []
    guard = PurgatoryAsync("proj_pro")
    guard.factory.add_listener(lambda name, kind, event: heard.append(kind))
    await trip(guard)
    assert heard == ["circuit_breaker_created", *["failed"] * THRESHOLD, "state_changed"]
    assert len(guard.factory.listeners) == 1


class Refusing(Listener):
    def state_change(self, cb, old_state, new_state):
        raise ZeroDivisionError


def test_a_change_that_a_listener_prevents_is_none(telemetry):
    breaker = CircuitBreaker(name="proj_pro", listeners=[Refusing()])
    with pytest.raises(ZeroDivisionError):
        breaker.open()
    assert breaker.call(works) == "done"
    assert states(telemetry) == {"proj_pro": 0}
    assert (told(telemetry), telemetry.value("circuit_breaker.open")) == ([], 0)


@pytest.mark.parametrize("broken", ["changed", "refused", "met", "tell"])
async def test_a_probe_that_fails_is_not_noticed(way, telemetry, lenient, monkeypatch, broken):
    def fail(*_args, **_kwargs):
        raise RuntimeError

    monkeypatch.setattr(type(telemetry.runtime.probes.breakers), broken, fail)
    guard = way("proj_pro")
    assert await guard.run(works) == "done"
    await trip(guard)
    with pytest.raises(way.refusal):
        await guard.run(works)
    await asyncio.sleep(RESET * 1.5)
    assert await guard.run(works) == "done"
    assert broken == "changed" or sum(lenient.values()) > 0


async def test_a_breaker_made_before_instrumenting_is_met_at_its_next_call(way, instrument):
    guard = way("proj_pro")
    await trip(guard)
    telemetry = instrument()
    assert states(telemetry) == {}
    with pytest.raises(way.refusal):
        await guard.run(works)
    assert states(telemetry) == {"proj_pro": 2}
    assert (rejections(telemetry), told(telemetry)) == (1, [])


async def test_a_purgatory_breaker_in_hand_is_met_at_its_next_change(instrument):
    """Kept by the application, so nobody makes it anew."""
    factory = AsyncCircuitBreakerFactory(default_threshold=1, default_ttl=60)
    breaker = await factory.get_breaker("proj_pro")
    telemetry = instrument()
    with pytest.raises(DownError):
        async with breaker:
            raise DownError
    assert states(telemetry) == {"proj_pro": 2}
    assert [event[1] for event in told(telemetry)] == ["open"]


async def test_a_breaker_outlives_uninstrumenting_and_instrumenting_again(way, instrument):
    first = instrument()
    guard = way("proj_pro")
    bind_tenant(await guard.bindable(), "proj_free")
    await guard.run(works)
    first.uninstrument()
    await trip(guard)
    second = instrument()
    with pytest.raises(way.refusal):
        await guard.run(works)
    assert states(second) == {"proj_free": 2}
    assert rejections(second) == 1


async def test_a_breaker_that_is_gone_is_not_shown(way, telemetry):
    guard = way("proj_pro")
    await guard.run(works)
    del guard
    gc.collect()
    assert states(telemetry) == {}


OWNERS = [
    *(pybreaker.CircuitBreaker, pybreaker.CircuitOpenState, pybreaker.CircuitBreakerState),
    *(Context, AsyncCircuitBreaker, SyncCircuitBreaker),
    *(purgatory.AsyncCircuitBreakerFactory, purgatory.SyncCircuitBreakerFactory),
]


def test_everything_is_taken_back(instrument):
    before = [dict(vars(owner)) for owner in OWNERS]
    telemetry = instrument()
    breaker = CircuitBreaker(name="proj_pro")
    plain = dict(vars(breaker))
    breaker.call(works)
    assert [dict(vars(owner)) for owner in OWNERS] != before
    telemetry.uninstrument()
    assert [dict(vars(owner)) for owner in OWNERS] == before
    assert dict(vars(breaker)).keys() == plain.keys()


def test_refusals_are_cheap(telemetry):
    """A thousand a second must not be felt: each costs a small part of a millisecond."""
    breaker = CircuitBreaker(name="proj_pro")
    breaker.open()
    began = time.process_time()
    for _ in range(2000):
        with pytest.raises(CircuitBreakerError):
            breaker.call(works)
    assert (time.process_time() - began) / 2000 < 0.001
    assert rejections(telemetry) == 2000


def test_a_version_that_an_adapter_cannot_be_imported_for_is_left_alone(instrument, lenient, monkeypatch):
    """The other libraries are measured, and binding does not raise."""
    monkeypatch.setitem(sys.modules, "otel_dynabase.adapters.purgatory", None)
    telemetry = instrument()
    breaker = CircuitBreaker(name="db")
    breaker.call(works)
    bind_tenant(breaker, "proj_pro")
    bind_tenant(SyncCircuitBreakerFactory().get_breaker("db"), "proj_pro")
    assert states(telemetry) == {"proj_pro": 0}
    assert lenient["importing the adapter of purgatory"] > 0


# --- what the adapters rely on ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("touchpoint", pybreaker_adapter.TOUCHPOINTS)
def test_a_private_attribute_that_the_pybreaker_adapter_relies_on_exists(touchpoint):
    breaker = CircuitBreaker()
    breaker.open()
    owner, _, name = touchpoint.partition(".")
    found = {"CircuitBreaker": breaker, "CircuitOpenState": breaker.state}[owner]
    assert name in vars(found)


@pytest.mark.parametrize("touchpoint", purgatory_adapter.TOUCHPOINTS)
def test_a_part_that_the_purgatory_adapter_relies_on_exists(touchpoint):
    module, _, path = touchpoint.partition(":")
    found = importlib.import_module(module)
    for name in path.split("."):
        found = getattr(found, name)


@pytest.mark.skipif(not pybreaker.HAS_TORNADO_SUPPORT, reason="tornado is not installed")
async def test_tornado_coroutines_are_guarded_too(telemetry):
    from tornado import gen  # noqa: PLC0415  # only where it is installed

    @gen.coroutine
    def down():
        raise DownError

    breaker = CircuitBreaker(fail_max=1, reset_timeout=60, name="proj_pro", throw_new_error_on_trip=False)
    with pytest.raises(DownError):
        await breaker.call_async(down)
    with pytest.raises(CircuitBreakerError):
        await breaker.call_async(down)
    assert states(telemetry) == {"proj_pro": 2}
    assert (rejections(telemetry), [event[1] for event in told(telemetry)]) == (1, ["open"])
