"""The names that the documents and rules use are those that a real Prometheus makes of ours."""

import time

import pytest
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from examples.stack.prometheus import Prometheus
from otel_dynabase.catalog.kinds import Counter, Histogram, Recorded
from otel_dynabase.catalog.metrics import METRICS
from otel_dynabase.producer import Bridge, Producer
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
