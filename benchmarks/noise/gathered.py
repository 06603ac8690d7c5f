"""What the simulated day is made of, as one JSON: catalogue, plan table, the collector's budgets, day.yaml."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from examples.stack.process import ROOT
from otel_dynabase.catalog.kinds import Counter, Gauge, Histogram, UpDownCounter
from otel_dynabase.catalog.metrics import METRICS, SLO_BAD_EVENTS_COUNTED, SLO_EVENTS_COUNTED
from otel_dynabase.catalog.plans import PLAN_TABLE, PLANS

if TYPE_CHECKING:
    from otel_dynabase.catalog.attributes import Attribute
    from otel_dynabase.catalog.kinds import Metric

HERE: Final = Path(__file__).parent
KINDS: Final = {Counter: "counter", Gauge: "gauge", Histogram: "histogram", UpDownCounter: "gauge"}
BUDGET: Final = re.compile(r"^ +(\w+): \$\{env:OTELCOL_BUDGET_[A-Z]+:-(\d+)\}", re.MULTILINE)
"""A plan's budget and its default, as otelcol-config.yaml has it; enterprise has none: it is never folded."""


def day() -> dict[str, Any]:
    """Return day.yaml."""
    read: dict[str, Any] = yaml.safe_load((HERE / "day.yaml").read_text())
    return read


def default_budgets() -> dict[str, int]:
    """Return how many tenants of a plan have series of their own, unless a deployment says otherwise; absent: all."""
    return {
        plan: int(most) for plan, most in BUDGET.findall((ROOT / "otelcol-config.yaml").read_text()) if plan in PLANS
    }


def gathered(day: dict[str, Any], rules: list[str]) -> dict[str, Any]:
    """Return what the Go program reads (its input.go has the same names)."""
    day = day | {"start": day["start"].isoformat()}
    budgets = default_budgets() | day.pop("budgets", {})
    return {
        "metrics": {metric.name: _metric(metric) for metric in METRICS if type(metric) in KINDS},
        "promises": {
            plan.name: {
                "query_p95": plan.query_p95,
                "cold_start_p95": plan.cold_start_p95 or 0,
                "availability": plan.availability,
            }
            for plan in PLAN_TABLE
        },
        "budgets": budgets,
        "rules": rules,
        "judged": SLO_EVENTS_COUNTED.prometheus,
        "missed": SLO_BAD_EVENTS_COUNTED.prometheus,
        "day": day,
    }


def _metric(metric: Metric) -> dict[str, Any]:
    return {
        "name": metric.prometheus,
        "kind": KINDS[type(metric)],
        "labels": [_label(label) for label in metric.labels],
        "buckets": metric.buckets if isinstance(metric, Histogram) else [],
        "born_for": metric.born_for if isinstance(metric, Counter) else [],
        "applications": "app" in metric.sources or "report" in metric.sources,
    }


def _label(label: Attribute) -> dict[str, Any]:
    of = asdict(label)
    return {"name": of["name"].replace(".", "_"), "values": of["values"], "constant": of["constant"] or ""}
