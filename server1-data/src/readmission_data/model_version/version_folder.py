"""Write the folder of a model version, for server 3, notebooks and `mlflow models serve`."""

from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

import mlflow.onnx
import numpy as np
import onnx
import pandas as pd
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, Schema, TensorSpec

from readmission_data.clean import icd9
from readmission_data.clean.encoding import Encoding
from readmission_data.model_version import (
    against_lace,
    examples,
    golden,
    graph,
    groups_at_risk,
    input_schema,
    manifest,
    model_card,
    parity,
    pipeline,
    quality_report,
    risk_intervals,
    scoring,
)
from readmission_data.model_version.contract import (
    CARD_FILE,
    GOLDEN_FILE,
    MANIFEST_TAG,
    MODEL_FILE,
    SCHEMA_FILE,
    TRAINING_RUN,
    Dataset,
    GoldenRow,
    GoldenRows,
    InputSchema,
    RiskIntervals,
)
from readmission_data.model_version.sources import Sources
from readmission_data.raw.split import judges
from readmission_data.settings import DataSettings
from readmission_data.training.subgroups import GROUP_COLUMNS

_PACKAGES: Final = ("mlflow", "onnx", "onnxruntime", "numpy", "pandas")
_INVENTED_ROWS: Final = 2_000


@dataclass(frozen=True)
class Written:
    """A written folder: the tags and the description of its version."""

    tags: dict[str, str]
    description: str


def write(folder: Path, sources: Sources, settings: DataSettings, model: Model) -> Written:
    """Write the version of a training into an empty folder; `model` becomes its MLmodel file.

    Raise `ParityError` if the graph differs from scikit-learn on any row of validation, of test, or of two
    thousand invented rows with missing and unknown values.
    """
    encoding, estimator = sources.encoding, sources.estimator
    onnx_model = graph.build(encoding, estimator)
    invented = golden.draw(sources.train.frame, _INVENTED_ROWS, settings.seed)
    checked = [sources.validation.frame, sources.test.frame, invented]
    difference = parity.check(sources.result.candidate, onnx_model, encoding, estimator, checked)
    session = scoring.session(onnx_model.SerializeToString())

    def score(frame: pd.DataFrame) -> scoring.Scores:
        return scoring.score(session, frame, encoding.numeric, encoding.categorical)

    test, validation = sources.test, sources.validation
    test_risk, validation_risk = score(test.frame), score(validation.frame)
    judging = judges(validation.patients, settings.split_salt)
    intervals = risk_intervals.fit(
        validation.labels[judging],
        validation_risk[judging],
        validation.patients[judging],
        samples=settings.bootstrap_samples,
        seed=settings.seed,
    )
    schema = _describe(
        sources,
        validation_risk,
        score(pd.DataFrame(examples.PATIENTS)),
        risk_intervals.covered(intervals, test.labels, test_risk, test.frame[list(GROUP_COLUMNS)]),
    )
    evidence = model_card.Evidence(
        lineage=sources.lineage,
        subgroups=sources.subgroups,
        gaps=groups_at_risk.measure(
            test.frame,
            test.labels,
            test_risk,
            test.patients,
            threshold=schema.threshold,
            samples=settings.bootstrap_samples,
            seed=settings.seed,
        ),
        against_lace=against_lace.compare(
            sources.train, test, test_risk, samples=settings.bootstrap_samples, seed=settings.seed
        ),
        positive_rate=float(test.labels.mean()),
        parity=difference,
        parity_rows=sum(len(frame) for frame in checked),
        quality=quality_report.read(
            settings.quality_report, sources.lineage.dataset_sha256, sources.result.candidate
        ),
    )
    _save_graph(folder, onnx_model, encoding, model)
    input_schema.write(schema, folder / SCHEMA_FILE)
    (folder / CARD_FILE).write_text(model_card.write(schema, evidence), encoding="utf-8")
    rows = golden_rows(encoding, estimator, sources.train.frame, settings.seed)
    (folder / GOLDEN_FILE).write_text(rows.model_dump_json(indent=1) + "\n", encoding="utf-8")
    pipeline.save(pipeline.assemble(encoding, estimator), folder)
    return Written(_tags(sources, schema, manifest.write(folder)), _description(schema))


