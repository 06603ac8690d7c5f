"""Circuit breakers: the gauge, the counter and the event of one breaker never disagree."""

import gc
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry._logs import SeverityNumber

from otel_dynabase.catalog.metrics import BREAKER_OPENED, BREAKER_STATE_GAUGE, REJECTIONS, SELF_FOLDED
from otel_dynabase.directory import Directory
from otel_dynabase.events import EventLog
from otel_dynabase.probes import breaker as module
from otel_dynabase.probes.breaker import Breaker, Breakers
from otel_dynabase.probes.tenants import Tenants
from otel_dynabase.store import Budget, Store
from otel_dynabase.tenant import tenant


class World:
    def __init__(self, budget=100, capacity=100_000):
        self.rows = [{"project_id": f"proj_{n}", "plan": "pro", "tier": "HOT"} for n in (1, 2, 3)]
        self.store = Store()
        self.events = EventLog(self.store, capacity=capacity)
        self.directory = Directory(lambda: self.rows)
        self.directory.refresh()
        self.tenants = Tenants(self.store, self.directory, Budget(budget, self.store.sum(SELF_FOLDED)))
        self.breakers = Breakers(self.store, self.events, self.tenants)
        self.store.observe(self.breakers.observe)

    def changed(self, state, project="proj_1", name="db", **more):
        self.breakers.changed(self.tenants.of(project), name, state, **more)

    def told(self):
        return [record.attributes for record in self.events._outbox]

    def states(self):
        return self.store.observed().get(BREAKER_STATE_GAUGE, {})

    def opened(self):
        return {key: point.value for metric, key, point in self.store.series() if metric is BREAKER_OPENED}


@pytest.fixture
def world():
    return World()


def test_an_opening_is_counted_told_and_shown(world):
    world.changed("open", error_threshold=5, volume=7, metadata={"note": "x"}, time_ns=123)
    (event,) = world.told()
    expected = {"project_id": "proj_1", "plan": "pro", "state": "open", "error_threshold": 5, "volume": 7}
    assert expected.items() <= event.items()
    assert event["database_type"] == "postgres"
    assert event["metadata"] == {"breaker": "db", "note": "x"}
    (record,) = world.events._outbox
    assert (record.severity, record.time_ns) == (SeverityNumber.WARN, 123)
    assert world.opened() == {("proj_1", "HOT", "pro"): 1}
    assert world.states() == {("proj_1", "HOT", "pro"): 2}


def test_what_is_reported_again_changes_nothing(world):
    for state in ("open", "open", "half_open", "half_open", "closed", "closed", "open"):
        world.changed(state)
    assert [event["state"] for event in world.told()] == ["open", "half_open", "closed", "open"]
    assert world.opened() == {("proj_1", "HOT", "pro"): 2}


def test_a_breaker_begins_closed(world):
    """Its counter is there at 0, so that the first opening is an increase."""
    world.changed("closed")
    assert world.told() == []
    assert world.opened() == {("proj_1", "HOT", "pro"): 0}
    assert world.states() == {("proj_1", "HOT", "pro"): 0}


def test_a_state_that_there_is_not_is_refused(world):
    with pytest.raises(ValueError, match="half-open"):
        world.changed("half-open")
    assert (world.told(), world.states(), world.opened()) == ([], {}, {})


def test_breakers_of_one_tenant_are_told_apart_and_the_worst_is_shown(world):
    world.changed("half_open", name="a")
    world.changed("open", name="b")
    world.changed("closed", name="c")
    assert len(world.told()) == 2
    assert world.states() == {("proj_1", "HOT", "pro"): 2}


def test_a_change_of_plan_and_tier_moves_the_gauge_at_once(world):
    world.changed("open")
    world.rows = [{"project_id": "proj_1", "plan": "enterprise", "tier": "PERSISTENT"}]
    world.directory.refresh()
    world.tenants.refresh()
    assert world.states() == {("proj_1", "PERSISTENT", "enterprise"): 2}


