"""Readings: what was used between two of them, and what breaks the count."""

import pytest

from otel_dynabase.observer.reading import Counters, Reading, since, tried_in_vain

START = Counters(
    at=1000.0,
    oid=5,
    server="10.0.0.1 5432 false",
    started=100.0,
    reset=0.0,
    began=50.0,
    transactions=200,
    sessions=20,
    finished=10.0,
    executing=10.0,
    read=8192,
    temporary=0,
    clients=2,
    busy=False,
    last_query=990.0,
    statements="0/0",
    calls=100,
    written=0,
    own=0,
    own_sessions=0,
    own_time=0.0,
)
"""A database that is asked about from another one."""
HERE = START._replace(own=2, own_sessions=1, own_time=0.01, statements=None, calls=None, written=None)
"""One that is asked about from within, without pg_stat_statements."""


def later(before=START, **changes):
    return before._replace(at=before.at + 30, **changes)


def used(after, before=START):
    usage, _, why = since(before, after)
    assert why is None
    return usage


def test_calls_are_queries():
    assert used(later(calls=130, transactions=9000, finished=11.0)).queries == 30


def test_without_calls_transactions_are_but_those_that_begin_a_session():
    before = START._replace(statements=None, calls=None)
    assert used(later(before, transactions=230, sessions=25, finished=10.5), before).queries == 25


@pytest.mark.parametrize("change", [{"statements": "0/1"}, {"statements": "9/0"}, {"calls": 90}, {"calls": None}])
def test_transactions_stand_in_where_calls_cannot_be_compared(change):
    assert used(later(transactions=210, finished=10.5, **({"calls": 500} | change))).queries == 10


def test_transactions_of_nobody_are_autovacuum_s():
    before = START._replace(statements=None, calls=None)
    assert used(later(before, transactions=204), before).queries == 0
    assert used(later(before, transactions=204, last_query=1010.0), before).queries == 4


def test_the_observer_s_own_are_taken_out():
    assert used(later(HERE, transactions=203, sessions=21, finished=10.005), HERE).queries == 0
    assert used(later(HERE, transactions=208, sessions=21, finished=10.5), HERE).queries == 5


@pytest.mark.parametrize("change", [{"sessions": 22}, {"clients": 1}, {"last_query": 1010.0}, {"finished": 10.5}])
def test_a_client_s_short_statements_do_not_hide_behind_the_observer_s(change):
    after = later(HERE, **({"transactions": 210, "sessions": 21, "finished": 10.005} | change))
    assert used(after, HERE).queries == 10 - (after.sessions - 20) - 2


def test_tries_in_vain_are_allowed_for():
    before = tried_in_vain(HERE, 5.0)
    after = later(before, transactions=206, sessions=22, finished=12.0)
    assert used(after, before).queries == 0


def test_without_track_activities_nothing_is_said_of_queries_and_time():
    before = START._replace(finished=None, executing=None, statements=None, calls=None)
    usage = used(later(before, transactions=900), before)
    assert (usage.queries, usage.executing) == (None, None)


def test_bytes():
    usage = used(later(read=8192 * 11, temporary=500, written=4096))
    assert (usage.read, usage.written) == (81920, 4596)
    assert used(later(temporary=500, written=4096, statements="0/1")).written == 500


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"oid": 6}, "recreated"),
        ({"reset": 900.0}, "reset"),
        ({"started": 500.0}, "moved"),
        ({"started": 1010.0, "server": "10.0.0.2 5432 false"}, "moved"),
        ({"transactions": 199}, "lost"),
        ({"finished": 9.0}, "lost"),
        ({"started": 1010.0, "read": 0}, "lost"),
    ],
)
def test_what_breaks_the_count(change, reason):
    """Whatever the new counters are, nothing is made of them."""
    high = later(transactions=10**9, calls=10**9, read=10**12, finished=1e6, executing=1e6)
    usage, baseline, why = since(START, high._replace(**change))
    assert (usage, why) == (None, reason)
    assert baseline == high._replace(**change)


@pytest.mark.parametrize("change", [{"reset": 1010.0}, {"started": 1005.0, "oid": 5}])
def test_counters_that_began_at_zero_after_the_last_reading_count_in_full(change):
    after = later(began=1010.0, transactions=12, sessions=2, finished=0.5, executing=0.5, read=8192, calls=3, **change)
    usage, _, why = since(START, after)
    assert why in {"reset", "lost"}
    assert (usage.queries, usage.executing, usage.read, usage.elapsed) == (10, 0.5, 8192, 30)


def test_a_clean_restart_breaks_nothing():
    assert used(later(started=1010.0, calls=105)).queries == 5
    assert used(later(server="10.0.0.9 5432 false", calls=105)).queries == 5  # another of its addresses


def test_a_clock_that_is_set_back_leaves_the_counts_and_no_time():
    usage = used(START._replace(at=900.0, calls=105))
    assert (usage.queries, usage.elapsed) == (5, 0)


def test_time_counted_while_a_statement_ran_is_not_counted_again_when_it_ends():
    running = later(busy=True, executing=40.0)
    usage, baseline, _ = since(START, running)
    assert usage.executing == 30
    between = later(running, busy=True, executing=10.2)  # in the transaction, and not told yet
    usage, baseline, _ = since(baseline, between)
    assert usage.executing == 0
    ended = later(between, busy=False, finished=41.0, executing=41.0)
    usage, baseline, _ = since(baseline, ended)
    assert usage.executing == 1


def test_the_last_statement_of_a_killed_connection_does_not_hide_what_comes_after():
    killed = later(busy=True, executing=100.0)
    _, baseline, _ = since(START, killed)
    for _ in range(2):
        _, baseline, _ = since(baseline, later(baseline, busy=False, finished=11.0, executing=11.0))
    usage, _, _ = since(baseline, later(baseline, finished=12.0, executing=12.0))
    assert usage.executing == 1


def test_no_more_can_have_been_executing_than_were_there():
    assert used(later(clients=5, sessions=23)).most_clients == 8
    assert used(later(clients=None)).most_clients is None


@pytest.mark.parametrize(
    ("accepting", "clients", "draining"),
    [(True, 3, False), (False, 3, True), (False, 0, False), (False, None, None), (True, None, False)],
)
def test_draining(accepting, clients, draining):
    counters = START._replace(clients=clients)
    assert Reading("db", counters, running=0, accepting=accepting, here=False).draining is draining
