"""Three invented patients to try a model with. None of them is, or is derived from, a real patient."""

from typing import Final

from readmission_data.encounters.columns import DRUGS
from readmission_data.model_version.contract import Words

Patient = dict[str, int | str]

NAMES: Final = (
    Words(en="Low risk", es="Riesgo bajo"),
    Words(en="Middle risk", es="Riesgo medio"),
    Words(en="High risk", es="Riesgo alto"),
)

_NO_DRUGS: Final[Patient] = dict.fromkeys(DRUGS, "No")

_PLANNED_OPERATION: Final[Patient] = {
    "race": "Caucasian",
    "gender": "Female",
    "age": "[50-60)",
    "admission_type_id": "3",
    "discharge_disposition_id": "1",
    "admission_source_id": "1",
    "time_in_hospital": 2,
    "payer_code": "BC",
    "medical_specialty": "Surgery-General",
    "num_lab_procedures": 12,
    "num_procedures": 1,
    "num_medications": 11,
    "number_outpatient": 0,
    "number_emergency": 0,
    "number_inpatient": 0,
    "diag_1": "574",
    "diag_2": "250",
    "diag_3": "401",
    "number_diagnoses": 4,
    "max_glu_serum": "None",
    "A1Cresult": "Norm",
    **_NO_DRUGS,
    "metformin": "Steady",
    "change": "No",
    "diabetesMed": "Yes",
}

_CHEST_PAIN: Final[Patient] = {
    "race": "AfricanAmerican",
    "gender": "Male",
    "age": "[60-70)",
    "admission_type_id": "1",
    "discharge_disposition_id": "1",
    "admission_source_id": "7",
    "time_in_hospital": 4,
    "payer_code": "MC",
    "medical_specialty": "InternalMedicine",
    "num_lab_procedures": 47,
    "num_procedures": 1,
    "num_medications": 16,
    "number_outpatient": 0,
    "number_emergency": 0,
    "number_inpatient": 0,
    "diag_1": "414",
    "diag_2": "428",
    "diag_3": "250.02",
    "number_diagnoses": 8,
    "max_glu_serum": "None",
    "A1Cresult": "None",
    **_NO_DRUGS,
    "glipizide": "Steady",
    "insulin": "Steady",
    "change": "Ch",
    "diabetesMed": "Yes",
}

_FREQUENT_STAYS: Final[Patient] = {
    "race": "Caucasian",
    "gender": "Female",
    "age": "[70-80)",
    "admission_type_id": "1",
    "discharge_disposition_id": "22",
    "admission_source_id": "7",
    "time_in_hospital": 9,
    "payer_code": "MC",
    "medical_specialty": "InternalMedicine",
    "num_lab_procedures": 63,
    "num_procedures": 2,
    "num_medications": 24,
    "number_outpatient": 1,
    "number_emergency": 3,
    "number_inpatient": 5,
    "diag_1": "428",
    "diag_2": "585",
    "diag_3": "250.4",
    "number_diagnoses": 9,
    "max_glu_serum": "None",
    "A1Cresult": ">8",
    **_NO_DRUGS,
    "insulin": "Up",
    "change": "Ch",
    "diabetesMed": "Yes",
}

PATIENTS: Final = (_PLANNED_OPERATION, _CHEST_PAIN, _FREQUENT_STAYS)
"""From the least to the most likely readmission, as a clinician would order them."""
