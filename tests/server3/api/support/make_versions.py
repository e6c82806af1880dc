"""Make model versions as the contract describes them: runs in server 1's environment, as a subprocess.

`make_versions.py OUT one:1 two:2:synthetic` writes the files of version one (seed 1) into OUT/one, and test
encounters with scikit-learn's risks into OUT/one.exam.csv.
"""

import argparse
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import lightgbm
import numpy as np
import onnx
import pandas as pd
from onnx import TensorProto, helper, numpy_helper
from onnxmltools import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType

from readmission_data.encounters.columns import PREDICTORS, Kind
from readmission_data.model_version import rules

MODEL = "best_diabetes_readmission_model"
NUMERIC = [column.name for column in PREDICTORS if column.kind is Kind.INTEGER]
CATEGORICAL = [column.name for column in PREDICTORS if column.kind is not Kind.INTEGER]
ICD9 = [column.name for column in PREDICTORS if column.kind is Kind.ICD9]
CODES = ["428", "250.83", "414", "V57", "E888", "8", "786.5", "401", "780", "?"]
ICD9_PATTERN = r"^(?:(?:\d{1,3}|V\d{2})(?:\.\d{1,2})?|E\d{3}(?:\.\d)?)$"
LABS = {"max_glu_serum", "A1Cresult"}
GROUPS = ("patient", "stay", "diagnoses", "labs", "drugs", "history")


def both(english: str, spanish: str) -> dict[str, str]:
    return {"en": english, "es": spanish}


def levels(column) -> list[str]:
    if column.kind is Kind.ICD9:
        return CODES
    return [*column.levels, "?"] if column.missing else list(column.levels)


def encounters(rows: int, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(index=range(rows))
    for column in PREDICTORS:
        if column.kind is Kind.INTEGER:
            top = min(column.maximum, column.minimum + 13)
            frame[column.name] = rng.integers(column.minimum, top + 1, rows)
        else:
            values = levels(column)
            weights = 0.5 ** np.arange(len(values))
            frame[column.name] = rng.choice(values, rows, p=weights / weights.sum())
    logit = -2.4 + 0.15 * frame["number_inpatient"] + 0.8 * (frame["diag_1"] == "428")
    label = rng.random(rows) < 1 / (1 + np.exp(-logit))
    return frame, label.to_numpy().astype(int)


@dataclass
class Encoding:
    """One target-encoded feature per categorical field, after the integers."""

    keys: list[str]
    table: np.ndarray  # [levels + one unknown a field, features]

    def transform(self, frame: pd.DataFrame) -> np.ndarray:
        codes = {key: index for index, key in enumerate(self.keys)}
        matrix = np.zeros((len(frame), self.table.shape[1]), np.float32)
        matrix[:, : len(NUMERIC)] = frame[NUMERIC].to_numpy(np.float32)
        for position, name in enumerate(CATEGORICAL):
            keys = name + "=" + stems(frame, name)
            row = keys.map(codes).fillna(len(self.keys) + position).astype(int)
            feature = len(NUMERIC) + position
            matrix[:, feature] = self.table[row, feature]
        return matrix


def stems(frame: pd.DataFrame, name: str) -> pd.Series:
    return frame[name].str.split(".").str[0] if name in ICD9 else frame[name]


def fit_encoding(frame: pd.DataFrame, label: np.ndarray) -> Encoding:
    features = len(NUMERIC) + len(CATEGORICAL)
    prior = label.mean()
    keys, rows = [], []
    for position, name in enumerate(CATEGORICAL):
        sums = pd.Series(label).groupby(stems(frame, name).to_numpy()).agg(["sum", "count"])
        for level, value in ((sums["sum"] + 50 * prior) / (sums["count"] + 50)).items():
            row = np.zeros(features, np.float32)
            row[len(NUMERIC) + position] = value
            keys.append(f"{name}={level}")
            rows.append(row)
    unknown = np.zeros((len(CATEGORICAL), features), np.float32)
    for position in range(len(CATEGORICAL)):
        unknown[position, len(NUMERIC) + position] = prior
    return Encoding(keys, np.vstack([np.array(rows), unknown]).astype(np.float32))


def graph(encoding: Encoding, model: lightgbm.LGBMClassifier) -> onnx.ModelProto:
    features = encoding.table.shape[1]
    trees = convert_lightgbm(
        model, initial_types=[("X", FloatTensorType([None, features]))], zipmap=False, target_opset=15
    ).graph
    diagnoses = [CATEGORICAL.index(name) for name in ICD9]
    others = [index for index in range(len(CATEGORICAL)) if index not in diagnoses]
    order = diagnoses + others
    weights = np.eye(len(NUMERIC), features, dtype=np.float32)
    constants = {
        "diagnoses": np.array(diagnoses),
        "others": np.array(others),
        "no_code": np.array([0]),
        "first": np.array(0),
        "prefix": np.array([[CATEGORICAL[index] + "=" for index in order]], dtype=object),
        "unknown": np.array([[len(encoding.keys) + index for index in order]]),
        "levels": encoding.table,
        "weights": weights,
        "axis": np.array([1]),
        "risk_class": np.array(1),
        "flat": np.array([-1]),
    }
    node = helper.make_node
    before = [
        node("Gather", ["categorical", "diagnoses"], ["codes"], axis=1),
        node("StringSplit", ["codes"], ["parts", "lengths"], delimiter="."),
        node("Gather", ["parts", "first"], ["stems"], axis=2),
        node("Gather", ["categorical", "others"], ["rest"], axis=1),
        node("Concat", ["stems", "rest"], ["values"], axis=1),
        node("StringConcat", ["prefix", "values"], ["keys"]),
        node(
            "LabelEncoder",
            ["keys"],
            ["known"],
            domain="ai.onnx.ml",
            keys_strings=encoding.keys,
            values_int64s=list(range(len(encoding.keys))),
            default_int64=-1,
        ),
        node("Less", ["known", "no_code"], ["is_unknown"]),
        node("Where", ["is_unknown", "unknown", "known"], ["rows"]),
        node("Gather", ["levels", "rows"], ["contributions"], axis=0),
        node("ReduceSum", ["contributions", "axis"], ["summed"], keepdims=0),
        node("MatMul", ["numeric", "weights"], ["weighted"]),
        node("Add", ["summed", "weighted"], ["X"]),
    ]
    both_classes = next(output.name for output in trees.output if "prob" in output.name)
    after = [
        node("Gather", [both_classes, "risk_class"], ["second"], axis=1),
        node("Reshape", ["second", "flat"], ["probability"]),
    ]
    whole = helper.make_graph(
        [*before, *trees.node, *after],
        "readmission",
        [
            helper.make_tensor_value_info("numeric", TensorProto.FLOAT, [None, len(NUMERIC)]),
            helper.make_tensor_value_info("categorical", TensorProto.STRING, [None, len(CATEGORICAL)]),
        ],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, [None])],
        [*(numpy_helper.from_array(value, name) for name, value in constants.items()), *trees.initializer],
    )
    return helper.make_model(
        whole, opset_imports=[helper.make_opsetid("", 20), helper.make_opsetid("ai.onnx.ml", 3)], ir_version=9
    )


