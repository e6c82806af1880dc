"""FastAPI with a pydantic model of the request, and no prediction."""

import json
import os
from pathlib import Path
from typing import Any, Literal

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field, create_model

SCHEMA = json.loads((Path(os.environ["BENCH_VERSION"]) / "input_schema.json").read_bytes())


def field(spec: dict[str, Any]) -> tuple[Any, Any]:
    default = ... if spec["required"] else spec["absent"]
    if spec["kind"] == "integer":
        return int, Field(default, ge=spec["minimum"], le=spec["maximum"])
    if spec["kind"] == "icd9":
        return str | None, Field(default, pattern=rf"^\?$|{spec['pattern']}")
    values = [level["value"] for level in spec["levels"]]
    return Literal[tuple([*values, "?", None] if spec["absent"] == "?" else values)], default


Patient = create_model(
    "Patient",
    __config__=ConfigDict(extra="forbid"),
    **{spec["name"]: field(spec) for spec in SCHEMA["fields"]},
)


class Prediction(BaseModel):
    request_id: str
    model: str
    version: str
    threshold: float
    probability: float
    flagged: int


app = FastAPI()


@app.post("/predict")
async def predict(patient: Patient) -> Prediction:  # type: ignore[valid-type]  # noqa: ARG001 - checked, not used
    return Prediction(request_id="0", model="none", version="0", threshold=0.2, probability=0.1, flagged=0)
