"""The composition root: builds the parts, puts the patches in force, and takes everything back again."""

from __future__ import annotations

import atexit
import logging
import os
import signal
import threading
import time
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import wrapt
from opentelemetry import metrics, trace
from opentelemetry._logs import get_logger_provider
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]
from opentelemetry.instrumentation.utils import suppress_instrumentation

from otel_dynabase import adapters, faults, tenant
from otel_dynabase.adapters.patches import Patch, Patches
from otel_dynabase.background import Background
from otel_dynabase.catalog.metrics import (
    SELF_DIRECTORY_AGE,
    SELF_FAULTS,
    SELF_FOLDED,
    SELF_SERIES,
    SELF_UNKNOWN,
)
from otel_dynabase.config import Config
from otel_dynabase.directory import Tenant, directory_of
from otel_dynabase.events import EventLog, burst, watch_export
from otel_dynabase.probes import Probes
from otel_dynabase.probes.inbox import inbox
from otel_dynabase.probes.tenants import is_outdated
from otel_dynabase.producer import Bridge, Producer
from otel_dynabase.spans import SpanNaming, TenantSpanProcessor
from otel_dynabase.store import GRACE, RETIRING, Budget, Store

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from otel_dynabase.catalog.kinds import Key, Metric

logger = logging.getLogger("otel_dynabase")

EXPORTERS = (
    "opentelemetry.exporter.otlp.proto.grpc._log_exporter",
    "opentelemetry.exporter.otlp.proto.http._log_exporter",
)
"""Where OTLP log exporters live; their `OTLPLogExporter.export` says whether events arrived."""


FIRST_LOOK = 1.0
"""Seconds that instrumenting waits for the directory at most: a file is there at once, a server may be down."""
LAST_JOB = 1.0
"""Seconds that the end of the process waits for a background job under way."""


@contextmanager
def quiet() -> Iterator[None]:
    """Do something that neither we nor any other instrumentation measures."""
    with tenant.nobody(), suppress_instrumentation():
        yield