def test_tenants_beyond_the_budget_share_the_worst_state_and_keep_their_events():
    world = World(budget=1)
    for project, state in (("proj_1", "half_open"), ("proj_2", "open"), ("proj_3", "half_open")):
        world.changed(state, project)
    assert world.states() == {("proj_1", "HOT", "pro"): 1, ("_other", "HOT", "pro"): 2}
    assert [event["project_id"] for event in world.told()] == ["proj_1", "proj_2", "proj_3"]


def test_reported_breakers_are_bounded(world, monkeypatch, warnings_of):
    monkeypatch.setattr(module, "MAX_REPORTED", 3)
    for name in "abcde":
        world.changed("open", name=name)
    assert len(world.breakers._reported) == 3
    assert world.opened() == {("proj_1", "HOT", "pro"): 5}
    assert len(warnings_of()) == 1
    world.changed("open", name="c")  # still known
    world.changed("closed", name="f")  # the eldest goes: d
    world.changed("open", name="d")
    assert world.opened() == {("proj_1", "HOT", "pro"): 6}


def test_a_library_s_breaker_is_shown_for_as_long_as_it_lives(world):
    with tenant("proj_2"):
        breaker = Breaker(world.breakers, "db", lambda: "half_open")
    assert world.states() == {("proj_2", "HOT", "pro"): 1}
    world.breakers.after_fork()
    assert world.states() == {("proj_2", "HOT", "pro"): 1}
    del breaker
    gc.collect()
    assert world.states() == {}


def test_whose_a_breaker_is(world):
    """Bound, then named like a project, then the current task's, then nobody's."""
    with tenant("proj_3"):
        assert Breaker(world.breakers, "proj_1", lambda: "closed", "proj_2").project_id == "proj_2"
        assert Breaker(world.breakers, "proj_1", lambda: "closed").project_id == "proj_1"
        shared = Breaker(world.breakers, "db", lambda: "closed")
        assert shared.project_id == "proj_3"
    assert Breaker(world.breakers, None, lambda: "closed").project_id == "unknown"
    with tenant("proj_1"):
        shared.refused()
        shared.moved("open", error_threshold=None, volume=None)
    assert shared.project_id == "proj_1"
    shared.bind("proj_2")
    assert shared.series().tenant.project_id == "proj_2"


def test_a_breaker_that_cannot_be_read_hides_no_other(world, lenient):
    broken = Breaker(world.breakers, "proj_1", lambda: 1 / 0)
    sound = Breaker(world.breakers, "proj_2", lambda: "open")
    assert world.states() == {("proj_2", "HOT", "pro"): 2}
    assert lenient == {"observing a circuit breaker": 1}
    del broken, sound


def test_refusals_are_counted(world):
    for _ in range(1000):
        world.breakers.refused(world.tenants.of("proj_1"))
    totals = {key: point.value for metric, key, point in world.store.series() if metric is REJECTIONS and point.value}
    assert totals == {("proj_1", "HOT", "pro", "circuit_open"): 1000}
    assert world.told() == []


def test_a_fork_leaves_what_was_reported_to_the_parent(world):
    world.changed("open")
    world.breakers.after_fork()
    assert world.states() == {}


def test_many_threads_that_report_one_opening_are_one_opening(world):
    barrier = threading.Barrier(8)

    def report():
        barrier.wait()
        world.changed("open")

    threads = [threading.Thread(target=report) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(world.told()), world.opened()) == (1, {("proj_1", "HOT", "pro"): 1})


reports = st.tuples(
    st.sampled_from(("proj_1", "proj_2")), st.sampled_from("ab"), st.sampled_from(("closed", "half_open", "open"))
)


@settings(deadline=None, max_examples=100)
@given(st.lists(reports, max_size=30), st.integers(1, 3))
def test_counter_events_and_gauge_agree_for_any_history(history, budget):
    world, last = World(budget), {}
    openings = 0
    for project, name, state in history:
        before = last.get((project, name), "closed")
        openings += state == "open" != before
        last[project, name] = state
        world.changed(state, project, name)
    assert sum(event["state"] == "open" for event in world.told()) == sum(world.opened().values()) == openings
    worst = max((module.VALUES[state] for state in last.values()), default=None)
    assert max(world.states().values(), default=None) == worst
