"""Every figure that the script finds, computed once from the scores."""

from dataclasses import dataclass

from readmission_data.settings import DataSettings
from readmission_data.training import bootstrap
from readmission_data.training.bootstrap import Interval
from readmission_data.training.metrics import all_negative
from readmission_quality.encounters import Encounters
from readmission_quality.evaluation import (
    ALL_FEATURES,
    CrossValidation,
    HeldOutQuality,
    Scored,
    cross_validate,
    product_split,
    temporal,
)
from readmission_quality.leaks import measure
from readmission_quality.pipelines import HEADLINE
from readmission_quality.progress import Progress


@dataclass(frozen=True)
class Model:
    """One model over all folds: its two measures, and the least and greatest of each over the folds."""

    roc_auc: Interval
    average_precision: Interval
    fold_roc_auc: list[float]
    fold_average_precision: list[float]


@dataclass(frozen=True)
class Figures:
    """All that was measured on one data set.

    models: by name, the headline first. cost: what the 50 features lose against all, by measure (positive
    is worse). metrics: the headline's product metrics, `flagged` of its rows above the threshold.
    """

    dataset_kind: str
    dataset_sha256: str
    rows: int
    patients: int
    folds: int
    seed: int
    models: dict[str, Model]
    cost: dict[str, Interval]
    metrics: dict[str, float]
    metrics_at_half: dict[str, float]
    all_negative: dict[str, float]
    prevalence: float
    onnx_difference: float
    temporal: HeldOutQuality
    temporal_all_earlier: HeldOutQuality
    product_split: HeldOutQuality
    leaks: dict[str, float]
    seconds: float


def find(
    encounters: Encounters,
    settings: DataSettings,
    *,
    folds: int,
    samples: int,
    candidates: tuple[str, ...],
    progress: Progress,
) -> Figures:
    """Measure everything; `samples` resamples stand behind each interval."""
    seed = settings.seed
    crossed = cross_validate(encounters, folds=folds, seed=seed, candidates=candidates, progress=progress)
    progress.say("temporal test, patients apart")
    apart = temporal(encounters, (HEADLINE,), seed, patients_apart=True)[HEADLINE]
    progress.say("temporal test, all earlier encounters")
    earlier = temporal(encounters, (HEADLINE,), seed, patients_apart=False)[HEADLINE]
    progress.say("the product's own splits")
    split = product_split(encounters, seed)
    progress.say("leaks")
    leaks = measure(encounters, seed)
    progress.say("intervals")
    headline = crossed.models[HEADLINE]
    return Figures(
        dataset_kind=encounters.source.kind,
        dataset_sha256=encounters.source.sha256,
        rows=len(encounters),
        patients=len(set(encounters.patients.tolist())),
        folds=folds,
        seed=seed,
        models={name: _model(scored, samples, seed) for name, scored in crossed.models.items()},
        cost=_cost(crossed, samples, seed),
        metrics=headline.metrics(settings.flagged_fraction),
        metrics_at_half=headline.metrics_at(0.5),
        all_negative=all_negative(encounters.labels),
        prevalence=float(encounters.labels.mean()),
        onnx_difference=crossed.onnx_difference,
        temporal=apart.quality(samples, seed),
        temporal_all_earlier=earlier.quality(samples, seed),
        product_split=split.quality(samples, seed),
        leaks=leaks,
        seconds=progress.seconds,
    )


def _model(scored: Scored, samples: int, seed: int) -> Model:
    found = scored.intervals(samples, seed)
    return Model(
        found["roc_auc"],
        found["average_precision"],
        scored.by_fold("roc_auc"),
        scored.by_fold("average_precision"),
    )


def _cost(crossed: CrossValidation, samples: int, seed: int) -> dict[str, Interval]:
    every, chosen = crossed.models[ALL_FEATURES], crossed.models[HEADLINE]
    return {
        metric: bootstrap.paired_bootstrap(
            every.labels, every.scores, chosen.scores, metric, samples, seed, every.patients
        )
        for metric in ("roc_auc", "average_precision")
    }
