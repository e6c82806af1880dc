"""Score encounters with an ONNX graph, as server 3 does."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import onnxruntime
import pandas as pd

from readmission_data.model_version.marginals import text

Scores = npt.NDArray[np.float64]

_ROWS_A_CALL: Final = 4_096
"""Limits the looked-up level rows of one call, [rows, fields, features], to some tens of megabytes."""


def session(graph: bytes) -> onnxruntime.InferenceSession:
    """Return a session of a serialized graph on one CPU thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def inputs(
    frame: pd.DataFrame, numeric: Sequence[str], categorical: Sequence[str]
) -> dict[str, npt.NDArray[np.generic]]:
    """Return the graph's inputs for an encounters frame of N rows.

    `numeric` is float32 [N, K]; `categorical` is strings [N, M] as written in the CSV, with `?` for missing
    values. An input without columns is omitted, as in the graph.
    """
    feeds: dict[str, npt.NDArray[np.generic]] = {}
    if numeric:
        feeds["numeric"] = frame[list(numeric)].to_numpy(dtype=np.float32)
    if categorical:
        columns = [text(frame[name]).to_numpy(dtype=object) for name in categorical]
        feeds["categorical"] = np.stack(columns, axis=1)
    return feeds


def score(
    graph: onnxruntime.InferenceSession,
    frame: pd.DataFrame,
    numeric: Sequence[str],
    categorical: Sequence[str],
) -> Scores:
    """Return the probability [N] of readmission for each row of an encounters frame."""
    parts = [np.empty(0)]
    for start in range(0, len(frame), _ROWS_A_CALL):
        chunk = frame.iloc[start : start + _ROWS_A_CALL]
        parts.append(graph.run(["probability"], inputs(chunk, numeric, categorical))[0])
    return np.concatenate(parts).astype(np.float64)
