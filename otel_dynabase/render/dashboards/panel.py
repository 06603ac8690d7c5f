"""What a panel is: questions to the stores, and how the answer is to be read. Pure data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from grafana_foundation_sdk.models.dashboard import Panel as Drawn

WIDTH = 24
"""Columns of Grafana's grid."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A question to Prometheus. `instant`: about the end of the range only; otherwise along all of it."""

    promql: str
    legend: str = ""
    instant: bool = False
    form: Literal["time_series", "table", "heatmap"] = "time_series"
    exemplars: bool = False


@dataclass(frozen=True, slots=True)
class Select:
    """A question to ClickHouse: a table, or `series`: a time, a name in words, and a number, a series for each name."""

    sql: str
    series: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """From a value on, a colour; a panel that draws lines draws one there. None: from the beginning."""

    value: float | None
    colour: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One panel.

    `number` is its identity in its dashboard: the ticket's where the ticket has the panel, and never another panel's.
    `what` says what can be decided from it. `texts` are what values are shown as, and in which colour.
    `transformations` are Grafana's, by their ids; `links` are a title and an address each; `fields` are properties of
    single series or columns, by name.
    """

    number: int
    title: str
    kind: Callable[[Panel], Drawn]
    what: str
    queries: tuple[Ask | Select, ...]
    unit: str = "short"
    width: int = 12
    height: int = 8
    steps: tuple[Step, ...] = ()
    texts: Mapping[str, tuple[str, str]] | None = None
    transformations: tuple[tuple[str, Mapping[str, object]], ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    fields: Mapping[str, Mapping[str, object]] | None = None
    repeat: str = ""
    last: str = ""
    """A range of its own, up to now, whatever the dashboard's is: `1h`."""
    step: str = ""
    """At least so far apart are the values: `1h`."""
    nothing: str = ""
    """What is shown where there is no data."""
