"""How panels are drawn: one function for each kind, from the data of a panel to Grafana's model of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana_foundation_sdk.builders import (
    barchart,
    bargauge,
    common,
    gauge,
    heatmap,
    piechart,
    stat,
    statetimeline,
    table,
    timeseries,
    xychart,
)
from grafana_foundation_sdk.models import common as model
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.piechart import PieChartLabels, PieChartLegendValues
from grafana_foundation_sdk.models.xychart import SeriesMapping, XYShowMode

from otel_dynabase.render.dashboards.drawing import finished
from otel_dynabase.render.dashboards.panel import Ask

if TYPE_CHECKING:
    from grafana_foundation_sdk.models.dashboard import Panel as Drawn

    from otel_dynabase.render.dashboards.panel import Panel

# --- along time -------------------------------------------------------------------------------------------------------


def lines(panel: Panel) -> Drawn:
    """Draw lines; a step of the panel's is a dashed line across."""
    style = common.GraphThresholdsStyleConfig().mode(
        model.GraphThresholdsStyleMode.DASHED if panel.steps else model.GraphThresholdsStyleMode.OFF
    )
    return finished(_along_time().fill_opacity(0).thresholds_style(style).build(), panel)


def bars(panel: Panel) -> Drawn:
    """Draw bars along time, stacked."""
    drawn = _along_time().draw_style(model.GraphDrawStyle.BARS).fill_opacity(80).stacking(_stacked())
    return finished(drawn.build(), panel)


def areas(panel: Panel) -> Drawn:
    """Draw areas, stacked."""
    return finished(_along_time().fill_opacity(30).stacking(_stacked()).build(), panel)


def states(panel: Panel) -> Drawn:
    """Draw a row for each series, whose colour is its state."""
    drawn = statetimeline.Panel().merge_values(True).show_value(model.VisibilityMode.AUTO).row_height(0.8)
    return finished(drawn.legend(_legend()).fill_opacity(80).build(), panel)


def heat(panel: Panel) -> Drawn:
    """Draw rows of cells along time: a histogram's buckets, which have the panel's unit, or series, whose values do."""
    buckets = any(isinstance(query, Ask) and query.form == "heatmap" for query in panel.queries)
    colour = heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Oranges").steps(64)
    drawn = heatmap.Panel().calculate(False).cell_gap(1).color(colour).show_legend()
    drawn.y_axis(heatmap.YAxisConfig().unit(panel.unit if buckets else "short"))
    drawn.cell_values(heatmap.CellValues().unit("short" if buckets else panel.unit))
    return finished(drawn.build(), panel)


# --- of the whole range, or of now ------------------------------------------------------------------------------------


def pie(panel: Panel) -> Drawn:
    """Draw the parts of a whole."""
    legend = (
        piechart.PieChartLegendOptions()
        .values([PieChartLegendValues.VALUE, PieChartLegendValues.PERCENT])
        .display_mode(model.LegendDisplayMode.TABLE)
        .placement(model.LegendPlacement.RIGHT)
        .show_legend(True)
    )
    drawn = piechart.Panel().legend(legend).display_labels([PieChartLabels.PERCENT]).reduce_options(_newest())
    return finished(drawn.build(), panel)


def figures(panel: Panel) -> Drawn:
    """Show each value as a figure with its name."""
    drawn = stat.Panel().reduce_options(_newest()).graph_mode(model.BigValueGraphMode.NONE)
    return finished(drawn.text_mode(model.BigValueTextMode.VALUE_AND_NAME).build(), panel)


def facts(panel: Panel) -> Drawn:
    """Show each column of one row, words too."""
    everything = _newest().fields("/.*/")
    drawn = stat.Panel().reduce_options(everything).graph_mode(model.BigValueGraphMode.NONE)
    return finished(drawn.text_mode(model.BigValueTextMode.VALUE_AND_NAME).build(), panel)


def gauges(panel: Panel) -> Drawn:
    """Show each value on a dial of its own."""
    drawn = gauge.Panel().reduce_options(_newest()).show_threshold_markers(True)
    return finished(drawn.build(), panel)


def levels(panel: Panel) -> Drawn:
    """Show each value as a filled bar with its name."""
    drawn = bargauge.Panel().reduce_options(_newest()).orientation(model.VizOrientation.HORIZONTAL)
    return finished(drawn.display_mode(model.BarGaugeDisplayMode.BASIC).build(), panel)


def histogram(panel: Panel) -> Drawn:
    """Draw a group of bars for each row of a table. Grafana's own histogram counts raw values and takes no buckets."""
    drawn = barchart.Panel().legend(_legend()).show_value(model.VisibilityMode.NEVER).fill_opacity(70)
    return finished(drawn.group_width(0.8).x_tick_label_rotation(-45).build(), panel)


def categories(panel: Panel) -> Drawn:
    """Draw one bar for each query, in their order."""
    drawn = barchart.Panel().show_value(model.VisibilityMode.ALWAYS).fill_opacity(70).x_field("Field").build()
    return finished(drawn, panel, ("reduce", {"mode": "seriesToRows", "reducers": ["lastNotNull"]}))


def scatter(panel: Panel) -> Drawn:
    """Draw points: columns `position` and `hours`, and the column `Value` as their size."""
    series = (
        xychart.XYSeriesConfig()
        .x(xychart.XychartXYSeriesConfigX().matcher(_column("position")))
        .y(xychart.XychartXYSeriesConfigY().matcher(_column("hours")))
        .size(xychart.XychartXYSeriesConfigSize().matcher(_column("Value")))
    )
    size = xychart.XychartFieldConfigPointSize().min(4).max(40)
    drawn = xychart.Panel().mapping(SeriesMapping.MANUAL).series([series]).show(XYShowMode.POINTS).point_size(size)
    return finished(drawn.build(), panel)


def rows(panel: Panel) -> Drawn:
    """Show a table."""
    return finished(table.Panel().cell_height(model.TableCellHeight.SM).filterable(True).build(), panel)


# --- pieces -----------------------------------------------------------------------------------------------------------


def _along_time() -> timeseries.Panel:
    """Return what everything along time has in common; a missing value is a gap, never a zero."""
    tooltip = common.VizTooltipOptions().mode(model.TooltipDisplayMode.MULTI).sort(model.SortOrder.DESCENDING)
    return timeseries.Panel().legend(_legend()).tooltip(tooltip).line_width(1).axis_soft_min(0)


def _legend() -> common.VizLegendOptions:
    return (
        common.VizLegendOptions()
        .display_mode(model.LegendDisplayMode.LIST)
        .placement(model.LegendPlacement.BOTTOM)
        .show_legend(True)
    )


def _stacked() -> common.StackingConfig:
    return common.StackingConfig().mode(model.StackingMode.NORMAL).group("A")


def _newest() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"])


def _column(name: str) -> xychart.MatcherConfig:
    return xychart.MatcherConfig().id("byName").options(name)
