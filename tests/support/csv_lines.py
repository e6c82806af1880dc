"""Encounters for small tests, as lines of the CSV."""

from collections.abc import Iterable
from pathlib import Path

from readmission_data.encounters.columns import COLUMNS, CSV_HEADER, DRUGS

HEADER = ",".join(CSV_HEADER)

_USUAL = {
    "race": "Caucasian",
    "gender": "Female",
    "age": "[70-80)",
    "weight": "?",
    "admission_type_id": "1",
    "discharge_disposition_id": "1",
    "admission_source_id": "7",
    "time_in_hospital": "3",
    "payer_code": "?",
    "medical_specialty": "InternalMedicine",
    "num_lab_procedures": "41",
    "num_procedures": "0",
    "num_medications": "12",
    "number_outpatient": "0",
    "number_emergency": "0",
    "number_inpatient": "1",
    "diag_1": "428",
    "diag_2": "250.83",
    "diag_3": "V58",
    "number_diagnoses": "9",
    "max_glu_serum": "None",
    "A1Cresult": ">8",
    **dict.fromkeys(DRUGS, "No"),
    "insulin": "Up",
    "change": "Ch",
    "diabetesMed": "Yes",
    "readmitted": "NO",
}


def line(number: int, patient: int | None = None, **values: str) -> str:
    """Return one encounter's line; `values` replace the default values."""
    identifiers = {"encounter_id": str(number), "patient_nbr": str(patient or 1_000_000 + number)}
    given = _USUAL | identifiers | values
    return ",".join(given[column.name] for column in COLUMNS)


def lines(count: int, start: int = 1) -> list[str]:
    """Return valid lines of as many patients, with some variety."""
    ages = ("[0-10)", "[40-50)", "[70-80)", "[90-100)")
    return [
        line(
            number,
            age=ages[number % 4],
            time_in_hospital=str(number % 14 + 1),
            race="?" if number % 9 == 0 else "Asian",
        )
        for number in range(start, start + count)
    ]


def write(path: Path, rows: Iterable[str], header: str = HEADER, end: str = "\n") -> Path:
    """Write a CSV as UTF-8, each line with its end."""
    path.write_bytes("".join(f"{row}{end}" for row in (header, *rows)).encode())
    return path
