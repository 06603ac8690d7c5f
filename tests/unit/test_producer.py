"""The producer: what each metric reader of the real SDK gets, whatever it prefers and whenever it was registered."""

import gc
import importlib
import importlib.util
import threading
import weakref
from collections import Counter as Count

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import Counter as SdkCounter
from opentelemetry.sdk.metrics import Histogram as SdkHistogram
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics import UpDownCounter as SdkUpDownCounter
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader, MetricReader
from opentelemetry.sdk.resources import Resource

from otel_dynabase import DynabaseInstrumentor, producer
from otel_dynabase.catalog.kinds import Recorded
from otel_dynabase.catalog.metrics import (
    CONNECTION_MAX,
    CONNECTION_WAIT,
    LIMIT_HITS,
    METRICS,
    OPERATION_DURATION,
    QUERY_BUCKETS,
)
from otel_dynabase.producer import Bridge, Producer
from otel_dynabase.store import Store
from otel_dynabase.version import SCOPE, __version__

DELTA, CUMULATIVE = AggregationTemporality.DELTA, AggregationTemporality.CUMULATIVE
ALL_DELTA = {SdkCounter: DELTA, SdkHistogram: DELTA, SdkUpDownCounter: DELTA}
HIT = ("proj_1", "HOT", "pro", "max_pool_size", "queued")
QUERY = ("proj_1", "HOT", "pro", "SELECT", None)
FAILED = ("proj_1", "HOT", "pro", "SELECT", "data_exception")


class World:
    """A store, its producer, and the bridge to readers; the instrumentor's part of it, without any library."""

    def __init__(self, families=("dynabase", "semconv"), provider=None):
        self.store = Store()
        self.producer = Producer(self.store, families)
        self.bridge = Bridge(self.producer, provider)

    def fill(self):
        self.store.sum(LIMIT_HITS, HIT).add(3)
        self.store.distribution(OPERATION_DURATION, QUERY).record(0.02)
        self.store.distribution(OPERATION_DURATION, FAILED).record(0.3)
        self.store.observe(lambda: [(CONNECTION_MAX, ("proj_1", "HOT", "pro", "pool"), 5)])
        return self

    def connect(self):
        self.bridge.connect()
        return self


@pytest.fixture
def provider_of():
    made = []

    def make(*readers, **attributes):
        made.append(MeterProvider(readers, Resource(attributes), shutdown_on_exit=False))
        return made[-1]

    yield make
    for provider in made:
        provider.shutdown()


def scopes(reader):
    data = reader.get_metrics_data()
    return [scope for resource in data.resource_metrics for scope in resource.scope_metrics] if data else []


def metrics(reader):
    return {metric.name: metric for scope in scopes(reader) if scope.scope.name == SCOPE for metric in scope.metrics}


def points(reader, name):
    found = metrics(reader).get(name)
    return list(found.data.data_points) if found is not None else []


def values(reader, name):
    return [getattr(point, "value", getattr(point, "count", None)) for point in points(reader, name)]


# --- temporality ------------------------------------------------------------------------------------------------------


def test_a_reader_gets_what_it_prefers_by_kind_of_instrument(provider_of):
    plain, delta = InMemoryMetricReader(), InMemoryMetricReader(preferred_temporality=ALL_DELTA)
    mixed = InMemoryMetricReader(preferred_temporality={SdkCounter: DELTA})
    for reader in (plain, delta, mixed):
        provider_of(reader)
    World().fill().connect()
    kinds = ("tenant.limit.hits", "db.client.operation.duration", "db.client.connection.max")
    collections = [metrics(reader) for reader in (plain, delta, mixed)]
    assert [[found[name].data.aggregation_temporality for name in kinds] for found in collections] == [
        [CUMULATIVE, CUMULATIVE, CUMULATIVE],
        [DELTA, DELTA, CUMULATIVE],
        [DELTA, CUMULATIVE, CUMULATIVE],
    ]


