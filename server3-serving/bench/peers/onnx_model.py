"""The version's graph, for servers without their own ONNX runtime."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime


class OnnxModel:
    def __init__(self) -> None:
        folder = Path(os.environ["BENCH_VERSION"])
        graph = json.loads((folder / "input_schema.json").read_bytes())["graph"]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(folder / graph["file"]), options)
        self._graph = graph

    def of_patient(self, patient: dict[str, Any]) -> float:
        return self.of_arrays(
            np.array([[patient[name] for name in self._graph["numeric"]]], dtype=np.float32),
            np.array([[patient[name] for name in self._graph["categorical"]]], dtype=object),
        )

    def of_arrays(self, numeric: Any, categorical: Any) -> float:
        inputs = {"numeric": numeric, "categorical": categorical}
        return float(self._session.run([self._graph["output"]], inputs)[0][0])