class Runtime:
    """Everything that measures in this process, from `start` to `stop`."""

    def __init__(self, config: Config, *, meter_provider: Any, tracer_provider: Any, logger_provider: Any) -> None:
        self._config = config
        self._tracer_provider = tracer_provider
        self._logger_provider = logger_provider
        self.store = Store()
        self.directory = directory_of(config, quiet=quiet, on_change=self._directory_changed)
        jobs = {
            "refreshing the directory": self._refresh,
            "sending events": self._send,
            "retiring series": self._retire,
        }
        self._background = Background(jobs, prompt="sending events")
        self.events = EventLog(
            self.store,
            provider=logger_provider,
            capacity=config.event_queue,
            burst=burst(),
            wake=self._background.wake,
        )
        self._budget = Budget(config.max_tenants, self.store.sum(SELF_FOLDED))
        self.probes = Probes(
            self.store,
            self.events,
            self.directory,
            self._budget,
            window=config.event_window,
            cold_starts_by_client=config.cold_starts == "app",
            wake=self._background.wake,
            cost_sample=config.query_cost_sample,
            quiet=quiet,
        )
        asking = {} if self.probes.costs is None else {"asking for costs of statements": self.probes.costs.round}
        self._asking = Background(asking)
        self.store.observe(self._observe)
        self._producer = Producer(self.store, config.metrics)
        self._bridge = Bridge(self._producer, meter_provider)
        self._spans = SpanNaming(TenantSpanProcessor(self.directory))
        self._patches = Patches()
        self._directory_read = threading.Event()
        self._on_sigterm: Callable[[int, Any], None] | None = None
        self._stopped = False

    def start(self) -> None:
        """Put everything in force; a library that cannot be patched is said and left alone."""
        tenant.trust_baggage = self._config.trust_baggage
        _patch(self._patches, "OpenTelemetry SDK", self._sdk_patches())
        self._bridge.connect()
        self._spans.join(self._tracer_provider or trace.get_tracer_provider())
        for module in EXPORTERS:
            wrapt.register_post_import_hook(self._watch_exporter, module)
        for library, table in adapters.tables(self.probes):
            _patch(self._patches, library, table)
        self._background.start()
        if self.probes.costs is not None:
            self._asking.start()
        self._directory_read.wait(FIRST_LOOK)
        inbox.join(self.probes)
        atexit.register(self.close)
        if self._config.flush_on_sigterm:
            self._flush_on_sigterm()
        _forked.add(self)

    def _sdk_patches(self) -> tuple[Patch, ...]:
        table: tuple[Patch, ...] = (
            Patch("opentelemetry.sdk.metrics.export", "MetricReader._set_collect_callback", self._on_reader),
        )
        if self._logger_provider is None:
            table += (Patch("opentelemetry.sdk._logs", "LoggerProvider.__init__", self._on_logger_provider),)
        if self._tracer_provider is None:
            table += (Patch("opentelemetry.sdk.trace", "TracerProvider.__init__", self._spans.on_creation),)
        return table

    def _on_reader(self, original: Callable[..., None]) -> Callable[..., None]:
        def _set_collect_callback(reader: Any, func: Any) -> None:
            try:
                func = self._bridge.wrap(reader, func)
            except Exception:
                faults.ignore("joining a metric reader")
            original(reader, func)

        return _set_collect_callback

    def _on_logger_provider(self, original: Callable[..., None]) -> Callable[..., None]:
        """Come before a new provider's own end of the process, whose exit handler is registered after ours."""

        def __init__(provider: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807  # replaces that method
            original(provider, *args, **kwargs)
            atexit.unregister(self.close)
            atexit.register(self.close)

        return __init__

    def _watch_exporter(self, module: Any) -> None:
        if not self._stopped:
            _patch(
                self._patches,
                module.__name__,
                (Patch(module.__name__, "OTLPLogExporter.export", watch_export(self.events)),),
            )

    def _directory_changed(self) -> None:
        self.probes.pools.refresh()

    def _refresh(self) -> float:
        try:
            self.directory.refresh()
        finally:
            self._directory_read.set()
        return self._config.directory_interval

    def _retire(self) -> float:
        """End the series of tenants that are gone, or that have another plan or tier by now."""
        if self.directory.stats().age is not None:
            self.store.retire(self._is_outdated, time.monotonic(), GRACE)
        return RETIRING

    def _is_outdated(self, metric: Metric, key: Key) -> bool:
        # one that is not in the directory is measured as unknown
        project_id = str(key[0]) if key else ""
        return is_outdated(metric, key, self.directory.tenants.get(project_id, Tenant(project_id)))

    def _send(self) -> float:
        return min(self.probes.flush(), self.events.flush())

    def _observe(self) -> Iterator[tuple[Metric, Key, float]]:
        yield SELF_SERIES, (), len(self.store)
        for place, count in list(faults.counts.items()):
            yield SELF_FAULTS, (place,), count
        stats = self.directory.stats()
        yield SELF_UNKNOWN, (), stats.unknown
        if stats.age is not None:
            yield SELF_DIRECTORY_AGE, (), stats.age

    def after_fork(self) -> None:
        """Start from zero in a child: what the parent measured, holds or has on the way is the parent's."""
        faults.after_fork()
        self._budget.after_fork()
        self.store.after_fork()
        self._producer.after_fork()
        self.events.after_fork()
        self.probes.after_fork()
        self._background.after_fork()
        self._asking.after_fork()

    def close(self) -> None:
        """Send what is left: at the end of the process, before the SDK's own last export."""
        if self._stopped:
            return
        self._stopped = True
        atexit.unregister(self.close)
        self._background.stop(LAST_JOB)
        try:
            if self.probes.costs is not None:
                self.probes.costs.stop()
                self._asking.stop(LAST_JOB)
            self.probes.flush(everything=True)
            self.events.close(self._config.shutdown_timeout)
        except Exception:
            faults.ignore("sending the last events")

    def _flush_on_sigterm(self) -> None:
        """Send what is left before SIGTERM ends the process, where nobody else handles it.

        Some servers (uvicorn) end themselves by the signal's default action, after which no exit handler runs.
        """
        main = threading.current_thread() is threading.main_thread()
        if not main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
            return

        def on_sigterm(number: int, _frame: object) -> None:
            # on another thread: this one may have been interrupted while it held one of the SDK's locks
            flushing = threading.Thread(target=self._flush, daemon=True)
            flushing.start()
            flushing.join(self._config.shutdown_timeout)
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

        signal.signal(signal.SIGTERM, on_sigterm)
        self._on_sigterm = on_sigterm

    def _flush(self) -> None:
        self.close()
        for provider in (get_logger_provider(), metrics.get_meter_provider(), trace.get_tracer_provider()):
            flush = getattr(provider, "force_flush", None)
            if flush is not None:
                flush(int(self._config.shutdown_timeout * 1000))

    def stop(self) -> None:
        """Take everything back: callbacks, processors, and the exact originals of what was patched."""
        inbox.leave()
        self.close()
        self._patches.revert()
        adapters.release()
        self._bridge.disconnect()
        self._spans.stop()
        tenant.trust_baggage = False
        if self._on_sigterm is not None and signal.getsignal(signal.SIGTERM) is self._on_sigterm:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _forked.discard(self)


_forked: weakref.WeakSet[Runtime] = weakref.WeakSet()


def _after_fork() -> None:
    inbox.after_fork()
    for runtime in list(_forked):
        try:
            runtime.after_fork()
        except Exception:
            faults.ignore("starting after a fork")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _patch(patches: Patches, what: str, table: tuple[Patch, ...]) -> None:
    """Put a table in force; a library that it does not fit is said and left alone."""
    try:
        patches.apply(table)
    except Exception:
        logger.warning("otel-dynabase: %s cannot be instrumented and is left alone", what, exc_info=True)


def sdk_disabled() -> bool:
    """Say whether the SDK's own switch is off: its readers collect all the same, and would collect ours."""
    return os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"


def before_instrumentors() -> None:
    """Prepare for other instrumentors: `opentelemetry-instrument` calls this before it loads any."""
    for library, table in adapters.forerunners():
        _patch(Patches(), library, table)


class DynabaseInstrumentor(BaseInstrumentor):  # type: ignore[misc]
    """Instruments this process: `DynabaseInstrumentor().instrument()`, or `opentelemetry-instrument` does it.

    Settings come from the environment (OTEL_DYNABASE_*) and from keyword arguments of the same names in lower case,
    which win. `meter_provider`, `tracer_provider` and `logger_provider` choose providers; without them, all metric
    readers and the global providers are used, whenever they are set.
    """

    runtime: Runtime | None = None

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return nothing that must be installed: adapters look for their libraries themselves."""
        return ()

    def _instrument(self, **kwargs: Any) -> None:
        try:
            providers = {name: kwargs.pop(name, None) for name in PROVIDERS}
            for passed in ("skip_dep_check", "raise_exception_on_conflict"):
                kwargs.pop(passed, None)
            config = Config.load(None, **kwargs)
            if config.enabled and not sdk_disabled():
                self.runtime = Runtime(config, **providers)
                self.runtime.start()
            else:
                inbox.ignore()
        except Exception:
            self._uninstrument()
            faults.ignore("instrumenting")

    def _uninstrument(self, **_kwargs: Any) -> None:
        runtime, self.runtime = self.runtime, None
        if runtime is not None:
            runtime.stop()


PROVIDERS = ("meter_provider", "tracer_provider", "logger_provider")
