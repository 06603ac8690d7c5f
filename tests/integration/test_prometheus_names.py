"""The names that the documents and rules use are those that a real Prometheus makes of ours."""

import subprocess
import time

import pytest
import yaml
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from examples.stack import build
from examples.stack.prometheus import Prometheus
from otel_dynabase.catalog.kinds import Counter, Histogram, Recorded
from otel_dynabase.catalog.metrics import METRICS
from otel_dynabase.producer import Bridge, Producer
from otel_dynabase.render.rules import slo_tracking
from otel_dynabase.store import Store

OURS = [metric for metric in METRICS if not isinstance(metric, Recorded)]


def filled(store):
    """Put one series of every metric into a store."""
    for metric in OURS:
        key = tuple("x" for _ in metric.key)
        if isinstance(metric, Histogram):
            store.distribution(metric, key).record(metric.buckets[0])
        elif isinstance(metric, Counter):
            store.sum(metric, key).add()
        else:
            store.observe(lambda metric=metric, key=key: [(metric, key, 1)])


@pytest.fixture(scope="module")
def labels_by_name(tmp_path_factory):
    """Every series that Prometheus has after one export: name → labels."""
    with Prometheus(tmp_path_factory.mktemp("prometheus")) as prometheus:
        exporter = OTLPMetricExporter(f"{prometheus.url}/api/v1/otlp/v1/metrics")
        reader, resource = PeriodicExportingMetricReader(exporter, 86_400_000), Resource({"service.name": "names"})
        provider = MeterProvider([reader], resource, shutdown_on_exit=False)
        store = Store()
        filled(store)
        bridge = Bridge(Producer(store, {"dynabase", "semconv"}), provider)
        bridge.connect()
        assert provider.force_flush()
        bridge.disconnect()
        provider.shutdown()
        deadline = time.monotonic() + 10
        while not (found := prometheus.series('{job="names"}')) and time.monotonic() < deadline:
            time.sleep(0.1)
        yield {series.pop("__name__"): series for series in found}


@pytest.mark.parametrize("metric", OURS, ids=lambda metric: metric.name)
def test_prometheus_calls_it_as_the_catalogue_says(labels_by_name, metric):
    endings = ("_bucket", "_count", "_sum") if isinstance(metric, Histogram) else ("",)
    for ending in endings:
        labels = labels_by_name.get(metric.prometheus + ending)
        assert labels is not None, sorted(labels_by_name)
        assert {label.name.replace(".", "_") for label in metric.labels} == labels.keys() - {"job", "instance", "le"}


def test_there_is_nothing_else(labels_by_name):
    known = {metric.prometheus + end for metric in OURS for end in ("", "_bucket", "_count", "_sum")}
    sdk = {name for name in labels_by_name if name.startswith("otel_sdk_")}  # some versions measure themselves
    assert labels_by_name.keys() - known - sdk <= {"target_info"}


# --- the rules that are derived from the same lines -------------------------------------------------------------------


def series(name, plan, increments, **labels):
    selected = ",".join(f'{key}="{value}"' for key, value in {"plan": plan, **labels}.items())
    return {"series": f"{name}{{{selected}}}", "values": f"0+{increments}x10"}


def histogram(name, plan, count, good, bound):
    yield series(f"{name}_count", plan, count)
    yield series(f"{name}_bucket", plan, good, le=bound)


CASE = [
    # 19 of 20 statements of pro's within 100 ms; 3 of 4 starts within a second
    *histogram("db_query_duration_seconds", "pro", 20, 19, "0.1"),
    *histogram("tenant_cold_start_duration_seconds", "pro", 4, 3, "1"),
    # enterprise had a cold start, starter had nothing to judge
    *histogram("tenant_cold_start_duration_seconds", "enterprise", 1, 1, "0.1"),
    *histogram("tenant_cold_start_duration_seconds", "starter", 0, 0, "3"),
    # pro: 90 went well, 4 customer's errors, 5 of the platform's, 1 refused by a breaker: 94 of 100
    series("db_queries_total", "pro", 90, status="ok"),
    series("db_queries_total", "pro", 7, status="error"),
    series("db_errors_total", "pro", 4, error_type="integrity_constraint_violation"),
    series("db_errors_total", "pro", 3, error_type="operator_intervention"),
    series("db_errors_total", "pro", 2, error_type="timeout"),
    series("tenant_connection_rejections_total", "pro", 1, reason="circuit_open"),
    series("tenant_connection_rejections_total", "pro", 2, reason="pool_exhausted"),
    # free: nothing failed, and no series of failures exists
    series("db_queries_total", "free", 10, status="ok"),
    # enterprise: nothing went well, and no series says so
    series("db_errors_total", "enterprise", 3, error_type="connection"),
]
EXPECTED = {
    "slo_query_latency_compliance": {("pro", "slo_threshold_ms", "100"): 0.95},
    "slo_cold_start_compliance": {
        ("pro", "slo_threshold_ms", "1000"): 0.75,
        ("enterprise", "slo_threshold_ms", "0"): 0,
    },
    "slo_availability_compliance": {
        ("pro", "slo_threshold_percent", "99.5"): 0.94,
        ("free", "slo_threshold_percent", "95"): 1,
        ("enterprise", "slo_threshold_percent", "99.9"): 0,
    },
}


@pytest.mark.parametrize("rule", EXPECTED)
def test_a_compliance_is_what_a_hand_computes(tmp_path, rule):
    """Several projects and processes are added up before they are divided; what cannot be judged is absent."""
    (tmp_path / "rules.yml").write_text(slo_tracking())
    split = [
        {**one, "series": one["series"].replace("{", f'{{project_id="{project}",')} for one in CASE for project in "ab"
    ]
    samples = [
        {"labels": f'{rule}{{plan="{plan}",{label}="{value}"}}', "value": share}
        for (plan, label, value), share in EXPECTED[rule].items()
    ]
    # rounded: increase() extrapolates, and both parts of a ratio alike
    promql = f"round({rule}, 0.0001)"
    expected = [{**sample, "labels": sample["labels"].replace(rule, "", 1)} for sample in samples]
    test = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": split,
                "promql_expr_test": [{"expr": promql, "eval_time": "8m", "exp_samples": expected}],
            }
        ],
    }
    (tmp_path / "test.yml").write_text(yaml.safe_dump(test))
    promtool = build.prometheus("promtool").ensure()
    done = subprocess.run(
        [promtool, "test", "rules", "test.yml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
