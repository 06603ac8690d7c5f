"""A dashboard: its panels in their places, its variables, annotations and the way to the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    VariableOption,
    VariableRefresh,
)

from otel_dynabase.catalog.attributes import PLAN, TIER
from otel_dynabase.render.dashboards.drawing import CLICKHOUSE, PROMETHEUS, target
from otel_dynabase.render.dashboards.panel import WIDTH, Ask, Select

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from grafana_foundation_sdk.cog.builder import Builder
    from grafana_foundation_sdk.models.common import DataSourceRef
    from grafana_foundation_sdk.models.dashboard import AnnotationQuery, Dashboard, DashboardLink, VariableModel
    from grafana_foundation_sdk.models.dashboard import Panel as Drawn

    from otel_dynabase.render.dashboards.panel import Panel

    Variable = Builder[VariableModel]

TAG: Final = "dynabase"
SOURCES: Final = (("prometheus", PROMETHEUS), ("clickhouse", CLICKHOUSE))
SEEN: Final = None
"""The place above the panels, which has no name; the library's is in a menu."""
ALERTS: Final = (
    'max by (alertname, plan, severity) (ALERTS{alertstate="firing", severity=~"critical|warning", '
    'plan=~"($plan)|all"})'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """One dashboard; `uid` is also its file's name.

    `since` is how long it looks back when it is opened, `refresh` how often it is drawn anew; `variables` come after
    the two stores'. `events` is a question to ClickHouse whose answers are marked on every panel along time; without it
    firing alerts are.
    """

    uid: str
    title: str
    what: str
    since: str
    refresh: str
    variables: tuple[Variable, ...]
    panels: tuple[Panel, ...]
    events: str = ""

    def drawn(self) -> Dashboard:
        """Return Grafana's model of it."""
        drawn = (
            dashboard.Dashboard(self.title)
            .uid(self.uid)
            .description(self.what)
            .tags([TAG])
            .time(f"now-{self.since}", "now")
            .refresh(self.refresh)
            .timezone("browser")
            .readonly()
            .tooltip(DashboardCursorSync.CROSSHAIR)
            .variables([*(_source(name, ref) for name, ref in SOURCES), *self.variables])
            .build()
        )
        drawn.annotations.list_val = [_events(self.events) if self.events else _alerts()]
        drawn.links = [_way()]
        drawn.panels = list(placed(self.panels))
        return drawn


def placed(panels: Sequence[Panel]) -> Iterator[Drawn]:
    """Draw panels from left to right, and in a new row where one does not fit any more."""
    x = y = height = 0
    for panel in panels:
        if x + panel.width > WIDTH:
            x, y, height = 0, y + height, 0
        drawn = panel.kind(panel)
        assert drawn.grid_pos is not None  # noqa: S101  # for the type checker
        drawn.grid_pos.x, drawn.grid_pos.y = x, y
        x, height = x + panel.width, max(height, panel.height)
        yield drawn


# --- variables --------------------------------------------------------------------------------------------------------


def choice(name: str, label: str, values: Sequence[str], what: str) -> Variable:
    """Return a variable of known values, of which any may be chosen; at first all of them."""
    everything = VariableOption(selected=True, text=["All"], value=["$__all"])
    return (
        dashboard.CustomVariable(name)
        .label(label)
        .description(what)
        .values(",".join(values))
        .multi(True)
        .include_all(True)
        .current(everything)
    )


def found(name: str, label: str, sql: str, what: str) -> Variable:
    """Return a variable whose values ClickHouse knows; others may be typed."""
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .description(what)
        .datasource(CLICKHOUSE)
        .query({"editorType": "sql", "rawSql": sql, "refId": name})
        .definition(sql)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .allow_custom_value(True)
    )


def number(name: str, label: str, value: str, what: str) -> Variable:
    """Return a variable that is typed."""
    current = VariableOption(selected=True, text=value, value=value)
    return dashboard.TextBoxVariable(name).label(label).description(what).default_value(value).current(current)


PLANS: Final = choice("plan", "Plan", PLAN.values, PLAN.what)
TIERS: Final = choice("tier", "Tier", TIER.values, TIER.what)
COST: Final = number(
    "compute_cost_per_hour",
    "Cost an hour",
    "1",
    "What an hour of a tenant's compute costs, in your currency; 1: hours.",
)


def _source(name: str, ref: DataSourceRef) -> Variable:
    return dashboard.DatasourceVariable(name).label(name.capitalize()).type(ref.type_val or "")


# --- around the panels ------------------------------------------------------------------------------------------------


def _way() -> DashboardLink:
    """Return the links to the other dashboards, which keep the time and the variables."""
    link = dashboard.DashboardLink("DynaBase").type(DashboardLinkType.DASHBOARDS).tags([TAG])
    drawn = link.include_vars(True).keep_time(True).build()
    drawn.placement = SEEN  # type: ignore[assignment]
    return drawn


def _alerts() -> AnnotationQuery:
    drawn = dashboard.AnnotationQuery().title_format("{{alertname}}").text_format("{{severity}}, plan {{plan}}")
    return _marks(drawn.name("Alerts").datasource(PROMETHEUS).icon_color("red"), Ask(ALERTS))


def _events(sql: str) -> AnnotationQuery:
    drawn = dashboard.AnnotationQuery().name("Events").datasource(CLICKHOUSE).icon_color("blue")
    return _marks(drawn, Select(sql))


def _marks(begun: dashboard.AnnotationQuery, query: Ask | Select) -> AnnotationQuery:
    drawn = begun.enable(True).build()
    drawn.target = target(query, "Anno")
    drawn.placement = SEEN  # type: ignore[assignment]
    return drawn
