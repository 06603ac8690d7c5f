"""Tenants on spans: named when a span starts, by the real SDK, whichever provider makes it."""

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import Span, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from otel_dynabase import tenant


class Traced:
    """A tracer provider of the SDK's and what it exports."""

    def __init__(self, **options):
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False, **options)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    def span(self, **options):
        with self.provider.get_tracer("test").start_as_current_span("span", **options):
            pass
        finished = self.exporter.get_finished_spans()
        return dict(finished[-1].attributes) if finished else None


NAMED = {"project_id": "proj_pro", "tenant_id": "org_pro", "plan": "pro", "tier": "HOT"}


def test_a_span_of_a_tenants_names_it_and_others_nobody(telemetry):
    with tenant("proj_pro"), telemetry.tracer.start_as_current_span("inside"):
        pass
    with telemetry.tracer.start_as_current_span("outside"):
        pass
    assert [span.attributes for span in telemetry.spans()] == [NAMED, {}]


def test_a_tenant_without_an_organisation_has_no_tenant_id(telemetry):
    with tenant("stranger"), telemetry.tracer.start_as_current_span("span"):
        pass
    assert telemetry.spans()[0].attributes == {"project_id": "stranger", "plan": "unknown", "tier": "unknown"}


def test_providers_made_after_instrumenting_name_tenants_too(instrument):
    telemetry = instrument(providers=False)
    late = Traced()
    with tenant("proj_pro"):
        assert late.span() == NAMED
        telemetry.uninstrument()
        assert late.span() == {}
        assert Traced().span() == {}


def test_an_explicit_provider_is_the_only_one(instrument):
    instrument()
    with tenant("proj_pro"):
        assert Traced().span() == {}


def test_unsampled_spans_work(instrument):
    instrument(providers=False)
    with tenant("proj_pro"):
        assert Traced(sampler=ALWAYS_OFF).span() is None


def test_forged_baggage_names_no_plan(instrument):
    telemetry = instrument(trust_baggage=True)
    carried = context.Context()
    for name, value in {"project_id": "proj_free", "plan": "enterprise", "tier": "HOT", "tenant_id": "org_pro"}.items():
        carried = baggage.set_baggage(name, value, carried)
    token = context.attach(carried)
    with telemetry.tracer.start_as_current_span("span"):
        pass
    context.detach(token)
    assert telemetry.spans()[0].attributes == {
        "project_id": "proj_free", "tenant_id": "org_free", "plan": "free", "tier": "WARM"
    }  # fmt: skip


def test_a_failing_sdk_or_directory_makes_the_span_all_the_same(telemetry, lenient, monkeypatch):
    monkeypatch.setattr(Span, "set_attributes", lambda *_: 1 / 0)
    with tenant("proj_pro"), telemetry.tracer.start_as_current_span("one"):
        pass
    monkeypatch.undo()
    assert lenient == {"naming a tenant on a span": 1}
    assert [span.name for span in telemetry.spans()] == ["one"]


def test_a_constructor_that_fails_fails_as_without_us(instrument):
    instrument(providers=False)
    with pytest.raises(TypeError):
        TracerProvider(no_such_argument=1)


def test_instrumenting_again_names_once(instrument):
    traced = Traced()
    for _ in range(3):
        telemetry = instrument(providers=False)
        later = Traced()
        with tenant("proj_pro"):
            assert later.span() == NAMED
        telemetry.uninstrument()
    with tenant("proj_pro"):
        assert traced.span() == {}


# --- spans whose tenant a pool knows, and the task does not -----------------------------------------------------------


def tagged(telemetry, project, kind=trace.SpanKind.CLIENT, **attributes):
    probes = telemetry.runtime.probes
    with telemetry.tracer.start_as_current_span("span", kind=kind, attributes=attributes):
        series = probes.statements.series(probes.tenants.of(project), "SELECT 1")
        series.done(0.0, lambda subject, result: None, None, None)
    return telemetry.spans("span")[-1].attributes


def test_a_span_names_the_tenant_that_was_found(telemetry):
    assert tagged(telemetry, "proj_pro") == {
        "project_id": "proj_pro", "tenant_id": "org_pro", "plan": "pro", "tier": "HOT"
    }  # fmt: skip


def test_a_span_that_names_a_tenant_keeps_it(telemetry):
    assert tagged(telemetry, "proj_pro", project_id="other")["project_id"] == "other"


def test_nobody_is_not_named(telemetry):
    assert tagged(telemetry, "unknown") == {}


def test_a_span_that_may_be_many_tenants_is_not_tagged(telemetry):
    assert tagged(telemetry, "proj_pro", kind=trace.SpanKind.INTERNAL) == {}
