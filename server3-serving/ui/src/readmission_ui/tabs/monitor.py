"""The monitor: what the API predicted, how fast, on which patients, and how right it was."""

from datetime import timedelta
from typing import Final

import streamlit as st

from readmission_ui import exposition, monitor_charts, timeline
from readmission_ui.charts import ABOVE, BELOW
from readmission_ui.errors import PrometheusAwayError
from readmission_ui.exposition import Snapshot
from readmission_ui.monitor_charts import Line
from readmission_ui.page import Page
from readmission_ui.timeline import Timeline

SPANS: Final = (0.25, 1.0, 6.0, 24.0, 168.0)
"""Hours that can be looked back to where Prometheus keeps them."""

HEIGHT: Final = 240


def draw(page: Page) -> None:
    """Draw the tab, and draw it again with every look at the API."""

    @st.fragment(run_every=page.settings.refresh_seconds)
    def watch() -> None:
        timeline.record(page.client, page.settings.refresh_seconds)
        looks = timeline.looks(page.client.url, page.settings.refresh_seconds)
        latest = looks.latest()
        if latest is None:
            st.info(page.texts("monitor.nothing"), icon=":material/hourglass_empty:")
            return
        _draw_sums(page, latest)
        _draw_charts(page, latest, _over_time(page, looks.timeline()))

    watch()


def _over_time(page: Page, own: Timeline) -> Timeline:
    """Return Prometheus' lines where there is one, else these pages' own."""
    texts = page.texts
    url = page.settings.prometheus_url
    if url is None:
        st.caption(texts("monitor.own"))
        return own
    hours = st.segmented_control(
        texts("monitor.span"),
        SPANS,
        default=SPANS[1],
        required=True,
        format_func=lambda span: texts("monitor.hours", hours=texts.number(span, 2 if span < 1 else 0)),
        key="span",
    )
    try:
        return timeline.from_prometheus(url, page.settings.api_timeout, timedelta(hours=hours))
    except PrometheusAwayError:
        st.warning(texts("monitor.prometheus_away", url=url), icon=":material/cloud_off:")
        return own


def _draw_sums(page: Page, latest: Snapshot) -> None:
    texts = page.texts
    none = texts("monitor.none")

    def milliseconds(share: float) -> str | None:
        seconds = exposition.quantile(latest.latency, share)
        return None if seconds is None else f"{texts.number(1000 * seconds, 2)} ms"

    with st.container(horizontal=True, key="monitor sums"):
        predicted = latest.predicted()
        share = texts.percent(latest.predicted(flagged=True) / predicted) if predicted else None
        _draw_sum(
            texts("monitor.predicted"),
            texts.number(predicted),
            texts("monitor.of_them_flagged", share=share) if share else None,
        )
        median = milliseconds(0.5)
        _draw_sum(
            texts("monitor.latency"),
            milliseconds(0.99) or none,
            texts("monitor.median", value=median) if median else None,
        )
        _draw_sum(
            texts("monitor.errors"),
            texts.number(sum(latest.errors.values())),
            texts("monitor.shed", count=texts.number(latest.shed)),
        )
        worst = max(latest.drift, key=lambda name: latest.drift[name], default=None)
        _draw_sum(
            texts("monitor.worst_drift"),
            none if worst is None else texts.number(latest.drift[worst], 2),
            None if worst is None else _title(page, worst),
        )
        _draw_sum(
            texts("monitor.auc"),
            none if latest.auc is None else texts.number(latest.auc, 3),
            texts.counted("monitor.outcomes", int(latest.auc_rows)),
        )


def _draw_sum(label: str, value: str, detail: str | None) -> None:
    st.metric(label, value, delta=detail, delta_color="off", delta_arrow="off", border=True, height="stretch")


def _draw_charts(page: Page, latest: Snapshot, lines: Timeline) -> None:
    texts = page.texts
    left, right = st.columns(2)
    with left, _panel(texts("monitor.over_time")):
        st.echarts_chart(
            monitor_charts.over_time(
                [
                    Line(texts("batch.not_at_risk"), BELOW, lines.below),
                    Line(texts("batch.at_risk"), ABOVE, lines.flagged),
                ],
                stacked=True,
            ),
            height=HEIGHT,
            alt=texts("monitor.over_time"),
            key="predictions over time",
        )
    with right, _panel(texts("monitor.latency_title")):
        if lines.median:
            st.echarts_chart(
                monitor_charts.over_time(
                    [
                        Line(texts("monitor.p50"), BELOW, lines.median),
                        Line(texts("monitor.p99"), ABOVE, lines.slowest),
                    ],
                    digits=2,
                    scale=1000.0,
                ),
                height=HEIGHT,
                alt=texts("monitor.latency_title"),
                key="latency over time",
            )
        else:
            st.caption(texts("monitor.no_latency"))
    with left, _panel(texts("monitor.scores_title")):
        if latest.predicted():
            st.echarts_chart(
                monitor_charts.scores(latest.scores, page.schema.scores, texts),
                height=HEIGHT,
                alt=texts("monitor.scores_title"),
                key="scores",
            )
        else:
            st.caption(texts("monitor.no_predictions"))
    with right, _panel(texts("monitor.auc_title")):
        if lines.auc:
            st.echarts_chart(
                monitor_charts.auc(lines.auc, page.model.test_metric("roc_auc"), texts),
                height=HEIGHT,
                alt=texts("monitor.auc_title"),
                key="auc over time",
            )
        else:
            st.caption(texts("monitor.no_outcomes"))
    with _panel(texts("monitor.drift_title")):
        if latest.drift:
            st.caption(texts("monitor.drift_what", rows=texts.number(latest.window_rows)))
            titles = {name: _title(page, name) for name in latest.drift}
            shown = min(len(latest.drift), monitor_charts.DRIFT_FIELDS)
            st.echarts_chart(
                monitor_charts.drift(latest.drift, titles, texts),
                height=40 + 24 * shown,
                alt=texts("monitor.drift_title"),
                key="drift",
            )
        else:
            st.caption(texts("monitor.no_drift"))


def _panel(title: str) -> st.delta_generator.DeltaGenerator:
    panel = st.container(border=True)
    panel.markdown(f"**{title}**")
    return panel


def _title(page: Page, name: str) -> str:
    field = page.schema.field(name)
    return name if field is None else field.title(page.texts.language)
