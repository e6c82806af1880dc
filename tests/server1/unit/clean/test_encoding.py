import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from readmission_data.clean import features, fitting
from readmission_data.clean.encoding import (
    STEP,
    Encoding,
    Feature,
    FeatureKind,
    Form,
    Key,
    Part,
)
from readmission_data.encounters.columns import BY_NAME, MISSING, PREDICTORS, Kind
from readmission_data.errors import EncodingError


@pytest.fixture(scope="module")
def encoding(train):
    return fitting.fit(train, seed=1)[0]


def by_definition(encoding, row):
    """The features of one encounter, summed one contribution at a time, in float64."""
    total = np.zeros(len(encoding.features))
    for field, weight in zip(encoding.numeric, encoding.weights, strict=True):
        total += float(row[field]) * weight.astype(float)
    for key, levels, table in zip(encoding.keys, encoding.levels, encoding.tables, strict=True):
        texts = [
            part.text(MISSING if pd.isna(row[part.field]) else str(row[part.field])) for part in key.parts
        ]
        level = "*".join(texts)
        total += table[levels.index(level) if level in levels else -1].astype(float)
    return total


def test_transform_is_the_sum_it_says_it_is(encoding, train):
    some = train.sample(60, random_state=0).reset_index(drop=True)
    some.loc[0, ["diag_1", "medical_specialty", "race"]] = None
    some.loc[1, ["diag_1", "diag_2"]] = ["V99.9", "E000"]
    some.loc[2, ["payer_code", "admission_source_id"]] = ["XX", "99"]
    some.loc[3, "diag_1"] = "008"
    expected = np.array([by_definition(encoding, row) for _, row in some.iterrows()])
    np.testing.assert_array_equal(encoding.transform(some), expected.astype(np.float32))
    # Float64 and float32 agree because nothing is ever rounded.
    np.testing.assert_array_equal(expected, expected.astype(np.float32))


def test_any_order_of_addition_gives_the_same_bits(encoding, train):
    row = train.iloc[7]
    parts = [
        np.float32(row[field]) * weight
        for field, weight in zip(encoding.numeric, encoding.weights, strict=True)
    ]
    for key, levels, table in zip(encoding.keys, encoding.levels, encoding.tables, strict=True):
        level = "*".join(
            part.text(MISSING if pd.isna(row[part.field]) else str(row[part.field])) for part in key.parts
        )
        parts.append(table[levels.index(level) if level in levels else -1])
    expected = encoding.transform(train.iloc[7:8])[0]
    for seed in range(20):
        total = np.zeros(len(expected), np.float32)
        for position in np.random.default_rng(seed).permutation(len(parts)):
            total += parts[position]
        np.testing.assert_array_equal(total, expected)


def test_text_dtypes_and_the_missing_mark_do_not_matter(encoding, train):
    expected = encoding.transform(train)
    texts = list(encoding.categorical)
    marked = train.assign(**{name: train[name].astype(object).fillna(MISSING) for name in texts})
    np.testing.assert_array_equal(encoding.transform(marked), expected)
    categories = train.astype(dict.fromkeys(texts, "category"))
    np.testing.assert_array_equal(encoding.transform(categories), expected)


def test_rows_of_many_chunks_equal_rows_alone(encoding, train, monkeypatch):
    expected = encoding.transform(train)
    monkeypatch.setattr("readmission_data.clean.encoding._CHUNK_ROWS", 97)
    np.testing.assert_array_equal(encoding.transform(train), expected)
    assert encoding.transform(train.iloc[:0]).shape == (0, len(encoding.features))


def test_codes_with_leading_zeros_are_the_same_diagnosis(encoding, train):
    short, padded = (train.iloc[:2].assign(diag_1=codes) for codes in (["8.45", "38"], ["008.45", "038"]))
    np.testing.assert_array_equal(encoding.transform(short), encoding.transform(padded))


def test_frame_brings_the_encoding_back(encoding):
    back = Encoding.from_frame(encoding.features, encoding.to_frame())
    assert back.keys == encoding.keys
    assert back.levels == encoding.levels
    assert back.numeric == encoding.numeric
    for ours, theirs in zip((back.weights, *back.tables), (encoding.weights, *encoding.tables), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    pd.testing.assert_frame_equal(back.to_frame(), encoding.to_frame())


def test_selected_features_read_only_their_own_fields(encoding, train):
    names = ["discharge_by_diag_1_group_rate", "drugs_taken", "number_visits", "age_years"]
    some = encoding.select(names)
    assert some.names == tuple(names)
    assert some.numeric == ("number_outpatient", "number_emergency", "number_inpatient")
    assert set(some.categorical) == {"age", "discharge_disposition_id", "diag_1", *features.DRUGS}
    chosen = [encoding.names.index(name) for name in names]
    np.testing.assert_array_equal(some.transform(train), encoding.transform(train)[:, chosen])
    with pytest.raises(EncodingError, match="no such feature: nothing"):
        encoding.select(["nothing"])


def test_a_frame_without_a_field_is_refused(encoding, train):
    with pytest.raises(EncodingError, match="lacks number_inpatient, age"):
        encoding.transform(train.drop(columns=["age", "number_inpatient"]))


def table_of(key, value):
    row = np.array([value], np.float32)
    return {key: (["No"], np.array([row, [0]], np.float32))}


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (0.1, "not a multiple"),
        (16 - STEP, None),
        (16.5, "too large"),
        (2.0**24, "too large"),
        (2.0**23, None),
    ],
)
def test_contributions_that_could_round_are_refused(value, complaint):
    feature = Feature("insulin_dose", ("insulin",), FeatureKind.ORDINAL)
    key = Key((Part("insulin"),))
    if complaint is None:
        assert Encoding.build([feature], {}, table_of(key, value)).tables[0][0, 0] == value
    else:
        with pytest.raises(EncodingError, match=complaint):
            Encoding.build([feature], {}, table_of(key, value))


def test_shapes_that_disagree_are_refused():
    feature = Feature("insulin_dose", ("insulin",), FeatureKind.ORDINAL)
    key = Key((Part("insulin"),))
    no_weights = np.zeros((0, 1), np.float32)
    with pytest.raises(EncodingError, match="shape"):
        Encoding((feature,), (), (key,), no_weights, (("No",),), (np.zeros((1, 1), np.float32),))
    with pytest.raises(EncodingError, match="differ in number"):
        Encoding((feature,), (), (key,), no_weights, (), ())
    with pytest.raises(EncodingError, match="weights"):
        Encoding((feature,), ("time_in_hospital",), (), no_weights, (), ())


KEYS = st.lists(
    st.sampled_from([column.name for column in PREDICTORS if column.kind is not Kind.INTEGER]).flatmap(
        lambda name: st.builds(
            Part,
            st.just(name),
            st.sampled_from(list(Form) if BY_NAME[name].kind is Kind.ICD9 else [Form.VALUE]),
        )
    ),
    min_size=1,
    max_size=3,
).map(lambda parts: Key(tuple(parts)))


@given(KEYS)
@settings(deadline=None)
def test_a_key_reads_back_what_it_writes(key):
    assert Key.parse(str(key)) == key
