"""The charts, as ECharts options. Colours work on light and dark ground and for colour-blind readers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from readmission_ui.schema import Scores
from readmission_ui.texts import Texts

Options = dict[str, Any]

BELOW: Final = "#2a8f85"
ABOVE: Final = "#d9782d"
QUIET: Final = "#8c9aa5"

SCALE_ENDS: Final = (0.5, 0.75, 1.0)
"""Where a gauge can end. Few risks pass 50 %, and a scale that ends at 100 % would hide their differences."""

BINS: Final = 40


def scale_end(risk: float, threshold: float, scores: Scores | None) -> float:
    """Return the end of the risk scale: the first that holds the risk, the threshold and all past risks."""
    highest = max(risk, threshold, scores.quantiles[-2] if scores else 0.0)
    return next(end for end in SCALE_ENDS if highest <= end or end == SCALE_ENDS[-1])


def gauge(risk: float, threshold: float, end: float, texts: Texts) -> Options:
    """Return a half-circle gauge of a risk, its band changing colour at the threshold."""
    colour = _colour(risk, threshold)
    shared = {
        "type": "gauge",
        "startAngle": 180,
        "endAngle": 0,
        "min": 0,
        "max": 100 * end,
        "center": ["50%", "86%"],
        "radius": "118%",
        "splitNumber": 5,
        "animationDuration": 500,
    }
    return {
        "series": [
            {
                **shared,
                "axisLine": {
                    "lineStyle": {
                        "width": 14,
                        "opacity": 0.28,
                        "color": [[min(threshold / end, 1.0), BELOW], [1, ABOVE]],
                    }
                },
                "progress": {"show": True, "width": 14, "itemStyle": {"color": colour}},
                "pointer": {
                    "length": "62%",
                    "width": 5,
                    "itemStyle": {"color": colour},
                },
                "anchor": {"show": True, "size": 11, "itemStyle": {"color": colour, "borderWidth": 0}},
                "axisTick": {"show": False},
                "splitLine": {"show": False},
                "axisLabel": {"distance": -46, "fontSize": 11, "color": QUIET, "formatter": "{value} %"},
                "detail": {"show": False},
                "title": {"show": False},
                "data": [{"value": round(100 * risk, 2), "name": texts("answer.risk")}],
            }
        ]
    }


def standing(risk: float, threshold: float, end: float, scores: Scores, texts: Texts) -> Options:
    """Return the spread of past patients' risks, with this patient's place in it."""
    colour = _colour(risk, threshold)
    options = _histogram(scores.histogram(end, BINS), threshold, end)
    options["series"][0]["markLine"] = {
        "symbol": ["none", "none"],
        "silent": True,
        "data": [
            {
                "xAxis": round(100 * risk, 2),
                "lineStyle": {"color": colour, "width": 3, "type": "solid"},
                "label": {"formatter": texts("answer.here"), "color": colour, "fontWeight": "bold"},
            }
        ],
    }
    return options


def spread(risks: Sequence[float], threshold: float, end: float) -> Options:
    """Return the spread of some risks."""
    counts, _ = np.histogram(risks, bins=BINS, range=(0.0, end))
    return _histogram([float(count) / len(risks) for count in counts], threshold, end)


def _colour(risk: float, threshold: float) -> str:
    return ABOVE if risk >= threshold else BELOW


def _histogram(shares: Sequence[float], threshold: float, end: float) -> Options:
    """Return bars for shares of equal steps from 0 to `end`, coloured by the side of the threshold."""
    step = end / len(shares)
    bars = [
        {
            "value": [round(100 * step * (index + 0.5), 3), round(100 * share, 4)],
            "itemStyle": {
                "color": _colour(step * (index + 0.5), threshold),
                "opacity": 0.5,
                "borderRadius": [2, 2, 0, 0],
            },
        }
        for index, share in enumerate(shares)
    ]
    return {
        "grid": {"left": 8, "right": 8, "top": 26, "bottom": 22},
        "xAxis": {
            "type": "value",
            "min": 0,
            "max": 100 * end,
            "splitLine": {"show": False},
            "axisLabel": {"formatter": "{value} %", "color": QUIET, "hideOverlap": True},
            "axisLine": {"show": True, "lineStyle": {"color": QUIET}},
        },
        "yAxis": {"type": "value", "show": False},
        "series": [{"type": "bar", "barWidth": "92%", "data": bars}],
    }


@dataclass(frozen=True)
class Bar:
    """One field's bar: what it says, and how far it moved the risk in units of probability."""

    label: str
    contribution: float


def contributions(bars: Sequence[Bar], texts: Texts) -> Options:
    """Return the fields that moved a risk, the strongest on top, to the right where they raised it."""
    lowest = min(0.0, *(100 * bar.contribution for bar in bars))
    highest = max(0.0, *(100 * bar.contribution for bar in bars))
    # Room for the number beside the longest bar of either side.
    room = 0.28 * (highest - lowest)
    return {
        "grid": {"left": 4, "right": 4, "top": 4, "bottom": 4, "containLabel": True},
        "tooltip": {"trigger": "item", "formatter": "{b}: {c}"},
        "xAxis": {
            "type": "value",
            "min": lowest - room * (lowest < 0),
            "max": highest + room * (highest > 0),
            "show": False,
        },
        "yAxis": {
            "type": "category",
            "inverse": True,
            "data": [bar.label for bar in bars],
            "axisTick": {"show": False},
            "axisLine": {"show": False},
            "axisLabel": {
                "width": 165,
                "overflow": "break",
                "lineHeight": 14,
                "fontSize": 12,
                "color": QUIET,
                "interval": 0,
                "hideOverlap": False,
            },
        },
        "series": [
            {
                "type": "bar",
                "barMaxWidth": 16,
                "data": [
                    {
                        "value": round(100 * bar.contribution, 3),
                        "itemStyle": {
                            "color": ABOVE if bar.contribution > 0 else BELOW,
                            "borderRadius": [0, 3, 3, 0] if bar.contribution > 0 else [3, 0, 0, 3],
                        },
                        "label": {
                            "show": True,
                            "position": "right" if bar.contribution > 0 else "left",
                            "formatter": signed(bar.contribution, texts),
                            "fontSize": 12,
                        },
                    }
                    for bar in bars
                ],
                "markLine": {
                    "symbol": ["none", "none"],
                    "silent": True,
                    "label": {"show": False},
                    "lineStyle": {"color": QUIET, "type": "solid", "width": 1},
                    "data": [{"xAxis": 0}],
                },
            }
        ],
    }


def signed(share: float, texts: Texts) -> str:
    """Return a difference of shares in percentage points, with its sign; none where it rounds to zero."""
    points = round(100 * share, 1)
    sign = "+" if points > 0 else "\N{MINUS SIGN}" if points < 0 else ""
    return sign + texts.number(abs(points), 1)
