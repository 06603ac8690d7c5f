"""What the collector must know of the catalogue: which metrics there are, their attributes, and how they fold.

Each text ends where the end marker's line has its indentation and its `#`.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from otel_dynabase.catalog.attributes import AFFECTED_METRIC, PROJECT
from otel_dynabase.catalog.fields import FIELDS, IDENTITY
from otel_dynabase.catalog.kinds import Gauge, Recorded
from otel_dynabase.catalog.metrics import METRICS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otel_dynabase.catalog.kinds import Metric

EVENT_IDENTITY = ("event_id", "event_seq", "event_revision")
SENT = tuple(metric for metric in METRICS if not isinstance(metric, Recorded) and metric.sources != ("collector",))
"""What applications and the observer send: neither what Prometheus records nor what the collector makes itself."""


def attributes() -> str:
    """Return the processor's `attributes`: those that the series of each metric keep."""
    return _block(
        6, (f"{metric.name}: [{', '.join(_attributes(metric))}]" for metric in SENT if PROJECT in metric.labels)
    )


def shared() -> str:
    """Return statements like `folds`, for the metrics that no tenant has: the processor lets them pass."""
    return _folds(metric for metric in SENT if PROJECT not in metric.labels)


def highest() -> str:
    """Return the processor's `gauges: max`: those of which the highest stands for several tenants."""
    return _block(8, (f"- {metric.name}" for metric in SENT if _fold(metric) == "max"))


def affected() -> str:
    """Return the processor's `affected: metrics`: those of which the tenants are counted."""
    return _block(8, (f"- {name}" for name in AFFECTED_METRIC.values))


def bounded() -> str:
    """Return attributes that cannot hold a secret for the redaction processor's `ignored_keys`: it takes its time.

    They are identities, numbers, and those whose values are known names.
    """
    labels = {label for metric in SENT for label in metric.labels} - {PROJECT}
    free = {label.name for label in labels if not label.values}
    free |= {field.name for field in FIELDS.values() if field.kind in {"text", "facts"} and not field.values}
    known = {*EVENT_IDENTITY, *(field.name for field in IDENTITY), *FIELDS, *(label.name for label in labels)}
    return _block(6, (f"- {name}" for name in sorted(known - free)))


def names() -> str:
    """Return a condition of the filter processor's that is true for a metric that is not in the catalogue."""
    known = ", ".join(f'"{metric.name}"' for metric in SENT)
    return _block(6, ["- >-", *_wrapped(f"not ContainsValue([{known}], metric.name)")])


def folds() -> str:
    """Return statements of the transform processor's: each metric keeps its attributes, and what is alike adds up."""
    return _folds(SENT)


def _folds(metrics: Iterable[Metric]) -> str:
    statements = (
        f'aggregate_on_attributes("{_fold(metric)}", [{_quoted(metric)}]) where metric.name == "{metric.name}"'
        for metric in metrics
    )
    return _block(10, (line for statement in statements for line in ("- >-", *_wrapped(statement))))


def _attributes(metric: Metric) -> list[str]:
    return [label.name for label in metric.labels]


def _quoted(metric: Metric) -> str:
    return ", ".join(f'"{name}"' for name in _attributes(metric))


def _fold(metric: Metric) -> str:
    return metric.fold if isinstance(metric, Gauge) else "sum"


def _wrapped(text: str) -> list[str]:
    """Return the lines of a folded scalar."""
    return textwrap.wrap(text, 100, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)


def _block(indent: int, lines: Iterable[str]) -> str:
    """Return lines of YAML, and the beginning of the line that the end marker is in."""
    margin = " " * indent
    return "".join(f"{margin}{line}\n" for line in lines) + f"{margin}# "
