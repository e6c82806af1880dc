"""What the dashboards have in common: variables, links, rows, marks, the list of alerts."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import (
    AnnotationQuery,
    DashboardCursorSync,
    DashboardLinkType,
    VariableHide,
    VariableModel,
    VariableOption,
    VariableRefresh,
    VariableSort,
)
from grafana_foundation_sdk.models.dashboard import Dashboard as DashboardModel

from readmission_dashboards import panels

TAG: Final = "readmission"


@dataclass(frozen=True)
class Row:
    """Panels under one title, and the runbooks of the alerts that they explain."""

    title: str
    runbooks: Sequence[str]
    panels: Sequence[panels.PanelBuilder]


@dataclass(frozen=True)
class Mark(Builder[AnnotationQuery]):
    """Lines across all panels, at moments that are themselves the values of a query, in milliseconds."""

    name: str
    moments: str
    colour: str
    heading: str
    body: str = ""
    labels: str = ""

    def build(self) -> AnnotationQuery:
        """Return the annotation as the SDK's model."""
        return _PrometheusAnnotation(self)


class _PrometheusAnnotation(AnnotationQuery):
    """An annotation with the fields that Grafana's Prometheus data source adds to the common ones."""

    def __init__(self, mark: Mark) -> None:
        super().__init__(
            name=mark.name, datasource=panels.PROMETHEUS, icon_color=mark.colour, expr=mark.moments
        )
        self._mark = mark

    def to_json(self) -> dict[str, object]:
        return super().to_json() | {
            "step": "60s",
            "tagKeys": self._mark.labels,
            "titleFormat": self._mark.heading,
            "textFormat": self._mark.body,
            "useValueForTime": True,
        }


PROMOTIONS: Final = Mark(
    name="Promotions",
    moments="max by (version, candidate) ("
    '(model_info{job="readmission-api"} == 1) * on (instance) group_left () '
    'model_loaded_timestamp_seconds{job="readmission-api"} * 1000)',
    colour="purple",
    heading="Version {{version}} starts to serve",
    body="{{candidate}}",
    labels="version,candidate",
)
BATCHES: Final = Mark(
    name="Batches",
    moments='max(readmission_raw_batch_finished_timestamp_seconds{job="airflow"}) * 1000',
    colour="blue",
    heading="A batch was loaded",
)


@dataclass(frozen=True)
class Board:
    """One dashboard: numbers at the top, the alerts, then rows."""

    name: str
    title: str
    description: str
    since: str
    stats: Sequence[panels.PanelBuilder]
    rows: Sequence[Row]
    marks: Sequence[Mark] = ()
    variables: Sequence[Builder[VariableModel]] = field(default_factory=tuple)

    def build(self) -> DashboardModel:
        """Return the dashboard, its panels numbered and in their places."""
        board = (
            dashboard.Dashboard(f"Readmission: {self.title}")
            .uid(f"readmission-{self.name}")
            .description(self.description)
            .tags([TAG])
            .version(1)
            .readonly()
            .tooltip(DashboardCursorSync.CROSSHAIR)
            .refresh("30s")
            .time(f"now-{self.since}", "now")
            .timezone("browser")
            .link(
                dashboard.DashboardLink("Readmission")
                .type(DashboardLinkType.DASHBOARDS)
                .tags([TAG])
                .keep_time(keep_time=True)
            )
            .variables([_data_source(), _runbooks(), *self.variables])
        )
        for mark in self.marks:
            board = board.annotation(mark)
        for panel in (*self.stats, panels.alert_list()):
            board = board.with_panel(panel)
        for row in self.rows:
            board = board.with_row(dashboard.Row(row.title))
            for panel in (panels.runbook_links(row.runbooks), *row.panels):
                board = board.with_panel(panel)
        built = board.build()
        for number, one in enumerate(built.panels or [], start=1):
            one.id_val = number
        return built


def instances_of(job: str) -> Builder[VariableModel]:
    """Return a choice among the instances of a job, by default all of them."""
    return (
        dashboard.QueryVariable("instance")
        .label("Instance")
        .datasource(panels.PROMETHEUS)
        .query({"query": f'label_values(up{{job="{job}"}}, instance)', "refId": "instance"})
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(multi=True)
        .include_all(include_all=True)
        .all_value(".*")
        .current(VariableOption(text=["All"], value=["$__all"]))
    )


def _data_source() -> Builder[VariableModel]:
    return (
        dashboard.DatasourceVariable("datasource")
        .label("Prometheus")
        .type("prometheus")
        .hide(VariableHide.HIDE_VARIABLE)
        .current(VariableOption(text="Prometheus", value="readmission-prometheus"))
    )


def _runbooks() -> Builder[VariableModel]:
    """Return the address of the runbooks, a setting of the site that the alert Watchdog carries."""
    return (
        dashboard.QueryVariable("runbooks")
        .datasource(panels.PROMETHEUS)
        .query({"query": 'label_values(ALERTS{alertname="Watchdog"}, runbooks)', "refId": "runbooks"})
        .refresh(VariableRefresh.ON_DASHBOARD_LOAD)
        .hide(VariableHide.HIDE_VARIABLE)
    )