def test_cumulative_repeats_and_delta_only_tells_news(provider_of):
    plain, delta = InMemoryMetricReader(), InMemoryMetricReader(preferred_temporality=ALL_DELTA)
    provider_of(plain, delta)
    world = World().fill().connect()
    seen = [(values(plain, "tenant.limit.hits"), values(delta, "tenant.limit.hits")) for _ in range(3)]
    world.store.sum(LIMIT_HITS, HIT).add(2)
    seen.append((values(plain, "tenant.limit.hits"), values(delta, "tenant.limit.hits")))
    assert seen == [([3], [3]), ([3], []), ([3], []), ([5], [2])]


def test_delta_intervals_follow_on_each_other_and_cumulative_ones_begin_where_the_series_was_born(provider_of):
    plain, delta = InMemoryMetricReader(), InMemoryMetricReader(preferred_temporality=ALL_DELTA)
    provider_of(plain, delta)
    world = World().fill().connect()
    born = world.store.sum(LIMIT_HITS, HIT).point().start_ns
    intervals = []
    for _ in range(3):
        world.store.sum(LIMIT_HITS, HIT).add()
        (point,) = points(delta, "tenant.limit.hits")
        intervals.append((point.start_time_unix_nano, point.time_unix_nano))
        (point,) = points(plain, "tenant.limit.hits")
        assert point.start_time_unix_nano == born <= point.time_unix_nano
    assert intervals[0][0] == born
    assert [end for _, end in intervals[:2]] == [start for start, _ in intervals[1:]]


def test_each_delta_reader_has_its_own_past(provider_of):
    first, second = (InMemoryMetricReader(preferred_temporality=ALL_DELTA) for _ in range(2))
    provider_of(first)
    provider_of(second)
    world = World().fill().connect()
    assert values(first, "tenant.limit.hits") == [3]
    world.store.sum(LIMIT_HITS, HIT).add()
    assert values(second, "tenant.limit.hits") == [4]
    assert values(first, "tenant.limit.hits") == [1]


def take(reader, totals):
    """Add what a reader collects now to its totals by metric."""
    for name, metric in metrics(reader).items():
        if name in {"tenant.limit.hits", "db.client.operation.duration"}:
            totals[name] += sum(getattr(p, "value", getattr(p, "count", 0)) for p in metric.data.data_points)


def test_deltas_are_exact_while_threads_record_and_several_readers_collect(provider_of):
    readers = [InMemoryMetricReader(preferred_temporality=ALL_DELTA) for _ in range(2)]
    provider_of(*readers)
    world = World().connect()
    totals, stop = [Count(), Count()], threading.Event()

    def record():
        for _ in range(5000):
            world.store.sum(LIMIT_HITS, HIT).add()
            world.store.distribution(OPERATION_DURATION, QUERY).record(0.02)

    def collect(number):
        while not stop.is_set():
            take(readers[number], totals[number])
        take(readers[number], totals[number])

    threads = [threading.Thread(target=record) for _ in range(4)]
    collectors = [threading.Thread(target=collect, args=(number,)) for number in range(2)]
    for thread in (*threads, *collectors):
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    for thread in collectors:
        thread.join()
    assert [dict(found) for found in totals] == [
        {"tenant.limit.hits": 20_000, "db.client.operation.duration": 20_000}
    ] * 2


# --- readers and providers --------------------------------------------------------------------------------------------


def test_the_scope_and_the_resource_are_right(provider_of):
    with_others, alone = InMemoryMetricReader(), InMemoryMetricReader()
    provider = provider_of(with_others, **{"service.name": "one"})
    provider_of(alone, **{"service.name": "two"})
    provider.get_meter("theirs").create_counter("theirs").add(1)
    World().fill().connect()
    for reader, name, expected in ((with_others, "one", {"theirs", SCOPE}), (alone, "two", {SCOPE})):
        (resource,) = reader.get_metrics_data().resource_metrics
        assert resource.resource.attributes["service.name"] == name
        assert expected <= {scope.scope.name for scope in resource.scope_metrics}
        (ours,) = [scope for scope in resource.scope_metrics if scope.scope.name == SCOPE]
        assert ours.scope.version == __version__


