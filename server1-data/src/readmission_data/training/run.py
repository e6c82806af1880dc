"""Task 1 of `train_and_register`: train the candidates and record each as a child of one MLflow run."""

import json
import logging
import warnings
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import mlflow
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.dataset import Dataset
from mlflow.data.pandas_dataset import from_pandas
from threadpoolctl import threadpool_limits

from readmission_data import tracking
from readmission_data.ahead import one_ahead
from readmission_data.errors import TrainingError
from readmission_data.settings import DataSettings
from readmission_data.training import ledger
from readmission_data.training.candidates import CANDIDATES
from readmission_data.training.data import LABEL, TrainingData, read
from readmission_data.training.lineage import Lineage, frame_digest, trace
from readmission_data.training.lock import one_training
from readmission_data.training.record import measure, record
from readmission_data.training.result import ENCODING_FILE, FEATURES_FILE, LINEAGE_FILE, TrainingResult
from readmission_data.training.search import Fitted, search

log = logging.getLogger(__name__)

PROCESSED_FOLDER: Final = "processed"

# MLflow's name for the use of each split.
_CONTEXTS: Final = {"train": "training", "validation": "validation", "test": "testing"}

SYNTHETIC_NOTE: Final = (
    "**SYNTHETIC DATA.** These encounters were generated. Nothing here says anything about real patients."
)


def train(settings: DataSettings) -> TrainingResult:
    """Train every candidate on CleanData and return the best by average precision.

    A part of the validation split chooses, see `raw.split.judges`.

    Run again on equal data with equal settings and code, it trains nothing and returns the run that finished.
    A run that was killed is closed and counts for nothing; a training that still runs is waited for. Raise
    TrainingError if there is nothing to train on, a candidate's name is unknown or another training takes too
    long, and TrackingError if MLflow is away or refuses.
    """
    names = _chosen(settings)
    client = tracking.connect(settings)
    with one_training(settings), tracking.named_errors():
        data = read(settings)
        lineage = trace(settings, data)
        key = lineage.training_key(settings)
        experiment_id = ledger.experiment(client, settings.tracking_uri)
        ledger.close_interrupted(client, experiment_id)
        found = ledger.finished(client, experiment_id, key)
        if found:
            log.info("training run %s already covers this data, code and settings", found.run_id)
            return found
        if lineage.synthetic:
            log.warning("training on SYNTHETIC data: the model says nothing about real patients")
        # One thread adds in one order, so the same data leads to the same model, bit for bit.
        with threadpool_limits(limits=1):
            return _Training(settings, data, lineage, key, experiment_id).run(names)


def _chosen(settings: DataSettings) -> list[str]:
    unknown = sorted(set(settings.candidates) - set(CANDIDATES))
    if unknown:
        raise TrainingError(
            f"no such candidate: {', '.join(unknown)}; READMISSION_CANDIDATES takes {', '.join(CANDIDATES)}"
        )
    return [name for name in CANDIDATES if not settings.candidates or name in settings.candidates]


