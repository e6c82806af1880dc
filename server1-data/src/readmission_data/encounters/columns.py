"""The 50 columns of an encounter, in the order of `diabetic_data.csv`."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from readmission_data.encounters import levels

MISSING: Final = "?"
"""The CSV's mark of a missing value."""

ICD9_PATTERN: Final = (
    r"(?:(?:[0-9]{1,3}|V[0-9]{2})(?:\.[0-9]{1,2})?|E[89][0-9]{2}(?:\.[0-9])?|E0[0-3][0-9]\.[0-9])"
)
"""An ICD-9-CM code, with its point; `icd9_codes` defines which texts are the same code.

External causes (E) have at most one decimal, all others two: no code is longer than six characters. They are
E800 to E999, and E000 to E030 for activities, which need their decimal: without it E039 would pass, which is
ICD-10's E03.9. No other code of ICD-10 passes except E80 to E89 without their point (ADR 25).
"""


class Kind(StrEnum):
    """The type of a column."""

    IDENTIFIER = "identifier"
    INTEGER = "integer"
    CATEGORY = "category"
    ICD9 = "icd9"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of an encounter.

    `csv_name` is the name in the CSV's header, `name` the same with underscores for hyphens (in databases,
    requests and the model's graph). `minimum` and `maximum` are inclusive bounds of an integer. `missing` is
    true if `?` is allowed.
    """

    csv_name: str
    kind: Kind
    levels: tuple[str, ...] = ()
    minimum: int = 0
    maximum: int = 0
    missing: bool = False

    @property
    def name(self) -> str:
        """The column's name without hyphens."""
        return self.csv_name.replace("-", "_")


def _category(csv_name: str, allowed: tuple[str, ...], *, missing: bool = False) -> Column:
    return Column(csv_name, Kind.CATEGORY, levels=allowed, missing=missing)


def _integer(csv_name: str, minimum: int, maximum: int) -> Column:
    return Column(csv_name, Kind.INTEGER, minimum=minimum, maximum=maximum)


def _identifier(csv_name: str) -> Column:
    return Column(csv_name, Kind.IDENTIFIER, minimum=1, maximum=2**63 - 1)


DRUG_NAMES: Final = (
    "metformin",
    "repaglinide",
    "nateglinide",
    "chlorpropamide",
    "glimepiride",
    "acetohexamide",
    "glipizide",
    "glyburide",
    "tolbutamide",
    "pioglitazone",
    "rosiglitazone",
    "acarbose",
    "miglitol",
    "troglitazone",
    "tolazamide",
    "examide",
    "citoglipton",
    "insulin",
    "glyburide-metformin",
    "glipizide-metformin",
    "glimepiride-pioglitazone",
    "metformin-rosiglitazone",
    "metformin-pioglitazone",
)
"""The 23 diabetes drugs, as in the CSV's header."""

COLUMNS: Final[tuple[Column, ...]] = (
    _identifier("encounter_id"),
    _identifier("patient_nbr"),
    _category("race", levels.RACES, missing=True),
    _category("gender", levels.GENDERS),
    _category("age", levels.AGES),
    _category("weight", levels.WEIGHTS, missing=True),
    _category("admission_type_id", levels.ADMISSION_TYPES),
    _category("discharge_disposition_id", levels.DISCHARGE_DISPOSITIONS),
    _category("admission_source_id", levels.ADMISSION_SOURCES),
    # The study included stays of 1 to 14 days (Strack et al. 2014, section 2.2). The other bounds are
    # plausible for a stay, and above every value in the data set (132, 6, 81, 42, 76, 21 and 16).
    _integer("time_in_hospital", 1, 14),
    _category("payer_code", levels.PAYER_CODES, missing=True),
    _category("medical_specialty", levels.MEDICAL_SPECIALTIES, missing=True),
    _integer("num_lab_procedures", 0, 200),
    _integer("num_procedures", 0, 20),
    _integer("num_medications", 0, 150),
    _integer("number_outpatient", 0, 150),
    _integer("number_emergency", 0, 150),
    _integer("number_inpatient", 0, 100),
    Column("diag_1", Kind.ICD9, missing=True),
    Column("diag_2", Kind.ICD9, missing=True),
    Column("diag_3", Kind.ICD9, missing=True),
    _integer("number_diagnoses", 1, 30),
    _category("max_glu_serum", levels.GLUCOSE_RESULTS),
    _category("A1Cresult", levels.A1C_RESULTS),
    *(_category(drug, levels.DOSES) for drug in DRUG_NAMES),
    _category("change", levels.MEDICATION_CHANGES),
    _category("diabetesMed", levels.DIABETES_MEDICATIONS),
    _category("readmitted", levels.READMISSIONS),
)

BY_NAME: Final = {column.name: column for column in COLUMNS}
CSV_HEADER: Final = tuple(column.csv_name for column in COLUMNS)
DRUGS: Final = tuple(name.replace("-", "_") for name in DRUG_NAMES)

IDENTIFIERS: Final = ("encounter_id", "patient_nbr")
TARGET: Final = "readmitted"

PREDICTORS: Final = tuple(column for column in COLUMNS if column.name not in {*IDENTIFIERS, "weight", TARGET})
"""The columns that a model may use, and so the fields of a request: 46 columns.

`weight` is left out because 97 % of it is missing.
"""
