"""The graph computes the same as scikit-learn for any input."""

import numpy as np
import onnx
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from readmission_data.clean.encoding import Encoding
from readmission_data.clean.keys import Form, Key, Part
from readmission_data.encounters import icd9_codes
from readmission_data.errors import ParityError
from readmission_data.model_version import golden, graph, parity, scoring
from readmission_data.model_version.estimator_graph import ConversionError
from readmission_data.model_version.key_codes import KeyCodes

from .conftest import Sample

CODES = (
    *(
        "8",
        "08",
        "008",
        "250.83",
        "250",
        "250.0",
        "250.00",
        "250.6",
        "250.60",
        "428.0",
        "428.00",
        "038.0",
        "38",
        "V45.00",
        "250.830",
        "V45.1",
        "V45",
        "E887",
        "E887.0",
        "428",
        "999.9",
        "?",
        None,
    ),
    # Invalid codes: the request's checks refuse them, but the graph must not fail.
    *("1000", "0428", "x", "", ".", ".5", "428.", "4 28", "diag_1=428", "*", "428*250"),
)


def run(model: onnx.ModelProto, encoding: Encoding, frame: pd.DataFrame) -> np.ndarray:
    session = scoring.session(model.SerializeToString())
    return scoring.score(session, frame, encoding.numeric, encoding.categorical)


def test_every_candidate_is_the_same_model(
    sample: Sample, models: dict, graphs: dict, candidate: str
) -> None:
    model = graphs[candidate]
    invented = golden.draw(sample.train, 500, 5)
    difference = parity.worst_difference(
        model, sample.encoding, models[candidate], [sample.train, sample.test, invented]
    )
    assert difference < parity.TOLERANCE
    assert [one.name for one in model.graph.input] == ["numeric", "categorical"]
    assert [one.name for one in model.graph.output] == ["probability"]
    assert model.ir_version == 9
    assert {opset.domain: opset.version for opset in model.opset_import} == {"": 20, "ai.onnx.ml": 3}


@pytest.mark.parametrize("column", ["diag_1", "diag_2", "diag_3"])
def test_icd9_spellings(sample: Sample, models: dict, graphs: dict, column: str) -> None:
    rows = sample.test.iloc[[0] * len(CODES)].reset_index(drop=True)
    rows[column] = np.array(CODES, dtype=object)
    model = graphs["lightgbm"]
    assert parity.worst_difference(model, sample.encoding, models["lightgbm"], [rows]) < parity.TOLERANCE
    scores = run(model, sample.encoding, rows)
    spelled = dict(zip(CODES, scores.tolist(), strict=True))
    assert spelled["8"] == spelled["08"] == spelled["008"]
    for same in (
        ("250", "250.0", "250.00"),
        ("250.6", "250.60"),
        ("428", "428.0", "428.00"),
        ("38", "038.0"),
    ):
        assert len({spelled[code] for code in same}) == 1
    assert spelled["?"] == spelled[None]


def test_every_text_of_a_known_code_gives_one_risk(sample: Sample, graphs: dict) -> None:
    for column in ("diag_1", "diag_2", "diag_3"):
        codes = sorted(set(sample.train[column].dropna()))
        texts = [icd9_codes.spellings(code) for code in codes]
        rows = sample.test.iloc[[0] * sum(map(len, texts))].reset_index(drop=True)
        rows[column] = [text for same in texts for text in same]
        scores = iter(run(graphs["lightgbm"], sample.encoding, rows).tolist())
        risks = {code: {next(scores) for _ in same} for code, same in zip(codes, texts, strict=True)}
        assert {code: len(found) for code, found in risks.items() if len(found) > 1} == {}


def test_unknown_levels_count_as_the_prior(sample: Sample, models: dict, graphs: dict) -> None:
    rows = sample.test.head(50).copy()
    for name in sample.encoding.categorical:
        rows[name] = golden.UNKNOWN_LEVEL
    model = graphs["hist_gradient_boosting"]
    assert (
        parity.worst_difference(model, sample.encoding, models["hist_gradient_boosting"], [rows])
        < parity.TOLERANCE
    )


def test_no_rows(sample: Sample, graphs: dict, candidate: str) -> None:
    scores = run(graphs[candidate], sample.encoding, sample.test.head(0))
    assert scores.shape == (0,)
    session = scoring.session(graphs[candidate].SerializeToString())
    feeds = scoring.inputs(sample.test.head(0), sample.encoding.numeric, sample.encoding.categorical)
    assert session.run(None, feeds)[0].shape == (0,)


