"""Pools whose workers connect: what a failure of theirs is to those who wait, and to nobody."""

import asyncio

import pytest

from otel_dynabase.catalog.metrics import (
    COLD_STARTS,
    CONNECTION_CREATE,
    CONNECTION_TIMEOUTS,
    ERRORS,
    LIMIT_HITS,
    LIMIT_QUEUE,
    REJECTIONS,
    SELF_FOLDED,
)
from otel_dynabase.directory import Directory
from otel_dynabase.events import EventLog
from otel_dynabase.probes import Probes
from otel_dynabase.probes.acquire import Supplying, Wait
from otel_dynabase.probes.pool import PoolProbe
from otel_dynabase.store import Budget, Store
from otel_dynabase.tenant import tenant


class Answered(Exception):  # noqa: N818
    """An error that a server answered with."""

    def __init__(self, state):
        super().__init__("x")
        self.sqlstate = state


REFUSED = ConnectionRefusedError(111, "x")
TIMED_OUT = TimeoutError()


class World:
    def __init__(self, **options):
        self.store = Store()
        directory = Directory(lambda: [{"project_id": "proj_cold", "plan": "pro", "tier": "COLD"}])
        directory.refresh()
        budget = Budget(100, self.store.sum(SELF_FOLDED))
        self.probes = Probes(self.store, EventLog(self.store), directory, budget, window=0)
        options = {"name": "pool", "database": None, "min_size": 0, "max_size": 2, "idle": lambda: 0} | options
        self.probe = PoolProbe(self.probes.pools, **options)
        self.probes.pools.opened(self.probe)

    def wait(self, project="proj_a"):
        with tenant(project):
            return Wait(self.probe, None)

    def fails(self, error=REFUSED):
        Supplying(self.probe).failed(error)

    def connects(self):
        made = Supplying(self.probe)
        made.done()
        return made.began

    def total(self, metric):
        """Return a metric's series without what is zero: {labels after project, tier and plan: total}."""
        self.probes.cold_starts.flush(everything=True)
        rest = 2 if metric is COLD_STARTS else 3
        return {
            (key[0], *key[rest:]): total
            for found, key, point in self.store.series()
            if found is metric and (total := point.value if hasattr(point, "value") else sum(point.counts))
        }


@pytest.fixture
def world():
    return World()


def test_a_failure_while_nobody_waits_counts_nothing(world):
    for _ in range(5):
        world.fails()
    assert all(world.total(metric) == {} for metric in (ERRORS, LIMIT_HITS, REJECTIONS, COLD_STARTS))


REASONS = {
    "absent": (REFUSED, "connection", None, {}),
    "full": (Answered("53300"), "insufficient_resources", "tier_limit_exceeded", {("max_concurrent", "rejected")}),
    "unknown": (Answered("28P01"), "invalid_authorization_specification", "auth_failure", {}),
}


@pytest.mark.parametrize("name", REASONS)
@pytest.mark.parametrize("when", ["before", "while"])
def test_who_waits_in_vain_is_one_error_of_what_kept_it_waiting(world, name, when):
    error, kind, reason, hits = REASONS[name]
    if when == "before":
        world.fails(error)
    wait = world.wait()
    for _ in range(3 if when == "while" else 0):
        world.fails(error)
    wait.failed(TIMED_OUT, expired=True)
    assert world.total(ERRORS) == {("proj_a", kind): 1}
    assert world.total(REJECTIONS) == ({("proj_a", reason): 1} if reason else {})
    assert world.total(LIMIT_HITS) == {("proj_a", *hit): 1 for hit in hits}
    assert world.total(CONNECTION_TIMEOUTS) == {("proj_a", "pool"): 1}


def test_who_queued_behind_a_failure_was_queued_and_not_refused_for_the_pools_size(world):
    wait = world.wait()
    wait.queues()
    world.fails()
    wait.failed(TIMED_OUT, expired=True)
    assert world.total(LIMIT_HITS) == {("proj_a", "max_pool_size", "queued"): 1}
    assert world.total(ERRORS) == {("proj_a", "connection"): 1}
    assert world.total(REJECTIONS) == {}


