"""tier-critical.yml: what a customer notices, whatever the objectives say; and that nothing is known at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_dynabase.catalog.attributes import OTHER_PROJECT
from otel_dynabase.catalog.metrics import BREAKER_STATE_GAUGE, COLD_STARTS, REJECTIONS
from otel_dynabase.catalog.plans import PLAN_TABLE
from otel_dynabase.render.rules.annotations import COUNT, PLAN, affected, first_of
from otel_dynabase.render.rules.objectives import COLD_START, EVERY_PLAN, attempts
from otel_dynabase.render.rules.promql import among, joined, selector, total
from otel_dynabase.render.rules.rule import Alert, Group, Recording

if TYPE_CHECKING:
    from collections.abc import Iterator

WHAT: Final = "What a customer notices, whatever the objectives say; and that nothing is known at all."
PREMIUM: Final = ("pro", "enterprise")
REJECTIONS_A_MINUTE: Final = 5
"""The ticket's threshold of its dashboard; its rule had another one."""
STEADY_ATTEMPTS: Final = 1
"""Attempts a second of a plan, never fewer in five minutes, after which silence is no chance."""
COLLECTOR: Final = 'job="collector"'
"""The job that scrapes the collector's own metrics."""
ATTEMPTS_RATE: Final = "plan:attempts:rate30s"


def _attempts() -> Recording:
    return Recording(
        name=ATTEMPTS_RATE,
        expression=total("rate", attempts(EVERY_PLAN), "30s"),
        why="The collector goes on repeating the series of an application that has died: its rate is 0 then; "
        " when the collector has died there is none.",
    )


def _collector_down() -> Alert:
    up = selector("up", COLLECTOR)
    return Alert(
        name="CollectorDown",
        severity="critical",
        expression=f"{up} == 0 or absent({up})",
        pending="10s",
        lingering="2m",
        summary="The collector is down: what applications measure does not arrive",
        description="{{ with $labels.instance }}{{ . }} does not answer.{{ else }}Prometheus scrapes none: there is no "
        'target of a job "collector".{{ end }}',
        runbook="collector-down",
        why="Two evaluations in a row: a collector that is replaced within ten seconds misses one. It lingers until "
        "the silence that follows from it, and is inhibited by it, has ended too.",
    )


def _silent() -> Iterator[Alert]:
    for severity in dict.fromkeys(plan.breach for plan in PLAN_TABLE):
        plans = tuple(plan.name for plan in PLAN_TABLE if plan.breach == severity)
        series = selector(ATTEMPTS_RATE, among("plan", plans))
        yield Alert(
            name="TelemetrySilent",
            severity=severity,
            plans=plans,
            expression=joined(
                "unless", f"max_over_time(min_over_time({series}[5m])[1h:1m]) > {STEADY_ATTEMPTS}", f"{series} > 0"
            ),
            pending="10s",
            summary=f"{PLAN}: nothing is heard of its statements any more",
            description="Five minutes of the last hour had never fewer than {{ $value | humanize }} a second, "
            "and now there are none.",
            runbook="telemetry-silent",
            why="Who exports only once a minute is never steady in windows of 30 seconds, and never silent: no alert "
            "is better than a false one every minute.",
        )


def _circuit_open() -> Alert:
    state, not_folded = BREAKER_STATE_GAUGE.prometheus, f'project_id!="{OTHER_PROJECT}"'
    tenants = selector(state, among("plan", PREMIUM), not_folded)
    not_closed = selector(state, "plan='%s'", not_folded.replace('"', "'"))
    return Alert(
        name="CriticalTenantCircuitOpen",
        severity="critical",
        plans=PREMIUM,
        expression="count by (plan) (\n"
        f"  max by (plan, project_id) (min_over_time({tenants}[5m]) >= 1 and {state} offset 5m >= 1)\n)",
        summary=f"{PLAN}: a tenant's circuit breaker stays open",
        description=f"Tenants whose circuit has not closed for 5m: {COUNT}. Not closed now:"
        f"{first_of(f'max by (project_id) ({not_closed}) >= 1', 5)}.",
        runbook="circuit-breaker-open",
        why="Each tenant's own five minutes; the try of a half-open breaker, which fails again, is no end. Folded "
        "tenants share one state, the worst: one of hundreds is always open. Theirs is a matter of availability.",
    )


def _rejections() -> Alert:
    series = selector(REJECTIONS.prometheus, among("plan", PREMIUM), 'reason!~"auth_failure|circuit_open"')
    return Alert(
        name="PremiumTierConnectionRejections",
        severity="critical",
        plans=PREMIUM,
        expression=f"{total('rate', series, '1m')} * 60 > {REJECTIONS_A_MINUTE}",
        pending="5m",
        summary=f"{PLAN}: connections are refused",
        description="{{ $value | humanize }} requests for a connection are refused a minute, where "
        f"{REJECTIONS_A_MINUTE} may be. "
        f"Tenants in the last 5 minutes: {affected(REJECTIONS.name)}.",
        runbook="connection-rejections",
        why="In each minute for five minutes. Wrong passwords are the customer's; what a breaker refuses is for "
        "CriticalTenantCircuitOpen and availability.",
    )


def _enterprise_cold_start() -> Alert:
    series = selector(COLD_STARTS.prometheus, among("plan", ("enterprise",)))
    return Alert(
        name="EnterpriseColdStart",
        severity="critical",
        plans=("enterprise",),
        slo=COLD_START,
        expression=f"{total('increase', series, '5m')} > 0",
        summary="Enterprise: a request found its database asleep",
        description=f"Cold starts of the last 5m: {COUNT}, where none may be.",
        runbook="enterprise-cold-start",
        dashboard="dynabase-slo-tracking",
    )


GROUPS: Final = (
    Group("silence", "10s", (_attempts(), _collector_down(), *_silent())),
    Group("premium", "10s", (_enterprise_cold_start(), _circuit_open(), _rejections())),
)
