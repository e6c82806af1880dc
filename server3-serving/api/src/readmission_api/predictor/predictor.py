"""One model version, ready to predict. It never changes: a new version is a new object."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
import onnxruntime

from readmission_api.errors import ModelRefusedError, ReadmissionApiError
from readmission_api.predictor.patients import Patients, Row
from readmission_api.predictor.remarks import Remarks
from readmission_api.predictor.schema import InputSchema


@dataclass(frozen=True)
class ModelVersion:
    """The name of a registered model and the number of its version."""

    model: str
    version: str
    alias: str
    # It names folders, so a record from a file is checked against the pattern.
    manifest_sha256: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
    run_id: str | None = None


class Predictor:
    """Scores patients with one model version."""

    def __init__(
        self, version: ModelVersion, schema: InputSchema, graph: bytes, *, schema_text: bytes, card: str
    ) -> None:
        self.version = version
        self.schema = schema
        self.schema_text = schema_text
        self.card = card
        self.threshold = schema.threshold
        self.patients = Patients(schema)
        place = {name: index for index, name in enumerate(self.patients.names)}
        self.remarks = Remarks(schema.intervals, schema.contradictions, place)
        self._session = _session(graph)
        self._outputs = [schema.graph.output]
        self._check_graph()

    @cached_property
    def warning(self) -> str | None:
        """The warning to show with every prediction of the model, if any."""
        if not self.schema.dataset.synthetic:
            return None
        return (
            "This model was trained on SYNTHETIC data that a program made up. "
            "Its answers mean nothing for real patients."
        )

    @cached_property
    def answer_part(self) -> bytes:
        """The part of a prediction's JSON that is the same for every patient, including the comma."""
        fields: dict[str, object] = {
            "model": self.version.model,
            "version": self.version.version,
            "threshold": self.threshold,
        }
        if self.warning:
            fields["warning"] = self.warning
        return msgspec.json.encode(fields)[1:-1] + b","

    def score(self, rows: Sequence[Row]) -> list[float]:
        """Return each row's risk of readmission within 30 days, from 0 to 1.

        Raise `ReadmissionApiError` if the graph fails or returns anything else.
        """
        split = self.patients.numeric_count
        end = split + self.patients.categorical_count
        categorical = np.empty((len(rows), end - split), dtype=object)
        try:
            for index, row in enumerate(rows):
                categorical[index] = row[split:end]
            numeric = np.array([row[:split] for row in rows], dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise self._failed(error) from None
        return self.score_arrays(numeric, categorical)

    def score_arrays(self, numeric: np.ndarray, categorical: np.ndarray) -> list[float]:
        """Return the risks of rows given as the graph's inputs: float32 [n, k] and strings [n, m]."""
        try:
            scores = self._session.run(self._outputs, {"numeric": numeric, "categorical": categorical})[0]
        except Exception as error:  # noqa: BLE001 - the runtime's own errors have no common base
            raise self._failed(error) from None
        risks: list[float] = scores.tolist()
        # A NaN fails both comparisons.
        if not (min(risks) >= 0.0 and max(risks) <= 1.0):
            raise ReadmissionApiError(f"version {self.version.version} returned a risk outside [0, 1]")
        return risks

    def _failed(self, error: Exception) -> ReadmissionApiError:
        # Its message may repeat a patient's values.
        return ReadmissionApiError(f"version {self.version.version} failed ({type(error).__name__})")

    def _check_graph(self) -> None:
        graph = self.schema.graph
        inputs = {given.name: (given.type, given.shape[-1]) for given in self._session.get_inputs()}
        wanted = {
            "numeric": ("tensor(float)", len(graph.numeric)),
            "categorical": ("tensor(string)", len(graph.categorical)),
        }
        if inputs != wanted:
            raise ModelRefusedError("graph", f"the graph takes {inputs}, the schema says {wanted}")
        if graph.output not in {output.name for output in self._session.get_outputs()}:
            raise ModelRefusedError("graph", f"the graph has no output {graph.output}")


def _session(graph: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    # A row takes about 20 microseconds: passing it to another thread would cost more than it saves.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's own errors have no common base
        raise ModelRefusedError("graph", f"the graph can't be loaded: {type(error).__name__}") from error


class GoldenRow(msgspec.Struct, frozen=True):
    """Inputs of the graph and scikit-learn's risks for them."""

    numeric: list[float]
    categorical: list[str]
    probability: float


class GoldenRows(msgspec.Struct, frozen=True):
    """`golden_rows.json`: the risks that a version must reproduce before it may serve."""

    rows: list[GoldenRow]
    tolerance: float = 1e-6


def check_golden_rows(predictor: Predictor, content: bytes) -> None:
    """Score the golden rows, together and one by one. Raise `ModelRefusedError` if any differs."""
    try:
        golden = msgspec.json.decode(content, type=GoldenRows)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ModelRefusedError("golden_rows", f"golden_rows.json can't be read: {error}") from None
    if not golden.rows:
        raise ModelRefusedError("golden_rows", "golden_rows.json holds no rows")
    numeric = np.array([row.numeric for row in golden.rows], dtype=np.float32)
    categorical = np.array([row.categorical for row in golden.rows], dtype=object)
    expected = np.array([row.probability for row in golden.rows])
    together = np.array(predictor.score_arrays(numeric, categorical))
    alone = np.array(
        [
            predictor.score_arrays(numeric[index : index + 1], categorical[index : index + 1])[0]
            for index in range(len(golden.rows))
        ]
    )
    worst = max(np.abs(together - expected).max(), np.abs(alone - expected).max())
    if not worst <= golden.tolerance:
        raise ModelRefusedError(
            "golden_rows", f"a golden row differs by {worst:.2e}, more than {golden.tolerance:.0e}"
        )


def read_file(folder: Path, name: str) -> bytes:
    """Return a file of a version. Raise `ModelRefusedError` if it is missing."""
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise ModelRefusedError("files", f"{name} can't be read: {error.strerror}") from None
