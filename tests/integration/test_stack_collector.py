"""`otelcol-config.yaml` in real life: OTLP from the SDK's exporters in, Prometheus and ClickHouse out."""

from __future__ import annotations

import os
import subprocess
import time
import uuid

import pytest
import yaml
from opentelemetry import context, trace
from opentelemetry._logs import LogRecord
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    ExponentialHistogram,
    ExponentialHistogramDataPoint,
    Metric,
    NumberDataPoint,
    Sum,
)
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from examples.stack import build
from examples.stack.collector import CONFIG, Collector
from examples.stack.process import ROOT
from examples.stack.stack import Stack
from tests.integration.sending import TENANTS, Process, attributes_of, by, grpc_metrics, labels_of, post, until

pytestmark = pytest.mark.end_to_end


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    with Stack(tmp_path_factory.mktemp("stack"), environ={}) as running:
        yield running


@pytest.fixture(scope="module", params=["cumulative", "delta"])
def folded(stack, request):
    """Two processes' worth of metrics, exported twice, in Prometheus; and the trace that was current meanwhile."""
    service = f"{request.param}-app"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", request.param)
        http = HttpMetricExporter(f"{stack.collector.otlp_http}/v1/metrics")
        processes = [Process(service, grpc_metrics(stack.collector)), Process(service, http)]
    span = trace.NonRecordingSpan(
        trace.SpanContext(uuid.uuid4().int, 1, is_remote=False, trace_flags=trace.TraceFlags(1))
    )
    for _ in range(2):
        token = context.attach(trace.set_span_in_context(span))
        for process in processes:
            process.work()
        context.detach(token)
        for process in processes:
            assert process.provider.force_flush()
    until(lambda: by(stack, f'sum(tenant_limit_hits_total{{job="{service}"}})'), {(): 84.0}.__eq__)
    yield service, span.get_span_context()
    for process in processes:
        process.provider.shutdown()


def test_each_named_tenant_has_one_series_for_the_whole_fleet_and_the_others_share_one(stack, folded):
    service, _ = folded
    got = by(stack, f'tenant_limit_hits_total{{job="{service}"}}', "instance", "plan", "project_id")
    assert got == {
        (None, "free", "_other"): 2 * 2 * (1 + 2 + 3),
        (None, "starter", "start1"): 16,
        (None, "pro", "pro1"): 20,
        (None, "pro", "pro2"): 24,
    }


def test_counters_are_born_at_zero(stack, folded):
    service, _ = folded
    lowest = by(stack, f'min_over_time(tenant_limit_hits_total{{job="{service}"}}[10m])', "project_id")
    assert set(lowest.values()) == {0}


def test_histograms_fold_exactly_with_their_exemplars(stack, folded):
    """Three tenants record 0.05 and 0.7 twice, in each of two processes."""
    service, span = folded
    which = f'{{job="{service}", project_id="_other"}}'
    edges = by(stack, f"sum by (le) (db_query_duration_seconds_bucket{which})", "le")
    assert edges == {("0.1",): 12, ("0.5",): 12, ("1",): 24, ("+Inf",): 24}
    assert by(stack, f"sum(db_query_duration_seconds_count{which})") == {(): 24}
    assert by(stack, f"sum(db_query_duration_seconds_sum{which})")[()] == pytest.approx(12 * 0.75)
    now = time.time()
    found = stack.prometheus.exemplars(f"db_query_duration_seconds_bucket{which}", now - 600, now + 60)
    labels = [exemplar["labels"] for series in found for exemplar in series["exemplars"]]
    assert {one["trace_id"] for one in labels} == {trace.format_trace_id(span.trace_id)}
    assert {one["project_id"] for one in labels} <= {"free1", "free2", "free3"}, "whose they are is not folded"


