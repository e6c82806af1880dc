"""The kinds of panel that the dashboards use. Every panel has a title, a description and a unit."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    heatmap,
    prometheus,
    stat,
    statetimeline,
    text,
    timeseries,
)
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.common import (
    BarGaugeDisplayMode,
    BigValueColorMode,
    BigValueGraphMode,
    BigValueTextMode,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
    VizOrientation,
)
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    FieldColorModeId,
    Panel,
    Threshold,
    ThresholdsMode,
)
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

PanelBuilder: TypeAlias = Builder[Panel]
Steps: TypeAlias = Sequence[tuple[float | None, str]]
"""Colours, each with the value from which it holds; the first has None."""

PROMETHEUS: Final = DataSourceRef(type_val="prometheus", uid="${datasource}")
GOOD_IF_ONE: Final[Steps] = ((None, "red"), (1, "green"))


def over(limit: float) -> Steps:
    """Return the colours of a value that is bad from a limit on."""
    return ((None, "green"), (limit, "red"))


BAD_IF_ONE: Final = over(1)
YES_NO: Final = "bool_yes_no"


@dataclass(frozen=True)
class Query:
    """A query in PromQL and the name of each of its series."""

    expr: str
    legend: str = "__auto"


def stat_panel(
    title: str,
    description: str,
    unit: str,
    query: Query,
    *,
    steps: Steps = (),
    decimals: int | None = None,
    width: int = 4,
) -> PanelBuilder:
    """Return one number as it is now; `steps` colour its background."""
    panel = (
        stat.Panel()
        .title(title)
        .description(description)
        .unit(unit)
        .datasource(PROMETHEUS)
        .span(width)
        .height(4)
        .color_mode(BigValueColorMode.BACKGROUND if steps else BigValueColorMode.VALUE)
        .graph_mode(BigValueGraphMode.NONE)
        .text_mode(BigValueTextMode.NAME if query.legend != "__auto" else BigValueTextMode.AUTO)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .with_target(_target(query).instant())
    )
    if decimals is not None:
        panel = panel.decimals(decimals)
    if steps:
        panel = panel.thresholds(_thresholds(steps)).color_scheme(_coloured_by_thresholds())
    return panel


def graph(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    width: int = 8,
    height: int = 8,
    steps: Steps = (),
    stacked: bool = False,
    bounds: tuple[float | None, float | None] = (0, None),
) -> PanelBuilder:
    """Return lines over time, with gaps for missing data; `steps` are drawn across the panel."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .unit(unit)
        .datasource(PROMETHEUS)
        .span(width)
        .height(height)
        .line_width(2)
        .fill_opacity(40 if stacked else 8)
        .show_points(VisibilityMode.AUTO)
        .span_nulls(span_nulls=False)
        .legend(
            common.VizLegendOptions()
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(show_legend=True)
        )
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
    )
    for letter, query in zip("ABCDEFGH", queries, strict=False):
        panel = panel.with_target(_target(query, letter).range())
    lowest, highest = bounds
    if lowest is not None:
        panel = panel.min(lowest)
    if highest is not None:
        panel = panel.max(highest)
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL))
    if steps:
        panel = panel.thresholds(_thresholds(steps)).thresholds_style(
            common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.LINE)
        )
    return panel


def distribution(
    title: str, description: str, unit: str, buckets: str, *, width: int, height: int = 8
) -> PanelBuilder:
    """Return the buckets of a histogram over time, as colours."""
    return (
        heatmap.Panel()
        .title(title)
        .description(description)
        .unit(unit)
        .datasource(PROMETHEUS)
        .span(width)
        .height(height)
        .calculate(calculate=False)
        .color(heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Oranges"))
        .y_axis(heatmap.YAxisConfig().unit(unit))
        .mode(TooltipDisplayMode.SINGLE)
        .show_y_histogram()
        .with_target(_target(Query(buckets, "{{le}}")).range().format(PromQueryFormat.HEATMAP))
    )


def states(
    title: str, description: str, *queries: Query, steps: Steps = GOOD_IF_ONE, width: int, height: int = 8
) -> PanelBuilder:
    """Return the times at which something was true (1) or not (0)."""
    panel = (
        statetimeline.Panel()
        .title(title)
        .description(description)
        .unit(YES_NO)
        .datasource(PROMETHEUS)
        .span(width)
        .height(height)
        .merge_values(merge_values=True)
        .show_value(VisibilityMode.NEVER)
        .row_height(0.8)
        .thresholds(_thresholds(steps))
        .color_scheme(_coloured_by_thresholds())
        .legend(
            common.VizLegendOptions()
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(show_legend=False)
        )
    )
    for letter, query in zip("ABCDEFGH", queries, strict=False):
        panel = panel.with_target(_target(query, letter).range())
    return panel


def bars(
    title: str, description: str, unit: str, query: Query, *, steps: Steps, width: int, height: int
) -> PanelBuilder:
    """Return one bar per series, as long as its value now."""
    return (
        bargauge.Panel()
        .title(title)
        .description(description)
        .unit(unit)
        .datasource(PROMETHEUS)
        .span(width)
        .height(height)
        .min(0)
        .decimals(3)
        .display_mode(BarGaugeDisplayMode.BASIC)
        .orientation(VizOrientation.HORIZONTAL)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(_thresholds(steps))
        .color_scheme(_coloured_by_thresholds())
        .with_target(_target(query).instant())
    )


def alert_list() -> PanelBuilder:
    """Return the alerts that fire or are about to. `datasource` is the name of the provisioned one."""
    return (
        dashboard.Panel()
        .type("alertlist")
        .title("Alerts")
        .description("Alerts that are firing or pending. Each has a link to its runbook.")
        .span(24)
        .height(5)
        .options(
            {
                "viewMode": "list",
                "groupMode": "default",
                "groupBy": [],
                "maxItems": 30,
                "sortOrder": 3,  # The most important first.
                "dashboardAlerts": False,
                "alertName": "",
                # Without the Watchdog, which always fires.
                "alertInstanceLabelFilter": '{severity=~"critical|warning"}',
                "datasource": "Prometheus",
                "showInstances": True,
                "stateFilter": {
                    "firing": True,
                    "pending": True,
                    "error": True,
                    "noData": False,
                    "normal": False,
                },
            }
        )
    )


def runbook_links(names: Sequence[str]) -> PanelBuilder:
    """Return the links of a row to the runbooks of its alerts."""
    links = " · ".join(f"[{name}](${{runbooks}}/{name}.md)" for name in names)
    return text.Panel().transparent(transparent=True).span(24).height(2).content(f"Runbooks: {links}")


def _target(query: Query, letter: str = "A") -> prometheus.Dataquery:
    return (
        prometheus.Dataquery()
        .ref_id(letter)
        .datasource(PROMETHEUS)
        .expr(query.expr)
        .legend_format(query.legend)
    )


def _thresholds(steps: Steps) -> dashboard.ThresholdsConfig:
    return (
        dashboard.ThresholdsConfig()
        .mode(ThresholdsMode.ABSOLUTE)
        .steps([Threshold(value=value, color=colour) for value, colour in steps])
    )


def _coloured_by_thresholds() -> dashboard.FieldColor:
    return dashboard.FieldColor().mode(FieldColorModeId.THRESHOLDS)
