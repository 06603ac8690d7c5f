"""The kinds of metric, and what a view is.

A metric is one line in `catalog.metrics`. A view shows an accumulator that another metric already fills under a second
name, with fewer labels or counting only: so that, say, `db_queries_total` and the histogram of the same statements can
never disagree, and the second one costs a query nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_dynabase.catalog.attributes import Attribute

Value = str | None
Key = tuple[Value, ...]
"""A series' identity: the values of its metric's labels in their order; None leaves the attribute out."""


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """What is measured: OpenTelemetry name, UCUM unit, labels, and what it means in one sentence."""

    name: str
    unit: str
    labels: tuple[Attribute, ...]
    what: str
    view_of: View | None = field(default=None, kw_only=True)

    @property
    def key(self) -> tuple[Attribute, ...]:
        """The labels whose values vary, in order: what a series is found by."""
        return tuple(label for label in self.labels if label.constant is None)

    @property
    def family(self) -> str:
        """`semconv` for the names of the OpenTelemetry semantic conventions, `dynabase` for the rest."""
        return "semconv" if self.name.startswith("db.client.") else "dynabase"


@dataclass(frozen=True, slots=True, eq=False)
class Counter(Metric):
    """Adds up; never falls."""


@dataclass(frozen=True, slots=True, eq=False)
class UpDownCounter(Metric):
    """Adds up over processes; read when it is collected."""


@dataclass(frozen=True, slots=True, eq=False)
class Histogram(Metric):
    """Counts values by bucket; `buckets` are the inclusive upper bounds."""

    buckets: tuple[float, ...] = field(default=(), kw_only=True)


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """Where a view's series come from.

    `key` turns the source's key into the view's, or into None for a series that the view leaves out.
    """

    source: Metric
    key: Callable[[Key], Key | None]
