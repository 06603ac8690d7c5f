"""A probe of the whole way: one event and one metric point, sent as an application sends them, looked up in the stores.

Neither belongs to a tenant: the event is `_doctor`'s, whom no question about tenants sees, and the point has no
project. The point's series is the same for every run on a machine; its value tells one run from another.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from otel_dynabase.catalog.events import PROBE_PROJECT
from otel_dynabase.catalog.metrics import SELF_MARKER
from otel_dynabase.events import uuid7
from otel_dynabase.version import SCHEMA_URL, SCOPE, __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

EVENT: Final = "doctor_marker"
SERVICE: Final = "otel-dynabase-doctor"
MODULES: Final = {
    "grpc": "opentelemetry.exporter.otlp.proto.grpc",
    "http/protobuf": "opentelemetry.exporter.otlp.proto.http",
}
"""Where the exporters of a protocol are."""
EXPORTERS: Final = "opentelemetry.exporter."
"""What the names of their loggers begin with."""
HEADERS: Final = ("OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_LOGS_HEADERS", "OTEL_EXPORTER_OTLP_METRICS_HEADERS")
HEAD_START: Final = 50_000_000
"""Nanoseconds by which the point's start is earlier than the point: Prometheus puts a zero there."""


class Marker:
    """One run's event and point; `sent` are the signals that the collector has accepted."""

    def __init__(self, time_ns: int | None = None) -> None:
        self.time_ns = time_ns or time.time_ns()
        self.event_id = uuid7()
        self.instance = socket.gethostname()
        self.sent: set[str] = set()
        self._resource = Resource({"service.name": SERVICE, "service.instance.id": self.instance})
        self._scope = InstrumentationScope(SCOPE, __version__, SCHEMA_URL)

    @property
    def value(self) -> int:
        """The point's value: milliseconds since the epoch."""
        return self.time_ns // 1_000_000

    def logs(self) -> list[ReadableLogRecord]:
        """Return the event as an exporter takes it."""
        attributes: dict[str, str | int] = {"event_id": self.event_id, "project_id": PROBE_PROJECT, "event_seq": 1}
        record = LogRecord(
            timestamp=self.time_ns,
            observed_timestamp=self.time_ns,
            severity_number=SeverityNumber.INFO,
            severity_text="INFO",
            attributes=attributes,
            event_name=EVENT,
        )
        return [ReadableLogRecord(record, self._resource, self._scope)]

    def metrics(self) -> MetricsData:
        """Return the point as an exporter takes it."""
        point = NumberDataPoint({}, self.time_ns - HEAD_START, self.time_ns, self.value)
        data = Sum([point], AggregationTemporality.CUMULATIVE, is_monotonic=True)
        metric = Metric(SELF_MARKER.name, SELF_MARKER.what, SELF_MARKER.unit, data)
        scope = ScopeMetrics(self._scope, [metric], SCHEMA_URL)
        return MetricsData([ResourceMetrics(self._resource, [scope], SCHEMA_URL)])

    def send(self, signal: str, timeout: float) -> str:
        """Send the event (`logs`) or the point (`metrics`); return "" if it was accepted, or what the exporter said."""
        what = {"logs": self.logs, "metrics": self.metrics}[signal]()
        exporter = exporter_of(signal, os.environ, timeout)
        with heard() as said:
            accepted = exporter.export(what).name == "SUCCESS"
        exporter.shutdown()
        if accepted:
            self.sent.add(signal)
            return ""
        return "\n".join(said) or "no reason given"


def protocol(signal: str, environ: Mapping[str, str]) -> str:
    """Return how a signal is sent, as the SDK decides it."""
    own = environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL", "").strip()
    return own or environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "").strip() or "grpc"


def endpoint(signal: str, environ: Mapping[str, str]) -> str:
    """Return where a signal is sent, as the SDK decides it."""
    default = "http://localhost:4317" if protocol(signal, environ) == "grpc" else "http://localhost:4318"
    own = environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT", "").strip()
    return own or environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").strip() or default


def exporter_of(signal: str, environ: Mapping[str, str], timeout: float) -> Any:
    """Make the exporter that an application in this environment would have. Raises KeyError: no such protocol."""
    module = MODULES[protocol(signal, environ)]
    if signal == "logs":
        return import_module(f"{module}._log_exporter").OTLPLogExporter(timeout=timeout)
    return import_module(f"{module}.metric_exporter").OTLPMetricExporter(timeout=timeout)


@contextmanager
def without_token() -> Iterator[None]:
    """Have exporters made here send no headers of the environment's."""
    kept = {name: os.environ.pop(name) for name in HEADERS if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)


class _Ear(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


@contextmanager
def heard() -> Iterator[list[str]]:
    """Keep what exporters log, repetitions too: they tell nobody else why something was not accepted."""
    logger, ear = logging.getLogger("opentelemetry"), _Ear()
    propagate, logger.propagate = logger.propagate, False
    exporters = [logging.getLogger(name) for name in logging.root.manager.loggerDict if name.startswith(EXPORTERS)]
    filters = [(exporter, exporter.filters) for exporter in exporters]
    for exporter in exporters:
        exporter.filters = []  # the SDK's own leaves out what is like the last one
    logger.addHandler(ear)
    try:
        yield ear.said
    finally:
        logger.removeHandler(ear)
        logger.propagate = propagate
        for exporter, kept in filters:
            exporter.filters = kept