def test_a_row_does_not_depend_on_its_neighbours(sample: Sample, graphs: dict, candidate: str) -> None:
    model = graphs[candidate]
    together = run(model, sample.encoding, sample.test.head(12))
    alone = [run(model, sample.encoding, sample.test.iloc[[row]])[0] for row in range(12)]
    # One row uses different loops than twelve rows, with another order of summation.
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-7)


@pytest.mark.parametrize("kind", ["integers", "texts", "groups", "crosses"])
def test_an_encoding_of_one_kind_alone(sample: Sample, kind: str) -> None:
    encoding = sample.encoding
    reads = {
        feature.name: [
            key for key, table in zip(encoding.keys, encoding.tables, strict=True) if table[:, position].any()
        ]
        for position, feature in enumerate(encoding.features)
    }
    wanted = {
        "integers": lambda keys: not keys,
        "texts": lambda keys: keys and all(part.form is Form.VALUE for key in keys for part in key.parts),
        "groups": lambda keys: keys and all(key.parts[0].form is Form.GROUP for key in keys),
        "crosses": lambda keys: any(len(key.parts) > 1 for key in keys),
    }[kind]
    names = [name for name, keys in reads.items() if wanted(keys)]
    assert names
    smaller = encoding.select(names)
    model = LogisticRegression(C=0.01, max_iter=2_000).fit(smaller.transform(sample.train), sample.labels)
    built = graph.build(smaller, model)
    assert parity.worst_difference(built, smaller, model, [sample.test]) < parity.TOLERANCE


def test_only_the_fields_that_the_features_need_are_inputs(sample: Sample) -> None:
    smaller = sample.encoding.select(sample.encoding.names[:5])
    assert set(smaller.numeric) | set(smaller.categorical) < {
        *sample.encoding.numeric,
        *sample.encoding.categorical,
    }


def test_no_two_levels_share_a_code(sample: Sample) -> None:
    codes = KeyCodes(sample.encoding).codes()
    assert len(np.unique(codes)) == len(codes) == sum(map(len, sample.encoding.levels))


def test_a_key_of_three_parts(sample: Sample) -> None:
    key = Key((Part("discharge_disposition_id"), Part("age"), Part("diag_1", Form.GROUP)))
    text = "1*[70-80)*circulatory"
    table = np.array([[0.5], [0.0]], dtype=np.float32)
    feature = sample.encoding.features[:1]
    encoding = Encoding.build(feature, {}, {key: ([text], table)})
    rows = sample.test.head(3).copy()
    rows["discharge_disposition_id"] = ["1", "1", "2"]
    rows["age"] = "[70-80)"
    rows["diag_1"] = ["428.0", "250", "428.0"]
    np.testing.assert_array_equal(encoding.transform(rows)[:, 0], [0.5, 0, 0])
    model = LogisticRegression().fit([[0.0], [0.5], [0.0], [0.5]], [0, 1, 0, 1])
    built = graph.build(encoding, model)
    assert parity.worst_difference(built, encoding, model, [rows]) < parity.TOLERANCE


@pytest.mark.parametrize("planted", ["level_table", "group_of_id", "numeric_weights"])
def test_a_wrong_conversion_is_refused(sample: Sample, models: dict, graphs: dict, planted: str) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(graphs["lightgbm"])
    for constant in model.graph.initializer:
        if constant.name == planted:
            values = onnx.numpy_helper.to_array(constant).copy()
            wrong = np.roll(values, 1, axis=0)
            constant.CopyFrom(onnx.numpy_helper.from_array(wrong, planted))
            break
    else:
        pytest.fail(f"the graph has no {planted}")
    with pytest.raises(ParityError, match=r"lightgbm cannot be registered.* differs from scikit-learn by \d"):
        parity.check("lightgbm", model, sample.encoding, models["lightgbm"], [sample.test])


def test_nan_is_refused(sample: Sample, graphs: dict) -> None:
    class Broken:
        def predict_proba(self, features: np.ndarray) -> np.ndarray:
            return np.full((len(features), 2), np.nan)

    model = graphs["lightgbm"]
    with pytest.raises(ParityError, match="by nan"):
        parity.check("broken", model, sample.encoding, Broken(), [sample.test])


def test_an_estimator_without_converter(sample: Sample) -> None:
    class Unknown(KNeighborsClassifier):
        pass

    model = Unknown().fit(sample.features[:50], sample.labels[:50])
    with pytest.raises(ConversionError, match="Unknown does not convert to ONNX"):
        graph.build(sample.encoding, model)
