"""Score the whole test split with the scikit-learn pipeline of the production version.

Runs in server 1's environment, as a subprocess: `score_test_split.py OUT.csv`, with server 1's own settings.
OUT contains the encounters as in the data set and a last column `expected`: empty for encounters that
the cohort excludes.
"""

import sys

import mlflow.sklearn
import numpy as np
import pandas as pd

from readmission_data import databases
from readmission_data.clean import cohort
from readmission_data.encounters.columns import PREDICTORS
from readmission_data.model_version.contract import MODEL_NAME
from readmission_data.raw.split import Split
from readmission_data.raw.tables import read_split
from readmission_data.settings import DataSettings


def main(out: str) -> None:
    settings = DataSettings()
    mlflow.set_tracking_uri(settings.tracking_uri)
    pipeline = mlflow.sklearn.load_model(f"models:/{MODEL_NAME}@production/sklearn")
    with databases.engine(settings.raw_url) as engine, engine.connect() as connection:
        frame = read_split(connection, Split.TEST)
    names = ["encounter_id", *(column.name for column in PREDICTORS)]
    expected = np.where(cohort.keep(frame), pipeline.predict_proba(frame)[:, 1], np.nan)
    texts = pd.Series(expected).map(lambda risk: "" if np.isnan(risk) else f"{risk:.12g}")
    frame[names].assign(expected=texts.to_numpy()).to_csv(out, index=False, na_rep="?")


if __name__ == "__main__":
    main(sys.argv[1])
