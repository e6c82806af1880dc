"""A shift draws some patients more often; no patient is invented."""

import itertools

import numpy as np
import pytest

from readmission_data import cli
from readmission_data.clean import cohort
from readmission_data.dataset import synthetic
from readmission_data.errors import ReplayError
from readmission_data.replay import patients, shift
from readmission_data.replay.options import ReplayOptions
from support.encounters import read_csv


@pytest.fixture(scope="module")
def frame(tmp_path_factory):
    path = tmp_path_factory.mktemp("sample") / "sample.csv"
    synthetic.write(path, encounters=3_000, seed=5)
    return read_csv(path)


@pytest.fixture(scope="module")
def readmitted(frame):
    return cohort.label(frame).astype(bool)


def weights(frame, readmitted, *shifts, positives=None):
    return shift.weights(frame, readmitted, shifts, positives)


def test_without_a_shift_all_are_alike(frame, readmitted):
    assert weights(frame, readmitted) is None


@pytest.mark.parametrize(
    ("name", "measure"),
    [
        ("older", lambda frame: frame["age"].str.extract(r"(\d+)")[0].astype(int)),
        ("more-inpatient", lambda frame: frame["number_inpatient"]),
        ("other-diagnoses", lambda frame: ~frame["diag_1"].str.startswith(("4", "250"), na=False)),
    ],
)
def test_a_named_shift_moves_what_it_says(frame, readmitted, name, measure):
    drawn = weights(frame, readmitted, name)
    values = measure(frame).to_numpy(dtype=float)
    assert drawn.sum() == pytest.approx(1)
    assert (drawn > 0).all()
    assert (drawn * values).sum() > values.mean() * 1.1


@pytest.mark.parametrize(
    ("given", "chosen"),
    [
        ("race=Asian:9", lambda frame: frame["race"] == "Asian"),
        ("race=?:9", lambda frame: frame["race"].isna()),
        ("number_inpatient=2:9", lambda frame: frame["number_inpatient"] == 2),
        ("number_inpatient=2+:9", lambda frame: frame["number_inpatient"] >= 2),
        ("time_in_hospital=3-5:9", lambda frame: frame["time_in_hospital"].between(3, 5)),
        ("diag_1=428:9", lambda frame: frame["diag_1"] == "428"),
        (
            "diag_1=respiratory:9",
            lambda frame: frame["diag_1"].str.match(r"(4[6-9]\d|5[01]\d|786)(\.|$)", na=False),
        ),
    ],
)
def test_a_level_is_drawn_as_many_times_as_often(frame, readmitted, given, chosen):
    drawn = weights(frame, readmitted, given)
    those = chosen(frame).to_numpy(dtype=bool)
    assert 0 < those.sum() < len(frame)
    assert drawn[those] == pytest.approx(9 * drawn[~those][0])


def test_several_levels_and_shifts_multiply(frame, readmitted):
    drawn = weights(frame, readmitted, "gender=Male:2,Female:6", "number_emergency=1+:5")
    female, emergency = frame["gender"] == "Female", frame["number_emergency"] >= 1
    least = drawn[~female & ~emergency].max()
    assert drawn[female & emergency] == pytest.approx(15 * least)


def test_the_share_of_those_who_came_back_is_the_one_asked_for(frame, readmitted):
    drawn = weights(frame, readmitted, "older", positives=0.4)
    assert drawn[readmitted].sum() == pytest.approx(0.4)


@pytest.mark.parametrize(
    "given",
    ["olderr", "weight=?:2", "age=[80-90)", "age=[80-90):many", "age=[200-210):2", "number_inpatient=x:2"],
)
def test_a_shift_that_means_nothing_is_named(frame, readmitted, given):
    with pytest.raises(ReplayError, match="--shift") as refused:
        weights(frame, readmitted, given)
    assert given in str(refused.value)


def test_shifts_that_leave_nobody_are_refused(frame, readmitted):
    everyone = ",".join(f"{gender}:0" for gender in sorted(frame["gender"].unique()))
    with pytest.raises(ReplayError, match="no patient"):
        weights(frame, readmitted, f"gender={everyone}")


def drawn(frame, readmitted, count, **options):
    names = ["age", "race"]
    bodies = frame[names].to_dict("records")
    encounters = patients.Encounters(frame, bodies, readmitted)
    return list(itertools.islice(patients.draw(encounters, ReplayOptions(**options)), count))


def test_without_a_shift_everyone_comes_once_before_anyone_comes_twice(frame, readmitted):
    first = drawn(frame, readmitted, len(frame))
    assert sum(came_back for _, came_back in first) == readmitted.sum()
    assert len({id(body) for body, _ in first}) == len(frame)


def test_the_same_seed_draws_the_same_patients(frame, readmitted):
    once, again, other = (
        [body for body, _ in drawn(frame, readmitted, 1_500, seed=seed, shifts=("older",))]
        for seed in (1, 1, 2)
    )
    assert once == again
    assert once != other


def test_a_label_keeps_its_patient(frame, readmitted):
    bodies = [{"age": index} for index in range(len(frame))]
    encounters = patients.Encounters(frame, bodies, readmitted)
    options = ReplayOptions(positives=0.5)
    sample = list(itertools.islice(patients.draw(encounters, options), 2_000))
    assert all(came_back == readmitted[body["age"]] for body, came_back in sample)
    assert 0.45 < np.mean([came_back for _, came_back in sample]) < 0.55


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--positives", "1.5"], "--positives is a share"),
        (["--rate", "-1"], "cannot be below 0"),
        ([], "RawData has no test patients"),
    ],
)
def test_what_has_to_be_mended_first_is_said_in_one_line(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.setenv("READMISSION_RAW_URL", f"sqlite:///{tmp_path / 'raw.db'}")
    assert cli.main(["replay", *arguments]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert len(said.splitlines()) == 1
