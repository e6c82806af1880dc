"""The patients that a version may score: rules of the cohort, and contradictions to warn about."""

from typing import Final

from readmission_data.clean import cohort
from readmission_data.encounters.columns import DRUGS
from readmission_data.model_version.contract import Cohort, CohortExclusion, Condition, Contradiction, Words

_REASONS: Final = {
    cohort.DIED: Words(
        en="The patient died, so a readmission is not possible.",
        es="El paciente falleció, por lo que un reingreso no es posible.",
    ),
    cohort.HOSPICE: Words(
        en="The patient was discharged to a hospice. The model was not trained on such patients.",
        es="El paciente fue dado de alta a cuidados paliativos. El modelo no se entrenó con estos pacientes.",
    ),
}

_NO_DRUG: Final = [Condition(fields=[drug], levels=["No"]) for drug in DRUGS]
_A_DRUG: Final = Condition(fields=list(DRUGS), levels=["Steady", "Up", "Down"])
_A_NEW_DOSE: Final = Condition(fields=list(DRUGS), levels=["Up", "Down"])

CONTRADICTIONS: Final = (
    Contradiction(
        when=[
            Condition(fields=["diabetesMed"], levels=["No"]),
            Condition(fields=["change"], levels=["Ch"]),
        ],
        message=Words(
            en="No diabetes drug was prescribed, but the diabetes drugs were changed.",
            es="No se prescribió ningún medicamento para la diabetes, pero la medicación se cambió.",
        ),
    ),
    Contradiction(
        when=[Condition(fields=["diabetesMed"], levels=["No"]), _A_DRUG],
        message=Words(
            en="No diabetes drug was prescribed, but at least one drug is listed as given.",
            es="No se prescribió ningún medicamento para la diabetes, pero consta al menos uno.",
        ),
    ),
    Contradiction(
        when=[Condition(fields=["diabetesMed"], levels=["Yes"]), *_NO_DRUG],
        message=Words(
            en="A diabetes drug was prescribed, but none is listed as given.",
            es="Se prescribió medicación para la diabetes, pero no consta ningún medicamento.",
        ),
    ),
    Contradiction(
        when=[Condition(fields=["change"], levels=["Ch"]), *_NO_DRUG],
        message=Words(
            en="The diabetes drugs were changed, but none is listed as given.",
            es="La medicación para la diabetes se cambió, pero no consta ningún medicamento.",
        ),
    ),
    Contradiction(
        when=[Condition(fields=["change"], levels=["No"]), _A_NEW_DOSE],
        message=Words(
            en="The diabetes drugs were not changed, but a dose went up or down.",
            es="La medicación para la diabetes no se cambió, pero una dosis subió o bajó.",
        ),
    ),
)
"""Combinations that no encounter of the public data set has: more likely a typing error than a patient."""


def exclusions() -> Cohort:
    """Return the rules that training applied, in the form of the contract."""
    return Cohort(
        version=cohort.COHORT_VERSION,
        exclusions=[
            CohortExclusion(
                field=exclusion.field,
                levels=sorted(exclusion.levels, key=int),
                reason=_REASONS[exclusion],
            )
            for exclusion in cohort.EXCLUSIONS
        ],
    )
