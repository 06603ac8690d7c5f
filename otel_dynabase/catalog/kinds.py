"""The kinds of metric, where each comes from, and what a view is.

A metric is one line in `catalog.metrics`. A view shows an accumulator that another metric already fills under a second
name, with fewer labels or counting only: so that, say, `db_queries_total` and the histogram of the same statements can
never disagree, and the second one costs a query nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_dynabase.catalog.attributes import Attribute

Value = str | None
Key = tuple[Value, ...]
"""A series' identity: the values of its metric's labels in their order; None leaves the attribute out."""

Source = Literal["app", "app, opt-in", "report", "observer", "doctor", "collector", "rule"]
"""Who measures: the instrumented process without a change to its code; the platform's own code by one typed call;
the one `otel-dynabase observe`; `otel-dynabase doctor`; the collector; a recording rule of Prometheus'."""

UNITS = {"s": "_seconds", "By": "_bytes"}
"""What a unit becomes at the end of a name in Prometheus; annotations like {query} become nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """What is measured: OpenTelemetry name, UCUM unit, labels, what it means in one sentence, and who measures it."""

    name: str
    unit: str
    labels: tuple[Attribute, ...]
    what: str
    sources: tuple[Source, ...] = field(default=("app",), kw_only=True)
    view_of: View | None = field(default=None, kw_only=True)

    @property
    def key(self) -> tuple[Attribute, ...]:
        """The labels whose values vary, in order: what a series is found by."""
        return tuple(label for label in self.labels if label.constant is None)

    @property
    def prometheus(self) -> str:
        """The name that Prometheus' OTLP translation (UnderscoreEscapingWithSuffixes) gives it."""
        total = "_total" if isinstance(self, Counter) else ""
        return self.name.replace(".", "_") + UNITS.get(self.unit, "") + total

    @property
    def family(self) -> str:
        """`semconv` for the names of the OpenTelemetry semantic conventions, `dynabase` for the rest."""
        return "semconv" if self.name.startswith("db.client.") else "dynabase"


@dataclass(frozen=True, slots=True, eq=False)
class Counter(Metric):
    """Adds up; never falls. Prometheus shows it with `_total` behind its name.

    `born_for` names the plans whose tenants have every series of it at 0 from the moment that they are known: where the
    first increment is what an alert waits for.
    """

    born_for: tuple[str, ...] = field(default=(), kw_only=True)


@dataclass(frozen=True, slots=True, eq=False)
class UpDownCounter(Metric):
    """Adds up over processes; read when it is collected."""


@dataclass(frozen=True, slots=True, eq=False)
class Gauge(Metric):
    """A value as it is when it is collected.

    `fold` is what stands for several tenants: the sum, or the highest where adding up means nothing (a state, an age).
    """

    fold: Literal["sum", "max"] = field(default="sum", kw_only=True)


@dataclass(frozen=True, slots=True, eq=False)
class Recorded(Metric):
    """What a recording rule of Prometheus' makes of other metrics; `name` is its name there."""


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
