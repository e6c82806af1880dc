"""MLServer with the version's graph, over its own protocol (V2)."""

import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse
from onnx_model import OnnxModel


class Readmission(MLModel):
    async def load(self) -> bool:
        self.model = OnnxModel()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        numeric, categorical = payload.inputs
        risk = self.model.of_arrays(
            NumpyCodec.decode_input(numeric),
            np.array([StringCodec.decode_input(categorical)], dtype=object),
        )
        return InferenceResponse(
            model_name=self.name,
            outputs=[NumpyCodec.encode_output("probability", np.array([risk]))],
        )
