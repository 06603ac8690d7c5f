"""The directory watch: what is a change, what it is called, since when, and what waits for room."""

import asyncio

import pytest

from otel_dynabase.catalog.metrics import (
    CURRENT_TIER,
    PLAN_CHANGES,
    REVENUE_BY_TIER,
    SCALE_TO_ZERO,
    SELF_FOLDED,
    TENANTS_BY_TIER,
    TIER_DURATION,
    TIER_TRANSITIONS,
)
from otel_dynabase.directory import Tenant
from otel_dynabase.events import EventLog
from otel_dynabase.observer.facts import NO_FACTS, Facts
from otel_dynabase.observer.journal import Entry
from otel_dynabase.observer.settings import PRICE_TABLE, TELLS
from otel_dynabase.observer.watch import Watch
from otel_dynabase.store import Budget, Store

START = 1_800_000_000.0


class World:
    """A watch with a clock and rooms of the test's own."""

    def __init__(self, tells=TELLS, capacity=100, named=1000):
        self.named = named
        self.now = START
        self.tenants = {}
        self.facts = {}
        self.store = Store()
        self.events = EventLog(self.store, capacity=capacity)
        self.watch = self.make(tells)

    def make(self, tells=TELLS):
        return Watch(
            self.store,
            self.events,
            facts=lambda: self.facts,
            tells=frozenset(tells),
            prices=PRICE_TABLE,
            budget=Budget(self.named, self.store.sum(SELF_FOLDED)),
            clock=lambda: self.now,
        )

    def put(self, project, plan="pro", tier="WARM", **facts):
        self.tenants[project] = Tenant(project, "org", plan, tier)
        self.facts[project] = Facts(**facts)

    def look(self, later=10.0, gathered=None):
        self.now += later
        self.watch.apply(gathered, self.tenants, self.now)

    def restart(self):
        state = self.watch.dump()
        self.watch = self.make()
        self.watch.load(state)

    def counted(self, metric):
        return {key: point.value for found, key, point in self.store.series() if found is metric}

    def told(self, *names):
        return [(record.event.name, *(record.attributes.get(name) for name in names)) for record in self.events._outbox]

    def gauges(self, metric):
        return {key: value for found, key, value in self.watch.observe() if found is metric}


@pytest.fixture
def world():
    world = World()
    world.put("a")
    world.look()
    return world


def test_the_first_sight_is_no_change(world):
    assert world.told() == []
    assert world.counted(TIER_TRANSITIONS) == {}
    assert world.gauges(CURRENT_TIER) == {("a", "pro"): 1}


def test_a_project_that_comes_later_is_no_change(world):
    world.put("b", tier="HOT")
    world.look()
    assert world.told() == []


@pytest.mark.parametrize(
    ("target", "said", "reason"),
    [
        ("HOT", {}, "automatic_promotion"),
        ("HOT", {"tier_reason": "manual_upgrade"}, "manual_upgrade"),
        ("HOT", {"tier_reason": "automatic_demotion"}, "automatic_promotion"),
        ("PERSISTENT", {"tier_reason": "scale_to_zero"}, "automatic_promotion"),
        ("COLD", {}, "scale_to_zero"),
        ("COLD", {"tier_reason": "manual_downgrade"}, "manual_downgrade"),
    ],
)
def test_why_a_tier_changed(world, target, said, reason):
    world.put("a", tier=target, **said)
    world.look()
    assert world.counted(TIER_TRANSITIONS) == {("a", "pro", "WARM", target, reason): 1}
    assert world.told("source_tier", "target_tier", "reason", "plan", "tier")[0] == (
        "tier_transition", "WARM", target, reason, "pro", target,
    )  # fmt: skip


def test_a_step_down_that_is_not_to_zero(world):
    world.put("a", tier="HOT")
    world.look()
    world.put("a", tier="WARM", tier_reason="scale_to_zero")
    world.look()
    assert world.told("reason")[-1] == ("tier_transition", "automatic_demotion")
    assert world.counted(SCALE_TO_ZERO) == {}


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({}, "idle_timeout"),
        ({"scale_reason": "cost_optimization"}, "cost_optimization"),
        ({"tier_reason": "manual_downgrade"}, "manual"),
        ({"tier_reason": "manual_upgrade"}, "idle_timeout"),
    ],
)
def test_why_compute_was_given_up(world, said, reason):
    world.put("a", tier="COLD", **said)
    world.look()
    assert world.counted(SCALE_TO_ZERO) == {("a", "WARM", "pro", reason): 1}
    assert world.told("reason", "tier")[1] == ("scale_to_zero", reason, "WARM")