def test_providers_before_and_after_instrumenting_are_joined(provider_of, instrument):
    early, late = InMemoryMetricReader(), InMemoryMetricReader()
    provider_of(early)
    telemetry = instrument(providers=False)
    provider_of(late)
    for reader in (early, late, telemetry.reader):
        assert values(reader, "otel_dynabase.series")
    telemetry.uninstrument()
    for reader in (early, late):
        assert metrics(reader) == {}


def test_an_explicit_provider_is_the_only_one(provider_of, instrument):
    early, late = InMemoryMetricReader(), InMemoryMetricReader()
    provider_of(early)
    telemetry = instrument()
    provider_of(late)
    assert metrics(early) == metrics(late) == {}
    assert values(telemetry.reader, "otel_dynabase.series")


def test_a_reader_added_to_a_provider_later_is_joined(provider_of, instrument):
    provider = provider_of()
    if not hasattr(provider, "add_metric_reader"):
        pytest.skip("this version of the SDK cannot add readers")
    instrument(providers=False)
    reader = InMemoryMetricReader()
    provider.add_metric_reader(reader)
    assert values(reader, "otel_dynabase.series")
    provider.remove_metric_reader(reader)
    assert reader._collect is None


@pytest.mark.parametrize("then", ["added again", "uninstrumented"])
def test_a_removed_reader_is_forgotten(provider_of, instrument, then):
    provider = provider_of()
    if not hasattr(provider, "add_metric_reader"):
        pytest.skip("this version of the SDK cannot add readers")
    telemetry, reader = instrument(providers=False), InMemoryMetricReader()
    provider.add_metric_reader(reader)
    provider.remove_metric_reader(reader)
    if then == "added again":
        provider.add_metric_reader(reader)
        assert values(reader, "otel_dynabase.series")
    else:
        telemetry.uninstrument()
        assert reader._collect is None


def test_uninstrumenting_gives_each_reader_its_own_callback_back(provider_of, instrument):
    early, late = InMemoryMetricReader(), InMemoryMetricReader()
    provider = provider_of(early)
    before = early._collect
    telemetry = instrument(providers=False)
    other = provider_of(late)
    assert early._collect != before
    telemetry.uninstrument()
    assert early._collect == before == provider._measurement_consumer.collect
    assert late._collect == other._measurement_consumer.collect
    assert MetricReader._set_collect_callback.__qualname__ == "MetricReader._set_collect_callback"
    assert not hasattr(MetricReader._set_collect_callback, "__wrapped__")


def test_instrumenting_twice_in_a_row_reports_once(provider_of, instrument):
    reader = InMemoryMetricReader()
    provider_of(reader)
    instrument(providers=False).uninstrument()
    instrument(providers=False)
    assert [scope.scope.name for scope in scopes(reader)].count(SCOPE) == 1


def test_a_dropped_provider_is_freed():
    world, reader = World().fill(), InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    world.connect()
    gone = weakref.ref(reader)
    provider.shutdown()
    del provider, reader
    gc.collect()
    assert gone() is None


def test_without_an_sdk_nothing_happens():
    DynabaseInstrumentor().instrument()
    runtime = DynabaseInstrumentor().runtime
    runtime.probes.tenants.of("proj_1").pool("pool").wait.record(0.1)
    DynabaseInstrumentor().uninstrument()


class PullReader(MetricReader):
    """Collects when it is asked, as an exporter does that is scraped."""

    def __init__(self):
        super().__init__()
        self.received = []

    def _receive_metrics(self, metrics_data, timeout_millis=10_000, **kwargs):
        self.received.append(metrics_data)

    def shutdown(self, timeout_millis=30_000, **kwargs):
        pass