def test_current_values_add_up_and_of_states_the_worst_is_shown(stack, folded):
    """Of the fleet, as of the tenants that share a series."""
    service, _ = folded
    active = by(stack, f'db_active_connections{{job="{service}"}}', "project_id")
    assert active == {("_other",): 24, ("start1",): 8, ("pro1",): 8, ("pro2",): 8}
    memory = by(stack, f'tenant_memory_usage_bytes{{job="{service}"}}', "project_id")
    assert memory == {("_other",): 600, ("start1",): 200, ("pro1",): 200, ("pro2",): 200}
    state = by(stack, f'circuit_breaker_state{{job="{service}"}}', "project_id")
    assert state == {("_other",): 2, ("start1",): 0, ("pro1",): 1, ("pro2",): 0}


def test_how_many_tenants_are_behind_a_metric_is_known_of_folded_ones_too(stack, folded):
    affected = by(stack, 'tenants_affected{metric="tenant.limit.hits"}', "plan")
    assert affected == {("free",): 3, ("starter",): 1, ("pro",): 2}


def test_a_folded_tenants_stale_marker_does_not_wipe_the_sum(stack):
    """An SDK cannot be made to send one, so the request is written by hand."""
    now = time.time_ns()

    def point(project, plan, value, **more):
        attributes = attributes_of(labels_of(project, plan) | {"db.client.connection.pool.name": f"pool of {project}"})
        return NumberDataPoint(attributes=attributes, time_unix_nano=now, as_int=value, **more)

    points = [
        point("free1", "free", 5), point("free2", "free", 0, flags=1), point("free3", "free", 7),
        point("pro1", "pro", 0, flags=1), point("pro2", "pro", 9),
    ]  # fmt: skip
    total = Sum(data_points=points, aggregation_temporality=AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE)
    metric = Metric(name="db.client.connection.count", sum=total)
    post(stack.collector, "by-hand", metric)
    labels = ("project_id", "db_client_connection_pool_name")
    assert until(lambda: by(stack, 'db_client_connection_count{job="by-hand"}', *labels)) == {
        ("_other", "_other"): 12,
        ("pro2", "pool of pro2"): 9,
    }


def test_budgets_are_settings(stack, tmp_path):
    stores = {"clickhouse": stack.clickhouse.url, "prometheus": stack.prometheus.url}
    budgets = {"OTELCOL_BUDGET_FREE": "1", "OTELCOL_BUDGET_STARTER": "0", "OTELCOL_REPLICA": "second"}
    with Collector(tmp_path, **stores, env=budgets) as collector:
        process = Process("other-app", grpc_metrics(collector))
        process.work()
        process.provider.shutdown()
        read = lambda: by(stack, 'tenant_limit_hits_total{job="other-app"}', "instance", "plan", "project_id")  # noqa: E731
        assert until(read) == {
            ("second", "free", "free1"): 1,
            ("second", "free", "_other"): 2 + 3,
            ("second", "starter", "_other"): 4,
            ("second", "pro", "pro1"): 5,
            ("second", "pro", "pro2"): 6,
        }


def test_prometheus_scrapes_the_collector(stack):
    until(lambda: stack.prometheus.query("otelcol_exporter_sent_metric_points"))


# --- events -----------------------------------------------------------------------------------------------------------


class Events:
    """What an instrumented process sends as log records."""

    def __init__(self, collector):
        self._provider = LoggerProvider(Resource.create({"service.name": "app", "service.instance.id": "i-1"}))
        exporter = OTLPLogExporter(endpoint=collector.otlp_grpc, insecure=True)
        self._provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))

    def send(self, project, *, scope="otel_dynabase", name="limit_hit", event_id=None, timestamp=None, body=None):
        attributes = {
            "event_id": str(event_id or uuid.uuid4()), "event_seq": 1, "project_id": project, "plan": "pro",
            "limit_type": "max_pool_size", "hit_count": 3,
        }  # fmt: skip
        record = LogRecord(timestamp=timestamp or time.time_ns(), event_name=name, attributes=attributes, body=body)
        self._provider.get_logger(scope).emit(record)


@pytest.fixture
def events(stack):
    return Events(stack.collector)


