"""Registers the model versions that the pages are tested on: runs in server 1's environment, as a process.

`register_versions.py URI FOLDER` makes three versions in an MLflow server, which may still be starting: 1 has
a schema as server 1 writes it; 2 is said to be trained on synthetic data; 3 has a renamed field, an added one
and an added group. `production` stands for 1 and `rehearsal` for 2.
"""

import json
import shutil
import sys
from argparse import Namespace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from readmission_data.clean import icd9
from readmission_data.model_version import examples, input_schema, manifest, scoring
from readmission_data.model_version.contract import Dataset, Interval

sys.path.insert(0, str(Path(__file__).parents[3]))
from server3.api.support import make_versions
from server3.api.support.tracking import MODEL, Registry

CARD = """# best_diabetes_readmission_model

Ranks inpatients with diabetes by the risk of coming back within 30 days.

| Measure on test | Value |
|---|---|
| ROC AUC | 0.670 |
"""

RENAMED = ("number_inpatient", "stays_before", "Stays before this one", "Estancias anteriores")


def describe(folder: Path, *, synthetic: bool) -> None:
    """Give the folder's model the schema that server 1 would write, with its words in both languages."""
    train, _ = make_versions.encounters(4_000, seed=1)
    session = scoring.session((folder / "model.onnx").read_bytes())

    def risk(frame: pd.DataFrame) -> scoring.Scores:
        return scoring.score(session, frame, make_versions.NUMERIC, make_versions.CATEGORICAL)

    validation_risk = risk(train)
    schema = input_schema.build(
        train,
        icd9.GROUP_OF_STEM,
        input_schema.Described(
            candidate="lightgbm",
            created=datetime(2026, 1, 1, tzinfo=UTC),
            dataset=Dataset(
                kind="synthetic" if synthetic else "uci",
                sha256="0" * 64,
                synthetic=synthetic,
                train_rows=len(train),
                batches=[1],
            ),
            numeric=make_versions.NUMERIC,
            categorical=make_versions.CATEGORICAL,
            threshold=float(np.quantile(validation_risk, 0.9)),
            validation_risk=validation_risk,
            examples_risk=risk(pd.DataFrame(examples.PATIENTS)),
            metrics={"test": {"roc_auc": Interval(value=0.670, low=0.657, high=0.685)}},
        ),
    )
    input_schema.write(schema, folder / "input_schema.json")
    (folder / "model_card.md").write_text(CARD)
    manifest.write(folder)


def change(folder: Path) -> None:
    """Rename a field, and add one in a group of its own that the graph does not take."""
    name, new, english, spanish = RENAMED
    path = folder / "input_schema.json"
    schema = json.loads(path.read_text())
    schema["graph"]["numeric"] = [new if field == name else field for field in schema["graph"]["numeric"]]
    for field in schema["fields"]:
        if field["name"] == name:
            field |= {"name": new, "label": {"en": english, "es": spanish}, "maximum": 60}
    schema["groups"].append({"name": "home", "label": {"en": "At home", "es": "En casa"}})
    levels = [("No", "Alone", "Vive solo"), ("Yes", "With others", "Acompañado")]
    schema["fields"].append(
        {
            "name": "lives_with",
            "kind": "category",
            "group": "home",
            "required": True,
            "absent": None,
            "used": False,
            "label": {"en": "Lives", "es": "Vive"},
            "help": {"en": "Who is at home", "es": "Quién está en casa"},
            "levels": [{"value": value, "label": {"en": en, "es": es}} for value, en, es in levels],
            "reference": "Yes",
            "distribution": {"levels": {"No": 0.4, "Yes": 0.6}},
        }
    )
    for example in schema["examples"]:
        example["patient"][new] = example["patient"].pop(name)
        example["patient"]["lives_with"] = "No"
    path.write_text(json.dumps(schema))
    manifest.write(folder)


def main(uri: str, place: Path) -> None:
    """Make and register the versions."""
    real, synthetic, changed = (place / name for name in ("real", "synthetic", "changed"))
    make_versions.write_version(real, 1, synthetic=False, trees=40)
    for folder in (synthetic, changed):
        shutil.copytree(real, folder)
    describe(real, synthetic=False)
    describe(synthetic, synthetic=True)
    describe(changed, synthetic=False)
    change(changed)
    registry = Registry(Namespace(uri=uri), MODEL)
    registry.register(real, "production")
    registry.register(synthetic, "rehearsal")
    registry.register(changed)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