def test_a_reader_that_is_pulled_gets_ours(provider_of):
    reader = PullReader()
    provider_of(reader)
    World().fill().connect()
    reader.collect()
    (data,) = reader.received
    (ours,) = [s for r in data.resource_metrics for s in r.scope_metrics if s.scope.name == SCOPE]
    assert {"tenant.limit.hits", "db.queries"} <= {metric.name for metric in ours.metrics}


def test_the_prometheus_exporter_shows_ours(provider_of):
    prometheus = pytest.importorskip("opentelemetry.exporter.prometheus")
    client = pytest.importorskip("prometheus_client")
    reader = prometheus.PrometheusMetricReader()
    provider_of(reader)
    World().fill().connect()
    text = client.generate_latest().decode()
    assert "tenant_limit_hits_total{" in text
    assert "db_queries_total{" in text


# --- series -----------------------------------------------------------------------------------------------------------


def test_views_show_the_same_statements_under_other_names(provider_of):
    reader = InMemoryMetricReader()
    provider_of(reader)
    world = World().connect()
    for key, times in ((QUERY, 5), (FAILED, 2), (("proj_2", "COLD", "free", "INSERT", None), 3)):
        for _ in range(times):
            world.store.distribution(OPERATION_DURATION, key).record(0.15)
    found = metrics(reader)
    by_status = {
        (p.attributes["project_id"], p.attributes["status"]): p.value for p in found["db.queries"].data.data_points
    }
    assert by_status == {("proj_1", "ok"): 5, ("proj_1", "error"): 2, ("proj_2", "ok"): 3}
    durations = {p.attributes["project_id"]: p for p in found["db.query.duration"].data.data_points}
    assert {project: point.count for project, point in durations.items()} == {"proj_1": 7, "proj_2": 3}
    assert durations["proj_1"].sum == pytest.approx(7 * 0.15)
    assert tuple(durations["proj_1"].explicit_bounds) == QUERY_BUCKETS
    assert "error.type" not in durations["proj_1"].attributes
    total = sum(point.count for point in found["db.client.operation.duration"].data.data_points)
    assert total == sum(by_status.values()) == 10


def test_views_are_exact_under_delta_too(provider_of):
    reader = InMemoryMetricReader(preferred_temporality=ALL_DELTA)
    provider_of(reader)
    world = World().fill().connect()
    assert sum(values(reader, "db.queries")) == 2
    world.store.distribution(OPERATION_DURATION, FAILED).record(0.3)
    found = metrics(reader)
    assert [(p.value, p.attributes["status"]) for p in found["db.queries"].data.data_points] == [(1, "error")]
    assert [p.count for p in found["db.query.duration"].data.data_points] == [1]


@pytest.mark.parametrize("family", ["dynabase", "semconv"])
def test_the_chosen_family_is_complete_without_the_other(provider_of, family):
    """A view's source may be of the family that was not chosen."""
    reader = InMemoryMetricReader()
    provider_of(reader)
    World((family,)).fill().connect()
    names = set(metrics(reader))
    assert {name.startswith("db.client.") for name in names} == {family == "semconv"}
    assert ("db.queries" in names) == ("db.query.duration" in names) == (family == "dynabase")


def test_attributes_are_texts_constants_included_and_none_left_out(provider_of):
    reader = InMemoryMetricReader()
    provider_of(reader)
    World().fill().connect()
    attributes = [dict(point.attributes) for point in points(reader, "db.client.operation.duration")]
    common = {"project_id": "proj_1", "tier": "HOT", "plan": "pro", "db.system.name": "postgresql"}
    ok = common | {"db.operation.name": "SELECT"}
    assert attributes == [ok, ok | {"error.type": "data_exception"}]


def test_a_point_adds_up(provider_of):
    reader = InMemoryMetricReader()
    provider_of(reader)
    world = World().connect()
    for value in (0.0005, 0.02, 0.15, 99.0):
        world.store.distribution(OPERATION_DURATION, QUERY).record(value)
    (point,) = points(reader, "db.client.operation.duration")
    assert point.count == sum(point.bucket_counts) == 4
    assert len(point.bucket_counts) == len(point.explicit_bounds) + 1
    assert point.sum == pytest.approx(99.1705)