def field(column, frame: pd.DataFrame) -> dict:
    name = column.name
    absent = (
        "?" if column.missing else "None" if name in LABS else "No" if column.levels[:1] == ("No",) else None
    )
    if name in {"change", "diabetesMed"}:
        absent = None
    spec = {
        "name": name,
        "kind": str(column.kind),
        "group": "stay" if column.kind is Kind.INTEGER else "patient",
        "required": absent is None,
        "absent": absent,
        "used": True,
        "label": both(name.replace("_", " "), name.replace("_", " ")),
        "help": both("", ""),
    }
    if column.kind is Kind.INTEGER:
        edges = np.unique(np.quantile(frame[name], np.linspace(0.1, 0.9, 9)))
        counts = np.bincount(np.searchsorted(edges, frame[name], side="right"), minlength=len(edges) + 1)
        spec |= {
            "minimum": column.minimum,
            "maximum": column.maximum,
            "reference": int(frame[name].median()),
            "distribution": {"edges": edges.tolist(), "shares": (counts / len(frame)).tolist()},
        }
    elif column.kind is Kind.CATEGORY:
        shares = frame[name].value_counts(normalize=True)
        spec |= {
            "levels": [{"value": level, "label": both(level, level)} for level in column.levels],
            "reference": frame[name].mode()[0],
            "distribution": {"levels": {level: float(shares.get(level, 0)) for level in levels(column)}},
        }
    else:
        groups = stems(frame, name).map(icd9_groups()).fillna("other").value_counts(normalize=True)
        spec |= {
            "pattern": ICD9_PATTERN,
            "reference": "428",
            "distribution": {"groups": groups.to_dict()},
        }
    return spec


