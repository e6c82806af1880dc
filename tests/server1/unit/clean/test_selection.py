import numpy as np
import pandas as pd
import pytest

from readmission_data.clean import selection


@pytest.fixture(scope="module")
def planted():
    """3,000 rows of 60 features: three informative, one constant, one patient number, and noise."""
    generator = np.random.default_rng(2)
    matrix = generator.normal(size=(3_000, 60)).astype(np.float32)
    patients = generator.integers(0, 1_200, size=3_000)
    matrix[:, 10] = 1
    matrix[:, 11] = patients
    logit = matrix[:, 3] + 0.7 * matrix[:, 30] - 0.6 * matrix[:, 59] - 2
    label = (generator.random(3_000) < 1 / (1 + np.exp(-logit))).astype(np.int8)
    return matrix, label, patients, [f"f{number}" for number in range(60)]


def test_what_tells_comes_first_in_order_of_strength(planted):
    chosen = selection.select(*planted, k=10)
    assert chosen["name"][0] == "f3"
    assert set(chosen["name"][:3]) == {"f3", "f30", "f59"}
    assert "f10" not in set(chosen["name"])
    assert list(chosen["rank"]) == list(range(1, 11))
    assert chosen["score"].is_monotonic_decreasing


def test_fifty_are_chosen_and_all_where_there_are_fewer(planted):
    matrix, label, patients, names = planted
    assert len(selection.select(*planted)) == 50
    few = selection.select(matrix[:, :20], label, patients, names[:20])
    assert sorted(few["name"]) == sorted(names[:20])


def test_the_same_train_gives_the_same_choice(planted):
    first, again = selection.select(*planted, seed=7), selection.select(*planted, seed=7)
    pd.testing.assert_frame_equal(first, again, check_exact=True)
