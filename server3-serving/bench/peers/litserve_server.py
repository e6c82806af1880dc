"""LitServe with the version's graph."""

import os
from typing import Any

import litserve
from onnx_model import OnnxModel


class Readmission(litserve.LitAPI):
    def setup(self, device: str) -> None:  # noqa: ARG002 - LitServe calls it so
        self.model = OnnxModel()

    def decode_request(self, request: dict[str, Any]) -> dict[str, Any]:
        return request

    def predict(self, patient: dict[str, Any]) -> float:
        return self.model.of_patient(patient)

    def encode_response(self, risk: float) -> dict[str, float]:
        return {"probability": risk}


if __name__ == "__main__":
    litserve.LitServer(Readmission(), accelerator="cpu", workers_per_device=1).run(
        host="127.0.0.1",
        port=int(os.environ["BENCH_PORT"]),
        generate_client_file=False,
        log_level="warning",
        access_log=False,
    )
