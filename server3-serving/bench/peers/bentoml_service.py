"""BentoML with the version's graph."""

from typing import Any

import bentoml
from onnx_model import OnnxModel


@bentoml.service(workers=1)
class Readmission:
    def __init__(self) -> None:
        self.model = OnnxModel()

    @bentoml.api(route="/predict")
    def predict(self, patient: dict[str, Any]) -> dict[str, float]:
        return {"probability": self.model.of_patient(patient)}
