import itertools
import json
import math

import numpy as np
import pytest

from readmission_api.predictor.explanation import explain


@pytest.fixture(scope="module")
def row(predictor, patient):
    return predictor.patients.read(json.dumps(patient).encode())


def exact(predictor, row):
    """Shapley values by their definition, over all subsets."""
    reference = predictor.patients.reference
    players = [index for index, value in enumerate(row) if value != reference[index]]
    subsets = list(itertools.product([False, True], repeat=len(players)))
    rows = []
    for subset in subsets:
        values = list(reference)
        for player, present in zip(players, subset, strict=True):
            if present:
                values[player] = row[player]
        rows.append(tuple(values))
    risk = dict(zip(subsets, predictor.score(rows), strict=True))
    count = len(players)
    found = {}
    for place, player in enumerate(players):
        total = 0.0
        for subset in subsets:
            if not subset[place]:
                with_it = (*subset[:place], True, *subset[place + 1 :])
                size = sum(subset)
                weight = math.factorial(size) * math.factorial(count - size - 1) / math.factorial(count)
                total += weight * (risk[with_it] - risk[subset])
        found[predictor.patients.names[player]] = total
    return found


def near_reference(predictor, row, fields):
    """The reference patient with some of the row's values."""
    reference = predictor.patients.reference
    differing = [index for index, value in enumerate(row) if value != reference[index]][:fields]
    return tuple(row[index] if index in differing else value for index, value in enumerate(reference))


def test_contributions_add_up_to_the_difference(predictor, row):
    found = explain(predictor, row, samples=16, seed=1)
    total = sum(one.contribution for one in found.contributions)
    assert total == pytest.approx(found.probability - found.reference_probability, abs=1e-9)


def test_every_field_is_there_and_equal_ones_did_nothing(predictor, row):
    found = explain(predictor, row, samples=8, seed=1)
    assert {one.field for one in found.contributions} == set(predictor.patients.names)
    for one in found.contributions:
        if one.value_is_reference:
            assert one.contribution == 0.0


def test_the_estimate_finds_the_exact_values(predictor, row):
    close = near_reference(predictor, row, 6)
    wanted = exact(predictor, close)
    found = explain(predictor, close, samples=1024, seed=7)
    for one in found.contributions:
        if one.field in wanted:
            assert abs(one.contribution - wanted[one.field]) <= 5 * one.standard_error + 1e-6


def test_two_fields_are_exact_with_one_pair_of_orders(predictor, row):
    close = near_reference(predictor, row, 2)
    wanted = exact(predictor, close)
    found = {
        one.field: one.contribution for one in explain(predictor, close, samples=2, seed=0).contributions
    }
    for field, value in wanted.items():
        assert found[field] == pytest.approx(value, abs=1e-7)


def test_equal_seeds_give_equal_answers_and_others_do_not(predictor, row):
    one, again, other = (explain(predictor, row, samples=4, seed=seed) for seed in (5, 5, 6))
    assert one == again
    assert one.contributions != other.contributions


def test_the_reference_patient_has_nothing_to_explain(predictor):
    found = explain(predictor, predictor.patients.reference, samples=4, seed=0)
    assert found.probability == found.reference_probability
    assert all(one.contribution == 0.0 for one in found.contributions)


def test_more_orders_make_a_smaller_error(predictor, row):
    few, many = (
        np.mean([one.standard_error for one in explain(predictor, row, samples=n, seed=3).contributions])
        for n in (16, 512)
    )
    assert many < few
