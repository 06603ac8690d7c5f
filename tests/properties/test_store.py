"""Conservation: whatever the history and the budget, nothing is lost by folding."""

from collections import Counter as Count

from hypothesis import given, settings
from hypothesis import strategies as st

from otel_dynabase.catalog.attributes import OTHER_PROJECT
from otel_dynabase.catalog.metrics import LIMIT_HITS, OPERATION_DURATION, SELF_FOLDED
from otel_dynabase.directory import Directory
from otel_dynabase.probes.tenants import Tenants
from otel_dynabase.store import Budget, Store

PLANS, TIERS = ("free", "starter", "pro", "enterprise"), ("COLD", "WARM", "HOT", "PERSISTENT")
PROJECTS = tuple(f"proj_{n}" for n in range(12))

placement = st.tuples(st.sampled_from(PLANS), st.sampled_from(TIERS))
placements = st.fixed_dictionaries({}, optional=dict.fromkeys(PROJECTS, placement))
statements = st.tuples(st.just("statement"), st.sampled_from(PROJECTS), st.sampled_from((None, "data_exception")))
hits = st.tuples(st.just("hit"), st.sampled_from(PROJECTS), st.sampled_from(("queued", "rejected")))
moves = st.tuples(st.just("directory"), placements, st.none())
histories = st.lists(st.one_of(statements, statements, hits, moves), max_size=60)


class World:
    """A store under a budget, beside a plain tally of what was recorded."""

    def __init__(self, budget):
        self.rows = {}
        self.store = Store()
        self.directory = Directory(self.load)
        self.tenants = Tenants(self.store, self.directory, Budget(budget, self.store.sum(SELF_FOLDED)))
        self.recorded = Count()

    def load(self):
        return [{"project_id": project, "plan": plan, "tier": tier} for project, (plan, tier) in self.rows.items()]

    def apply(self, kind, what, outcome):
        if kind == "directory":
            self.rows = what
            self.directory.refresh()
            self.tenants.refresh()
            return
        plan, tier = self.rows.get(what, ("unknown", "unknown"))
        self.recorded[kind, plan, tier, outcome] += 1
        series = self.tenants.of(what)
        if kind == "hit":
            series.count(LIMIT_HITS, "max_pool_size", outcome)
        else:
            series.record(OPERATION_DURATION, 0.01, "SELECT", outcome)

    def series(self):
        for metric, key, point in self.store.series():
            if metric is LIMIT_HITS:
                yield "hit", key[0], (key[2], key[1], key[4]), point.value
            elif metric is OPERATION_DURATION:
                yield "statement", key[0], (key[2], key[1], key[4]), sum(point.counts)


@settings(deadline=None, max_examples=150)
@given(histories, st.integers(1, 14))
def test_named_and_folded_add_up_to_what_was_recorded_by_plan_tier_and_outcome(history, budget):
    world = World(budget)
    for step in history:
        world.apply(*step)
    kept = Count()
    for kind, _, (plan, tier, outcome), value in world.series():
        kept[kind, plan, tier, outcome] += value
    assert {key: value for key, value in kept.items() if value} == dict(world.recorded)


@settings(deadline=None, max_examples=100)
@given(histories, st.integers(1, 14))
def test_no_more_projects_are_named_than_the_budget_allows(history, budget):
    world = World(budget)
    for step in history:
        world.apply(*step)
    named = {project for _, project, _, _ in world.series()} - {OTHER_PROJECT}
    assert len(named) <= budget
    asked = {what for kind, what, _ in history if kind != "directory"}
    folded = {project for _, project, _, _ in world.series()} & {OTHER_PROJECT}
    assert bool(folded) == (len(asked) > budget)
