"""The defaults of the processor, in Go, are those of the catalogue: it is useful without a configuration."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from otel_dynabase.catalog.attributes import AFFECTED_METRIC, OTHER_PROJECT, PLAN, PROJECT, TIER
from otel_dynabase.catalog.kinds import Gauge
from otel_dynabase.catalog.metrics import METRICS

README = Path(__file__).resolve().parents[2] / "collector" / "tenantcardinalityprocessor" / "README.md"
"""A Go test sees that it has the options as they are."""


def default(option):
    (found,) = re.findall(rf"^\| `{re.escape(option)}` \| `(.*?)` \|", README.read_text(), re.MULTILINE)
    return found


def names(option):
    return re.findall(r"[\w.]+", default(option))


@pytest.mark.parametrize(
    ("option", "value"),
    [("tenant", PROJECT.name), ("plan", PLAN.name), ("tier", TIER.name), ("other", OTHER_PROJECT)],
)
def test_attributes_have_their_names(option, value):
    assert default(option) == value


def test_gauges_of_tenants_fold_as_the_catalogue_says():
    highest = [m.name for m in METRICS if isinstance(m, Gauge) and m.fold == "max" and PROJECT in m.labels]
    assert sorted(names("gauges: max")) == sorted(highest)


def test_who_is_affected_is_told_of_the_same_metrics():
    assert sorted(names("affected: metrics")) == sorted(AFFECTED_METRIC.values)


def test_only_metrics_of_tenants_make_them_heavy():
    ranked = set(re.findall(r"([\w.]+): \d+", default("rank: by")))
    assert ranked <= {metric.name for metric in METRICS if PROJECT in metric.labels}


def test_every_plan_has_a_budget_or_none():
    assert set(re.findall(r"(\w+): \d+", default("budgets"))) | set(names("never_fold")) == set(PLAN.values) - {
        "unknown"
    }