def stored(stack, project):
    columns = "event_type, event_seq, plan, limit_type, hit_count, service_instance_id"
    return stack.clickhouse.rows(
        f"SELECT {columns} FROM tier_events FINAL WHERE project_id = {{project:String}}", project=project
    )


AS_SENT = {
    "event_type": "limit_hit", "event_seq": 1, "plan": "pro", "limit_type": "max_pool_size", "hit_count": 3,
    "service_instance_id": "i-1",
}  # fmt: skip


def filtered(stack):
    return sum(stack.collector.metrics("otelcol_processor_filter_logs_filtered").values())


def test_events_are_stored_and_other_logs_are_not(stack, events):
    events.send("mixed", name=None)
    events.send("mixed", scope="somebody.else")
    events.send("mixed")
    assert until(lambda: stored(stack, "mixed")) == [AS_SENT]
    assert until(lambda: filtered(stack)) == 2


def test_requests_may_be_larger_than_grpcs_default(stack, events):
    before = filtered(stack)
    events.send("big", scope="somebody.else", body="x" * 6_000_000)
    assert until(lambda: filtered(stack) - before) == 1


def test_an_event_sent_twice_counts_once(stack, events):
    event_id, timestamp = uuid.uuid4(), time.time_ns()
    events.send("retried", event_id=event_id, timestamp=timestamp)
    until(lambda: stored(stack, "retried"))
    events.send("retried", event_id=event_id, timestamp=timestamp)
    events.send("after")
    until(lambda: stored(stack, "after"))
    assert stored(stack, "retried") == [AS_SENT]


def test_events_survive_both_a_dead_store_and_a_dead_collector(stack, events):
    stack.clickhouse.kill()
    for _ in range(5):
        events.send("survivor")
    stack.collector.kill()
    stack.clickhouse.start()
    stack.collector.start()
    assert until(lambda: stored(stack, "survivor"), lambda rows: len(rows) == 5) == [AS_SENT] * 5


def test_a_collector_that_started_before_its_store_names_the_events_all_the_same(stack):
    """Then the exporter leaves the EventName column out of every INSERT, until it is restarted."""
    stack.clickhouse.stop()
    stack.collector.restart()
    Events(stack.collector).send("early")
    stack.clickhouse.start()
    assert until(lambda: stored(stack, "early")) == [AS_SENT]
    stack.collector.restart()


def test_metrics_wait_for_prometheus(stack):
    """A store that is away is no illness of the collector's: a restart would not cure it."""
    stack.prometheus.kill()
    process = Process("patient-app", grpc_metrics(stack.collector))
    process.work()
    process.provider.shutdown()
    until(lambda: sum(stack.collector.metrics("otelcol_exporter_queue_size").values()))
    assert stack.collector.is_ready()
    stack.prometheus.start()
    read = lambda: by(stack, 'sum(tenant_limit_hits_total{job="patient-app"})')  # noqa: E731
    assert until(read) == {(): 21}


def test_traces_are_taken(stack):
    provider = TracerProvider()
    exporter = OTLPSpanExporter(f"{stack.collector.otlp_http}/v1/traces")
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with provider.get_tracer("app").start_as_current_span("query"):
        pass
    provider.shutdown()
    accepted = lambda: sum(stack.collector.metrics("otelcol_receiver_accepted_spans").values())  # noqa: E731
    assert until(accepted) == 1


# --- the configuration files ------------------------------------------------------------------------------------------