def icd9_groups() -> dict[str, str]:
    named = {
        "428": "circulatory",
        "414": "circulatory",
        "401": "circulatory",
        "250": "diabetes",
        "?": "missing",
    }
    return {code.split(".")[0]: named.get(code.split(".")[0], "other") for code in CODES}


def shares(values: np.ndarray) -> dict[str, list[float]]:
    edges = np.unique(np.quantile(values, np.linspace(0.1, 0.9, 9)))
    counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
    return {"edges": edges.tolist(), "shares": (counts / len(values)).tolist()}


def write_version(out: Path, seed: int, *, synthetic: bool, trees: int) -> None:
    out.mkdir(parents=True, exist_ok=True)
    frame, label = encounters(6_000, seed)
    encoding = fit_encoding(frame, label)
    model = lightgbm.LGBMClassifier(n_estimators=trees, num_leaves=15, verbose=-1, seed=seed, n_jobs=1)
    model.fit(encoding.transform(frame), label)
    exam, _ = encounters(1_000, seed + 1_000)
    expected = model.predict_proba(encoding.transform(exam))[:, 1]
    risk = model.predict_proba(encoding.transform(frame))[:, 1]
    golden = exam.head(64)
    schema = {
        "schema_version": "1.0",
        "model": MODEL,
        "candidate": "lightgbm",
        "created": "2026-01-01T00:00:00Z",
        "dataset": {
            "kind": "synthetic" if synthetic else "uci",
            "sha256": "0" * 64,
            "synthetic": synthetic,
            "train_rows": len(frame),
            "batches": [1],
        },
        "graph": {
            "file": "model.onnx",
            "numeric": NUMERIC,
            "categorical": CATEGORICAL,
            "output": "probability",
        },
        "threshold": float(np.quantile(risk, 0.9)),
        "flagged_fraction": 0.1,
        "groups": [{"name": name, "label": both(name, name)} for name in GROUPS],
        "icd9_groups": {"labels": {}, "codes": icd9_groups()},
        "missing": {"value": "?", "label": both("Not known", "No consta")},
        "fields": [field(column, frame) for column in PREDICTORS],
        "scores": {
            "quantiles": np.quantile(risk, np.linspace(0, 1, 101)).tolist(),
            "distribution": shares(risk),
        },
        "metrics": {"test": {"roc_auc": {"value": 0.68, "low": 0.67, "high": 0.69}}},
        "examples": [
            {
                "name": both(f"Example {number}", f"Ejemplo {number}"),
                "patient": json.loads(exam.iloc[[number]].to_json(orient="records"))[0],
            }
            for number in range(3)
        ],
    }
    onnx.save(graph(encoding, model), out / "model.onnx")
    write_json(out / "input_schema.json", schema)
    write_json(
        out / "golden_rows.json",
        {
            "rows": [
                {
                    "numeric": [int(value) for value in row[NUMERIC]],
                    "categorical": list(row[CATEGORICAL]),
                    "probability": float(probability),
                }
                for (_, row), probability in zip(golden.iterrows(), expected, strict=False)
            ],
            "tolerance": 1e-6,
        },
    )
    (out / "model_card.md").write_text(f"# Model card\n\nMade for tests with seed {seed}.\n")
    files = ("model.onnx", "input_schema.json", "golden_rows.json", "model_card.md")
    write_json(out / "manifest.json", {name: digest(out / name) for name in files})
    exam.assign(expected=expected).to_csv(out.with_suffix(".exam.csv"), index=False)


def contract_rules() -> dict[str, object]:
    """Return the members of a contract since 1.1: the rules that training applies, and some intervals."""
    risk = [0.0001, 0.02, 0.05, 0.1, 0.2, 0.4, 0.9999]
    return {
        "schema_version": "1.1",
        "cohort": rules.exclusions().model_dump(),
        "contradictions": [contradiction.model_dump() for contradiction in rules.CONTRADICTIONS],
        "intervals": {
            "level": 0.95,
            "risk": risk,
            "low": [round(value * 0.8, 5) for value in risk],
            "high": [round(1 - (1 - value) * 0.9, 5) for value in risk],
            "coverage": [],
        },
    }


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False))


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("versions", nargs="+", help="name:seed or name:seed:synthetic")
    parser.add_argument("--trees", type=int, default=60)
    arguments = parser.parse_args()
    for version in arguments.versions:
        name, seed, *synthetic = version.split(":")
        write_version(arguments.out / name, int(seed), synthetic=bool(synthetic), trees=arguments.trees)
    write_json(arguments.out / "rules.json", contract_rules())


if __name__ == "__main__":
    main()
