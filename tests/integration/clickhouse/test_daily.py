"""Events and what is counted of each day, in the real engine: copies, amendments, and clocks that are moved."""

import random
import uuid
from collections import Counter

import pytest

from otel_dynabase.clickhouse import migrations
from tests.integration.clickhouse.conftest import created
from tests.integration.clickhouse.database import days_ago

DAILY = "SELECT sum(events) FROM tier_events_daily FINAL"


@pytest.fixture(scope="module")
def same(clickhouse):
    with created(clickhouse) as database:
        migrations.bring_up_to_date(database.connection)
        yield database


@pytest.fixture
def database(same):
    """Empty tables, for less than it takes to make them."""
    same.execute("TRUNCATE TABLE tier_events")
    same.execute("TRUNCATE TABLE tier_events_daily")
    return same


def cold_start(event_id, project="p", revision=None, **attributes):
    event = {"event.name": "cold_start", "event_id": event_id, "project_id": project, "plan": "pro", **attributes}
    return event if revision is None else {**event, "event_revision": str(revision)}


def new():
    return str(uuid.uuid4())


# --- copies -----------------------------------------------------------------------------------------------------------


def test_an_event_counts_once_however_often_it_comes(database):
    first, second = cold_start(new()), cold_start(new(), startup_duration_ms="5")
    for batch in ([first], [first, second], [second, first, first]):
        database.store(*batch)
        database.count()
    assert database.one("SELECT count() FROM tier_events FINAL") == 2
    assert database.one(DAILY) == 2


def test_a_copy_that_comes_days_later_changes_nothing(database):
    event, other = cold_start(new()), cold_start(new())
    database.store(event, at=days_ago(4))
    database.count()
    database.store(other, at=days_ago(0))
    database.store(event, at=days_ago(4))
    database.count()
    assert database.rows("SELECT day, sum(events) FROM tier_events_daily FINAL GROUP BY day ORDER BY day") == [
        (days_ago(4).date(), 1),
        (days_ago(0).date(), 1),
    ]


def test_a_batch_that_is_sent_again_is_not_even_written(database):
    events = [cold_start(new()) for _ in range(10)]
    database.store(*events)
    database.store(*events)
    assert database.one("SELECT count() FROM tier_events") == 10


@pytest.mark.parametrize("arrivals", [(0, 1), (1, 0), (0, 1, 0), (1, 0, 1, 0)])
def test_an_amended_event_stays_amended_whichever_copy_is_last(database, event_id, arrivals):
    copies = (
        cold_start(event_id, cache_level="unknown", startup_duration_ms="7"),
        cold_start(event_id, revision=1, cache_level="L2_hit", startup_duration_ms="9"),
    )
    for arrival in arrivals:
        database.store(copies[arrival])
        database.count()
    assert database.rows("SELECT cache_level, startup_duration_ms FROM tier_events FINAL") == [("L2_hit", 9.0)]
    assert database.rows("SELECT cache_level, events, startup_duration_ms_max FROM tier_events_daily FINAL") == [
        ("L2_hit", 1, 9.0)
    ]


@pytest.mark.parametrize("seed", range(3))
def test_any_history_of_copies_and_amendments_is_counted_as_it_was(database, seed):
    chance = random.Random(seed)
    told = [history(chance) for _ in range(40)]
    sent = [row for rows in told for row in rows for _ in range(chance.randint(1, 3))]
    chance.shuffle(sent)
    while sent:
        database.insert("tier_events", *(sent.pop() for _ in range(min(len(sent), chance.randint(1, 25)))))
        if chance.random() < 0.5:
            database.count()
    database.count()
    truth = Counter(
        (last["Timestamp"].date(), *map(last["LogAttributes"].get, ("project_id", "source_tier", "cache_level")))
        for *_, last in told
    )
    counted = database.rows("SELECT day, project_id, source_tier, cache_level, events FROM tier_events_daily FINAL")
    assert {row[:-1]: row[-1] for row in counted} == truth


def history(chance):
    """Return one event as it was told: once, or amended up to twice."""
    event_id, project, source, at = new(), chance.choice("abc"), chance.choice(("COLD", "WARM")), chance.randint(0, 5)
    levels = chance.sample(("unknown", "L1_miss", "L2_hit"), chance.randint(1, 3))
    return [
        {
            "Timestamp": days_ago(at),
            "LogAttributes": cold_start(event_id, project, revision, source_tier=source, cache_level=level),
        }
        for revision, level in enumerate(levels)
    ]


# --- what is counted --------------------------------------------------------------------------------------------------


