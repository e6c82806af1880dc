"""The generated sample: reproducible by its seed, in the real form, and learnable."""

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupShuffleSplit

from readmission_data.dataset import DatasetError, synthetic
from readmission_data.dataset.inspection import SYNTHETIC_PREFIX, inspect
from readmission_data.encounters.columns import BY_NAME, COLUMNS, CSV_HEADER, ICD9_PATTERN, Kind


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic.sample(tmp_path_factory.mktemp("synthetic"))


@pytest.fixture(scope="module")
def frame(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def test_the_seed_alone_decides_the_sample(tmp_path: Path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        synthetic.write(tmp_path / name, 500, seed)
    a, b, c = (hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in "abc")

    assert a == b
    assert a != c


def test_it_has_the_form_of_the_public_file(path: Path, frame: pd.DataFrame):
    content = path.read_bytes()

    assert tuple(frame.columns) == CSV_HEADER
    assert len(frame) == 20_000
    assert content.count(b"\r\n") == content.count(b"\n") == 20_001
    assert content.endswith(b"\r\n")
    assert b'"' not in content


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.name)
def test_every_cell_keeps_to_the_schema(column, frame: pd.DataFrame):
    values = frame[column.csv_name].unique()
    if column.missing:
        values = values[values != "?"]
    if column.kind is Kind.CATEGORY:
        assert set(values) <= set(column.levels)
    elif column.kind is Kind.ICD9:
        assert all(re.fullmatch(ICD9_PATTERN, value) for value in values)
    else:
        assert values.astype(np.int64).min() >= column.minimum
        assert values.astype(np.int64).max() <= column.maximum


def test_missing_marks_are_about_as_frequent_as_in_the_public_file(frame: pd.DataFrame):
    real = {
        "weight": 0.969,
        "payer_code": 0.396,
        "medical_specialty": 0.491,
        "race": 0.0223,
        "diag_1": 0.0002,
        "diag_2": 0.0035,
        "diag_3": 0.0140,
    }
    for name in CSV_HEADER:
        share = (frame[name] == "?").mean()
        assert share == pytest.approx(real.get(name, 0), rel=0.1, abs=0.0015), name
    assert not any(real[name] and not BY_NAME[name].missing for name in real)


def test_tests_that_were_not_done_are_the_level_none(frame: pd.DataFrame):
    assert (frame["max_glu_serum"] == "None").mean() == pytest.approx(0.947, abs=0.01)
    assert (frame["A1Cresult"] == "None").mean() == pytest.approx(0.833, abs=0.01)


def test_encounters_are_unique_and_patients_come_back(frame: pd.DataFrame):
    stays = frame["patient_nbr"].value_counts()

    assert frame["encounter_id"].is_unique
    assert len(frame) / len(stays) == pytest.approx(101_766 / 71_518, rel=0.03)
    assert stays.max() >= 5
    fixed = frame.groupby("patient_nbr")[["race", "gender", "age"]].nunique()
    assert (fixed == 1).all(axis=None)


def test_every_number_is_of_the_reserved_range(frame: pd.DataFrame):
    for name in ("encounter_id", "patient_nbr"):
        assert frame[name].str.fullmatch(SYNTHETIC_PREFIX + r"\d{7}").all()


def test_labels_are_about_as_frequent_and_the_dead_do_not_come_back(frame: pd.DataFrame):
    shares = frame["readmitted"].value_counts(normalize=True)

    assert shares["<30"] == pytest.approx(0.112, abs=0.01)
    assert shares[">30"] == pytest.approx(0.349, abs=0.02)
    died = frame["discharge_disposition_id"].isin(["11", "19", "20", "21"])
    assert died.mean() == pytest.approx(0.016, abs=0.004)
    assert set(frame.loc[died, "readmitted"]) == {"NO"}


def test_prescriptions_agree_with_their_summary(frame: pd.DataFrame):
    doses = frame[[column.csv_name for column in COLUMNS if column.levels == ("No", "Down", "Steady", "Up")]]

    assert doses.shape[1] == 23
    assert ((doses != "No").any(axis=1) == (frame["diabetesMed"] == "Yes")).all()
    assert (frame.loc[doses.isin(["Up", "Down"]).any(axis=1), "change"] == "Ch").all()


def test_a_plain_model_learns_from_other_patients(frame: pd.DataFrame):
    """The generator's own risk reaches about 0.72; a model of noise stays at 0.5."""
    label = (frame["readmitted"] == "<30").to_numpy()
    counts = frame[["number_inpatient", "number_emergency", "time_in_hospital"]].astype(float)
    levels = pd.get_dummies(frame[["discharge_disposition_id", "diag_1", "diag_2", "insulin"]], dtype=float)
    matrix = np.hstack([np.log1p(counts), levels])
    split = GroupShuffleSplit(1, test_size=0.3, random_state=0)
    train, test = next(split.split(matrix, label, frame["patient_nbr"]))

    model = LogisticRegression(C=0.1, max_iter=300).fit(matrix[train], label[train])
    auc = roc_auc_score(label[test], model.predict_proba(matrix[test])[:, 1])
    chance = roc_auc_score(
        np.random.default_rng(0).permutation(label[test]), model.predict_proba(matrix[test])[:, 1]
    )

    assert 0.65 < auc < 0.75
    assert 0.45 < chance < 0.55


def test_the_command_writes_a_sample(tmp_path: Path):
    out = tmp_path / "new" / "out.csv"
    command = [sys.executable, "-m", "readmission_data.dataset.synthetic", str(out)]

    done = subprocess.run(
        [*command, "--encounters", "50", "--seed", "3"], capture_output=True, text=True, check=True
    )

    assert done.stderr == ""
    assert "50 synthetic encounters" in done.stdout
    assert inspect(out, tmp_path).kind == "synthetic"
    assert len(out.read_bytes().splitlines()) == 51


def test_the_command_refuses_in_one_line(tmp_path: Path):
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    command = [sys.executable, "-m", "readmission_data.dataset.synthetic"]

    for given, reason in (
        ([str(blocked / "x.csv")], "cannot be written"),
        (["o.csv", "--encounters", "0"], "1 to 10"),
    ):
        done = subprocess.run([*command, *given], capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.returncode == 1
        assert reason in done.stderr
        assert done.stderr.count("\n") == 1
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file"]


def test_a_sample_that_cannot_be_written_leaves_nothing(tmp_path: Path):
    (tmp_path / "out.csv").mkdir()

    with pytest.raises(DatasetError, match="cannot be written"):
        synthetic.write(tmp_path / "out.csv", 10)
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.csv"]
