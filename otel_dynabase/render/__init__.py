"""The catalogue and the settings as documents.

`python -m otel_dynabase.render` writes what is stale, `--check` only says what is. A derived text stands between two
markers, `<!-- name -->` and `<!-- /name -->`, in a file whose other text is written by hand; some files are derived as
a whole.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from otel_dynabase import config
from otel_dynabase.catalog.events import STORED
from otel_dynabase.catalog.kinds import Counter, Gauge, Histogram, Recorded, UpDownCounter
from otel_dynabase.catalog.metrics import METRICS
from otel_dynabase.clickhouse.settings import CLICKHOUSE_SETTINGS
from otel_dynabase.doctor.settings import DOCTOR_SETTINGS
from otel_dynabase.observer.settings import OBSERVER_SETTINGS
from otel_dynabase.render import collector, rules, runbooks
from otel_dynabase.render.rules import tables

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_dynabase.catalog.kinds import Metric

KINDS = {
    Counter: "counter",
    Gauge: "gauge",
    Histogram: "histogram",
    Recorded: "recording rule",
    UpDownCounter: "up-down counter",
}


def metrics() -> str:
    """Return the metrics as a Markdown table."""
    rows = [
        f"| {_names(metric)} | {KINDS[type(metric)]}, {metric.unit}<br>{'; '.join(metric.sources)} "
        f"| {_meaning(metric)}<br>Labels: {', '.join(label.name for label in metric.labels) or 'none'}. |"
        for metric in METRICS
    ]
    head = "| in Prometheus, in OpenTelemetry | kind, unit, source | meaning |"
    return "\n".join([head, "|---|---|---|", *rows]) + "\n"


def _names(metric: Metric) -> str:
    return "<br>".join(f"`{name}`" for name in dict.fromkeys((metric.prometheus, metric.name)))


def _meaning(metric: Metric) -> str:
    if isinstance(metric, Histogram):
        return f"{metric.what} Buckets: {' '.join(f'{bound:g}' for bound in metric.buckets)}."
    return metric.what


def labels() -> str:
    """Return the attributes whose values are bounded by name as a Markdown table."""
    known = {label.name + label.what: label for metric in METRICS for label in metric.labels if label.values}
    rows = [f"| `{label.name}` | {', '.join(label.values)} | {label.what} |" for label in known.values()]
    return "\n".join(["| label | values | meaning |", "|---|---|---|", *rows]) + "\n"


def events() -> str:
    """Return the events as a Markdown table."""
    rows = [
        f"| `{event.name}` | {', '.join(event.attributes)} | {'; '.join(event.sources)} | {event.what} |"
        for event in STORED
    ]
    return "\n".join(["| event | attributes | source | meaning |", "|---|---|---|---|", *rows]) + "\n"


BLOCKS: dict[str, Callable[[], str]] = {
    "settings": config.table,
    "observer": lambda: config.table(OBSERVER_SETTINGS),
    "clickhouse": lambda: config.table(CLICKHOUSE_SETTINGS),
    "doctor": lambda: config.table(DOCTOR_SETTINGS),
    "metrics": metrics,
    "labels": labels,
    "events": events,
    "objectives": tables.objectives,
    "burn windows": tables.windows,
    "slow burns": tables.slow,
    "known metrics": collector.names,
    "allowed attributes": collector.attributes,
    "allowed attributes of nobody's": collector.shared,
    "bounded attributes": collector.bounded,
    "highest": collector.highest,
    "affected": collector.affected,
    "folds": collector.folds,
    **runbooks.BLOCKS,
}
"""What stands between which markers."""

DASHBOARDS = (
    "dynabase-tier-health",
    "dynabase-tenant-patterns",
    "dynabase-tier-economics",
    "dynabase-slo-tracking",
    "dynabase-tenant",
)


def dashboard(uid: str) -> str:
    """Return one of Grafana's dashboards."""
    from otel_dynabase.render import dashboards  # noqa: PLC0415  # Grafana's library is there for rendering only

    return dashboards.document(uid)


WHOLE: dict[str, Callable[[], str]] = {
    **{f"collector/prometheus/{name}": partial(rules.file, name) for name in rules.FILES},
    **{f"collector/grafana/dashboards/{uid}.json": partial(dashboard, uid) for uid in DASHBOARDS},
}
"""Files that are derived from the first line to the last."""


def rendered(document: str, name: str = "") -> str:
    """Return a document with every derived block made anew, or the whole of it if its name says so."""
    if name in WHOLE:
        return WHOLE[name]()
    for block, render in BLOCKS.items():
        begin, end = f"<!-- {block} -->\n", f"<!-- /{block} -->"
        before, found, rest = document.partition(begin)
        if found:
            document = before + begin + render() + end + rest.partition(end)[2]
    return document
