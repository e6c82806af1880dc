"""`POST /predict`: one patient, in plain ASGI.

FastAPI's routing, body and response classes cost more than the model, so this one route does without them.
OpenAPI documents it like the others.
"""

from typing import Final

from starlette.types import Receive, Scope, Send

from readmission_api.clients import require
from readmission_api.predictor.patients import Row
from readmission_api.predictor.predictor import Predictor
from readmission_api.routes.bodies import check_body, require_json
from readmission_api.routes.parts import Parts

_JSON: Final = (b"content-type", b"application/json")


class SinglePrediction:
    """The ASGI application of `POST /predict`; it raises the errors of this package."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._limit = parts.settings.max_patient_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        parts = self._parts
        state = scope["state"]
        require(state["client"], "predict")
        request_id: str = state["request_id"]
        predictor = parts.serving().predictor
        headers = dict(scope["headers"])
        require_json(headers)
        check_body(headers, self._limit)
        body = await parts.bodies.read(receive, limit=self._limit)
        row = predictor.patients.read(body)
        risk = await parts.scoring.one(predictor, request_id, row)
        content = prediction(predictor, request_id, row, risk)
        length = (b"content-length", b"%d" % len(content))
        await send({"type": "http.response.start", "status": 200, "headers": [_JSON, length]})
        await send({"type": "http.response.body", "body": content})


def prediction(predictor: Predictor, request_id: str, row: Row, risk: float) -> bytes:
    """Return a prediction as JSON. Nine digits distinguish every float32."""
    return b'{"request_id":"%b",%b"probability":%.9g,"class":%d%b}' % (
        request_id.encode(),
        predictor.answer_part,
        risk,
        risk >= predictor.threshold,
        predictor.remarks.json(row, risk),
    )
