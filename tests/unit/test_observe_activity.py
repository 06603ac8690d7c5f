"""Activity: minutes, hours and periods, out of whatever was counted whenever somebody looked."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_dynabase.observer.activity import DAY, HOUR, Hours, Minutes, Period, by_hour

MIDNIGHT = 20_000 * DAY


@pytest.mark.parametrize(
    ("queries", "start", "end", "shares"),
    [
        (10, 0, 60, {0: 10}),
        (10, HOUR - 30, HOUR + 30, {0: 5, 1: 5}),
        (1, HOUR - 50, HOUR + 10, {1: 1}),
        (3, 0, 3 * HOUR, {0: 1, 1: 1, 2: 1}),
        (0, 0, 60, {}),
        (7, HOUR, HOUR, {1: 7}),
        (7, 2 * HOUR, HOUR, {1: 7}),  # the clock was set back
        (7, 0, 30 * DAY, {720: 7}),  # and on
    ],
)
def test_queries_are_shared_out_among_the_hours_that_they_ran_in(queries, start, end, shares):
    assert by_hour(queries, start, end) == shares


@given(st.integers(0, 10**9), st.floats(0, 1e9), st.floats(-1e6, 1e6))
def test_the_shares_of_the_hours_add_up(queries, start, length):
    shares = by_hour(queries, start, start + length)
    assert sum(shares.values()) == queries
    assert all(share > 0 for share in shares.values())


def samples(*windows):
    minutes = Minutes()
    return [sample for window in windows for sample in minutes.add(*window)]


def test_a_minute_gives_one_sample_however_often_somebody_looks():
    often = [(1, second, second + 5) for second in range(0, 180, 5)]
    assert samples(*often) == pytest.approx([12, 12, 12])
    assert samples((36, 0, 180)) == pytest.approx([12, 12, 12])


def test_a_minute_that_was_not_watched_in_full_gives_none():
    assert samples((10, 30, 90)) == []
    assert samples((10, 0, 50), (10, 55, 130)) == pytest.approx([8])


def test_minutes_after_a_gap_or_a_clock_set_back_begin_anew():
    assert samples((60, 0, 70), (60, 3600, 3660)) == pytest.approx([360 / 7, 60])
    assert samples((50, 90, 110), (5, 0, 60)) == pytest.approx([5])  # the clock was set back


@given(st.lists(st.tuples(st.integers(0, 100), st.floats(0.5, 300)), max_size=30))
def test_samples_hold_every_query_of_the_minutes_that_are_over(looks):
    minutes, now, total, sampled = Minutes(), MIDNIGHT, 0, []
    for queries, length in looks:
        sampled += minutes.add(queries, now, now + length)
        now, total = now + length, total + queries
    assert len(sampled) == int((now - MIDNIGHT) // 60)
    assert sum(sampled) + (minutes.queries if now % 60 else 0) == pytest.approx(total, abs=1e-3)


def test_active_hours_of_a_mean_day():
    hours = Hours()
    assert hours.per_day() is None
    for hour in range(7 * 24):
        hours.mark(hour, active=hour % 24 in {9, 10, 11})
    assert hours.per_day() == 3
    for hour in range(7 * 24, 14 * 24):
        hours.mark(hour, active=False)
    assert hours.per_day() == 0


def test_days_that_were_watched_in_part_count_in_part():
    hours = Hours()
    hours.mark(0, active=True)
    assert hours.per_day() == 1  # less than a day is a day
    for hour in range(1, 36):
        hours.mark(hour, active=hour < 6)
    assert hours.per_day() == 4  # six in a day and a half
    hours.mark(100, active=False)  # nobody watched in between
    assert hours.per_day() == pytest.approx(6 / (37 / 24))


def test_an_hour_counts_once_however_the_clock_is_set():
    hours = Hours()
    for hour in (10, 11, 10, 11, 10, 11):
        hours.mark(hour, active=True)
    assert (hours.active.bit_count(), hours.watched.bit_count()) == (2, 2)
    hours.mark(10**6, active=True)
    hours.mark(11, active=True)
    assert (hours.active.bit_count(), hours.watched.bit_count()) == (1, 1)


@given(st.lists(st.tuples(st.integers(0, 10**6), st.booleans()), max_size=50))
def test_no_more_hours_are_active_than_watched_and_none_beyond_a_week(marks):
    hours = Hours()
    for hour, active in marks:
        hours.mark(hour, active=active)
        assert hours.active & ~hours.watched == 0
        assert 0 <= hours.per_day() <= 24
        again = Hours()
        again.load(json.loads(json.dumps(hours.dump())))
        assert again.dump() == hours.dump()


def ended(looks, gap=900):
    """Look every minute: `looks` are (minutes, active); return the categories of the periods that ended."""
    period, now, categories = Period(gap), MIDNIGHT, []
    for minutes, active in looks:
        for _ in range(minutes):
            now += 60
            categories += filter(None, [period.look(now, now - 60 if active else None)])
    return categories


@pytest.mark.parametrize(
    ("minutes", "category"),
    [(1, "<1h"), (59, "<1h"), (60, "1-4h"), (239, "1-4h"), (240, "4-24h"), (1439, "4-24h"), (1440, ">24h")],
)
def test_a_period_ends_after_a_quiet_gap_and_is_as_long_as_the_activity(minutes, category):
    assert ended([(minutes, True), (15, False)]) == []
    assert ended([(minutes, True), (16, False)]) == [category]
    assert ended([(minutes, True), (100, False)]) == [category]


def test_a_pause_within_the_gap_does_not_end_it():
    assert ended([(30, True), (15, False), (30, True), (30, False)]) == ["1-4h"]
    assert ended([(30, True), (20, False), (30, True), (30, False)]) == ["<1h", "<1h"]


def test_looks_further_apart_than_the_gap_are_one_period_while_there_is_activity_in_each():
    period = Period(60)
    assert [period.look(now, now - 300) for now in range(300, 7200, 300)] == [None] * 23
    assert period.look(10_000) == "1-4h"


def test_a_clock_that_is_set_back_makes_no_period_longer_or_shorter():
    period = Period(900)
    period.look(MIDNIGHT + 1800, MIDNIGHT)
    period.look(MIDNIGHT - 7200, MIDNIGHT - 7200)
    assert period.look(MIDNIGHT - 7200 + 901) == "<1h"