@pytest.mark.parametrize(
    ("before", "after", "said", "kind"),
    [
        ("free", "pro", {}, "upgrade"),
        ("free", "starter", {"change_type": "trial_conversion"}, "trial_conversion"),
        ("enterprise", "pro", {}, "downgrade"),
        ("pro", "free", {"change_type": "cancellation"}, "cancellation"),
        ("pro", "free", {"change_type": "upgrade"}, "downgrade"),
    ],
)
def test_what_kind_of_change_of_plan(before, after, said, kind):
    world = World()
    world.put("a", before)
    world.look()
    world.put("a", after, **said)
    world.look()
    assert world.counted(PLAN_CHANGES) == {("a", before, after, kind): 1}
    assert world.told("from_tier", "to_tier", "change_type", "plan", "effective_timestamp") == [
        ("plan_change", before, after, kind, after, "2027-01-15T08:00:20.000Z")
    ]


def test_a_paid_project_that_leaves_is_a_cancellation_and_a_free_one_is_nothing(world):
    world.put("b", "free")
    world.look()
    world.tenants.clear()
    world.look()
    assert world.counted(PLAN_CHANGES) == {("a", "pro", "unknown", "cancellation"): 1}
    assert world.told("project_id", "tenant_id", "plan", "tier") == [("plan_change", "a", "org", "unknown", "WARM")]
    assert world.gauges(CURRENT_TIER) == world.gauges(TENANTS_BY_TIER) == {}
    world.put("a")
    world.look()
    assert len(world.told()) == 1, "coming back is no change"


def test_a_tier_that_is_unknown_for_a_while_is_no_change(world):
    world.put("a", "unknown", "unknown")
    world.look()
    assert world.gauges(CURRENT_TIER) == {("a", "pro"): 1}
    world.put("a", "pro", "HOT")
    world.look()
    assert world.told("source_tier", "target_tier") == [("tier_transition", "WARM", "HOT")]


def test_a_tier_that_was_never_known_is_no_change_and_has_no_gauge():
    world = World()
    world.put("a", tier="unknown")
    world.look()
    assert world.gauges(CURRENT_TIER) == {}
    assert world.gauges(TENANTS_BY_TIER) == {("unknown", "pro"): 1}
    world.put("a", tier="HOT")
    world.look()
    assert world.told() == []


def test_since_when_is_the_first_sight_or_what_the_directory_says_and_survives_a_restart(world):
    world.put("b", since=START - 3600)
    world.look(10)
    world.restart()
    world.look(10)
    assert world.gauges(TIER_DURATION) == {("a", "WARM", "pro"): 20.0, ("b", "WARM", "pro"): 3630.0}
    world.put("a", tier="HOT")
    world.put("b", tier="HOT", since=world.now + 4)
    world.look(10)
    assert world.gauges(TIER_DURATION) == {("a", "HOT", "pro"): 0.0, ("b", "HOT", "pro"): 6.0}
    assert [record.time_ns for record in world.events._outbox] == [int(world.now * 1e9), int((world.now - 6) * 1e9)]


def test_clocks_that_step_back_or_run_ahead_make_no_negative_duration(world):
    world.put("a", since=START + 1e6)
    world.look()
    assert world.gauges(TIER_DURATION) == {("a", "WARM", "pro"): 0.0}
    world.now -= 7200
    assert world.gauges(TIER_DURATION) == {("a", "WARM", "pro"): 0.0}


def test_tenants_and_units_by_tier_and_plan(world):
    world.put("b")
    world.put("c", "free", "COLD")
    world.look()
    assert world.gauges(TENANTS_BY_TIER) == {("WARM", "pro"): 2, ("COLD", "free"): 1}
    assert world.gauges(REVENUE_BY_TIER) == {("WARM", "pro"): 8.0, ("COLD", "free"): 0.0}


@pytest.mark.parametrize("told", TELLS)
def test_what_the_platform_reports_itself_is_left_to_it(told):
    world = World(tells=[told])
    world.put("a")
    world.look()
    world.put("a", "free", "COLD")
    world.look()
    names = {"tier_transitions": "tier_transition", "plan_changes": "plan_change", "scale_to_zero": "scale_to_zero"}
    assert world.told() == [(names[told],)]
    assert world.gauges(CURRENT_TIER) == {("a", "free"): 0}


def test_changes_wait_for_room_and_are_all_told_in_the_end():
    world = World(capacity=4)
    for number in range(5):
        world.put(f"p{number}")
    world.look()
    for number in range(5):
        world.put(f"p{number}", tier="COLD")
    seen = []
    for waiting in (3, 1, 0):
        world.look()
        assert (world.watch.waiting, len(world.events._outbox)) == (waiting, min(4, len(world.told())))
        seen += world.told("project_id")
        world.events._outbox.clear()  # they have arrived
        world.restart()
    assert sorted(seen) == sorted((n, f"p{p}") for p in range(5) for n in ("tier_transition", "scale_to_zero"))
    assert sum(world.counted(TIER_TRANSITIONS).values()) == 5


