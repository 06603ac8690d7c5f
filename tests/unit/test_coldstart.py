"""Cold starts, with the clock passed in."""

import pytest

from otel_dynabase.catalog.metrics import COLD_START_DURATION, COLD_STARTS, FIRST_QUERY, SELF_FOLDED
from otel_dynabase.directory import Directory
from otel_dynabase.events import EventLog
from otel_dynabase.probes.coldstart import FIRST_QUERY_WITHIN, OUTAGE, PATIENCE, REMEMBERED, ColdStarts
from otel_dynabase.probes.failures import server_absent
from otel_dynabase.probes.starts import JOINED, Starts, View
from otel_dynabase.probes.tenants import Tenants
from otel_dynabase.store import Budget, Store

ROWS = [{"project_id": f"proj_{tier}", "plan": "pro", "tier": tier} for tier in ("COLD", "WARM", "HOT", "PERSISTENT")]


class World:
    def __init__(self):
        self.now = 1000.0
        self.rows = list(ROWS)
        self.store = Store()
        self.events = EventLog(self.store)
        self.directory = Directory(lambda: self.rows)
        self.directory.refresh()
        self.tenants = Tenants(self.store, self.directory, Budget(10_000_000, self.store.sum(SELF_FOLDED)))
        self.told_starts = Starts(self.store, self.events, clock=lambda: self.now)
        self.starts = ColdStarts(self.told_starts, clock=lambda: self.now)

    def fails(self, project="proj_HOT", error=None):
        began, self.now = self.now, self.now + 0.5
        if server_absent(error or ConnectionRefusedError(111, "x")):
            self.starts.absent(self.tenants.of(project), began)

    def connects(self, project="proj_HOT"):
        began, self.now = self.now, self.now + 0.5
        self.starts.connected(self.tenants.of(project), began)

    def queries(self, project="proj_HOT", duration=0.25):
        if self.starts.awaiting:
            self.starts.first_query(self.tenants.of(project), duration)

    def told(self):
        """Return what was told: (project, source tier, duration in seconds)."""
        self.starts.flush(everything=True)
        return [
            (a["project_id"], a["source_tier"], a["startup_duration_ms"] / 1000)
            for a in (record.attributes for record in self.events._outbox)
        ]

    def total(self, metric):
        return sum(
            getattr(point, "value", None) or sum(point.counts)
            for found, _, point in self.store.series()
            if found is metric
        )


@pytest.fixture
def world():
    return World()


def test_a_start_lasts_from_the_first_failed_try_to_the_usable_connection(world):
    for _ in range(4):
        world.fails()
        world.now += 1.0
    world.connects()
    world.queries()
    assert world.told() == [("proj_HOT", "WARM", 6.5)]
    assert world.total(COLD_STARTS) == world.total(COLD_START_DURATION) == world.total(FIRST_QUERY) == 1


@pytest.mark.parametrize(
    ("project", "source"),
    [("proj_COLD", "COLD"), ("proj_WARM", "WARM"), ("proj_PERSISTENT", "WARM"), ("stranger", "unknown")],
)
def test_the_source_tier_is_where_it_slept(world, project, source):
    world.fails(project)
    world.connects(project)
    assert [told[:2] for told in world.told()] == [(project, source)]


def test_a_cold_tenant_needs_no_failed_try(world):
    world.connects("proj_COLD")
    world.connects("proj_COLD")
    assert world.told() == [("proj_COLD", "COLD", 0.5)]


def test_a_failed_try_of_a_cold_tenant_and_its_connection_are_one_start(world):
    world.fails("proj_COLD")
    world.connects("proj_COLD")
    world.connects("proj_COLD")
    assert world.told() == [("proj_COLD", "COLD", 1.0)]


def test_the_directory_saying_cold_again_is_a_new_start(world):
    for tier in ("COLD", "HOT", "COLD"):
        world.rows[0] = ROWS[0] | {"tier": tier}
        world.directory.refresh()
        world.tenants.refresh()
        world.connects("proj_COLD")
        world.queries("proj_COLD")
    assert len(world.told()) == 2


def test_a_try_long_ago_is_no_part_of_a_start(world):
    world.fails()
    world.now += PATIENCE + 1
    world.connects()
    assert world.told() == []
    world.fails()
    world.now += PATIENCE + 1
    world.fails()
    world.connects()
    assert world.told() == [("proj_HOT", "WARM", 1.0)]


def test_an_outage_is_no_start(world):
    for _ in range(int(OUTAGE / 30) + 2):
        world.fails()
        world.now += 30
    world.connects()
    assert world.told() == []


@pytest.mark.parametrize("error", [TimeoutError(), ValueError("x"), ConnectionResetError(104, "x")])
def test_other_failures_begin_no_start(world, error):
    world.fails(error=error)
    world.connects()
    assert world.told() == []


