"""Generate a sample in the form of the public data set, without any of its patients.

With it, the whole system runs even without a data set. Levels and missing values are about as frequent as in
the public data, and a patient may have several encounters. Whether a readmission follows within 30 days
depends on the fields, so that a good model reaches a ROC AUC of about 0.7. Nothing learned from the sample
applies to real patients. `inspection.SYNTHETIC_PREFIX` identifies its rows everywhere.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from readmission_data.dataset.inspection import SYNTHETIC_PREFIX
from readmission_data.dataset.synthetic import rates
from readmission_data.encounters.columns import CSV_HEADER, DRUG_NAMES
from readmission_data.errors import DatasetError

Floats = NDArray[np.float64]
Texts = NDArray[np.str_]
Whole = NDArray[np.int64]

ENCOUNTERS: Final = 20_000
SEED: Final = 20_140_101

_VERSION: Final = 1
_FIRST_NUMBER: Final = int(SYNTHETIC_PREFIX) * 10**7
_MOST_ENCOUNTERS: Final = 10**7
_ENCOUNTERS_A_PATIENT: Final = {
    1: 0.766,
    2: 0.146,
    3: 0.047,
    4: 0.020,
    5: 0.010,
    6: 0.005,
    7: 0.003,
    8: 0.003,
}
_POSITIVES: Final = 0.1116
_LATER: Final = 0.393  # `>30` among those who do not come back within 30 days
_LINES_AT_A_TIME: Final = 20_000

_DISCHARGE_RISK: Final = {"22": 1.3, "5": 0.8, "2": 0.6, "3": 0.5, "6": 0.35, "18": 0.3, "15": 1.2, "28": 1.4}
_DIAGNOSIS_RISK: Final = {
    "428": 0.45, "V57": 0.8, "403": 0.5, "585": 0.5, "584": 0.35, "707": 0.5, "250.7": 0.5, "250.6": 0.4,
    "996": 0.45, "440": 0.4, "820": 0.3, "434": 0.3, "38": 0.3, "197": 0.7, "507": 0.3, "295": 0.4,
    "786": -0.5, "414": -0.3, "715": -0.5, "722": -0.4, "401": -0.15, "272": -0.2, "278": -0.2,
}  # fmt: skip
_LONG_STAY: Final = 7
_DEATH: Final = ("11", "19", "20", "21")


def write(path: Path, encounters: int = ENCOUNTERS, seed: int = SEED) -> None:
    """Write a sample CSV (header, CRLF line ends) to `path`, atomically; the same seed gives the same file.

    Raise `DatasetError` if the file cannot be written or `encounters` is not between 1 and ten million.
    """
    if not 1 <= encounters <= _MOST_ENCOUNTERS:
        raise DatasetError(f"a sample has 1 to {_MOST_ENCOUNTERS:,} encounters, not {encounters:,}")
    columns = _columns(encounters, np.random.default_rng(seed))
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            _write_lines(part, columns, encounters)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise DatasetError(f"{path} cannot be written: {error.strerror}") from error


def _write_lines(path: Path, columns: Mapping[str, Texts], encounters: int) -> None:
    with path.open("w", encoding="ascii", newline="") as out:
        out.write(",".join(CSV_HEADER) + "\r\n")
        for start in range(0, encounters, _LINES_AT_A_TIME):
            block = [columns[name][start : start + _LINES_AT_A_TIME].tolist() for name in CSV_HEADER]
            out.writelines(",".join(row) + "\r\n" for row in zip(*block, strict=True))
        out.flush()
        os.fsync(out.fileno())


def sample(folder: Path) -> Path:
    """Return the sample of the default size in `folder`, and generate it if it does not exist yet."""
    path = folder / f"synthetic-{ENCOUNTERS}-{SEED}-v{_VERSION}.csv"
    if not path.exists():
        write(path)
    return path


def _columns(encounters: int, rng: np.random.Generator) -> dict[str, Texts]:
    patient = _patients(encounters, rng)
    patients = int(patient.max()) + 1
    # Constant across a patient's stays: severity of illness and demographics.
    frailty = rng.standard_normal(patients)[patient]
    race, gender, age = (
        _draw(rng, shares, patients)[patient] for shares in (rates.RACE, rates.GENDER, rates.AGE)
    )
    diagnoses = [
        _draw(rng, shares, encounters) for shares in (rates.DIAGNOSIS_1, rates.DIAGNOSIS_2, rates.DIAGNOSIS_3)
    ]
    discharge = _draw(rng, rates.DISCHARGE_DISPOSITION, encounters)
    days = np.clip(np.rint(rng.gamma(2.2, 1.9, encounters) + 0.25 * frailty), 1, 14)
    inpatient = np.minimum(rng.poisson(np.exp(-1.05 + 1.05 * frailty)), 21)
    emergency = np.minimum(rng.poisson(np.exp(-2.5 + 1.3 * frailty)), 60)
    outpatient = np.minimum(rng.poisson(np.exp(-1.9 + 1.3 * rng.standard_normal(encounters))), 42)
    medications = np.clip(np.rint(rng.normal(11 + 1.1 * days, 6.5)), 1, 81)
    drugs = {name: _draw(rng, _doses(name), encounters) for name in DRUG_NAMES}
    changed = np.any([np.isin(dose, ("Up", "Down")) for dose in drugs.values()], axis=0)
    changed |= rng.random(encounters) < 0.28 * np.any([d != "No" for d in drugs.values()], axis=0)

    risk = (
        0.85 * np.sqrt(inpatient)
        + 0.25 * np.sqrt(emergency)
        + 0.055 * days
        + 0.006 * (_decade(age) - 60)
        + 0.25 * (drugs["insulin"] != "No")
        - 0.25 * (drugs["metformin"] != "No")
        + _effect(discharge, _DISCHARGE_RISK)
        + _effect(diagnoses[0], _DIAGNOSIS_RISK)
        + 0.6 * _effect(diagnoses[1], _DIAGNOSIS_RISK)
        + 0.4 * _effect(diagnoses[2], _DIAGNOSIS_RISK)
        # An interaction that a linear model misses: a long stay that ends at home.
        + 0.5 * ((days > _LONG_STAY) & (discharge == "1"))
        + 0.2 * rng.standard_normal(encounters)
    )  # fmt: skip
    return {
        "encounter_id": _numbered(rng.permutation(encounters)),
        "patient_nbr": _numbered(rng.permutation(patients)[patient]),
        "race": race,
        "gender": gender,
        "age": age,
        "weight": _draw(rng, rates.WEIGHT, encounters),
        "admission_type_id": _draw(rng, rates.ADMISSION_TYPE, encounters),
        "discharge_disposition_id": discharge,
        "admission_source_id": _draw(rng, rates.ADMISSION_SOURCE, encounters),
        "time_in_hospital": _text(days),
        "payer_code": _draw(rng, rates.PAYER_CODE, encounters),
        "medical_specialty": _draw(rng, rates.MEDICAL_SPECIALTY, encounters),
        "num_lab_procedures": _text(np.clip(np.rint(rng.normal(41 + days, 19)), 1, 132)),
        "num_procedures": _text(np.minimum(rng.negative_binomial(0.8, 0.36, encounters), 6)),
        "num_medications": _text(medications),
        "number_outpatient": _text(outpatient),
        "number_emergency": _text(emergency),
        "number_inpatient": _text(inpatient),
        "diag_1": diagnoses[0],
        "diag_2": diagnoses[1],
        "diag_3": diagnoses[2],
        "number_diagnoses": _draw(rng, {str(k): v for k, v in rates.NUMBER_DIAGNOSES.items()}, encounters),
        "max_glu_serum": _draw(rng, rates.GLUCOSE, encounters),
        "A1Cresult": _draw(rng, rates.A1C, encounters),
        **drugs,
        "change": np.where(changed, "Ch", "No"),
        "diabetesMed": np.where(np.any([dose != "No" for dose in drugs.values()], axis=0), "Yes", "No"),
        "readmitted": _readmitted(rng, risk, np.isin(discharge, _DEATH), frailty),
    }  # fmt: skip


def _patients(encounters: int, rng: np.random.Generator) -> Whole:
    """Return each encounter's patient, 0, 1, …; the encounters of a patient are anywhere in the file."""
    stays = _draw(rng, {str(k): v for k, v in _ENCOUNTERS_A_PATIENT.items()}, encounters).astype(np.int64)
    owners = np.repeat(np.arange(encounters), stays)[:encounters]
    return rng.permutation(owners)


