import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from readmission_api.prediction_log.outcomes import roc_auc


def by_pairs(risks, readmitted):
    pairs = [
        (one > other) + (one == other) / 2
        for (one, yes), (other, no) in itertools.product(zip(risks, readmitted, strict=True), repeat=2)
        if yes and not no
    ]
    return sum(pairs) / len(pairs) if pairs else None


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=30))
def test_the_area_is_the_share_of_right_pairs(rows):
    risks = [risk / 5 for risk, _ in rows]
    readmitted = [yes for _, yes in rows]
    wanted = by_pairs(risks, readmitted)
    found = roc_auc(np.array(risks), np.array(readmitted, dtype=bool))
    assert found == (None if wanted is None else pytest.approx(wanted))
