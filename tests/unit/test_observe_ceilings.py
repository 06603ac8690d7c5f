"""Ceilings: what the plans grant, and when a stay at a limit counts."""

import json

import pytest

from otel_dynabase.catalog.plans import PLANS
from otel_dynabase.directory.source import UnusableError
from otel_dynabase.observer.ceilings import DEFAULTS, Ceiling, Day, larger_plan, load_limits

HOUR, DAY = 3600, 86_400


def hits(shares, *, every=60, sustained=300, start=0):
    """Measure regularly; return when there was a hit, and the last hit."""
    ceiling, times, last = Ceiling(), [], None
    for number, share in enumerate(shares):
        now = start + number * every
        hit = ceiling.measured(share, now, sustained=sustained, blind=180)
        ceiling_again = Ceiling()
        ceiling_again.load(json.loads(json.dumps(ceiling.dump())))
        ceiling = ceiling_again
        if hit is not None:
            times.append(now)
            last = hit
    return times, last


def test_a_blip_is_no_hit():
    assert hits([1.0] * 5 + [0.5] + [1.0] * 5)[0] == []


def test_a_stay_is_one_hit_and_one_more_every_hour():
    times, last = hits([0.95] * 200)
    assert times == [300, 300 + HOUR, 300 + 2 * HOUR, 300 + 3 * HOUR]
    assert (last.in_24h, last.stayed) == (4, 300 + 3 * HOUR)


def test_moving_up_and_down_at_the_limit_is_one_stay_and_another_one_begins_at_the_limit():
    assert hits([1.0, 0.91] * 20)[0] == [300]
    assert hits([1.0] * 6 + [0.89] + [1.0] * 6)[0] == [300, 720]
    assert hits([0.94] * 100)[0] == []


def test_hits_of_more_than_a_day_ago_are_not_counted():
    _, last = hits([1.0] * (3 * 24 * 60))
    assert last.in_24h == 24


def test_a_stay_that_nobody_saw_is_none():
    ceiling = Ceiling()
    for now in (0, 1000, 2000, 3000):
        assert ceiling.measured(1.0, now, sustained=300, blind=180) is None


def test_a_clock_that_is_set_back_neither_makes_nor_hides_a_hit():
    ceiling = Ceiling()
    for now in (10_000, 10_060, 10_120):
        assert ceiling.measured(1.0, now, sustained=300, blind=180) is None
    for now in (5_000, 5_060, 5_120):
        assert ceiling.measured(1.0, now, sustained=300, blind=180) is None
    assert ceiling.measured(1.0, 5_180, sustained=300, blind=180) is not None


def test_executing_adds_up_by_the_day():
    day = Day()
    assert day.add(10, DAY + 100, DAY + 130) == 10
    assert day.add(10, DAY + 130, DAY + 160) == 20
    assert day.add(30, 2 * DAY - 10, 2 * DAY + 20) == 20  # what ran today
    assert day.add(5, 2 * DAY + 20, 2 * DAY - 100) == 25  # the clock was set back: still the same day's
    assert day.add(5, 2 * DAY - 100, 2 * DAY - 70) == 30


def test_the_defaults_grow_with_the_plan():
    assert load_limits(None) == DEFAULTS
    for resource in ("connections", "query_rate", "storage", "compute_time"):
        limits = [DEFAULTS[plan].get(resource, float("inf")) for plan in PLANS]
        assert limits == sorted(set(limits))


def test_the_larger_plan_is_the_next_that_grants_more():
    limits = load_limits(None)
    assert larger_plan(limits, "free", "storage") == "starter"
    assert larger_plan(limits, "pro", "storage") == "enterprise"
    assert larger_plan(limits, "enterprise", "storage") is None
    assert larger_plan(limits, "unknown", "storage") is None
    limits["starter"]["storage"] = limits["free"]["storage"]
    assert larger_plan(limits, "free", "storage") == "pro"


def test_a_file_changes_what_it_names(tmp_path):
    path = tmp_path / "limits.yaml"
    path.write_text("free: {connections: 3, storage: null}\nenterprise: {query_rate: 100000}\n")
    limits = load_limits(path)
    assert limits["free"] == {"connections": 3, "query_rate": 60, "compute_time": 3600}
    assert limits["enterprise"] == {"query_rate": 100_000}
    assert limits["pro"] == DEFAULTS["pro"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[1]", "it is not a mapping"),
        ("gold: {}", "'gold' is none of free"),
        ("free: 3", "free is not a mapping"),
        ("free: {cpu: 1}", "free: 'cpu' is none of connections"),
        ("free: {storage: 5GB}", "free: storage is not a number above 0"),
        ("free: {storage: 0}", "above 0"),
        ("free: {storage: true}", "above 0"),
        ("free: {storage: .nan}", "above 0"),
        ("free: {", "line 2"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(tmp_path, text, why):
    path = tmp_path / "limits.yaml"
    path.write_text(text)
    with pytest.raises(UnusableError, match=why):
        load_limits(path)
