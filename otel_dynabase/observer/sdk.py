"""The OpenTelemetry SDK, configured as `opentelemetry-instrument` does it: by the distribution, from OTEL_*."""

from __future__ import annotations

import logging
import os
import sys
import uuid
from typing import Final
from urllib.parse import quote, unquote

from opentelemetry import metrics
from opentelemetry._logs import get_logger_provider
from opentelemetry.instrumentation.auto_instrumentation import _load
from opentelemetry.sdk.metrics import MeterProvider

from otel_dynabase.adapters.patches import Patch, Patches
from otel_dynabase.events import EventLog, watch_export
from otel_dynabase.instrumentor import EXPORTERS

logger = logging.getLogger("otel_dynabase")

TOUCHPOINTS = (
    "opentelemetry.instrumentation.auto_instrumentation._load:_load_distro",
    "opentelemetry.instrumentation.auto_instrumentation._load:_load_configurators",
)
"""The private parts of the SDK's that this module relies on; tested on the oldest and the newest supported version."""

ATTRIBUTES: Final = "OTEL_RESOURCE_ATTRIBUTES"
INSTANCE: Final = "service.instance.id"
TEMPORALITY: Final = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"
SERVICE: Final = "otel-dynabase-observe"


class OtherInstanceError(Exception):
    """The state belongs to another instance than this process is by now; it must be started again."""


def is_configured() -> bool:
    """Say whether this process has an SDK."""
    return isinstance(metrics.get_meter_provider(), MeterProvider)


def instance() -> str:
    """Return the instance that this process is or may be: what the environment names, or else a new one."""
    return _given_instance() or str(uuid.uuid4())


def _given_instance() -> str | None:
    return dict(_attributes()).get(INSTANCE)


def _attributes() -> list[tuple[str, str]]:
    pairs = (pair.partition("=") for pair in os.environ.get(ATTRIBUTES, "").split(","))
    return [(name.strip(), unquote(value.strip())) for name, separator, value in pairs if separator]


def configure(instance_id: str) -> None:
    """Configure the SDK once, as the instance whose totals these are.

    Raises OtherInstanceError if it has been configured as another one.
    """
    if is_configured():
        if _given_instance() != instance_id:
            raise OtherInstanceError(
                f"the state is that of instance {instance_id}, this process is {_given_instance()}"
            )
        return
    attributes = [(name, value) for name, value in _attributes() if name != INSTANCE] + [(INSTANCE, instance_id)]
    os.environ[ATTRIBUTES] = ",".join(f"{name}={quote(value)}" for name, value in attributes)
    if "service.name" not in dict(attributes):
        os.environ.setdefault("OTEL_SERVICE_NAME", SERVICE)
    if os.environ.get(TEMPORALITY, "").strip().lower() not in {"", "cumulative"}:
        logger.warning("%s is ignored: only cumulative totals are exact over a restart.", TEMPORALITY)
        os.environ[TEMPORALITY] = "cumulative"
    os.environ.setdefault("OTEL_TRACES_EXPORTER", "none")  # there are no spans here
    _load._load_distro().configure()
    _load._load_configurators()  # type: ignore[no-untyped-call]


def watch_exporters(events: EventLog) -> Patches:
    """Have the exporters tell `events` what has arrived; return what takes that back."""
    patches = Patches()
    for module in EXPORTERS:
        if module in sys.modules:
            patches.apply([Patch(module, "OTLPLogExporter.export", watch_export(events))])
    return patches


def flush(timeout: float) -> None:
    """Export what there is now, waiting at most `timeout` seconds."""
    for provider in (get_logger_provider(), metrics.get_meter_provider()):
        force_flush = getattr(provider, "force_flush", None)
        if force_flush is not None:
            force_flush(int(timeout * 1000))


def shutdown() -> None:
    """Export for the last time, and end the SDK."""
    for provider in (get_logger_provider(), metrics.get_meter_provider()):
        end = getattr(provider, "shutdown", None)
        if end is not None:
            end()
