"""What all kinds of panel have in common: place, questions, units, thresholds, links."""

from __future__ import annotations

from string import ascii_uppercase
from typing import TYPE_CHECKING, Final

from grafana_foundation_sdk.builders import prometheus
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models.common import DataSourceRef
from grafana_foundation_sdk.models.dashboard import (
    DashboardFieldConfigSourceOverrides,
    DataTransformerConfig,
    DynamicConfigValue,
    FieldConfig,
    FieldConfigSource,
    GridPos,
    MatcherConfig,
    Threshold,
    ThresholdsConfig,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat, QueryEditorMode

from otel_dynabase.render.dashboards.links import data
from otel_dynabase.render.dashboards.panel import Ask, Select, Step

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from grafana_foundation_sdk.models.dashboard import Panel as Drawn

    from otel_dynabase.render.dashboards.panel import Panel

PROMETHEUS: Final = DataSourceRef("prometheus", "${prometheus}")
CLICKHOUSE: Final = DataSourceRef("grafana-clickhouse-datasource", "${clickhouse}")
MIXED: Final = DataSourceRef("datasource", "-- Mixed --")
PER_ROW: Final = 4
PLAIN: Final = (Step(None, "text"),)
"""Without steps of a panel's own, Grafana would paint everything above 80 red."""


def finished(drawn: Drawn, panel: Panel, *first: tuple[str, Mapping[str, object]]) -> Drawn:
    """Complete a panel that its kind has begun; `first` are the transformations that the kind needs."""
    drawn.id_val, drawn.title, drawn.description = panel.number, panel.title, panel.what
    drawn.grid_pos = GridPos(w=panel.width, h=panel.height)
    drawn.targets = [target(query, ref) for query, ref in zip(panel.queries, ascii_uppercase, strict=False)]
    drawn.datasource = _source(panel)
    drawn.field_config = _fields(drawn.field_config, panel)
    steps = (*first, *panel.transformations)
    drawn.transformations = [DataTransformerConfig(name, options=options) for name, options in steps]
    drawn.interval, drawn.time_from = panel.step or None, panel.last or None
    if panel.repeat:
        drawn.repeat, drawn.repeat_direction, drawn.max_per_row = panel.repeat, "h", PER_ROW
    return drawn


def target(query: Ask | Select, ref: str) -> Dataquery:
    """Return Grafana's model of a question."""
    if isinstance(query, Select):
        return ClickHouseQuery(query, ref)
    asked = (
        prometheus.Dataquery()
        .ref_id(ref)
        .datasource(PROMETHEUS)
        .expr(query.promql)
        .legend_format(query.legend)
        .format(PromQueryFormat(query.form))
        .exemplar(query.exemplars)
        .editor_mode(QueryEditorMode.CODE)
    )
    return (asked.instant() if query.instant else asked.range()).build()


class ClickHouseQuery(Dataquery):
    """A query of grafana-clickhouse-datasource (4.x), which the library does not know."""

    def __init__(self, query: Select, ref: str) -> None:
        self._query = query
        self._ref = ref

    def to_json(self) -> dict[str, object]:
        """Return its JSON, as the plugin's src/types/sql.ts has it."""
        return {
            "datasource": CLICKHOUSE,
            "editorType": "sql",
            "format": 0 if self._query.series else 1,
            "queryType": "timeseries" if self._query.series else "table",
            "rawSql": self._query.sql,
            "refId": self._ref,
        }


def _source(panel: Panel) -> DataSourceRef:
    """Return the store of a panel's, or Grafana's word for more than one."""
    kinds = {type(query) for query in panel.queries}
    if len(kinds) > 1:
        return MIXED
    return CLICKHOUSE if Select in kinds else PROMETHEUS


def _fields(begun: FieldConfigSource | None, panel: Panel) -> FieldConfigSource:
    """Return how values are shown: of all series, and of some by name."""
    fields = begun or FieldConfigSource()
    defaults = fields.defaults = fields.defaults or FieldConfig()
    defaults.unit = panel.unit
    defaults.thresholds = thresholds(panel.steps or PLAIN)
    defaults.mappings = [texts(panel.texts)] if panel.texts else None
    defaults.links = [data(one) for one in panel.links] or None  # type: ignore[misc]  # a data link has two of its keys
    defaults.no_value = panel.nothing or None
    fields.overrides = [
        DashboardFieldConfigSourceOverrides(
            matcher=MatcherConfig("byName", name),
            properties=[DynamicConfigValue(key, value) for key, value in properties.items()],
        )
        for name, properties in (panel.fields or {}).items()
    ]
    return fields


def thresholds(steps: Sequence[Step]) -> ThresholdsConfig:
    """Return where colours begin."""
    return ThresholdsConfig(ThresholdsMode.ABSOLUTE, [Threshold(step.value, step.colour) for step in steps])


def texts(shown: Mapping[str, tuple[str, str]]) -> ValueMap:
    """Return what values are shown as: a text and a colour."""
    results = enumerate(shown.items())
    return ValueMap({value: ValueMappingResult(text, colour, index=at) for at, (value, (text, colour)) in results})
