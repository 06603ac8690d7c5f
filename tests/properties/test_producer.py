"""Deltas: over any history of recordings and collections they add up to the cumulative total, for every reader."""

from collections import Counter as Count

from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.metrics import Counter as SdkCounter
from opentelemetry.sdk.metrics import Histogram as SdkHistogram
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader

from otel_dynabase.catalog.metrics import LIMIT_HITS, OPERATION_DURATION
from otel_dynabase.producer import Producer
from otel_dynabase.store import Store

DELTA = {SdkCounter: AggregationTemporality.DELTA, SdkHistogram: AggregationTemporality.DELTA}

keys = st.tuples(st.sampled_from(("a", "b")), st.just("HOT"), st.just("pro"))
adds = st.tuples(st.just("add"), keys, st.integers(0, 5))
records = st.tuples(st.just("record"), keys, st.sampled_from((0.0004, 0.02, 0.15, 42.0)))
collections = st.tuples(st.just("collect"), st.integers(0, 1), st.none())
histories = st.lists(st.one_of(adds, records, collections), max_size=50)


def numbers(scope):
    """Return every number of a collection: counters, and histograms bucket by bucket, views included."""
    found = Count()
    for metric in scope.metrics:
        for point in metric.data.data_points:
            series = (metric.name, *sorted(point.attributes.items()))
            if hasattr(point, "bucket_counts"):
                found.update({(*series, place): count for place, count in enumerate(point.bucket_counts)})
                found[(*series, "count")] += point.count
            else:
                found[series] += point.value
    return found


@settings(deadline=None, max_examples=150)
@given(histories)
def test_the_deltas_of_every_reader_add_up_to_the_cumulative_total(history):
    store = Store()
    producer = Producer(store, ("dynabase", "semconv"))
    readers = [InMemoryMetricReader(preferred_temporality=DELTA) for _ in range(2)]
    plain = InMemoryMetricReader()
    totals = [Count(), Count()]

    def collect(number):
        reader = readers[number]
        scope = producer.produce(reader, reader._instrument_class_temporality)
        assert all(value >= 0 for value in numbers(scope).values())
        totals[number].update(numbers(scope))

    for kind, what, value in history:
        if kind == "add":
            store.sum(LIMIT_HITS, (*what, "max_pool_size", "queued")).add(value)
        elif kind == "record":
            store.distribution(OPERATION_DURATION, (*what, "SELECT", None)).record(value)
        else:
            collect(what)
    collect(0)
    collect(1)
    whole = numbers(producer.produce(plain, plain._instrument_class_temporality))
    assert +totals[0] == +totals[1] == +whole


@settings(deadline=None, max_examples=100)
@given(histories)
def test_a_cumulative_reader_never_sees_a_number_fall(history):
    store = Store()
    producer = Producer(store, ("dynabase", "semconv"))
    reader, last = InMemoryMetricReader(), Count()
    for kind, what, value in history:
        if kind == "add":
            store.sum(LIMIT_HITS, (*what, "max_pool_size", "queued")).add(value)
        elif kind == "record":
            store.distribution(OPERATION_DURATION, (*what, "SELECT", None)).record(value)
        else:
            now = numbers(producer.produce(reader, reader._instrument_class_temporality))
            assert all(now[series] >= count for series, count in last.items())
            last = now
