"""The server of most tutorials: FastAPI, a pydantic model, a data frame and the scikit-learn pipeline."""

import os
from pathlib import Path

import mlflow.sklearn
import pandas as pd
from fastapi import FastAPI
from pydantic import create_model

pipeline = mlflow.sklearn.load_model(str(Path(os.environ["BENCH_VERSION"]) / "sklearn"))
Patient = create_model("Patient", **dict.fromkeys(os.environ["BENCH_FIELDS"].split(","), (int | str, ...)))
app = FastAPI()


@app.post("/predict")
def predict(patient: Patient) -> dict[str, float]:  # type: ignore[valid-type]
    frame = pd.DataFrame([patient.model_dump()])
    return {"probability": float(pipeline.predict_proba(frame)[0, 1])}
