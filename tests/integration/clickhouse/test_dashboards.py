"""What Grafana's dashboards ask ClickHouse, on the real engine: against numbers that were reckoned by hand."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest

from examples.grafana import Range, sql
from otel_dynabase.catalog.attributes import PLAN, TIER
from otel_dynabase.clickhouse import migrations
from otel_dynabase.render.dashboards import selects
from tests.integration.clickhouse.conftest import created

NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
HOURS = 100
"""How long the range is."""
OVER = Range(int((NOW - timedelta(hours=HOURS)).timestamp()), int(NOW.timestamp()), step=3600)
CHOSEN = {"plan": list(PLAN.values), "tier": list(TIER.values), "compute_cost_per_hour": ["0.5"]}


class Told:
    """Events, as the exporter inserts them, by how many hours ago they were."""

    def __init__(self):
        self.rows = []

    def __call__(self, ago, event, project, plan="pro", tier="HOT", **attributes):
        identity = {"event_id": str(uuid.uuid4()), "event_seq": str(len(self.rows)), "project_id": project}
        texts = {name: str(value) for name, value in attributes.items()}
        self.rows.append(
            {
                "Timestamp": (NOW - timedelta(hours=ago)).isoformat(),
                "LogAttributes": {**identity, "plan": plan, "tier": tier, **texts},
                "EventName": event,
            }
        )


@pytest.fixture(scope="module")
def migrated(clickhouse):
    with created(clickhouse) as database:
        migrations.bring_up_to_date(database.connection)
        yield database


@pytest.fixture
def database(migrated):
    """A database for all of these tests, emptied."""
    for table in ("tier_events", "metric_detail_histogram"):
        migrated.execute(f"TRUNCATE TABLE {table}")
    return migrated


@pytest.fixture
def told(database):
    """Tell events, and ask: a batch is inserted twice, as a collector does that did not hear the answer."""
    told = Told()

    def ask(text, **chosen):
        for _ in range(2):
            database.insert("tier_events", *told.rows)
        return database.rows(sql(text, {**CHOSEN, **{name: [value] for name, value in chosen.items()}}, OVER))

    told.ask = ask
    return told


def test_asleep_is_from_scaling_to_zero_to_what_woke_the_tenant(told):
    told(50, "scale_to_zero", "one", plan="free", tier="WARM")
    told(50, "tier_transition", "one", source_tier="WARM", target_tier="COLD")  # the same, told as a transition
    told(40, "cold_start", "one", source_tier="COLD")  # 10 hours
    told(20, "scale_to_zero", "one", tier="WARM")
    told(10, "scale_to_zero", "one", tier="WARM")  # told again: it still sleeps
    told(8, "tier_transition", "one", source_tier="COLD", target_tier="WARM")  # 12 hours
    told(HOURS + 30, "scale_to_zero", "two")
    told(HOURS - 5, "cold_start", "two")  # 5 hours of the 35 are in the range
    told(3, "scale_to_zero", "three")  # 3 hours, and it sleeps on
    told(HOURS + 31 * 24, "scale_to_zero", "long ago")
    told(HOURS + 20, "scale_to_zero", "before")
    told(HOURS + 10, "cold_start", "before")
    told(30, "cold_start", "never slept")
    assert told.ask(selects.SAVED) == [(30.0, 15.0)]
    assert told.ask(selects.MY_SLEEP, project="one") == [(22.0, 11.0)]
    assert told.ask(selects.SAVED, plan="free") == [(10.0, 5.0)]


def test_a_conversion_is_a_free_tenant_that_bought_a_plan(told):
    told(50, "plan_change", "bought", from_tier="free", to_tier="starter", change_type="upgrade")
    told(40, "plan_change", "bought", from_tier="starter", to_tier="pro", change_type="upgrade")
    told(30, "plan_change", "tried", from_tier="free", to_tier="pro", change_type="trial_conversion")
    told(30, "plan_change", "left", from_tier="free", to_tier="free", change_type="cancellation")
    told(HOURS + 1, "plan_change", "earlier", from_tier="free", to_tier="pro", change_type="upgrade")
    assert told.ask(selects.CONVERTED) == [(2,)]


def test_a_stay_is_between_two_transitions_of_one_project(told):
    for project, stay in (("one", 2), ("two", 4), ("three", 6)):
        told(50, "tier_transition", project, source_tier="WARM", target_tier="HOT")
        told(50 - stay, "tier_transition", project, source_tier="HOT", target_tier="WARM")
    told(50, "tier_transition", "four", source_tier="COLD", target_tier="WARM")
    told(49, "tier_transition", "four", source_tier="WARM", target_tier="COLD")
    hours = [
        (tier, *(round(quantile / 3600, 3) for quantile in quantiles)) for tier, *quantiles in told.ask(selects.STAYS)
    ]
    assert hours == [("WARM", 1, 1, 1, 1, 1), ("HOT", 2.2, 3, 4, 5, 5.8)]


def test_an_opportunity_is_who_stays_at_a_limit_of_the_plan_that_they_have_now(told):
    for ago in (9, 8, 7):
        told(ago, "tier_ceiling_hit", "grown", resource_type="storage", metadata='{"larger_plan": "enterprise"}')
    told(6, "tier_ceiling_hit", "grown", resource_type="connections")
    told(9, "tier_ceiling_hit", "bought", plan="starter", resource_type="storage")
    told(8, "plan_change", "bought", plan="pro", from_tier="starter", to_tier="pro", change_type="upgrade")
    answer = [row[:5] + row[6:] for row in told.ask(selects.CEILINGS)]
    assert answer == [
        ("grown", "pro", "HOT", "storage", 3, "enterprise"),
        ("grown", "pro", "HOT", "connections", 1, ""),
    ]


def test_trouble_is_counted_as_often_as_it_was(told):
    told(9, "limit_hit", "waits", action="queued", hit_count=38, queue_duration_ms=1900)
    told(9, "limit_hit", "refused", action="rejected", hit_count=2, queue_duration_ms=5)
    told(8, "cold_start", "waits")
    told(8, "circuit_breaker_event", "refused", state="open")
    told(8, "circuit_breaker_event", "refused", state="closed")
    assert [row[:-1] for row in told.ask(selects.IN_TROUBLE)] == [
        ("refused", "pro", "HOT", 0, 2, 5.0, 0, 1),
        ("waits", "pro", "HOT", 38, 0, 1900.0, 1, 0),
    ]
    assert told.ask(selects.IN_TROUBLE, plan="free") == []


def test_a_state_begins_with_the_range_and_changes_as_told(told):
    told(HOURS + 9, "limit_hit", "one", plan="free", tier="WARM")
    told(HOURS + 5, "tier_transition", "one", plan="free", tier="HOT", source_tier="WARM", target_tier="HOT")
    told(60, "limit_hit", "one", plan="free", tier="unknown")
    told(50, "plan_change", "one", plan="free", tier="HOT", from_tier="free", to_tier="pro")
    told(40, "tier_transition", "one", tier="WARM", source_tier="HOT", target_tier="WARM")

    def hours_ago(rows):
        return [
            (round((NOW.replace(tzinfo=None) - at.replace(tzinfo=None)).total_seconds() / 3600), state)
            for at, state in rows
        ]

    tiers = told.ask(selects.state("tier", "tier_transition", "target_tier"), project="one")
    assert hours_ago(tiers) == [(HOURS, "HOT"), (50, "HOT"), (40, "WARM")]
    plans = told.ask(selects.state("plan", "plan_change", "to_tier"), project="one")
    assert hours_ago(plans) == [(HOURS, "free"), (60, "free"), (50, "pro"), (40, "pro")]


@pytest.mark.parametrize("text", [selects.WHO, selects.EVENTS, selects.MARKED, selects.COLD_STARTS, selects.WAITS])
def test_a_project_nobody_has_heard_of_has_nothing(told, text):
    told(9, "limit_hit", "one")
    assert told.ask(text, project="proj_' OR 1=1 --") == []


def test_statements_are_what_a_series_rises_by(database):
    """Of a process that ran before, one that began in between, and one that sends what has been added only."""

    def point(ago, count, total, began, series, *, temporality=2):
        return {
            "MetricName": "db.query.duration",
            "Attributes": {"project_id": "one", "operation": "SELECT"},
            "ResourceAttributes": {"service.instance.id": series},
            "StartTimeUnix": (NOW - timedelta(hours=began)).isoformat(),
            "TimeUnix": (NOW - timedelta(hours=ago)).isoformat(),
            "Count": count,
            "Sum": total,
            "AggregationTemporality": temporality,
        }

    points = [
        point(9.5, 1000, 10.0, HOURS + 5, "old"),
        point(8.5, 1360, 13.6, HOURS + 5, "old"),
        point(8.4, 360, 3.6, 9, "new"),
        point(8.3, 720, 7.2, 9, "delta", temporality=1),
    ]
    for _ in range(2):
        database.insert("metric_detail_histogram", *points)
    ((_at, a_second, mean),) = database.rows(sql(selects.STATEMENTS, {**CHOSEN, "project": ["one"]}, OVER))
    assert (a_second, round(mean, 6)) == ((360 + 360 + 720) / 3600, 10.0)
