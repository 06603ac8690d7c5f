"""Pools: whatever waits, is given, fails and comes back in whatever order, the books balance."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from otel_dynabase.catalog.metrics import (
    ACTIVE_CONNECTIONS,
    CONNECTION_COUNT,
    CONNECTION_MAX,
    CONNECTION_PENDING,
    CONNECTION_USE,
    CONNECTION_WAIT,
    LIMIT_HITS,
    LIMIT_QUEUE,
    QUEUE_DEPTH,
    SELF_FOLDED,
)
from otel_dynabase.directory import Directory
from otel_dynabase.events import EventLog
from otel_dynabase.probes import Probes
from otel_dynabase.probes.acquire import Wait
from otel_dynabase.probes.pool import PoolProbe
from otel_dynabase.store import Budget, Store
from otel_dynabase.tenant import tenant

SIZE = 3
projects = st.sampled_from(("proj_a", "proj_b", "proj_c"))
failures = st.sampled_from((TimeoutError(), RuntimeError("x"), OSError("x"), KeyboardInterrupt(), GeneratorExit()))


class PoolMachine(RuleBasedStateMachine):
    """Drives a PoolProbe as an adapter does: a model pool of three places decides who is given what."""

    waits, helds = Bundle("waits"), Bundle("helds")

    def __init__(self):
        super().__init__()
        self.store = Store()
        directory = Directory(None)
        events = EventLog(self.store)
        budget = Budget(2, self.store.sum(SELF_FOLDED))
        self.probes = Probes(self.store, events, directory, budget, window=0)
        self.free = SIZE
        self.queue = []
        self.unsettled = set()
        self.held = {}
        self.counts = {"waiting": 0, "given": 0, "returned": 0, "queued": 0}
        self.probe = PoolProbe(
            self.probes.pools, name="pool", database=None, min_size=0, max_size=SIZE, idle=lambda: self.free
        )
        self.probes.pools.opened(self.probe)

    @rule(target=waits, project=projects, timeout=st.sampled_from((None, 30.0)))
    def ask(self, project, timeout):
        with tenant(project):
            wait = Wait(self.probe, timeout)
        if not self.free:
            wait.queues()
        self.counts["waiting"] += 1
        if self.free:
            self.free -= 1
            wait.turn()
        else:
            self.queue.append(wait)
            self.unsettled.add(wait)
            self.counts["queued"] += 1
        return wait

    def _serve(self):
        if self.queue:
            self.queue.pop(0).turn()
        else:
            self.free += 1

    @rule(target=helds, wait=consumes(waits))
    def give(self, wait):
        if wait in self.queue:
            return multiple()
        handle = object()
        wait.done(handle)
        self.unsettled.discard(wait)
        self.held[handle] = wait.series
        self.counts["given"] += 1
        self.counts["waiting"] -= 1
        return handle

    @rule(wait=consumes(waits), error=failures)
    def fail(self, wait, error):
        if wait in self.queue:
            self.queue.remove(wait)
            wait.failed(error)
        else:
            wait.failed(error)
            self._serve()
        self.unsettled.discard(wait)
        self.counts["waiting"] -= 1

    @rule(handle=consumes(helds), twice=st.booleans())
    def give_back(self, handle, twice):
        self.probe.returned(handle)
        if twice:
            self.probe.returned(handle)
        self.held.pop(handle)
        self.counts["returned"] += 1
        self._serve()

    def _total(self, metric):
        return sum(
            sum(point.counts) if hasattr(point, "counts") else point.value
            for found, _, point in self.store.series()
            if found is metric
        )

    def _gauge(self, metric, state=None):
        return sum(
            value
            for found, key, value in self.probes.pools.observe()
            if found is metric and (state is None or state in key)
        )

    @invariant()
    def every_acquire_ends_once(self):
        assert list(self.probe.queue) == self.queue
        assert self._total(CONNECTION_WAIT) == self.counts["given"]
        assert self._total(CONNECTION_USE) == self.counts["returned"]

    @invariant()
    def gauges_are_the_pools_own_state(self):
        assert self._gauge(CONNECTION_COUNT, "used") == self._gauge(ACTIVE_CONNECTIONS) == len(self.held)
        assert self._gauge(CONNECTION_COUNT) <= self._gauge(CONNECTION_MAX) == SIZE
        assert self._gauge(QUEUE_DEPTH) == len(self.queue)
        assert self._gauge(CONNECTION_PENDING) == self.probe.pending == self.counts["waiting"]

    @invariant()
    def only_those_who_queued_hit_the_limit(self):
        assert self._total(LIMIT_HITS) == self._total(LIMIT_QUEUE) == self.counts["queued"] - len(self.unsettled)


PoolMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestPoolMachine = PoolMachine.TestCase
