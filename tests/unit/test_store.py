"""The store: exact totals, whatever threads do, and a child that starts from zero."""

import json
import os
import threading
import time

import pytest
from opentelemetry import trace

from otel_dynabase import faults
from otel_dynabase.catalog.kinds import Counter, Histogram
from otel_dynabase.catalog.metrics import LIMIT_HITS, OPERATION_DURATION, SELF_FOLDED
from otel_dynabase.store import EXEMPLAR_AGE, FOLD, Budget, Distribution, Store, Sum

THREADS, TURNS = 16, 2000
COUNTER = Counter("test.counter", "{thing}", (), "Things.")
HISTOGRAM = Histogram("test.histogram", "s", (), "Times.", buckets=(1.0, 2.0))


def in_threads(work):
    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def span(trace_id=1, *, sampled=True):
    flags = trace.TraceFlags(trace.TraceFlags.SAMPLED if sampled else 0)
    return trace.NonRecordingSpan(trace.SpanContext(trace_id, 7, is_remote=False, trace_flags=flags))


# --- totals -----------------------------------------------------------------------------------------------------------


def test_totals_are_exact_under_many_threads_that_also_look_up_and_read():
    store = Store()

    def work(number):
        for turn in range(TURNS):
            store.sum(COUNTER).add()
            store.distribution(HISTOGRAM).record(turn % 3)
            store.distribution(HISTOGRAM).record_in(trace.INVALID_SPAN, turn % 3, float(turn))
            if turn % 100 == number:
                list(store.series())

    in_threads(work)
    assert store.sum(COUNTER).point().value == THREADS * TURNS
    point = store.distribution(HISTOGRAM).point()
    assert sum(point.counts) == 2 * THREADS * TURNS
    assert point.total == 2 * THREADS * sum(turn % 3 for turn in range(TURNS))


def test_a_reader_sees_counts_and_total_of_one_moment():
    cell, torn, stop = Distribution((1.0,)), [], threading.Event()

    def read():
        while not stop.is_set():
            point = cell.point()
            if point.total != 3 * sum(point.counts):
                torn.append(point)

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(20_000):
        cell.record(3)
    stop.set()
    reader.join()
    assert torn == []


def test_racing_threads_find_the_same_series():
    store, found = Store(), []
    in_threads(lambda _: found.extend(store.sum(LIMIT_HITS, ("p", "HOT", "pro", str(n), "queued")) for n in range(50)))
    assert len({id(cell) for cell in found}) == 50 == len(store)


@pytest.mark.parametrize(("value", "bucket"), [(0, 0), (1.0, 0), (1.0000001, 1), (2.0, 1), (2.1, 2), (float("inf"), 2)])
def test_a_bucket_includes_its_upper_bound(value, bucket):
    cell = Distribution((1.0, 2.0))
    cell.record(value)
    assert cell.point().counts.index(1) == bucket


def test_a_key_of_the_wrong_length_is_a_mistake_of_ours_and_raises():
    with pytest.raises(ValueError, match=r"tenant\.limit\.hits takes"):
        Store().sum(LIMIT_HITS, ("proj_1",))


def test_reading_while_series_are_added_works():
    store = Store()

    def work(number):
        for turn in range(200):
            store.sum(LIMIT_HITS, (f"p{number}", "HOT", "pro", str(turn), "queued")).add()
            assert all(point.value >= 0 for _, _, point in store.series())

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(point.value for _, _, point in store.series()) == 800


# --- observers --------------------------------------------------------------------------------------------------------


def test_equal_keys_of_several_observers_add_up():
    store = Store()
    store.observe(lambda: [(COUNTER, (), 2), (COUNTER, (), 3)])
    store.observe(lambda: [(COUNTER, (), 4)])
    assert store.observed() == {COUNTER: {(): 9}}


def test_an_observer_that_fails_hides_no_other(lenient):
    store = Store()
    store.observe(lambda: [(COUNTER, (), 1 / 0)])
    store.observe(lambda: [(COUNTER, (), 4)])
    assert store.observed() == {COUNTER: {(): 4}}
    assert lenient == {"observing pools": 1}


# --- exemplars --------------------------------------------------------------------------------------------------------


def test_exemplars_come_from_sampled_spans_only():
    cell = Distribution((1.0,))
    for unsampled in (span(sampled=False), trace.INVALID_SPAN, trace.NonRecordingSpan(trace.INVALID_SPAN_CONTEXT)):
        cell.record_in(unsampled, 0.5, 0.0)
    assert cell.point().exemplars == {}
    cell.record_in(span(), 0.25, 0.0)
    ((bucket, exemplar),) = cell.point().exemplars.items()
    assert (bucket, exemplar.value, exemplar.trace_id, exemplar.span_id) == (0, 0.25, 1, 7)
    assert cell.point().counts == (4, 0)


