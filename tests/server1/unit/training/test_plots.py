"""The plots show the measured numbers, and can be drawn even if little could be measured."""

from io import BytesIO

import numpy as np
import pandas as pd
import pytest

from readmission_data.training import plots
from readmission_data.training.bootstrap import Interval, intervals
from readmission_data.training.subgroups import subgroups

THRESHOLD = 0.3


@pytest.fixture(scope="module")
def scored():
    rng = np.random.default_rng(0)
    scores = rng.beta(2, 8, size=600)
    return (rng.random(600) < scores).astype(np.int8), scores


def drawn(figure):
    file = BytesIO()
    figure.savefig(file, format="png")
    assert file.getvalue().startswith(b"\x89PNG")
    return figure.axes[0]


def texts(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def line(axes, label):
    return next(one for one in axes.get_lines() if one.get_label().startswith(label)).get_xydata()


def test_roc_ends_in_its_corners_and_marks_the_threshold(scored):
    labels, scores = scored
    axes = drawn(plots.roc(labels, scores, Interval(0.712, 0.651, 0.773), THRESHOLD))
    curve = line(axes, "ROC AUC")
    assert curve[0].tolist() == [0, 0]
    assert curve[-1].tolist() == [1, 1]
    assert np.trapezoid(curve[:, 1], curve[:, 0]) == pytest.approx(
        intervals(labels, scores, threshold=0, samples=2, seed=0, names=["roc_auc"])["roc_auc"].value
    )
    assert line(axes, "Threshold")[0] == pytest.approx(
        [(scores[labels == 0] >= THRESHOLD).mean(), (scores[labels == 1] >= THRESHOLD).mean()]
    )
    assert "ROC AUC 0.712 (0.651 to 0.773)" in texts(axes)


def test_precision_recall_ends_at_the_rate(scored):
    labels, scores = scored
    axes = drawn(plots.precision_recall(labels, scores, Interval(0.3, 0.2, 0.4), THRESHOLD))
    assert line(axes, "Average precision")[-1] == pytest.approx([1, labels.mean()])
    recall, precision = line(axes, "Threshold")[0]
    assert recall == pytest.approx((scores[labels == 1] >= THRESHOLD).mean())
    assert precision == pytest.approx(labels[scores >= THRESHOLD].mean())


def test_a_threshold_that_flags_nobody_is_drawn_too(scored):
    labels, scores = scored
    drawn(plots.precision_recall(labels, scores, Interval(0.3, 0.2, 0.4), 0.999))
    drawn(plots.confusion(labels, scores, 0.999))


def test_calibration_shows_the_ten_bins(scored):
    axes = drawn(plots.calibration(*scored, 0.0123))
    points = axes.containers[0].lines[0].get_xydata()
    assert len(points) == 10
    assert (np.diff(points[:, 0]) > 0).all()
    assert any("0.0123" in text for text in texts(axes))


def test_confusion_counts_everyone(scored):
    labels, scores = scored
    axes = drawn(plots.confusion(labels, scores, THRESHOLD))
    counts = [int(text.get_text().split("\n")[0].replace(",", "")) for text in axes.texts]
    flag = scores >= THRESHOLD
    assert counts == [
        int(((labels == true) & (flag == said)).sum()) for true in (0, 1) for said in (False, True)
    ]


def test_importance_names_the_greatest_at_the_top():
    table = pd.DataFrame(
        {"feature": ["strong", "weak"], "importance": [0.04, 0.01], "spread": [0.001, 0.001]}
    )
    axes = drawn(plots.importance(table))
    assert [label.get_text() for label in axes.get_yticklabels()] == ["weak", "strong"]


def test_by_group_names_every_group_and_leaves_a_handful_empty(scored):
    labels, scores = scored
    groups = pd.DataFrame(
        {"race": [None] * 100 + ["Asian"] * 500, "gender": ["Unknown/Invalid"] * 4 + ["Male"] * 596}
    )
    table = subgroups(
        labels, scores, groups, threshold=THRESHOLD, clusters=np.arange(600), samples=20, seed=0
    )
    axes = drawn(plots.by_group(table))
    assert [label.get_text() for label in axes.get_yticklabels()][::-1] == [
        "All encounters  (n=600)",
        "race: missing  (n=100)",
        "race: Asian  (n=500)",
        "gender: Male  (n=596)",
        "gender: Unknown/Invalid  (n=4)",
    ]