def test_a_failure_that_is_over_explains_nothing(world):
    wait = world.wait()
    wait.queues()
    world.fails()
    world.connects()
    wait.failed(TIMED_OUT, expired=True)
    assert world.total(LIMIT_HITS) == {("proj_a", "connection_timeout", "rejected"): 1}
    assert world.total(ERRORS) == {("proj_a", "timeout"): 1}


def test_who_is_turned_away_never_queued(world):
    world.wait().failed(RuntimeError("too many"), expired=False, refused=True)
    assert world.total(LIMIT_HITS) == {("proj_a", "max_pool_size", "rejected"): 1}
    assert world.total(REJECTIONS) == {("proj_a", "pool_exhausted"): 1}
    assert world.total(LIMIT_QUEUE) == {}


def test_who_gets_a_connection_after_failures_saw_a_cold_start(world):
    wait = world.wait()
    world.fails()
    began = world.connects()
    wait.turn()
    wait.done(object(), began)
    assert world.total(COLD_STARTS) == {("proj_a", "unknown"): 1}
    assert world.total(ERRORS) == {}


def test_who_gets_one_from_stock_saw_nothing(world):
    world.fails()
    wait = world.wait("proj_cold")
    wait.done(object())
    assert world.total(COLD_STARTS) == {}


def test_the_first_connection_that_a_sleeping_tenant_waits_for_is_a_start(world):
    for _ in range(2):
        wait = world.wait("proj_cold")
        wait.turn()
        wait.done(object(), world.connects())
    assert world.total(COLD_STARTS) == {("proj_cold", "COLD"): 1}


def test_who_was_held_up_by_a_limit_of_the_servers_was_queued_by_it(world):
    wait = world.wait()
    world.fails(Answered("53300"))
    wait.turn()
    wait.done(object())
    assert world.total(LIMIT_HITS) == {("proj_a", "max_concurrent", "queued"): 1}
    assert world.total(LIMIT_QUEUE) == {("proj_a", "max_concurrent"): 1}


def test_a_worker_that_is_stopped_has_not_failed(world):
    world.fails(asyncio.CancelledError())
    assert world.probe.failure is None


@pytest.mark.parametrize("error", [TIMED_OUT, RuntimeError("x"), asyncio.CancelledError(), KeyboardInterrupt()])
def test_a_pool_does_not_keep_whom_it_has_answered(world, error):
    first, second = world.wait(), world.wait()
    assert world.probe.pending == 2
    first.failed(error, expired=False)
    second.done(object())
    assert world.probe.pending == 0


def test_connections_are_made_for_the_pools_tenant_or_who_waits_longest_or_nobody(world):
    world.connects()
    world.wait("proj_a")
    world.wait("proj_b")
    world.connects()
    world.probe.bind("proj_own")
    world.connects()
    made = {project: count for (project, _pool), count in world.total(CONNECTION_CREATE).items()}
    assert made == {"unknown": 1, "proj_a": 1, "proj_own": 1}


def test_a_pool_without_limit_says_none():
    world = World(max_size=None, max_idle=0)
    sizes = {metric.name: value for metric, _key, value in world.probes.pools.observe()}
    assert "db.client.connection.max" not in sizes
    assert sizes["db.client.connection.idle.max"] == 0


def test_what_changes_hands_during_a_look_is_not_seen_twice():
    """A connection leaves the stock between two looks at it, and is held by then."""
    stock = iter([2, 1])
    world = World(idle=lambda: next(stock))
    world.probe.held[1] = (world.wait().series, 0.0)
    states = {
        key[-1]: value for m, key, value in world.probes.pools.observe() if m.name == "db.client.connection.count"
    }
    assert states == {"idle": 1, "used": 1}
