"""Limit hits: a counter and an event that never disagree, however hits come together."""

import threading
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_dynabase.catalog.metrics import LIMIT_HITS, REJECTIONS, SELF_EVENTS, SELF_FOLDED
from otel_dynabase.directory import Directory
from otel_dynabase.events import EventLog
from otel_dynabase.probes.limits import Limits
from otel_dynabase.probes.tenants import Tenants
from otel_dynabase.store import Budget, Store


class World:
    def __init__(self, window=3600.0, budget=100):
        self.store = Store()
        self.events = EventLog(self.store, capacity=100_000)
        self.wakes = []
        self.limits = Limits(self.store, self.events, window, lambda: self.wakes.append(1))
        self.tenants = Tenants(self.store, Directory(None), Budget(budget, self.store.sum(SELF_FOLDED)))

    def hit(self, project="proj_1", limit="max_pool_size", action="queued", **more):
        self.limits.hit(self.tenants.of(project), limit, action, **more)

    def told(self):
        self.limits.flush(everything=True)
        return [record.attributes for record in self.events._outbox]

    def total(self, metric, key=None):
        return sum(p.value for m, k, p in self.store.series() if m is metric and (key is None or k == key))


@pytest.fixture
def world():
    return World()


def test_hits_in_quick_succession_are_one_event_with_the_worst_of_them(world):
    for waited, depth in ((0.01, 1), (0.5, 9), (0.2, 3)):
        world.hit(waited=waited, queue_depth=depth, pool_name="pool")
    (event,) = world.told()
    assert (event["hit_count"], event["queue_depth"], event["queue_duration_ms"]) == (3, 9, 500.0)
    assert event["rejection_count"] == 0
    assert event["metadata"] == {"database_type": "postgres", "pool_name": "pool"}
    assert world.total(LIMIT_HITS) == 3
    assert world.total(SELF_EVENTS, ("coalesced",)) == 2


def test_tenants_limits_and_actions_are_told_apart(world):
    for project in ("proj_1", "proj_2"):
        for limit, action in (
            ("max_pool_size", "queued"),
            ("query_timeout", "rejected"),
            ("max_pool_size", "rejected"),
        ):
            world.hit(project, limit, action)
    assert len(world.told()) == 6


def test_a_rejection_counts_itself_and_its_reason(world):
    for _ in range(3):
        world.hit(action="rejected", reason="pool_exhausted")
    world.limits.refused(world.tenants.of("proj_1"), "auth_failure")
    (event,) = world.told()
    assert event["rejection_count"] == 3
    assert world.total(REJECTIONS) == 4
    assert world.total(LIMIT_HITS) == 3


def test_a_window_that_is_open_is_not_told_yet():
    world = World(window=3600)
    world.hit()
    assert 3590 < world.limits.flush() <= 3600
    assert len(world.events._outbox) == 0
    assert world.wakes


def test_without_a_window_each_flush_tells():
    world = World(window=0)
    for _ in range(3):
        world.hit()
        assert world.limits.flush() == float("inf")
    assert [attributes["hit_count"] for attributes in world.told()] == [1, 1, 1]


def test_a_fork_leaves_open_bursts_to_the_parent(world):
    world.hit()
    world.limits.after_fork()
    assert world.told() == []


def test_hits_and_flushes_of_many_threads_lose_nothing():
    world, done = World(window=0), threading.Event()

    def flush():
        while not done.is_set():
            world.limits.flush()

    flusher = threading.Thread(target=flush)
    threads = [threading.Thread(target=lambda: [world.hit() for _ in range(1000)]) for _ in range(8)]
    flusher.start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    flusher.join()
    assert sum(attributes["hit_count"] for attributes in world.told()) == world.total(LIMIT_HITS) == 8000


hits = st.tuples(
    st.sampled_from(("proj_1", "proj_2", "proj_3")),
    st.sampled_from(("max_pool_size", "query_timeout")),
    st.sampled_from(("queued", "rejected")),
)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.one_of(hits, st.just("flush")), max_size=40), st.sampled_from((0.0, 3600.0)), st.integers(1, 4))
def test_events_add_up_to_the_counters_for_any_history_window_and_budget(history, window, budget):
    """Folding changes the counter's project, never the event's."""
    world, made = World(window, budget), Counter()
    for step in history:
        if step == "flush":
            world.limits.flush()
        else:
            made[step] += 1
            world.hit(*step)
    told = Counter()
    for attributes in world.told():
        told[attributes["project_id"], attributes["limit_type"], attributes["action"]] += attributes["hit_count"]
    assert told == made
    assert world.total(LIMIT_HITS) == sum(made.values())
    assert world.total(SELF_EVENTS, ("coalesced",)) + len(world.events._outbox) == sum(made.values())
