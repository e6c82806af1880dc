"""Which version serves, whether its patients are still those it was trained on, and whether it is right."""

from typing import Final

from readmission_dashboards.board import PROMOTIONS, Board, Row
from readmission_dashboards.panels import (
    BAD_IF_ONE,
    YES_NO,
    Query,
    bars,
    distribution,
    graph,
    over,
    stat_panel,
    states,
)

_API: Final = '{job="readmission-api"}'
_RATE: Final = f"{_API}[$__rate_interval]"
_INDEX: Final = (
    "Under 0.1 little has changed; over 0.25 much has, and an alert fires once it has lasted for 15 minutes."
)


BOARD: Final = Board(
    name="model",
    title="model",
    description="Which version serves, whether its patients are still those it was trained on, and whether "
    "it is right.",
    since="7d",
    marks=(PROMOTIONS,),
    stats=(
        stat_panel(
            "Serving version",
            "The version that answers, the algorithm behind it and the data set it was trained on.",
            "none",
            Query(
                f"max by (version, candidate, dataset) (model_info{_API} == 1)",
                "{{version}} ({{candidate}}, {{dataset}})",
            ),
            width=6,
        ),
        stat_panel(
            "Model age",
            "Time since the serving version was trained.",
            "s",
            Query(f"min(model_age_seconds{_API})"),
            width=3,
        ),
        stat_panel(
            "Reload refused",
            "Whether the version behind the alias production was refused.",
            YES_NO,
            Query(f"max(model_version_refused{_API})"),
            steps=BAD_IF_ONE,
            width=3,
        ),
        stat_panel(
            "AUC over outcomes",
            "ROC AUC of the serving version over the outcomes received.",
            "none",
            Query(f"max(outcome_roc_auc{_API})"),
            decimals=3,
        ),
        stat_panel(
            "Outcomes measured",
            "Number of outcomes behind the AUC. Under 500 no alert is raised.",
            "short",
            Query(f"max(outcome_roc_auc_rows{_API})"),
        ),
        stat_panel(
            "Patients in the drift window",
            "Number of latest patients that drift is measured over. Under 1,000 no alert is raised.",
            "short",
            Query(f"sum(input_drift_window_rows{_API})"),
        ),
    ),
    rows=(
        Row(
            "Versions",
            ("ModelReloadRefused", "RetrainingNotStarted"),
            (
                states(
                    "Versions over time",
                    "Which version served when. Purple lines on all panels mark each promotion.",
                    Query(f"max by (version) (model_info{_API})", "version {{version}}"),
                    steps=((None, "transparent"), (1, "purple")),
                    width=12,
                    height=6,
                ),
                graph(
                    "Checks of the alias, by result",
                    "How often the API compares its version with the alias production, per minute.",
                    "cpm",
                    Query(f"sum by (result) (rate(model_reloads_total{_RATE})) * 60", "{{result}}"),
                    width=12,
                    height=6,
                ),
            ),
        ),
        Row(
            "Drift",
            ("InputDrift",),
            (
                bars(
                    "Input drift now, the ten fields with the most",
                    f"Population stability index of each field against the train split. {_INDEX}",
                    "none",
                    Query(f"topk(10, max by (field) (input_drift_psi{_API}))", "{{field}}"),
                    steps=((None, "green"), (0.1, "yellow"), (0.25, "red")),
                    width=8,
                    height=9,
                ),
                graph(
                    "Input drift by field",
                    f"Population stability index of each field against the train split. {_INDEX}",
                    "none",
                    Query(f"max by (field) (input_drift_psi{_API})", "{{field}}"),
                    width=16,
                    height=9,
                    steps=over(0.25),
                ),
            ),
        ),
        Row(
            "Scores",
            ("ScoreShift",),
            (
                distribution(
                    "Predicted risks",
                    "How many patients were given which risk.",
                    "percentunit",
                    f"sum by (le) (increase(prediction_score_bucket{_RATE}))",
                    width=8,
                ),
                graph(
                    "Shift of the risks",
                    f"Population stability index of the risks against the validation split. {_INDEX}",
                    "none",
                    Query(f"max(score_drift_psi{_API})", "stability index"),
                    steps=over(0.25),
                ),
                graph(
                    "Share of patients flagged",
                    "Share of patients over the decision threshold of the version.",
                    "percentunit",
                    Query(
                        'sum by (version) (rate(predictions_total{job="readmission-api",class="1"}'
                        f"[$__rate_interval])) / sum by (version) (rate(predictions_total{_RATE}))",
                        "version {{version}}",
                    ),
                ),
            ),
        ),
        Row(
            "Outcomes",
            ("OutcomeAucLow",),
            (
                graph(
                    "AUC over outcomes and the interval of the model card",
                    "ROC AUC over the outcomes received, and its 95 % interval on the test split.",
                    "none",
                    Query(f"max(outcome_roc_auc{_API})", "outcomes"),
                    Query(f"max by (bound) (model_test_roc_auc{_API})", "card: {{bound}}"),
                    width=12,
                    bounds=(None, None),
                ),
                graph(
                    "Outcomes received",
                    "Outcomes received per minute, by whether the patient was readmitted.",
                    "cpm",
                    Query(
                        f"sum by (readmitted) (rate(outcomes_total{_RATE})) * 60",
                        "readmitted: {{readmitted}}",
                    ),
                    width=12,
                    stacked=True,
                ),
            ),
        ),
        Row(
            "Challenger in shadow",
            ("ModelReloadRefused", "RequestsShed"),
            (
                graph(
                    "Patients scored in shadow, and skipped",
                    "Patients that the challenger scored too, and those it skipped, per second. "
                    "Callers never see its answers.",
                    "reqps",
                    Query(f"sum by (version) (rate(shadow_predictions_total{_RATE}))", "version {{version}}"),
                    Query(f"sum by (reason) (rate(shadow_dropped_total{_RATE}))", "skipped: {{reason}}"),
                ),
                graph(
                    "Difference from production",
                    "Absolute difference between the risks of challenger and production.",
                    "percentunit",
                    Query(
                        f"sum(rate(shadow_difference_sum{_RATE})) / "
                        f"sum(rate(shadow_difference_count{_RATE}))",
                        "mean",
                    ),
                    Query(
                        f"histogram_quantile(0.95, sum by (le) (rate(shadow_difference_bucket{_RATE})))",
                        "95 %",
                    ),
                ),
                graph(
                    "Share whose class would change",
                    "Share of patients that challenger and production put into different classes.",
                    "percentunit",
                    Query(
                        f"sum(rate(shadow_disagreements_total{_RATE})) / "
                        f"sum(rate(shadow_predictions_total{_RATE}))",
                        "share",
                    ),
                ),
            ),
        ),
    ),
)
