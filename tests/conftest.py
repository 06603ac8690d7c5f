"""What all tests share: faults are raised instead of ignored, and an instrumented process read through the real SDK."""

import gc
import importlib
import logging
from types import SimpleNamespace

import pytest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_dynabase import DynabaseInstrumentor, faults
from otel_dynabase.version import SCOPE

FREE = {"project_id": "proj_free", "tenant_id": "org_free", "plan": "free", "tier": "WARM"}
PRO = {"project_id": "proj_pro", "tenant_id": "org_pro", "plan": "pro", "tier": "HOT"}
ASLEEP = {"project_id": "proj_asleep", "tenant_id": "org_asleep", "plan": "starter", "tier": "COLD"}


@pytest.fixture(scope="session", autouse=True)
def frozen():
    """Leave what was imported out of garbage collections: each test makes one, to see what it leaves behind."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def strict(monkeypatch):
    """Raise what production would ignore, so that no test passes over a fault; tests about faults ask for `lenient`."""
    monkeypatch.setattr(faults, "strict", True)
    monkeypatch.setattr(faults, "counts", {})
    monkeypatch.setattr(importlib.import_module("otel_dynabase.tenant"), "_warned", set())


@pytest.fixture
def lenient(strict, monkeypatch):
    """Ignore faults as production does; yields their counts by place."""
    monkeypatch.setattr(faults, "strict", False)
    return faults.counts


@pytest.fixture
def warnings_of(caplog):
    """Return what the package has logged as warnings so far."""

    def messages():
        return [
            record.getMessage()
            for record in caplog.records
            if record.name == "otel_dynabase" and record.levelno == logging.WARNING
        ]

    return messages


@pytest.fixture
def instrument():
    """Instrument the process as often as a test wants; everything is taken back at its end."""
    made = []

    def start(*rows, providers=True, **settings):
        made.append(Telemetry(rows or (FREE, PRO, ASLEEP), providers=providers, **settings))
        return made[-1]

    start.made = made
    yield start
    for telemetry in reversed(made):
        telemetry.shutdown()


@pytest.fixture
def telemetry(instrument):
    """An instrumented process with three tenants, whose telemetry stays in memory."""
    return instrument()


def collected(reader):
    """Return our data points out of one collection: metric name → [(attributes, point)]."""
    data = reader.get_metrics_data()
    points = {}
    for resource in data.resource_metrics if data is not None else ():
        for scope in resource.scope_metrics:
            if scope.scope.name == SCOPE:
                for metric in scope.metrics:
                    found = [(dict(point.attributes), point) for point in metric.data.data_points]
                    points.setdefault(metric.name, []).extend(found)
    return points


class Telemetry:
    """An instrumented process; `rows` are its directory and may be changed, then `refresh()`."""

    def __init__(self, rows, *, providers=True, **settings):
        self.rows = list(rows)
        self.reader = InMemoryMetricReader()
        self.spans_out = InMemorySpanExporter()
        self.logs_out = InMemoryLogRecordExporter()
        resource = Resource({"service.name": "tested"})
        self.meter_provider = MeterProvider([self.reader], resource, shutdown_on_exit=False)
        self.tracer_provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self.spans_out))
        self.logger_provider = LoggerProvider(resource, shutdown_on_exit=False)
        self.logger_provider.add_log_record_processor(SimpleLogRecordProcessor(self.logs_out))
        self.tracer = self.tracer_provider.get_tracer("test")
        given = ("meter_provider", "tracer_provider", "logger_provider") if providers else ()
        settings = {
            "directory": lambda: self.rows,
            "directory_interval": 86_400,
            "event_window": 3600,
            "shutdown_timeout": 5,
        } | settings
        self.instrumentor = DynabaseInstrumentor()
        self.instrumentor.instrument(**{name: getattr(self, name) for name in given}, **settings)

    @property
    def runtime(self):
        return self.instrumentor.runtime

    def refresh(self):
        """Have the directory read now."""
        assert self.runtime.directory.refresh()

    def collect(self):
        return collected(self.reader)

    def points(self, name, points=None, **labels):
        """Return a metric's points that have these labels; `_` in a keyword stands for `.` too."""
        wanted = {key.replace("__", "."): value for key, value in labels.items()}
        found = (self.collect() if points is None else points).get(name, ())
        return [(attributes, point) for attributes, point in found if wanted.items() <= attributes.items()]

    def value(self, name, points=None, **labels):
        """Add up a metric over the series with these labels: a sum's value, a histogram's count."""
        found = self.points(name, points, **labels)
        return sum(point.count if hasattr(point, "count") else point.value for _, point in found)

    def values(self, name, label, points=None, **labels):
        """Return a metric's total by one label."""
        totals = {}
        for attributes, point in self.points(name, points, **labels):
            value = point.count if hasattr(point, "count") else point.value
            totals[attributes.get(label)] = totals.get(attributes.get(label), 0) + value
        return totals

    def queries(self, **labels):
        """Return how many statements were counted, by operation."""
        return self.values("db.client.operation.duration", "db.operation.name", **labels)

    def limit_hits(self, **labels):
        """Return the limit hits: {(limit_type, action): count}."""
        return {
            (attributes["limit_type"], attributes["action"]): self.value("tenant.limit.hits", **attributes)
            for attributes, _ in self.points("tenant.limit.hits", **labels)
        }

    def events(self, name=None):
        """Send everything that waits, and return the events that were exported so far."""
        if self.runtime is not None:
            self.runtime.probes.flush(everything=True)
            self.runtime.events.flush()
        records = [record.log_record for record in self.logs_out.get_finished_logs()]
        return [record for record in records if name is None or record.event_name == name]

    def spans(self, name=None):
        """Return the finished spans, as name, attributes and events."""
        return [
            SimpleNamespace(
                name=span.name,
                attributes=dict(span.attributes),
                events=[(event.name, dict(event.attributes)) for event in span.events],
                context=span.context,
            )
            for span in self.spans_out.get_finished_spans()
            if name is None or span.name == name
        ]

    def uninstrument(self):
        if self.instrumentor.is_instrumented_by_opentelemetry:
            self.instrumentor.uninstrument()

    def shutdown(self):
        self.uninstrument()
        for provider in (self.meter_provider, self.tracer_provider, self.logger_provider):
            provider.shutdown()
        gc.collect()