def test_a_bucket_keeps_one_exemplar_and_renews_it_when_it_is_old():
    cell = Distribution((1.0, 2.0))
    for number, now in enumerate((0.0, 1.0, EXEMPLAR_AGE - 0.1, EXEMPLAR_AGE, EXEMPLAR_AGE + 1)):
        for value in (0.5, 1.5, 5.0):
            cell.record_in(span(number + 1), value, now)
    assert {bucket: kept.trace_id for bucket, kept in cell.point().exemplars.items()} == {0: 4, 1: 4, 2: 4}


def test_what_is_unsampled_does_not_push_out_an_exemplar():
    cell = Distribution((1.0,))
    cell.record_in(span(1), 0.5, 0.0)
    for turn in range(100):
        cell.record_in(span(2, sampled=False), 0.5, turn * EXEMPLAR_AGE)
    assert [kept.trace_id for kept in cell.point().exemplars.values()] == [1]


def test_the_sdks_own_variable_switches_exemplars_off(monkeypatch):
    monkeypatch.setattr("otel_dynabase.store.exemplars", False)
    cell = Distribution((1.0,))
    cell.record_in(span(), 0.5, 0.0)
    assert (cell.point().exemplars, cell.point().counts) == ({}, (1, 0))


def test_counts_are_kept_where_the_span_cannot_be_read():
    class Broken(trace.NonRecordingSpan):
        def get_span_context(self):
            raise LookupError

    cell = Distribution((1.0,))
    with pytest.raises(LookupError):
        cell.record_in(Broken(trace.INVALID_SPAN_CONTEXT), 0.5, 0.0)
    assert cell.point().counts == (1, 0)


# --- the budget -------------------------------------------------------------------------------------------------------


def test_the_budget_admits_the_first_and_counts_the_lookups_of_the_rest():
    folded = Sum()
    budget = Budget(2, folded)
    assert [budget.admit(name) for name in "abcab"] == [True, True, False, True, True]
    assert folded.point().value == 1


def test_the_budget_is_exact_under_threads():
    folded, admitted = Sum(), []
    budget = Budget(100, folded)
    in_threads(lambda number: admitted.extend(n for n in range(300) if budget.admit(f"p{n}")))
    assert len(set(admitted)) == 100
    assert len(admitted) == 100 * THREADS
    assert folded.point().value == 200 * THREADS


# --- fork -------------------------------------------------------------------------------------------------------------

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


def in_child(work, deadline=10.0):
    """Run `work` in a forked child; return its exit status: 0 if it returned true, None if it had to be killed."""
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if work() else 1)
        except BaseException:
            os._exit(2)
    end = time.monotonic() + deadline
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return None


def test_a_child_starts_from_zero_and_the_parent_goes_on():
    store = Store()
    counter, histogram = store.sum(COUNTER), store.distribution(HISTOGRAM)
    counter.add(5)
    histogram.record(1)
    started = counter.point().start_ns

    def child():
        store.after_fork()
        counter.add(2)
        histogram.record(2)
        return (
            store.sum(COUNTER) is counter
            and counter.point().value == 2
            and histogram.point().counts == (0, 1, 0)
            and counter.point().start_ns > started
        )

    assert in_child(child) == 0
    assert (counter.point().value, histogram.point().counts) == (5, (1, 0, 0))
    assert counter.point().start_ns == started


def test_a_child_forked_while_a_cells_lock_is_held_does_not_hang():
    """Every lock of the store is held by another thread at the moment of the fork: the worst case, made certain."""
    store = Store()
    budget = Budget(5, store.sum(SELF_FOLDED))
    cells = [store.sum(COUNTER), store.distribution(HISTOGRAM)]
    locks = [cell._lock for cell in cells] + [store._lock, budget._lock, faults._lock]
    held, release = threading.Event(), threading.Event()

    def hold():
        for lock in locks:
            lock.acquire()
        held.set()
        release.wait()
        for lock in locks:
            lock.release()

    def child():
        faults.after_fork()
        budget.after_fork()
        store.after_fork()
        cells[0].add()
        cells[1].record(1)
        store.sum(LIMIT_HITS, ("p", "HOT", "pro", "max_pool_size", "queued")).add()
        return budget.admit("p") and len(list(store.series())) == 4

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    assert in_child(child) == 0
    release.set()
    holder.join()


def test_series_bound_before_a_fork_stay_bound():
    store = Store()
    cell = store.distribution(OPERATION_DURATION, ("p", "HOT", "pro", "SELECT", None))
    store.after_fork()
    cell.record(0.1)
    ((_, _, point),) = store.series()
    assert sum(point.counts) == 1


# --- going on from what was saved -------------------------------------------------------------------------------------


