"""Scores the whole test split with the scikit-learn pipeline of the production version.

Runs in server 1's environment, as a subprocess: `score_test_split.py OUT.csv`, with server 1's own settings.
OUT gets the encounters as the data set spells them and a last column `expected`.
"""

import sys

import mlflow.sklearn

from readmission_data import databases
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
    expected = pipeline.predict_proba(frame)[:, 1]
    frame[names].assign(expected=expected).to_csv(out, index=False, na_rep="?", float_format="%.12g")


if __name__ == "__main__":
    main(sys.argv[1])