def sampled(number):
    flags = trace.TraceFlags(trace.TraceFlags.SAMPLED)
    return trace.NonRecordingSpan(trace.SpanContext(number, number, is_remote=False, trace_flags=flags))


def test_delta_points_carry_only_fresh_exemplars(provider_of):
    reader = InMemoryMetricReader(preferred_temporality=ALL_DELTA)
    provider_of(reader)
    world = World().connect()
    cell = world.store.distribution(OPERATION_DURATION, QUERY)
    cell.record_in(sampled(1), 0.02, 0.0)
    (point,) = points(reader, "db.client.operation.duration")
    assert [exemplar.trace_id for exemplar in point.exemplars] == [1]
    cell.record(0.02)
    (point,) = points(reader, "db.client.operation.duration")
    assert point.exemplars == []


def test_a_view_has_at_most_one_exemplar_a_bucket(provider_of):
    reader = InMemoryMetricReader()
    provider_of(reader)
    world = World().connect()
    for number, pool in enumerate(("one", "two")):
        cell = world.store.distribution(CONNECTION_WAIT, ("proj_1", "HOT", "pro", pool))
        cell.record_in(sampled(number + 1), 0.02, 0.0)
    (point,) = points(reader, "db.connection.acquire.duration")
    assert len(point.exemplars) == 1


def test_series_without_points_make_no_metric(provider_of):
    reader = InMemoryMetricReader()
    provider_of(reader)
    World().connect()
    assert metrics(reader) == {}


def test_after_a_fork_deltas_begin_anew(provider_of):
    reader = InMemoryMetricReader(preferred_temporality=ALL_DELTA)
    provider_of(reader)
    world = World().fill().connect()
    assert values(reader, "tenant.limit.hits") == [3]
    world.store.after_fork()
    world.producer.after_fork()
    world.store.sum(LIMIT_HITS, HIT).add(2)
    assert values(reader, "tenant.limit.hits") == [2]


# --- failing ----------------------------------------------------------------------------------------------------------


def test_a_producer_that_fails_leaves_the_others_metrics(provider_of, lenient, caplog):
    reader = InMemoryMetricReader()
    provider = provider_of(reader)
    provider.get_meter("theirs").create_counter("theirs").add(1)
    world = World().fill().connect()
    world.producer.produce = lambda *_: 1 / 0
    for _ in range(3):
        assert [scope.scope.name for scope in scopes(reader) if scope.scope.name == "theirs"] == ["theirs"]
        assert metrics(reader) == {}
    assert lenient["producing metrics"] >= 3
    assert [record.args[0] for record in caplog.records if record.exc_info] == ["producing metrics"]


def test_an_sdk_that_fails_to_collect_fails_as_without_us(provider_of, monkeypatch):
    reader = InMemoryMetricReader()
    provider = provider_of(reader)
    monkeypatch.setattr(provider._measurement_consumer, "collect", lambda *_, **__: 1 / 0, raising=False)
    reader._set_collect_callback(provider._measurement_consumer.collect)
    World().fill().connect()
    with pytest.raises(ZeroDivisionError):
        reader.collect()


def test_a_callback_that_is_not_the_sdks_is_left_alone(provider_of):
    reader = InMemoryMetricReader()
    provider_of(reader)
    reader._set_collect_callback(own := lambda *_, **__: None)
    World().fill().connect()
    assert reader._collect is own


@pytest.mark.parametrize("touchpoint", producer.TOUCHPOINTS)
def test_a_private_part_of_the_sdk_that_we_rely_on_exists(touchpoint):
    """Attributes that only an instance has are looked up on one."""
    module, _, path = touchpoint.partition(":")
    owner, _, name = path.partition(".")
    owner = getattr(importlib.import_module(module), owner)
    with_reader = MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False)
    instance = with_reader if owner is MeterProvider else InMemoryMetricReader()
    assert hasattr(owner, name) or hasattr(instance, name)
    with_reader.shutdown()