def _draw(rng: np.random.Generator, shares: Mapping[str, float], size: int) -> Texts:
    bounds = np.cumsum(list(shares.values()))
    return np.array(list(shares))[np.searchsorted(bounds / bounds[-1], rng.random(size), side="right")]


def _doses(drug: str) -> dict[str, float]:
    down, steady, up = rates.DRUGS.get(drug, (0.0, 0.0, 0.0))
    return {"No": 1 - down - steady - up, "Down": down, "Steady": steady, "Up": up}


def _effect(codes: Texts, effects: Mapping[str, float]) -> Floats:
    levels, index = np.unique(codes, return_inverse=True)
    return np.array([effects.get(level, 0.0) for level in levels.tolist()])[index]


def _decade(age: Texts) -> Floats:
    return np.char.partition(np.char.strip(age, "[)"), "-")[:, 0].astype(np.float64)


def _readmitted(rng: np.random.Generator, risk: Floats, died: NDArray[np.bool_], frailty: Floats) -> Texts:
    # Bisects for the intercept that leads to the wanted share of positives.
    low, high = -15.0, 15.0
    for _ in range(40):
        intercept = (low + high) / 2
        share = (~died / (1 + np.exp(-risk - intercept))).mean()
        low, high = (intercept, high) if share < _POSITIVES else (low, intercept)
    soon = rng.random(risk.size) < ~died / (1 + np.exp(-risk - low))
    later = rng.random(risk.size) < ~died * _LATER * np.exp(0.15 * np.clip(frailty, -3, 3))
    return np.where(soon, "<30", np.where(later, ">30", "NO"))


def _numbered(ranks: Whole) -> Texts:
    return _text(_FIRST_NUMBER + ranks)


def _text(values: Whole | Floats) -> Texts:
    return values.astype(np.int64).astype(np.str_)