def test_the_configuration_is_valid_without_any_variable():
    done = subprocess.run(
        [build.collector().ensure(), "validate", "--config", CONFIG],
        env={"PATH": os.defpath}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


NO_TABLE = Metric(
    name="db.query.duration",
    exponential_histogram=ExponentialHistogram(
        aggregation_temporality=AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE,
        data_points=[ExponentialHistogramDataPoint(attributes=attributes_of(labels_of("pro1", "pro")), count=1, sum=1)],
    ),
)


@pytest.mark.parametrize("temporality", ["cumulative", "delta"])
def test_every_tenants_own_metrics_are_in_clickhouse_if_asked_for(stack, tmp_path, monkeypatch, temporality):
    """Before folding, as they were sent, beside Prometheus; what has no tenant, or no table, keeps nothing up."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", temporality)
    service = f"{temporality}-detailed"
    config = [CONFIG, ROOT / "collector" / "detail.yaml"]
    stores = {"clickhouse": stack.clickhouse.url, "prometheus": stack.prometheus.url}
    with Collector(tmp_path, **stores, config=config, env={"OTELCOL_REPLICA": "detailed"}) as collector:
        process = Process(service, grpc_metrics(collector))
        process.meter.create_gauge("tenants.by_tier", "{tenant}").set(3, {"plan": "pro", "tier": "HOT"})
        process.meter.create_counter("orders.placed").add(1, labels_of("pro1", "pro"))
        post(collector, service, NO_TABLE)
        process.work()
        process.provider.shutdown()
        whose = "FINAL WHERE ServiceName = {{service:String}}"
        selected = f"SELECT MetricName, project_id, {{}} AS value FROM metric_detail_{{}} {whose}"
        values = {"sum": "Value", "gauge": "Value", "histogram": "toFloat64(Count)"}
        query = " UNION ALL ".join(selected.format(value, kind) for kind, value in values.items())
        rows = until(lambda: stack.clickhouse.rows(query, service=service), lambda rows: len(rows) >= 5 * len(TENANTS))
        assert {(row["MetricName"], row["project_id"]): row["value"] for row in rows} == {
            (name, project): value
            for number, project in enumerate(TENANTS, 1)
            for name, value in [
                ("tenant.limit.hits", number), ("db.active_connections", 2), ("db.query.duration", 2),
                ("circuit_breaker.state", {"free2": 2, "pro1": 1}.get(project, 0)), ("tenant.memory.usage", 100),
            ]
        }  # fmt: skip
        folded = f'tenant_limit_hits_total{{job="{service}", plan="free"}}'
        assert until(lambda: by(stack, folded, "project_id")) == {("_other",): 6}
        until(lambda: set(collector.metrics("otelcol_exporter_queue_size").values()) == {0}, timeout=5)


# --- the stock distribution -------------------------------------------------------------------------------------------

CONTRIB = ROOT / "collector" / "otelcol-contrib.yaml"


def test_the_stock_variant_differs_in_how_it_folds_and_in_nothing_else():
    ours, stock = (yaml.safe_load(file.read_text()) for file in (CONFIG, CONTRIB))
    metrics = [config["service"]["pipelines"].pop("metrics")["processors"] for config in (ours, stock)]
    assert [name for name in metrics[0] if name in metrics[1]] == [
        "memory_limiter",
        "filter/unknown_metrics",
        "redaction/ours",
    ]
    logs = ours["service"]["pipelines"]["logs"]["processors"]
    logs.remove("tenant_cardinality")
    for name in set(metrics[0]) ^ set(metrics[1]):
        ours["processors"].pop(name, None)
        stock["processors"].pop(name, None)
    assert ours == stock


def test_the_stock_variant_folds_each_plan_in_each_process(stack, tmp_path):
    """Run by our build, which has the same components, and one more."""
    stores = {"clickhouse": stack.clickhouse.url, "prometheus": stack.prometheus.url}
    with Collector(tmp_path, **stores, config=[CONTRIB], env={"OTELCOL_FOLD_PLANS": "free|starter"}) as collector:
        processes = [Process("stock-app", grpc_metrics(collector)) for _ in range(2)]
        for process in processes:
            process.work()
            process.hits.add(1, labels_of("pro1", "pro") | {"user_id": "u-1"})
            process.provider.shutdown()
        read = lambda: by(stack, 'tenant_limit_hits_total{job="stock-app"}', "instance", "plan", "project_id")  # noqa: E731
        expected = {("free", "_other"): 6, ("starter", "_other"): 4, ("pro", "pro1"): 6, ("pro", "pro2"): 6}
        assert until(read, lambda got: len(got) == 8) == {
            (process.instance, *key): value for process in processes for key, value in expected.items()
        }