def test_a_start_without_a_statement_is_told_after_a_while(world):
    world.fails()
    world.connects()
    assert 0 < world.starts.flush() < FIRST_QUERY_WITHIN
    assert world.total(COLD_STARTS) == 0
    world.now += FIRST_QUERY_WITHIN
    assert world.starts.flush() == float("inf")
    assert (world.total(COLD_STARTS), world.total(FIRST_QUERY)) == (1, 0)


def test_a_second_start_before_a_statement_loses_no_first_one(world):
    for _ in range(2):
        world.fails()
        world.connects()
    world.queries()
    assert len(world.told()) == world.total(COLD_STARTS) == 2


def test_another_tenants_statement_completes_nothing(world):
    world.fails()
    world.connects()
    world.queries("proj_WARM")
    assert world.total(COLD_STARTS) == 0
    world.queries()
    assert world.total(COLD_STARTS) == 1


def test_counter_durations_and_events_agree_over_many_starts(world):
    for number in range(50):
        world.fails(f"p{number % 7}")
        world.connects(f"p{number % 7}")
        world.queries(f"p{number % 7}")
    assert len(world.told()) == world.total(COLD_STARTS) == world.total(COLD_START_DURATION) == 50


def test_sleepers_by_the_thousand_are_not_all_remembered(world):
    for number in range(REMEMBERED + 50):
        world.fails(f"p{number}")
    assert len(world.starts._waking) <= REMEMBERED


def test_a_fork_forgets_who_was_asleep(world):
    world.fails()
    world.starts.after_fork()
    world.connects()
    assert world.told() == []


# --- both sides' views of one start -----------------------------------------------------------------------------------

PLATFORM = {"cache_level": "L2_hit", "phases": {"basebackup": 0.25, "start": 0.5}}


def reports(world, project="proj_HOT", **what):
    world.starts.reported(world.tenants.of(project), View("WARM", 0.75, **PLATFORM | what))


def told_events(world):
    """Return the events as storage will have them: the last of each id."""
    world.starts.flush(everything=True)
    return list({r.event_id: r.attributes for r in world.events._outbox}.values())


def assert_one_start(world, level):
    assert world.total(COLD_STARTS) == 1
    assert world.total(COLD_START_DURATION) == 1
    assert {key[2] for metric, key, _ in world.store.series() if metric is COLD_START_DURATION} == {level}
    (event,) = told_events(world)
    assert (event["cache_level"], event["phases"]) == ("L2_hit", {"basebackup": 250.0, "start": 500.0})
    return event


def test_a_report_before_the_first_statement_is_part_of_the_clients_start(world):
    world.fails()
    world.connects()
    reports(world)
    world.queries()
    event = assert_one_start(world, "L2_hit")
    assert (event["startup_duration_ms"], event["first_query_latency_ms"]) == (1000.0, 250.0)


def test_a_report_after_the_first_statement_amends_the_clients_event(world):
    world.fails()
    world.connects()
    world.queries()
    reports(world)
    event = assert_one_start(world, "unknown")
    assert (event["startup_duration_ms"], event["first_query_latency_ms"]) == (1000.0, 250.0)
    assert [record.attributes["event_seq"] for record in world.events._outbox] == [1, 1]
    assert [record.attributes.get("event_revision") for record in world.events._outbox] == [None, 1]


def test_a_report_before_the_client_noticed_is_amended_by_the_client(world):
    world.fails()
    reports(world)
    world.connects()
    world.queries()
    event = assert_one_start(world, "L2_hit")
    assert (event["startup_duration_ms"], event["first_query_latency_ms"]) == (750.0, 250.0)
    assert world.total(FIRST_QUERY) == 1


def test_two_reports_are_two_starts_and_so_are_two_clients(world):
    reports(world)
    reports(world)
    assert world.total(COLD_STARTS) == 2
    assert len(told_events(world)) == 2


def test_a_report_joins_one_start_only(world):
    world.fails()
    world.connects()
    world.queries()
    reports(world)
    reports(world)
    assert world.total(COLD_STARTS) == 2


def test_a_report_long_after_is_another_start(world):
    world.fails()
    world.connects()
    world.queries()
    world.now += JOINED + 1
    reports(world)
    assert world.total(COLD_STARTS) == 2


def test_where_only_reports_count_a_client_still_knows_the_first_statements_latency(world):
    world.told_starts._by_client = False
    world.fails()
    world.connects()
    world.queries()
    assert world.total(COLD_STARTS) == 0
    assert told_events(world) == []
    assert world.total(FIRST_QUERY) == 1
    reports(world)
    world.fails()
    world.connects()
    world.queries()
    assert_one_start(world, "L2_hit")
