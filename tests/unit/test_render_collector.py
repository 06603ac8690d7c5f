"""What the collector is told of the catalogue: its allow-list, and how gauges fold."""

from pathlib import Path

import pytest
import yaml

from otel_dynabase.catalog.attributes import AFFECTED_METRIC, PROJECT
from otel_dynabase.catalog.kinds import Gauge, Recorded
from otel_dynabase.catalog.metrics import METRICS
from otel_dynabase.render import rendered

ROOT = Path(__file__).resolve().parents[2]
SENT = [metric for metric in METRICS if not isinstance(metric, Recorded) and metric.sources != ("collector",)]


@pytest.fixture(scope="module")
def processors():
    return yaml.safe_load((ROOT / "otelcol-config.yaml").read_text())["processors"]


@pytest.mark.parametrize("name", ["otelcol-config.yaml", "collector/otelcol-contrib.yaml"])
def test_the_configurations_are_fresh(name):
    text = (ROOT / name).read_text()
    assert rendered(text, name) == text


def test_each_metric_of_tenants_keeps_the_attributes_that_it_has(processors):
    of_tenants = {metric.name: [label.name for label in metric.labels] for metric in SENT if PROJECT in metric.labels}
    assert processors["tenant_cardinality"]["attributes"] == of_tenants


def test_each_metric_that_is_sent_is_known_and_no_other(processors):
    [condition] = processors["filter/unknown_metrics"]["metric_conditions"]
    assert condition.count('"') == 2 * len(SENT)
    assert all(f'"{metric.name}"' in condition for metric in SENT)


def test_states_and_ages_fold_by_the_highest(processors):
    highest = {metric.name for metric in SENT if isinstance(metric, Gauge) and metric.fold == "max"}
    assert set(processors["tenant_cardinality"]["gauges"]["max"]) == highest


def test_the_metrics_whose_tenants_are_counted_are_in_the_catalogue(processors):
    assert processors["tenant_cardinality"]["affected"]["metrics"] == list(AFFECTED_METRIC.values)
    assert {metric.name for metric in SENT} > set(AFFECTED_METRIC.values)
