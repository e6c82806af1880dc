"""The record of a candidate in MLflow: figures, tables, plots and the fitted estimator."""

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from time import time
from typing import Final

import mlflow
import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Metric
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec

from readmission_data.settings import DataSettings
from readmission_data.training import plots
from readmission_data.training.bootstrap import Interval, intervals
from readmission_data.training.candidates import TRUSTED_TYPES
from readmission_data.training.data import KEY, LABEL, SplitRows, TrainingData
from readmission_data.training.importance import permutation_importance
from readmission_data.training.metrics import METRICS, Array, all_negative, evaluate, threshold_for
from readmission_data.training.result import SUBGROUPS_FILE
from readmission_data.training.search import Fitted, risk
from readmission_data.training.subgroups import subgroups

_VALIDATION_INTERVALS: Final = ("roc_auc", "average_precision")


@dataclass(frozen=True)
class Measured:
    """A candidate's scores on the three splits, its threshold, and the metrics of both."""

    scores: dict[str, Array]
    threshold: float
    metrics: dict[str, float]
    test: dict[str, Interval]


def measure(fitted: Fitted, data: TrainingData, settings: DataSettings) -> Measured:
    """Score the three splits and return every metric; the threshold comes from validation alone."""
    splits: dict[str, SplitRows] = {"train": data.train, "validation": data.validation, "test": data.test}
    scores = {name: risk(fitted.estimator, rows.features) for name, rows in splits.items()}
    threshold = settings.threshold or threshold_for(scores["validation"], settings.flagged_fraction)
    metrics: dict[str, float] = {}
    for name, rows in splits.items():
        measured = evaluate(rows.labels, scores[name], threshold) | all_negative(rows.labels)
        metrics |= {f"{name}_{metric}": value for metric, value in measured.items()}
    drawn = {
        name: intervals(
            splits[name].labels,
            scores[name],
            threshold=threshold,
            samples=settings.bootstrap_samples,
            seed=settings.seed,
            clusters=splits[name].patients,
            names=names,
        )
        for name, names in (("validation", _VALIDATION_INTERVALS), ("test", tuple(METRICS)))
    }
    for name, found in drawn.items():
        for metric, interval in found.items():
            metrics[f"{name}_{metric}_low"] = interval.low
            metrics[f"{name}_{metric}_high"] = interval.high
    return Measured(scores, threshold, metrics, drawn["test"])


def record(fitted: Fitted, measured: Measured, data: TrainingData, settings: DataSettings) -> str:
    """Write the candidate into the active run and return the URI of its logged model."""
    test, scores = data.test, measured.scores["test"]
    by_group = subgroups(
        test.labels,
        scores,
        test.groups,
        threshold=measured.threshold,
        clusters=test.patients,
        samples=settings.bootstrap_samples,
        seed=settings.seed,
    )
    rests_on = permutation_importance(
        fitted.estimator, data.validation, list(data.feature_names), settings.seed
    )
    mlflow.log_params(
        {
            **fitted.params,
            "candidate": fitted.name,
            "seed": settings.seed,
            "trials": len(fitted.trials),
            "features": len(data.feature_names),
            "train_rows": len(data.train.labels),
        }
    )
    # Before the metrics, because MLflow would read the history of each one to write it into the model.
    model_uri, model_id = _log_estimator(fitted, len(data.feature_names))
    _log_metrics(fitted, measured, model_id)
    with TemporaryDirectory(prefix="readmission-") as folder:
        _write_tables(Path(folder), fitted, measured, data, by_group, rests_on)
        _write_plots(Path(folder) / "plots", measured, test, by_group, rests_on)
        mlflow.log_artifacts(folder)
    return model_uri


def _log_metrics(fitted: Fitted, measured: Measured, model_id: str) -> None:
    now = int(time() * 1000)
    # MLflow's stores handle NaN differently, so metrics that could not be measured are omitted.
    values = {name: value for name, value in measured.metrics.items() if np.isfinite(value)}
    values |= {
        "threshold": measured.threshold,
        "choosing_average_precision": fitted.average_precision,
        "fit_seconds": sum(trial.seconds for trial in fitted.trials),
    }
    metrics = [Metric(name, value, now, 0, model_id=model_id) for name, value in values.items()]
    for step, trial in enumerate(fitted.trials):
        metrics.append(Metric("trial_average_precision", trial.average_precision, now, step))
    active = mlflow.active_run()
    assert active is not None  # noqa: S101
    MlflowClient().log_batch(active.info.run_id, metrics=metrics)


def _write_tables(
    folder: Path,
    fitted: Fitted,
    measured: Measured,
    data: TrainingData,
    by_group: pd.DataFrame,
    rests_on: pd.DataFrame,
) -> None:
    by_group.to_csv(folder / "subgroups.csv", index=False)
    rests_on.to_csv(folder / "feature_importance.csv", index=False)
    trials = [
        {"average_precision": trial.average_precision, "roc_auc": trial.roc_auc, **trial.params}
        for trial in fitted.trials
    ]
    pd.DataFrame(trials).to_csv(folder / "trials.csv", index=False)
    (folder / "scores").mkdir()
    for name, rows in (("validation", data.validation), ("test", data.test)):
        frame = pd.DataFrame({KEY: rows.encounter_ids, LABEL: rows.labels, "score": measured.scores[name]})
        frame.to_parquet(folder / "scores" / f"{name}.parquet", index=False)
    # MLflow shows it as a table next to those of other runs.
    mlflow.log_table(by_group, SUBGROUPS_FILE)


def _write_plots(
    folder: Path, measured: Measured, test: SplitRows, by_group: pd.DataFrame, rests_on: pd.DataFrame
) -> None:
    folder.mkdir()
    labels, scores, threshold = test.labels, measured.scores["test"], measured.threshold
    figures = {
        "roc": plots.roc(labels, scores, measured.test["roc_auc"], threshold),
        "precision_recall": plots.precision_recall(
            labels, scores, measured.test["average_precision"], threshold
        ),
        "calibration": plots.calibration(labels, scores, measured.test["calibration_error"].value),
        "confusion": plots.confusion(labels, scores, threshold),
        "feature_importance": plots.importance(rests_on),
        "score_by_group": plots.by_group(by_group),
    }
    for name, figure in figures.items():
        figure.savefig(folder / f"{name}.png")


def _log_estimator(fitted: Fitted, width: int) -> tuple[str, str]:
    signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(np.float32), (-1, width), "features")]),
        outputs=Schema([TensorSpec(np.dtype(np.float64), (-1, 2))]),
    )
    requirements = [f"{package}=={version(package)}" for package in ("scikit-learn", "lightgbm", "skops")]
    logged = mlflow.sklearn.log_model(
        fitted.estimator,
        name=fitted.name,
        signature=signature,
        pip_requirements=requirements,
        serialization_format="skops",
        skops_trusted_types=list(TRUSTED_TYPES),
        pyfunc_predict_fn="predict_proba",
    )
    return str(logged.model_uri), str(logged.model_id)