@dataclass(frozen=True)
class _Training:
    """The common data of all runs of a training."""

    settings: DataSettings
    data: TrainingData
    lineage: Lineage
    key: str
    experiment_id: str

    @property
    def tags(self) -> dict[str, str]:
        tags = {
            ledger.KEY: self.key,
            "dataset": self.lineage.dataset,
            "dataset_sha256": self.lineage.dataset_sha256,
            "git_commit": self.lineage.git_commit,
        }
        return tags | ({"mlflow.note.content": SYNTHETIC_NOTE} if self.lineage.synthetic else {})

    def name(self, name: str) -> str:
        return f"SYNTHETIC-{name}" if self.lineage.synthetic else name

    def run(self, names: list[str]) -> TrainingResult:
        parent_tags = self.tags | {ledger.ROLE: ledger.TRAINING}
        with mlflow.start_run(
            experiment_id=self.experiment_id, run_name=self.name(f"training-{self.key[:8]}"), tags=parent_tags
        ) as parent:
            self._record_data()
            # The next candidate is fitted while this one is measured and recorded.
            with closing(one_ahead(map(self._fitted, names))) as candidates:
                results = [self._candidate(fitted, parent.info.run_id) for fitted in candidates]
            best = max(results, key=lambda result: result.choosing_average_precision)
            mlflow.log_metric("best_choosing_average_precision", best.choosing_average_precision)
            # Written last: a run without it does not count.
            mlflow.set_tags({"best_candidate": best.candidate, ledger.RESULT: json.dumps(best.to_json())})
        return best

    def _fitted(self, name: str) -> Fitted:
        trials, seed = self.settings.search_trials, self.settings.seed
        # OpenMP's thread limit is set per calling thread.
        with threadpool_limits(limits=1):
            return search(name, self.data.train, self.data.choosing, trials=trials, seed=seed)

    def _candidate(self, fitted: Fitted, parent_id: str) -> TrainingResult:
        tags = self.tags | {ledger.ROLE: ledger.CANDIDATE, "candidate": fitted.name}
        with mlflow.start_run(
            experiment_id=self.experiment_id, run_name=self.name(fitted.name), nested=True, tags=tags
        ) as child:
            self._record_inputs()
            measured = measure(fitted, self.data, self.settings)
            model_uri = record(fitted, measured, self.data, self.settings)
        log.info("%s: average precision on the rows that choose %.4f", fitted.name, fitted.average_precision)
        return TrainingResult(
            experiment_id=self.experiment_id,
            run_id=parent_id,
            best_run_id=child.info.run_id,
            candidate=fitted.name,
            model_uri=model_uri,
            threshold=measured.threshold,
            flagged_fraction=self.settings.flagged_fraction,
            choosing_average_precision=fitted.average_precision,
            dataset=self.lineage.dataset,
            dataset_sha256=self.lineage.dataset_sha256,
            training_key=self.key,
        )

    def _record_data(self) -> None:
        lineage = self.lineage
        mlflow.log_params(
            {
                "batches": ",".join(map(str, lineage.batches)),
                "cohort_version": lineage.cohort_version,
                "split_version": lineage.split_version,
                "split_salt_sha256": lineage.split_salt_sha256,
                "processed_sha256": lineage.processed_sha256,
                "train_features": len(self.data.feature_names),
                "search_trials": self.settings.search_trials,
                "bootstrap_samples": self.settings.bootstrap_samples,
                "seed": self.settings.seed,
                **{f"version_{name}": number for name, number in lineage.versions.items()},
                **{f"{name}_rows": len(frame) for name, frame in self.data.frames.items()},
            }
        )
        with TemporaryDirectory(prefix="readmission-") as temporary:
            folder = Path(temporary)
            (folder / LINEAGE_FILE).write_text(json.dumps(lineage.to_json(), indent=2) + "\n")
            self.data.processed.feature_info.to_parquet(folder / FEATURES_FILE, index=False)
            self.data.processed.encoding.to_frame().to_parquet(folder / ENCODING_FILE, index=False)
            (folder / PROCESSED_FOLDER).mkdir()
            for name, frame in self.data.frames.items():
                frame.to_parquet(folder / PROCESSED_FOLDER / f"{name}.parquet", index=False)
            mlflow.log_artifacts(temporary)
        self._record_inputs()

    @cached_property
    def _datasets(self) -> list[Dataset | None]:
        return [
            from_pandas(
                self.data.frames[split],
                source=CodeDatasetSource(
                    {
                        "mlflow.source.name": f"CleanData.diabetes_{split}_processed",
                        "dataset": self.lineage.dataset,
                        "dataset_sha256": self.lineage.dataset_sha256,
                    }
                ),
                targets=LABEL,
                name=f"diabetes_{split}_processed",
                digest=frame_digest(self.data.frames[split])[:32],
            )
            for split in _CONTEXTS
        ]

    def _record_inputs(self) -> None:
        with warnings.catch_warnings():
            # MLflow's hint that integers cannot represent missing values; ours are never missing.
            warnings.filterwarnings("ignore", "Hint: Inferred schema contains integer", UserWarning)
            mlflow.log_inputs(self._datasets, list(_CONTEXTS.values()), [None] * len(_CONTEXTS))