def golden_rows(
    encoding: Encoding, estimator: parity.Classifier, train: pd.DataFrame, seed: int
) -> GoldenRows:
    """Return invented rows as inputs of the graph, with scikit-learn's probabilities."""
    # A different seed from the rows of the parity check.
    drawn = golden.draw(train, golden.ROWS, seed + 1)
    risk = parity.risk(encoding, estimator, drawn)
    numeric = drawn[list(encoding.numeric)].astype(float).to_numpy().tolist()
    categorical = drawn[list(encoding.categorical)].to_numpy().tolist()
    rows = [
        GoldenRow(numeric=numbers, categorical=texts, probability=probability)
        for numbers, texts, probability in zip(numeric, categorical, risk.tolist(), strict=True)
    ]
    return GoldenRows(rows=rows, tolerance=golden.TOLERANCE)


def _describe(
    sources: Sources,
    validation_risk: scoring.Scores,
    examples_risk: scoring.Scores,
    intervals: RiskIntervals,
) -> InputSchema:
    lineage = sources.lineage
    return input_schema.build(
        sources.train.frame,
        icd9.GROUP_OF_STEM,
        input_schema.Described(
            candidate=sources.result.candidate,
            created=datetime.now(UTC).replace(microsecond=0),
            dataset=Dataset.model_validate(
                {
                    "kind": lineage.dataset,
                    "sha256": lineage.dataset_sha256,
                    "synthetic": lineage.synthetic,
                    "train_rows": len(sources.train.frame),
                    "batches": list(lineage.batches),
                }
            ),
            numeric=sources.encoding.numeric,
            categorical=sources.encoding.categorical,
            threshold=sources.result.threshold,
            validation_risk=validation_risk,
            examples_risk=examples_risk,
            metrics=sources.metrics,
            intervals=intervals,
        ),
    )


def _save_graph(folder: Path, onnx_model: onnx.ModelProto, encoding: Encoding, model: Model) -> None:
    inputs: list[ColSpec | TensorSpec] = []
    if encoding.numeric:
        inputs.append(TensorSpec(np.dtype(np.float32), (-1, len(encoding.numeric)), graph.NUMERIC))
    if encoding.categorical:
        inputs.append(TensorSpec(np.dtype(np.str_), (-1, len(encoding.categorical)), graph.CATEGORICAL))
    outputs: list[ColSpec | TensorSpec] = [TensorSpec(np.dtype(np.float32), (-1,), graph.PROBABILITY)]
    mlflow.onnx.save_model(
        onnx_model,
        folder,
        mlflow_model=model,
        signature=ModelSignature(inputs=Schema(inputs), outputs=Schema(outputs)),
        # A single file, which the manifest can list.
        save_as_external_data=False,
        onnx_execution_providers=["CPUExecutionProvider"],
        pip_requirements=_requirements(),
    )
    if not (folder / MODEL_FILE).is_file():
        raise FileNotFoundError(f"MLflow did not write {MODEL_FILE}")


def _requirements() -> list[str]:
    """Return the requirements of `mlflow models serve`, so that MLflow need not load the model for them."""
    versions = {name: version("mlflow-skinny" if name == "mlflow" else name) for name in _PACKAGES}
    return [f"{name}=={number}" for name, number in versions.items()]


def _tags(sources: Sources, schema: InputSchema, manifest_sha256: str) -> dict[str, str]:
    return {
        TRAINING_RUN: sources.result.run_id,
        MANIFEST_TAG: manifest_sha256,
        "training_key": sources.result.training_key,
        "dataset": schema.dataset.kind,
        "dataset_sha256": schema.dataset.sha256,
        "batches": ",".join(str(batch) for batch in schema.dataset.batches),
        "schema_version": schema.schema_version,
        "threshold": repr(schema.threshold),
        "candidate": schema.candidate,
        "choosing_average_precision": repr(sources.result.choosing_average_precision),
    }


def _description(schema: InputSchema) -> str:
    test = schema.metrics.get("test", {})
    banner = "SYNTHETIC DATA, says nothing about patients. " if schema.dataset.synthetic else ""
    figures = ", ".join(
        f"{label} {test[name].value:.3f}"
        for name, label in (("roc_auc", "ROC AUC"), ("average_precision", "average precision"))
        if name in test
    )
    return f"{banner}{schema.candidate}; on test: {figures}. The model card is the artifact {CARD_FILE}."