def test_every_metric_can_be_produced(provider_of):
    """One series of each metric in the catalogue but those of Prometheus' own rules, through the real SDK's reader."""
    ours = [metric for metric in METRICS if not isinstance(metric, Recorded)]
    reader = InMemoryMetricReader()
    provider_of(reader)
    world = World().connect()
    for metric in ours:
        key = tuple("x" for _ in metric.key)
        if hasattr(metric, "buckets"):
            world.store.distribution(metric, key).record(0.1)
        elif type(metric).__name__ == "Counter":
            world.store.sum(metric, key).add()
        else:
            world.store.observe(lambda metric=metric, key=key: [(metric, key, 1)])
    found = metrics(reader)
    assert set(found) == {metric.name for metric in ours}
    assert all(found[metric.name].unit == metric.unit for metric in ours)


def test_the_sdks_own_serializer_takes_ours(provider_of):
    """The real path to the wire: OTLP encoding of what a reader received."""
    encoder = pytest.importorskip("opentelemetry.exporter.otlp.proto.common.metrics_encoder")
    reader = PullReader()
    provider_of(reader)
    world = World().fill().connect()
    world.store.distribution(OPERATION_DURATION, QUERY).record_in(sampled(1), 0.02, 0.0)
    reader.collect()
    wire = encoder.encode_metrics(reader.received[0])
    (ours,) = [s for r in wire.resource_metrics for s in r.scope_metrics if s.scope.name == SCOPE]
    histogram = next(metric for metric in ours.metrics if metric.name == "db.client.operation.duration").histogram
    assert sum(point.count for point in histogram.data_points) == 3
    assert not any(point.HasField("min") or point.HasField("max") for point in histogram.data_points)


def test_a_forked_worker_reports_as_an_instance_of_its_own(provider_of):
    """After a fork the SDK renews service.instance.id; two workers under one id would add up to nonsense."""
    reader = InMemoryMetricReader()
    provider = provider_of(reader, **{"service.instance.id": "parent"})
    World().fill().connect()
    assert [resource.resource.attributes for resource in reader.get_metrics_data().resource_metrics] == [
        {"service.instance.id": "parent"}
    ]
    provider._sdk_config.resource = Resource({"service.instance.id": "child"})
    assert [resource.resource.attributes for resource in reader.get_metrics_data().resource_metrics] == [
        {"service.instance.id": "child"}
    ]


# --- pausing ----------------------------------------------------------------------------------------------------------


def test_a_reader_waits_for_what_is_not_whole_yet():
    world, reader, read = World().fill(), InMemoryMetricReader(), []
    with world.producer.paused():
        reading = threading.Thread(target=lambda: read.append(world.producer.produce(reader, {})))
        reading.start()
        world.store.sum(LIMIT_HITS, HIT).add(2)
        reading.join(0.05)
        assert reading.is_alive()
    reading.join()
    (hits,) = [metric for metric in read[0].metrics if metric.name == LIMIT_HITS.name]
    assert [point.value for point in hits.data.data_points] == [5]


def test_a_muted_producer_shows_nothing():
    world = World().fill()
    world.producer.mute()
    assert not world.producer.produce(InMemoryMetricReader(), {}).metrics


def test_a_delta_reader_sees_a_series_that_retired_and_began_again():
    world, reader = World().fill(), InMemoryMetricReader()

    def delta():
        scope = world.producer.produce(reader, ALL_DELTA)
        return {
            metric.name: [point.value for point in metric.data.data_points]
            for metric in scope.metrics
            if metric.name == LIMIT_HITS.name
        }

    assert delta() == {LIMIT_HITS.name: [3]}
    assert world.store.retire(lambda metric, _: metric is LIMIT_HITS, 0, 0) == 1
    assert delta() == {}
    world.store.sum(LIMIT_HITS, HIT).add()
    assert delta() == {LIMIT_HITS.name: [1]}
