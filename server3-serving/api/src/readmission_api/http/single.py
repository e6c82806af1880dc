"""`POST /predict`: one patient, by raw ASGI.

FastAPI's routing, body and response classes cost more than the model does, so that this one route stands
in front of them. It is documented in OpenAPI like the others.
"""

from time import perf_counter
from typing import Any, Final

from starlette.requests import ClientDisconnect

from readmission_api.errors import ReadmissionApiError, RefusedError
from readmission_api.http import problems
from readmission_api.http.bodies import (
    Headers,
    RequestIds,
    check_length,
    check_size,
    read_body,
    require_json,
)
from readmission_api.http.protocol import Exchange
from readmission_api.metrics.instruments import Instruments
from readmission_api.model_store.store import ModelStore
from readmission_api.predictor.predictor import Predictor
from readmission_api.scoring import Scoring
from readmission_api.settings import ApiSettings

PATH: Final = "/predict"
_JSON: Final = (b"content-type", b"application/json")


class SinglePrediction:
    """The ASGI application behind `POST /predict`."""

    def __init__(
        self,
        settings: ApiSettings,
        store: ModelStore,
        scoring: Scoring,
        instruments: Instruments,
        request_ids: RequestIds,
    ) -> None:
        self._store = store
        self._scoring = scoring
        self._instruments = instruments
        self._request_ids = request_ids
        self._limit = settings.max_patient_bytes
        self._timeout = settings.body_timeout_seconds
        self._observe_latency = instruments.latency.observe
        self._count_answer = instruments.requests.labels(PATH, "POST", "200").inc

    async def __call__(
        self,
        scope: Any,  # noqa: ANN401 - ASGI
        receive: Any,  # noqa: ANN401
        send: Any,  # noqa: ANN401
        exchange: Exchange | None = None,
    ) -> None:
        """Answer one request, in one step where there is an exchange."""
        started = perf_counter()
        headers = Headers(scope["headers"])
        request_id = headers.request_id or self._request_ids.next()
        try:
            predictor = self._predictor()
            require_json(headers.content_type)
            check_length(scope["headers"], self._limit)
            body = exchange.body() if exchange else None
            if body is None:
                body = await read_body(receive, limit=self._limit, timeout=self._timeout)
            else:
                check_size(body, self._limit)
            row = predictor.patients.read(body)
            risk = self._scoring.alone(predictor, request_id, row)
            if risk is None:
                risk = await self._scoring.one(predictor, request_id, row)
        except ReadmissionApiError as error:
            await self._refuse(send, problems.refusal(error), request_id)
        except ClientDisconnect:
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer
            problems.log_crash(error, f"request {request_id}")
            await self._refuse(send, problems.internal(), request_id)
        else:
            content = answer(predictor, request_id, risk)
            if not (exchange and exchange.answer(content)):
                await send(
                    {
                        "type": "http.response.start",
                        "status": 200,
                        "headers": [_JSON, (b"content-length", b"%d" % len(content))],
                    }
                )
                await send({"type": "http.response.body", "body": content})
            self._count_answer()
            self._observe_latency(perf_counter() - started)

    def _predictor(self) -> Predictor:
        serving = self._store.serving
        if serving is None:
            raise problems.no_model("the first one is still to come")
        return serving.predictor

    async def _refuse(self, send: Any, refused: RefusedError, request_id: str) -> None:  # noqa: ANN401
        self._instruments.errors.labels(refused.code).inc()
        if refused.code == "overloaded":
            self._instruments.shed.labels(PATH).inc()
        self._instruments.requests.labels(PATH, "POST", str(int(refused.status))).inc()
        await problems.send_problem(send, refused, request_id)


def answer(predictor: Predictor, request_id: str, risk: float) -> bytes:
    """Write a prediction. Nine digits tell every float32 from every other."""
    return b'{"request_id":"%b",%b"probability":%.9g,"class":%d}' % (
        request_id.encode(),
        predictor.answer_part,
        risk,
        risk >= predictor.threshold,
    )
