"""Tenant attributes on spans: on each that is started for a tenant, and on those whose pool says whose they are."""

from __future__ import annotations

import weakref
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from opentelemetry import context, trace
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

from otel_dynabase import faults
from otel_dynabase.directory import NOBODY
from otel_dynabase.events import identity
from otel_dynabase.tenant import current_project

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import Span
    from opentelemetry.trace import TracerProvider as ApiTracerProvider

    from otel_dynabase.directory import Directory, Tenant


_context = getattr(getattr(context, "_RUNTIME_CONTEXT", None), "_current_context", None)
in_context: Callable[[], object] = _context.get if isinstance(_context, ContextVar) else context.get_current
"""The current OpenTelemetry context, empty (so false) where there is no span and no baggage: the API's own variable
where it has one, since asking the API costs four function calls."""

ONE_TENANT_KINDS = frozenset({trace.SpanKind.SERVER, trace.SpanKind.CONSUMER, trace.SpanKind.CLIENT})


def current_span() -> trace.Span | None:
    """Return the span that is current, or None."""
    if not in_context():
        return None
    span = trace.get_current_span()
    return None if span is trace.INVALID_SPAN else span


def name_tenant(span: trace.Span, tenant: Tenant) -> None:
    """Name the tenant on a span, if that is a request's or a call's and nobody has named one yet.

    Other kinds of span may serve many tenants, such as a nightly job's; theirs come from `with tenant(…)`.
    """
    if (
        span.is_recording()
        and tenant is not NOBODY
        and getattr(span, "kind", None) in ONE_TENANT_KINDS
        and "project_id" not in (getattr(span, "attributes", None) or ())
    ):
        span.set_attributes(identity(tenant))


class TenantSpanProcessor(SpanProcessor):
    """Names the current task's tenant on each span when it starts."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self.active = True

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:  # noqa: ARG002  # SDK's signature
        """Add project, plan and tier."""
        try:
            project = current_project()
            tenant = NOBODY if project is None or not self.active else self._directory.get(project)
            if tenant is not NOBODY:
                span.set_attributes(identity(tenant))
        except Exception:
            faults.ignore("naming a tenant on a span")


class SpanNaming:
    """Gives the processor to tracer providers: to those that exist, and to those still to come."""

    def __init__(self, processor: TenantSpanProcessor) -> None:
        self._processor = processor
        self._joined: weakref.WeakSet[TracerProvider] = weakref.WeakSet()

    def join(self, provider: ApiTracerProvider) -> None:
        """Add the processor to a provider of the SDK's, once."""
        if isinstance(provider, TracerProvider) and provider not in self._joined:
            self._joined.add(provider)
            provider.add_span_processor(self._processor)

    def stop(self) -> None:
        """Name no more spans; the SDK has no way of taking a processor back."""
        self._processor.active = False

    def on_creation(self, original: Callable[..., None]) -> Callable[..., None]:
        """Wrap a provider's constructor, so that the processor is there from the beginning."""

        def __init__(provider: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807  # replaces that method
            original(provider, *args, **kwargs)
            try:
                self.join(provider)
            except Exception:
                faults.ignore("joining a tracer provider")

        return __init__
