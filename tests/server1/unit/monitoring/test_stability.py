import numpy as np
import pandas as pd
import pytest

from readmission_data.model_version.contract import Histogram
from readmission_data.monitoring import stability


def test_the_index_is_the_sum_over_the_bins():
    shares = pd.DataFrame({"expected": [0.5, 0.3, 0.2], "actual": [0.4, 0.4, 0.2]})
    by_hand = (0.4 - 0.5) * np.log(0.4 / 0.5) + (0.4 - 0.3) * np.log(0.4 / 0.3)
    assert stability.stability_index(shares) == pytest.approx(by_hand)


def test_a_bin_that_is_new_or_gone_counts_much_and_stays_finite():
    shares = pd.DataFrame({"expected": [1.0, 0.0], "actual": [0.0, 1.0]})
    assert 10 < stability.stability_index(shares) < 30


def test_a_bin_holds_its_lower_edge():
    histogram = Histogram(edges=[1, 3], shares=[0.5, 0.25, 0.25])
    shares = stability.histogram_shares(histogram, np.array([0.0, 1.0, 2.0, 3.0]))
    assert shares["actual"].to_dict() == {"under 1": 0.25, "1 to under 3": 0.5, "3 and over": 0.25}


def test_a_field_of_one_value_has_one_bin():
    shares = stability.histogram_shares(Histogram(edges=[], shares=[1.0]), np.zeros(4))
    assert shares["actual"].tolist() == [1.0]
