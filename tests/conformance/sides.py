"""What the driver's tests run under.

`plain`: nothing; `ours`: this package, where any internal fault is raised; `hostile`: this package with every part of
it and of the SDK failing at random; `official`: the contrib instrumentation; `ours+official`: both.
"""

from __future__ import annotations

import random
from contextlib import contextmanager
from inspect import isfunction
from typing import TYPE_CHECKING, Any

from opentelemetry import context, trace
from opentelemetry.instrumentation.asyncpg import AsyncPGInstrumentor
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    MetricExporter,
    MetricExportResult,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.trace import TracerProvider

from otel_dynabase import faults
from otel_dynabase import tenant as tenant_of
from otel_dynabase.directory import Directory
from otel_dynabase.instrumentor import DynabaseInstrumentor
from otel_dynabase.probes.coldstart import ColdStarts
from otel_dynabase.probes.limits import Limits
from otel_dynabase.probes.pool import PoolProbe, Pools
from otel_dynabase.probes.statement import Statements
from otel_dynabase.probes.tenants import Tenants, TenantSeries
from otel_dynabase.store import Distribution, Store, Sum

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROJECT = "proj_conformance"
TENANT = {"project_id": PROJECT, "tenant_id": "acme", "plan": "pro", "tier": "HOT"}
COLLECT_EVERY_MS = 100

FAILING = (Distribution, Sum, Store, Directory, Tenants, TenantSeries, Pools, PoolProbe, Statements, Limits, ColdStarts)
"""Everything that is reached from an adapter, and that a guard must stand in front of."""


class SabotageError(Exception):
    """A part failed, as it was told to."""


class Side:
    """One way of running the tests; `faults` and `left` say what the instrumentation did wrong besides."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.faults: list[str] = []
        self._probes: list[PoolProbe] = []
        self._tracer = TracerProvider()

    def enter(self) -> None:
        """Put it in force, before anybody has imported the driver's names."""
        if self.name == "hostile":
            self._instrument(_FailingExporter(), _FailingLogs())
            for owner in FAILING:
                _sabotage(owner)
        elif "ours" in self.name:
            faults.strict = True
            faults.ignore = _also(self.faults.append, faults.ignore)  # type: ignore[assignment]
            self._instrument(_Discard(), LoggerProvider())
        if "official" in self.name:
            AsyncPGInstrumentor().instrument(  # type: ignore[no-untyped-call]
                tracer_provider=self._tracer
            )

    def _instrument(self, exporter: MetricExporter, logs: LoggerProvider) -> None:
        instrumentor = DynabaseInstrumentor()
        reader = PeriodicExportingMetricReader(exporter, export_interval_millis=COLLECT_EVERY_MS)
        instrumentor.instrument(
            directory=lambda: [TENANT],
            meter_provider=MeterProvider([reader]),
            tracer_provider=self._tracer,
            logger_provider=logs,
        )
        assert instrumentor.runtime is not None, "the instrumentation is not in force"
        pools = instrumentor.runtime.probes.pools
        pools.opened = _also(self._probes.append, pools.opened)  # type: ignore[method-assign,assignment]

    @contextmanager
    def test(self, name: str) -> Iterator[None]:
        """Run one test inside: for a tenant, and inside a span, as a request would."""
        if self.name == "plain":
            yield
            return
        span = _FailingSpan() if self.name == "hostile" else self._tracer.get_tracer(__name__).start_span(name)
        token = context.attach(trace.set_span_in_context(span))
        with tenant_of(PROJECT):
            yield
        context.detach(token)

    def left(self) -> list[str]:
        """Say which pools were left unbalanced: when all tests have ended, nobody waits, and nothing is out."""
        if self.name == "hostile":
            return []
        return [
            f"a pool with {probe.pending} acquires under way, {len(probe.queue)} queueing, {len(probe.held)} held"
            for probe in self._probes
            if probe.pending or probe.queue or probe.held
        ]


class _Discard(MetricExporter):
    """Takes metrics and keeps none: what matters is that they are collected, on another thread, all the while."""

    def export(self, metrics_data: MetricsData, timeout_millis: float = 0, **_: Any) -> MetricExportResult:
        """Say that they arrived."""
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 0) -> bool:
        """Have nothing to flush."""
        return True

    def shutdown(self, timeout_millis: float = 0, **_: Any) -> None:
        """Have nothing to close."""


class _FailingExporter(_Discard):
    def export(self, *_: Any, **__: Any) -> MetricExportResult:
        raise SabotageError("exporting metrics")


class _FailingLogs(LoggerProvider):
    def get_logger(self, *_: Any, **__: Any) -> Any:
        raise SabotageError("asking for a logger")


class _FailingSpan(trace.NonRecordingSpan):
    def __init__(self) -> None:
        super().__init__(trace.INVALID_SPAN_CONTEXT)

    def _fail(self, *_: Any, **__: Any) -> Any:
        raise SabotageError("using a span")

    get_span_context = is_recording = set_attribute = set_attributes = add_event = record_exception = _fail


def _also(first: Callable[[Any], object], then: Callable[[Any], None]) -> Callable[[Any], None]:
    def both(argument: Any) -> None:
        first(argument)
        then(argument)

    return both


def _sabotage(owner: type) -> None:
    """Make every public method of a class fail half of the time, so that what has begun well may end badly."""
    for name, method in list(vars(owner).items()):
        if isfunction(method) and not name.startswith("_"):
            setattr(owner, name, _failing(method))


def _failing(method: Callable[..., Any]) -> Callable[..., Any]:
    def failing(*args: Any, **kwargs: Any) -> Any:
        if random.random() < 0.5:
            raise SabotageError(method.__qualname__)
        return method(*args, **kwargs)

    return failing
