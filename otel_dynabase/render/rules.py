"""Recording rules of Prometheus' that follow from the catalogue and the plan table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_dynabase.catalog.metrics import (
    AVAILABILITY_COMPLIANCE,
    COLD_START_COMPLIANCE,
    COLD_START_DURATION,
    ERRORS,
    QUERIES,
    QUERY_COMPLIANCE,
    QUERY_DURATION,
    REJECTIONS,
)
from otel_dynabase.catalog.plans import FAILED_BY_PLATFORM, PLAN_TABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_dynabase.catalog.kinds import Metric
    from otel_dynabase.catalog.plans import Plan

WINDOW = "5m"

HEAD = """\
# Compliance with each plan's objectives: the share of good events over all, absent where there was nothing to judge.
# Derived from the catalogue (otel_dynabase/render): python -m otel_dynabase.render
groups:
  - name: slo-compliance
    rules:
"""


def slo_tracking() -> str:
    """Return slo-tracking.yml."""
    return HEAD + "".join(rule for plan in PLAN_TABLE for rule in _rules(plan))


def _rules(plan: Plan) -> Iterator[str]:
    yield _rule(QUERY_COMPLIANCE, _milliseconds(plan.query_p95), _within(QUERY_DURATION, plan, plan.query_p95))
    if plan.cold_start_p95 is None:  # none may happen: each that does is a bad event
        expression = f"0 * ({_increase(f'{COLD_START_DURATION.prometheus}_count', plan)} > 0)"
        yield _rule(COLD_START_COMPLIANCE, "0", expression)
    else:
        within = _within(COLD_START_DURATION, plan, plan.cold_start_p95)
        yield _rule(COLD_START_COMPLIANCE, _milliseconds(plan.cold_start_p95), within)
    yield _rule(AVAILABILITY_COMPLIANCE, f"{plan.availability * 100:g}", _available(plan))


def _rule(metric: Metric, threshold: str, expression: str) -> str:
    (_plan, objective) = metric.labels
    return (
        f"      - record: {metric.prometheus}\n"
        f"        labels: {{{objective.name}: {threshold!r}}}\n"
        f"        expr: {expression}\n"
    )


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:g}"


def _increase(series: str, plan: Plan, *selectors: str) -> str:
    selected = ", ".join((f'plan="{plan.name}"', *selectors))
    return f"sum by (plan) (increase({series}{{{selected}}}[{WINDOW}]))"


def _within(histogram: Metric, plan: Plan, bound: float) -> str:
    """Return the share of a histogram's events that took no longer than `bound` seconds."""
    name = histogram.prometheus
    good = _increase(f"{name}_bucket", plan, f'le="{bound:g}"')
    return f"{good} / ({_increase(f'{name}_count', plan)} > 0)"


def _available(plan: Plan) -> str:
    """Return the share of attempts that the platform did not fail.

    Attempts are the statements that went well, all failures, and what a breaker refused. One selector takes the series
    of all three: a sum of several would be absent where one of them is.
    """
    refused = 'reason=~"|circuit_open"'
    names = (QUERIES.prometheus, ERRORS.prometheus, REJECTIONS.prometheus)
    attempts = _increase("", plan, f'__name__=~"{"|".join(names)}"', 'status!="error"', refused)
    failed = _increase(
        "", plan, f'__name__=~"{"|".join(names[1:])}"', f'error_type=~"|{"|".join(FAILED_BY_PLATFORM)}"', refused
    )
    return f"1 - ({failed} or 0 * {attempts}) / ({attempts} > 0)"