# --- the journal ------------------------------------------------------------------------------------------------------


def entry(cursor, old, new, *, project="a", left=False, at=START, **facts):
    said = Facts(since=at, **facts) if facts else NO_FACTS
    return Entry(str(cursor), at, project, None, old, new, left, said)


def test_with_a_journal_what_it_says_is_told_and_differences_are_not(world):
    world.put("a", tier="PERSISTENT")
    flips = [entry(1, ("pro", "WARM"), ("pro", "COLD")), entry(2, ("pro", "COLD"), ("pro", "HOT"))]
    world.look(gathered=flips)
    assert world.told("source_tier", "target_tier", "tenant_id") == [
        ("tier_transition", "WARM", "COLD", "org"),
        ("scale_to_zero", None, None, "org"),
        ("tier_transition", "COLD", "HOT", "org"),
    ]
    assert world.gauges(CURRENT_TIER) == {("a", "pro"): 3}
    assert world.watch.dump()["cursor"] == "2"


def test_the_first_look_at_a_journal_only_finds_its_end(world):
    world.look(gathered="17")
    assert (world.told(), world.watch.dump()["cursor"]) == ([], "17")


def test_a_bad_entry_in_between_is_no_change(world):
    entries = [entry(1, ("pro", "WARM"), ("pro", None)), entry(2, ("pro", None), ("pro", "HOT"))]
    world.look(gathered=entries[:1])
    world.restart()
    world.look(gathered=entries[1:])
    assert world.told("source_tier", "target_tier") == [("tier_transition", "WARM", "HOT")]


def test_an_entry_without_a_project_is_passed_over(world):
    world.look(gathered=[entry(1, ("pro", "WARM"), ("pro", "HOT"), project="")])
    assert (world.told(), world.watch.dump()["cursor"]) == ([], "1")


def test_a_deleted_project_in_the_journal(world):
    world.tenants.clear()
    world.look(gathered=[entry(1, ("pro", "WARM"), (None, None), left=True)])
    assert world.told("change_type") == [("plan_change", "cancellation")]


def test_entries_beyond_the_room_are_read_again():
    world = World(capacity=3)
    flips = [
        entry(number, ("pro", old), ("pro", new))
        for number, (old, new) in enumerate([("WARM", "HOT"), ("HOT", "COLD"), ("COLD", "WARM")])
    ]
    world.look(gathered=flips)
    assert (len(world.told()), world.watch.dump()["cursor"], world.watch.waiting) == (3, "1", 1)
    world.events._outbox.clear()
    world.look(gathered=flips[2:])
    assert world.told("target_tier") == [("tier_transition", "WARM")]


def test_without_a_journal_its_cursor_is_forgotten(world):
    """What differences have told meanwhile must not be told again by an old cursor."""
    world.look(gathered="17")
    assert asyncio.run(world.watch.gather({})) is None
    world.look(gathered=None)
    assert world.watch.dump()["cursor"] is None


# --- more tenants than may be named -----------------------------------------------------------------------------------


def shown(world):
    return {(key[0], value) for metric, key, value in world.watch.observe() if metric is CURRENT_TIER}


def test_beyond_the_budget_those_who_pay_most_are_named_and_the_rest_is_one():
    world = World(named=2)
    world.put("free_1", "free", "HOT")
    world.put("free_2", "free", "WARM")
    world.put("pro_1", "pro", "WARM")
    world.put("big_1", "enterprise", "PERSISTENT")
    world.look()
    observed = world.store.observed  # folds what has the same labels, as a reader sees it
    world.store.observe(world.watch.observe)
    tiers = {key[0]: value for key, value in observed()[CURRENT_TIER].items()}
    assert tiers == {"big_1": 3, "pro_1": 1, "_other": 2}
    assert sum(observed()[TENANTS_BY_TIER].values()) == 4


def test_a_change_of_a_folded_tenant_is_counted_with_the_rest_and_told_under_its_own_name():
    world = World(named=1)
    world.put("big_1", "enterprise", "HOT")
    world.put("free_1", "free", "WARM")
    world.look()
    world.put("free_1", "free", "HOT")
    world.look()
    [(key, point)] = [(key, point) for metric, key, point in world.store.series() if metric is TIER_TRANSITIONS]
    assert (key[0], point.value) == ("_other", 1)
    assert [record.attributes["project_id"] for record in world.events._outbox] == ["free_1"]


def test_who_leaves_makes_room():
    world = World(named=1)
    world.put("pro_1", "pro", "HOT")
    world.look()
    del world.tenants["pro_1"]
    world.put("pro_2", "pro", "WARM")
    world.look()
    world.look()
    assert shown(world) == {("pro_2", 1)}
