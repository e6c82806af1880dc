import numpy as np
import pytest

from readmission_api.metrics.drift import DriftWindow, stability_index
from readmission_api.scored import Scored
from server3.api.conftest import load_folder


def scored(predictor, rows):
    risks = predictor.score(rows)
    return Scored(predictor, ["r"] * len(rows), range(len(rows)), rows, risks, 0.0)


@pytest.fixture(scope="module")
def rows(predictor, versions):
    return [predictor.patients.read_value(patient) for patient, _ in versions.exam(versions.one)]


def test_the_index_is_its_formula():
    expected, actual = np.array([0.5, 0.5]), np.array([0.25, 0.75])
    wanted = (0.25 - 0.5) * np.log(0.25 / 0.5) + (0.75 - 0.5) * np.log(0.75 / 0.5)
    assert stability_index(expected, actual) == pytest.approx(wanted)
    assert stability_index(expected, expected) == 0.0


def test_an_empty_bin_gives_a_large_index_and_no_infinity():
    assert 1 < stability_index(np.array([0.5, 0.5]), np.array([0.0, 1.0])) < 10


def test_patients_like_those_of_training_show_no_drift(predictor, rows):
    window = DriftWindow(5_000, 500)
    window.take_in(scored(predictor, rows))
    fields, scores = window.measure()
    assert set(fields) == set(predictor.patients.names)
    assert max(fields.values()) < 0.1
    assert scores < 0.1


def test_a_field_that_moves_is_found_and_the_others_are_not(predictor, rows):
    age = predictor.patients.names.index("age")
    stay = predictor.patients.names.index("time_in_hospital")
    moved = []
    for row in rows:
        values = list(row)
        values[age], values[stay] = "[90-100)", 14
        moved.append(tuple(values))
    window = DriftWindow(5_000, 500)
    window.take_in(scored(predictor, moved))
    fields, _ = window.measure()
    assert {name for name, index in fields.items() if index > 0.25} == {"age", "time_in_hospital"}


def test_diagnoses_are_compared_by_group(predictor, rows):
    place = predictor.patients.names.index("diag_1")
    # 428 and 414 are both circulatory: exchanging them moves no group.
    swap = {"428": "414", "414": "428"}
    swapped = [(*row[:place], swap.get(row[place], row[place]), *row[place + 1 :]) for row in rows]
    one, other = DriftWindow(5_000, 500), DriftWindow(5_000, 500)
    one.take_in(scored(predictor, rows))
    other.take_in(scored(predictor, swapped))
    assert one.measure()[0]["diag_1"] == pytest.approx(other.measure()[0]["diag_1"])


def test_too_few_patients_give_no_index(predictor, rows):
    window = DriftWindow(5_000, 500)
    window.take_in(scored(predictor, rows[:499]))
    assert window.measure() == ({}, None)


def test_the_window_slides(predictor, rows):
    window = DriftWindow(100, 50)
    window.take_in(scored(predictor, [predictor.patients.reference] * 100))
    before = window.measure()[0]["gender"]
    window.take_in(scored(predictor, rows[:100]))
    assert len(window) == 100
    assert window.measure()[0]["gender"] < before


def test_a_new_version_begins_a_new_window(predictor, rows, versions):
    window = DriftWindow(5_000, 500)
    window.take_in(scored(predictor, rows))
    other = load_folder(versions.two, "2")
    window.take_in(scored(other, rows[:10]))
    assert len(window) == 10
