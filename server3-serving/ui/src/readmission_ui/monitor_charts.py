"""The monitor's charts, as ECharts options."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from typing import Any, Final

from readmission_ui.api_answers import Estimate
from readmission_ui.charts import ABOVE, BELOW, QUIET, Options
from readmission_ui.schema import Scores
from readmission_ui.texts import Texts
from readmission_ui.timeline import Point

# The usual reading of a population stability index (Siddiqi, Credit Risk Scorecards, 2006): under 0.1 alike,
# from 0.25 on another population.
DRIFT_SOME: Final = 0.1
DRIFT_MUCH: Final = 0.25
DRIFT_FIELDS: Final = 12


@dataclass(frozen=True)
class Line:
    """One line over time."""

    name: str
    colour: str
    points: Sequence[Point]


def over_time(
    lines: Sequence[Line], *, stacked: bool = False, digits: int = 1, scale: float = 1.0
) -> Options:
    """Return lines over time, filled and on top of each other where stacked."""
    return {
        "grid": {"left": 4, "right": 12, "top": 30, "bottom": 4, "containLabel": True},
        "legend": {"top": 0, "left": 0, "icon": "roundRect", "itemWidth": 12, "itemHeight": 8},
        "tooltip": {"trigger": "axis", "valueFormatter": f"%.{digits}f"},
        "xAxis": {"type": "time", "splitLine": {"show": False}, "axisLabel": {"hideOverlap": True}},
        "yAxis": {"type": "value", "min": 0, "splitNumber": 3},
        "series": [
            {
                "name": line.name,
                "type": "line",
                "showSymbol": len(line.points) == 1,
                "smooth": 0.2,
                "color": line.colour,
                "lineStyle": {"width": 2},
                "data": [[at.isoformat(), round(value * scale, 4)] for at, value in line.points],
                **({"stack": "all", "areaStyle": {"opacity": 0.25}} if stacked else {}),
            }
            for line in lines
        ],
    }


def auc(points: Sequence[Point], card: Estimate | None, texts: Texts) -> Options:
    """Return the AUC over outcomes, above the interval that the model card tells."""
    options = over_time([Line(texts("monitor.auc"), BELOW, points)], digits=3)
    low = min([value for _, value in points] + ([card.low] if card and card.low else []))
    options["yAxis"] = {"type": "value", "min": round(min(0.5, low - 0.02), 2), "max": 1, "splitNumber": 3}
    if card and card.low is not None and card.high is not None:
        options["series"][0]["markArea"] = {
            "silent": True,
            "itemStyle": {"color": QUIET, "opacity": 0.18},
            "label": {"color": QUIET, "position": "insideTopRight"},
            "data": [[{"name": texts("monitor.card_interval"), "yAxis": card.low}, {"yAxis": card.high}]],
        }
    return options


def drift(values: Mapping[str, float], titles: Mapping[str, str], texts: Texts) -> Options:
    """Return the fields that drifted most, with the lines that part little from much."""
    most = sorted(values.items(), key=lambda item: -item[1])[:DRIFT_FIELDS]
    top = max([DRIFT_MUCH * 1.2, *(value for _, value in most)])
    return {
        "grid": {"left": 4, "right": 40, "top": 22, "bottom": 4, "containLabel": True},
        "xAxis": {"type": "value", "min": 0, "max": round(top * 1.05, 2), "show": False},
        "yAxis": {
            "type": "category",
            "inverse": True,
            "data": [titles.get(name, name) for name, _ in most],
            "axisTick": {"show": False},
            "axisLine": {"show": False},
            "axisLabel": {"width": 150, "overflow": "truncate", "interval": 0},
        },
        "series": [
            {
                "type": "bar",
                "barMaxWidth": 12,
                "data": [
                    {
                        "value": round(value, 4),
                        "itemStyle": {"color": _drift_colour(value), "borderRadius": [0, 3, 3, 0]},
                        "label": {"show": True, "position": "right", "formatter": texts.number(value, 2)},
                    }
                    for _, value in most
                ],
                "markLine": {
                    "symbol": ["none", "none"],
                    "silent": True,
                    "lineStyle": {"color": QUIET, "type": "dashed"},
                    "label": {"color": QUIET, "position": "end"},
                    "data": [
                        {"xAxis": bound, "label": {"formatter": texts.number(bound, 2)}}
                        for bound in (DRIFT_SOME, DRIFT_MUCH)
                    ],
                },
            }
        ],
    }


def _drift_colour(value: float) -> str:
    if value >= DRIFT_MUCH:
        return "#c0392b"
    return ABOVE if value >= DRIFT_SOME else BELOW


def scores(counted: Mapping[float, float], past: Scores | None, texts: Texts) -> Options:
    """Return the spread of the risks that were answered, beside that of past patients."""
    bounds = [0.0, *(bound for bound in counted if bound != inf)]
    total = max(counted.values(), default=0.0)
    counts = [counted[high] - counted.get(low, 0.0) for low, high in pairwise(bounds)]
    names = [f"{texts.number(100 * low, 0)}-{texts.percent(high, 0)}" for low, high in pairwise(bounds)]
    series: list[dict[str, Any]] = [
        {
            "name": texts("monitor.answered"),
            "type": "bar",
            "color": BELOW,
            "data": [round(100 * count / total, 2) if total else 0 for count in counts],
        }
    ]
    if past is not None:
        series.append(
            {
                "name": texts("monitor.past"),
                "type": "bar",
                "barGap": "0%",
                "color": QUIET,
                "itemStyle": {"opacity": 0.45},
                "data": [
                    round(100 * (past.standing(high) - (past.standing(low) if low else 0.0)), 2)
                    for low, high in pairwise(bounds)
                ],
            }
        )
    return {
        "grid": {"left": 4, "right": 8, "top": 30, "bottom": 4, "containLabel": True},
        "legend": {"top": 0, "left": 0, "icon": "roundRect", "itemWidth": 12, "itemHeight": 8},
        "tooltip": {"trigger": "axis", "valueFormatter": "%.1f %%"},
        "xAxis": {"type": "category", "data": names, "axisTick": {"show": False}},
        "yAxis": {"type": "value", "splitNumber": 3, "axisLabel": {"formatter": "{value} %"}},
        "series": series,
    }
