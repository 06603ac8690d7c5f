"""The catalogue and the settings as documents.

`python -m otel_dynabase.render` writes what is stale, `--check` only says what is. A derived text stands between two
markers, `<!-- name -->` and `<!-- /name -->`, in a file whose other text is written by hand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_dynabase import config
from otel_dynabase.catalog.events import EVENTS
from otel_dynabase.catalog.kinds import Counter, Histogram
from otel_dynabase.catalog.metrics import METRICS

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_dynabase.catalog.kinds import Metric

KINDS = {Counter: "counter", Histogram: "histogram"}


def metrics() -> str:
    """Return the metrics as a Markdown table."""
    rows = [
        f"| `{metric.name}` | {KINDS.get(type(metric), 'up-down counter')} | {metric.unit} "
        f"| {', '.join(label.name for label in metric.labels) or 'none'} | {_meaning(metric)} |"
        for metric in METRICS
    ]
    return "\n".join(["| metric | kind | unit | labels | meaning |", "|---|---|---|---|---|", *rows]) + "\n"


def _meaning(metric: Metric) -> str:
    if isinstance(metric, Histogram):
        return f"{metric.what} Buckets: {' '.join(f'{bound:g}' for bound in metric.buckets)}."
    return metric.what


def events() -> str:
    """Return the events as a Markdown table."""
    rows = [f"| `{event.name}` | {', '.join(event.attributes)} | {event.what} |" for event in EVENTS]
    return "\n".join(["| event | attributes | meaning |", "|---|---|---|", *rows]) + "\n"


BLOCKS: dict[str, Callable[[], str]] = {"settings": config.table, "metrics": metrics, "events": events}
"""What stands between which markers."""


def rendered(document: str) -> str:
    """Return a document with every derived block made anew."""
    for name, render in BLOCKS.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        before, found, rest = document.partition(begin)
        if found:
            document = before + begin + render() + end + rest.partition(end)[2]
    return document