def filled():
    store = Store()
    store.sum(LIMIT_HITS, ("a", "HOT", "pro", "max_pool_size", "queued")).add(2.5)
    store.distribution(OPERATION_DURATION, ("a", "HOT", "pro", "SELECT", None)).record(0.02)
    store.sum(SELF_FOLDED).add()
    return store


def readings(store):
    return {(metric, key): point for metric, key, point in store.series() if metric is not SELF_FOLDED}


def test_a_store_goes_on_where_another_was_with_the_same_beginnings():
    store, saved = Store(), filled()
    assert store.load(json.loads(json.dumps(saved.dump()))) == 0
    assert readings(store) == readings(saved)
    assert store.sum(SELF_FOLDED).point().value == 0, "figures of the process itself are the process's"
    store.sum(LIMIT_HITS, ("a", "HOT", "pro", "max_pool_size", "queued")).add()
    store.distribution(OPERATION_DURATION, ("a", "HOT", "pro", "SELECT", None)).record(0.02)
    totals = [point.value if hasattr(point, "value") else sum(point.counts) for point in readings(store).values()]
    assert totals == [3.5, 2]


@pytest.mark.parametrize(
    "dumped",
    [
        {"no.such.metric": [[["a"], 1, 2]]},
        {LIMIT_HITS.name: [[["a"], 1, 2]]},
        {LIMIT_HITS.name: [[["a", "HOT", "pro", "max_pool_size", "queued"], 1, [1], 2]]},
        {OPERATION_DURATION.name: [[["a", "HOT", "pro", "SELECT", None], 1, [1, 2], 2]]},
        {OPERATION_DURATION.name: [[[]]]},
    ],
)
def test_series_of_an_earlier_catalogue_are_counted_and_left_out(dumped):
    store = Store()
    assert store.load(dumped) == 1
    assert len(store) == 0


# --- retiring ---------------------------------------------------------------------------------------------------------


def test_an_outdated_series_is_forgotten_when_it_has_not_changed_for_a_while():
    store, key = filled(), ("a", "HOT", "pro", "max_pool_size", "queued")

    def retire(now):
        return store.retire(lambda metric, _key: metric is LIMIT_HITS, now, 100)

    assert retire(0) == 0
    store.sum(LIMIT_HITS, key).add()
    assert (retire(90), retire(189)) == (0, 0)
    assert retire(190) == 1
    assert {metric for metric, _, _ in store.series()} == {OPERATION_DURATION, SELF_FOLDED}
    assert store.sum(LIMIT_HITS, key).point().value == 0


def test_what_is_added_late_to_a_series_that_somebody_kept_is_not_lost():
    store, key = Store(), ("a", "HOT", "pro", "max_pool_size", "queued")
    bound = store.sum(LIMIT_HITS, key)
    bound.add(3)
    start = bound.point().start_ns

    def retire(now):
        return store.retire(lambda _metric, _key: True, now, 100)

    assert (retire(0), retire(100)) == (0, 1)
    assert list(store.series()) == []
    retire(150)
    assert list(store.series()) == [], "nothing has happened"
    bound.add(2)
    retire(200)
    [(metric, found, point)] = store.series()
    assert (metric, found, point.value, point.start_ns) == (LIMIT_HITS, key, 5, start)
    assert retire(300) == 1, "it may go again"


def test_a_series_that_is_asked_for_again_while_somebody_kept_it_is_the_same():
    store, key = Store(), ("a", "HOT", "pro", "max_pool_size", "queued")
    bound = store.sum(LIMIT_HITS, key)
    bound.add(3)
    store.retire(lambda _metric, _key: True, 0, 0)
    assert store.sum(LIMIT_HITS, key) is bound
    assert [point.value for _, _, point in store.series()] == [3]
    store.retire(lambda _metric, _key: False, 1, 0)
    assert [point.value for _, _, point in store.series()] == [3]


def test_a_series_that_is_wanted_again_stays():
    store, outdated = filled(), [True]

    def retire(now):
        return store.retire(lambda metric, _key: outdated[0] and metric is OPERATION_DURATION, now, 100)

    retire(0)
    outdated[0] = False
    retire(50)
    outdated[0] = True
    assert (retire(120), retire(219)) == (0, 0)
    assert retire(220) == 1


def test_a_value_recorded_while_its_thread_counts_waits_for_nothing():
    """A garbage collection can end anybody's use of a connection at any point, also inside the counting."""
    distribution = Distribution((0.5,))

    class Collecting(float):
        def __lt__(self, other):
            if not recorded:
                recorded.append(1)
                for _ in range(FOLD):
                    distribution.record(1.0)
            return float(self) < other

    recorded = []
    counting = threading.Thread(target=lambda: [distribution.record(Collecting(n)) for n in range(FOLD)], daemon=True)
    counting.start()
    counting.join(10)
    assert not counting.is_alive()
    assert sum(distribution.point().counts) == 2 * FOLD
