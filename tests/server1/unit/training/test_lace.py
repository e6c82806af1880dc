"""The LACE index against points counted by hand, as its paper defines them."""

import pandas as pd
import pytest

from readmission_data.training.lace import charlson, lace


def patient(**values: object) -> dict[str, object]:
    plain = {
        "time_in_hospital": 1,
        "admission_type_id": "3",
        "admission_source_id": "1",
        "number_emergency": 0,
        "diag_1": "715",
        "diag_2": None,
        "diag_3": None,
    }
    return plain | values


@pytest.mark.parametrize(
    ("values", "points"),
    [
        ({}, 1),
        ({"time_in_hospital": 3}, 3),
        ({"time_in_hospital": 4}, 4),
        ({"time_in_hospital": 6}, 4),
        ({"time_in_hospital": 7}, 5),
        ({"time_in_hospital": 13}, 5),
        ({"time_in_hospital": 14}, 7),
        ({"admission_type_id": "1"}, 4),
        ({"admission_type_id": "2"}, 1),
        ({"admission_source_id": "7"}, 4),
        ({"admission_type_id": "1", "admission_source_id": "7"}, 4),
        ({"number_emergency": 2}, 3),
        ({"number_emergency": 40}, 5),
        ({"diag_1": "428", "diag_2": "250"}, 3),
        ({"diag_1": "197", "diag_2": "428"}, 6),
        (
            {"time_in_hospital": 14, "admission_type_id": "1", "number_emergency": 4, "diag_1": "197"},
            19,
        ),
    ],
)
def test_points(values: dict[str, object], points: int) -> None:
    assert lace(pd.DataFrame([patient(**values)])).tolist() == [points]


@pytest.mark.parametrize(
    ("codes", "points"),
    [
        ((None, None, None), 0),
        (("V27", "E850", "401"), 0),
        # 250.00, as the data set writes it, and 250.40: diabetes without and with a complication.
        (("250", None, None), 1),
        (("250.4", None, None), 2),
        # The milder of two is not counted again, nor is a category that two codes name.
        (("250", "250.4", None), 2),
        (("428", "428", "402.91"), 1),
        (("410", "428", "585"), 4),
        (("197", "042", None), 12),
    ],
)
def test_charlson(codes: tuple[str | None, ...], points: int) -> None:
    row = patient() | dict(zip(("diag_1", "diag_2", "diag_3"), codes, strict=True))
    assert charlson(pd.DataFrame([row])).tolist() == [points]


def test_rows_keep_their_order() -> None:
    rows = [patient(diag_1=code) for code in ("197", "715", "250", "428", "410")]
    assert charlson(pd.DataFrame(rows)).tolist() == [6, 0, 1, 1, 1]
    shuffled = pd.DataFrame(rows).iloc[[2, 0, 1]]
    assert charlson(shuffled).tolist() == [1, 6, 0]