def test_every_kind_of_event_is_counted_by_what_tells_it_apart(database):
    common = {"project_id": "p", "plan": "pro", "tier": "WARM"}
    hit = {**common, "event.name": "limit_hit", "limit_type": "max_pool_size", "action": "queued"}
    moved = {**common, "event.name": "tier_transition", "source_tier": "WARM", "target_tier": "HOT", "reason": "manual"}
    bought = {**common, "event.name": "plan_change", "from_tier": "pro", "to_tier": "enterprise"}
    ceiling = {**common, "event.name": "tier_ceiling_hit", "resource_type": "storage"}
    told = [
        {**hit, "hit_count": "38", "queue_duration_ms": "1900"},
        {**hit, "hit_count": "2", "queue_duration_ms": "20"},
        {**hit, "action": "rejected", "hit_count": "3", "rejection_count": "3"},
        moved, moved, bought, ceiling,
    ]  # fmt: skip
    database.store(*({**event, "event_id": new()} for event in told))
    database.count()
    hits = "SELECT action, events, hit_count, rejection_count, queue_duration_ms_max FROM tier_events_daily FINAL"
    assert database.rows(f"{hits} WHERE event_type = 'limit_hit' ORDER BY action") == [
        ("queued", 2, 40, 0, 1900.0),
        ("rejected", 1, 3, 3, None),
    ]
    others = "SELECT source_tier, target_tier, reason, from_tier, to_tier, resource_type, events"
    assert set(database.rows(f"{others} FROM tier_events_daily FINAL WHERE event_type != 'limit_hit'")) == {
        ("WARM", "HOT", "manual", "", "", "", 2),
        ("", "", "", "pro", "enterprise", "", 1),
        ("", "", "", "", "", "storage", 1),
    }


def test_quantiles_of_many_days_are_within_one_percent(database):
    for day in range(4):
        durations = range(250 * day + 1, 250 * (day + 1) + 1)
        events = [cold_start(new(), startup_duration_ms=str(ms), source_tier="WARM") for ms in durations]
        database.store(*events, cold_start(new(), source_tier="WARM"), at=days_ago(day))
    database.count()
    quantiles = "quantilesDDMerge(0.01, 0.5, 0.95, 0.99)(startup_duration_ms)"
    [(events, worst, found)] = database.rows(
        f"SELECT sum(events), max(startup_duration_ms_max), {quantiles} FROM tier_events_daily FINAL"
    )
    assert (events, worst) == (1004, 1000.0)
    assert found == pytest.approx([500, 950, 990], rel=0.011)


def test_what_the_doctor_tries_is_no_event(database):
    database.store(cold_start(new(), "_doctor"))
    database.count()
    assert database.one("SELECT count() FROM tier_events_daily") == 0


# --- clocks -----------------------------------------------------------------------------------------------------------


def test_events_are_kept_for_90_days(database):
    for days in (1, 89, 91, 400):
        database.store(cold_start(new()), at=days_ago(days))
    database.execute("OPTIMIZE TABLE tier_events FINAL")
    kept = database.rows("SELECT toDate(Timestamp) FROM tier_events ORDER BY Timestamp")
    assert kept == [(days_ago(89).date(),), (days_ago(1).date(),)]


def test_days_are_kept_for_two_years(database):
    [(before, after)] = database.rows(
        "SELECT toDate(now('UTC')) - INTERVAL 2 YEAR - 1, toDate(now('UTC')) - INTERVAL 2 YEAR + 2"
    )
    database.insert("tier_events_daily", *({"day": day, "events": 1} for day in (before, after, days_ago(0).date())))
    database.execute("OPTIMIZE TABLE tier_events_daily FINAL")
    assert database.rows("SELECT day FROM tier_events_daily ORDER BY day") == [(after,), (days_ago(0).date(),)]


def test_a_day_outlives_its_events(database):
    """As when they are 90 days old, in advance: the partition goes as a whole."""
    day = days_ago(80)
    database.store(cold_start(new()), cold_start(new()), at=day)
    database.count()
    database.execute(f"ALTER TABLE tier_events DROP PARTITION '{day.date()}'")
    database.count()
    assert database.one(DAILY) == 2


def test_a_day_whose_events_are_about_to_go_is_not_counted_again(database):
    counted, late = days_ago(88), days_ago(89)
    for day in (counted, late):
        database.insert("tier_events_daily", {"day": day.date(), "project_id": "p", "events": 5})
        database.store(cold_start(new()), at=day)
    database.count()
    of_p = "SELECT day, sum(events) FROM tier_events_daily FINAL WHERE project_id = 'p' GROUP BY day ORDER BY day"
    assert database.rows(of_p) == [(late.date(), 5), (counted.date(), 1)]


def test_only_days_that_changed_are_counted_again(database):
    database.store(cold_start(new()), at=days_ago(3))
    database.store(cold_start(new()), at=days_ago(2))
    database.count()
    ahead = {"day": days_ago(3).date(), "project_id": "x", "events": 1, "counted_at": days_ago(-1).isoformat()}
    database.insert("tier_events_daily", ahead)
    before = dict(database.rows("SELECT day, max(counted_at) FROM tier_events_daily GROUP BY day"))
    database.count()
    after = dict(database.rows("SELECT day, max(counted_at) FROM tier_events_daily GROUP BY day"))
    assert after[days_ago(3).date()] == before[days_ago(3).date()]
    assert after[days_ago(2).date()] > before[days_ago(2).date()]


def test_who_is_deleted_is_deleted_from_the_days_too(database):
    database.store(cold_start(new(), "gone"), cold_start(new(), "stays"))
    database.count()
    database.execute("ALTER TABLE tier_events DELETE WHERE project_id = 'gone' SETTINGS mutations_sync = 2")
    database.count()
    assert database.rows("SELECT project_id, events FROM tier_events_daily FINAL") == [("stays", 1)]
