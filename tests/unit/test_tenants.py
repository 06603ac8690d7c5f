"""A tenant's bound series: which are there before anything has happened, and how idle it was between statements."""

import pytest

from otel_dynabase.catalog.attributes import REJECTION, SOURCE_TIER
from otel_dynabase.catalog.metrics import COLD_STARTS, IDLE_DURATION, LIMIT_HITS, REJECTIONS, SELF_FOLDED
from otel_dynabase.directory import Directory, Tenant
from otel_dynabase.probes.tenants import Tenants, is_outdated
from otel_dynabase.store import Budget, Store


class World:
    def __init__(self, *rows, named=1000):
        self.store = Store()
        self.directory = Directory(lambda: rows)
        self.directory.refresh()
        self.tenants = Tenants(self.store, self.directory, Budget(named, self.store.sum(SELF_FOLDED)))

    def series(self, wanted):
        return {key: point for metric, key, point in self.store.series() if metric is wanted}


BIG = {"project_id": "big", "plan": "enterprise", "tier": "HOT"}
SMALL = {"project_id": "small", "plan": "free", "tier": "WARM"}


def test_rejections_are_there_at_0_from_the_moment_a_tenant_is_met():
    world = World(BIG, SMALL)
    assert world.series(REJECTIONS) == {}
    world.tenants.of("small")
    found = world.series(REJECTIONS)
    assert set(found) == {("small", "WARM", "free", reason) for reason in REJECTION.values}
    assert {point.value for point in found.values()} == {0}


def test_cold_starts_are_there_at_0_where_none_may_happen():
    world = World(BIG, SMALL)
    world.tenants.of("small")
    world.tenants.of("big")
    assert set(world.series(COLD_STARTS)) == {("big", "enterprise", tier) for tier in SOURCE_TIER.values}


def test_a_new_plan_is_born_with_its_series():
    world = World(BIG)
    world.tenants.of("big").count(REJECTIONS, "pool_exhausted")
    world.directory._load = lambda: [{**BIG, "tier": "PERSISTENT"}]
    world.directory.refresh()
    world.tenants.refresh()
    world.tenants.of("big")
    assert world.series(REJECTIONS)["big", "PERSISTENT", "enterprise", "pool_exhausted"].value == 0
    assert world.series(REJECTIONS)["big", "HOT", "enterprise", "pool_exhausted"].value == 1


def test_who_is_beyond_the_budget_gets_no_series_of_its_own():
    world = World(BIG, SMALL, named=1)
    world.tenants.of("big")
    world.tenants.of("small")
    assert {key[0] for key in world.series(REJECTIONS)} == {"big"}


def test_idle_time_is_between_statements_that_do_not_overlap():
    series = World(SMALL).tenants.of("small")
    world = series._store
    series.ran(10.0, 11.0)
    series.ran(13.5, 15.0)  # 2.5 s
    series.ran(14.0, 20.0)  # ran beside the one before
    series.ran(85.0, 86.0)  # 65 s since the one that ended last
    [point] = [point for metric, _, point in world.series() if metric is IDLE_DURATION]
    assert (sum(point.counts), point.total) == (2, pytest.approx(67.5))


@pytest.mark.parametrize(
    ("key", "tenant", "outdated"),
    [
        (("big", "HOT", "enterprise", "t", "a"), Tenant("big", plan="enterprise", tier="HOT"), False),
        (("big", "WARM", "enterprise", "t", "a"), Tenant("big", plan="enterprise", tier="HOT"), True),
        (("big", "HOT", "pro", "t", "a"), Tenant("big", plan="enterprise", tier="HOT"), True),
        (("big", "HOT", "pro", "t", "a"), None, True),
        (("_other", "HOT", "pro", "t", "a"), None, False),
        (("unknown", "unknown", "unknown", "t", "a"), None, False),
    ],
)
def test_a_series_is_outdated_when_its_tenant_is_another_or_gone(key, tenant, outdated):
    assert is_outdated(LIMIT_HITS, key, tenant) is outdated
