"""What tests of the collector send to it, and how they ask Prometheus what became of that."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any

import httpx
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.metrics import Observation
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import ResourceMetrics, ScopeMetrics
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource as SdkResource

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

    from examples.stack.collector import Collector
    from examples.stack.stack import Stack

TENANTS = {"free1": "free", "free2": "free", "free3": "free", "start1": "starter", "pro1": "pro", "pro2": "pro"}
BUCKETS = [0.1, 0.5, 1.0]
NEVER = 3_600_000  # ms: the reader exports when it is flushed


def until(read: Callable[[], Any], wanted: Callable[[Any], bool] = bool, timeout: float = 30.0) -> Any:
    """Call `read` until its result is as wanted, or fail showing the last one."""
    deadline = time.monotonic() + timeout
    while not wanted(result := read()):
        assert time.monotonic() < deadline, f"still {result!r}"
        time.sleep(0.05)
    return result


def by(stack: Stack, promql: str, *labels: str) -> dict[tuple[str | None, ...], float]:
    return {
        tuple(sample.labels.get(label) for label in labels): sample.value for sample in stack.prometheus.query(promql)
    }


def headers_of(collector: Collector) -> dict[str, str]:
    """Return the headers that the collector wants."""
    return {"authorization": f"Bearer {collector.token}"} if collector.token else {}


def grpc_metrics(collector: Collector, **options: Any) -> OTLPMetricExporter:
    return OTLPMetricExporter(
        endpoint=collector.otlp_grpc, insecure=True, headers=headers_of(collector) or None, **options
    )


def labels_of(project: str, plan: str) -> dict[str, str]:
    return {"project_id": project, "plan": plan, "tier": "WARM"}


def attributes_of(labels: dict[str, str]) -> list[KeyValue]:
    return [KeyValue(key=key, value=AnyValue(string_value=text)) for key, text in labels.items()]


def post(collector: Collector, service: str, *metrics: Metric) -> None:
    """Send metrics that no SDK can be made to send."""
    resource = Resource(attributes=attributes_of({"service.name": service}))
    request = ExportMetricsServiceRequest(
        resource_metrics=[ResourceMetrics(resource=resource, scope_metrics=[ScopeMetrics(metrics=metrics)])]
    )
    headers = {"Content-Type": "application/x-protobuf"} | headers_of(collector)
    url, content = f"{collector.otlp_http}/v1/metrics", request.SerializeToString()
    httpx.post(url, content=content, headers=headers, trust_env=False).raise_for_status()


class Process:
    """One instrumented process: its own instance, and every kind of instrument."""

    def __init__(self, service: str, exporter: Any, **resource: str) -> None:
        self.instance = str(uuid.uuid4())
        identity = {"service.name": service, "service.instance.id": self.instance, **resource}
        self.provider = MeterProvider([PeriodicExportingMetricReader(exporter, NEVER)], SdkResource.create(identity))
        self.meter = meter = self.provider.get_meter("otel_dynabase")
        self.hits = meter.create_counter("tenant.limit.hits", "{hit}")
        self.active = meter.create_up_down_counter("db.active_connections", "{connection}")
        self.duration = meter.create_histogram("db.query.duration", "s", explicit_bucket_boundaries_advisory=BUCKETS)
        meter.create_observable_gauge("circuit_breaker.state", [self._observe({"free2": 2, "pro1": 1})])
        meter.create_observable_gauge("tenant.memory.usage", [self._observe(dict.fromkeys(TENANTS, 100))], "By")

    @staticmethod
    def _observe(values: dict[str, int]) -> Callable[[Any], list[Observation]]:
        return lambda _options: [
            Observation(values.get(project, 0), labels_of(project, plan)) for project, plan in TENANTS.items()
        ]

    def work(self) -> None:
        for number, (project, plan) in enumerate(TENANTS.items(), 1):
            labels = labels_of(project, plan)
            self.hits.add(number, labels)
            self.active.add(2, labels)
            self.duration.record(0.05, labels)
            self.duration.record(0.7, labels)
        # a series born and exported within one millisecond has no room for a zero before it in Prometheus
        began = time.time_ns()
        until(lambda: time.time_ns() - began > 2_000_000)
