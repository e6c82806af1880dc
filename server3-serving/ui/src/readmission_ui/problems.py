"""What went wrong, as a sentence in the reader's language."""

from typing import Final

from readmission_ui.api_answers import Problem
from readmission_ui.errors import ApiAwayError, BusyError, ReadmissionUIError, RefusedError
from readmission_ui.schema import Schema, say
from readmission_ui.texts import Texts, words

OUTSIDE_COHORT: Final = "outside_cohort"
SHOWN_LEVELS: Final = 4


def sentence(error: ReadmissionUIError, texts: Texts) -> str:
    """Return what a reader can make of an error that is not about fields."""
    match error:
        case ApiAwayError():
            return texts("problem.away")
        case BusyError():
            return texts("problem.busy")
        case RefusedError():
            return str(error)
        case _:
            return texts("problem.strange")


def refusal(error: RefusedError, schema: Schema, texts: Texts) -> str:
    """Return what the API did not take, a line a problem, as Markdown."""
    listed = [f"- {problem_sentence(problem, schema, texts)}" for problem in error.problems]
    return "\n".join(listed) or str(error)


def problem_sentence(problem: Problem, schema: Schema, texts: Texts) -> str:
    """Return what is wrong with one field.

    It is said from the problem's code and the schema, in the reader's language. For a code that these pages
    do not know the API's own sentence stands.
    """
    code = f"problem.{problem.code}"
    field = schema.field(problem.field or "")
    if problem.code == OUTSIDE_COHORT:
        title = "" if field is None else f"{field.title(texts.language)}: "
        return title + _exclusion(problem, schema, texts)
    if code not in words(texts.language):
        return problem.message
    if field is None:
        # Only problems that name no field of the model come without one, and their sentences need no more.
        return texts(code, field=problem.field)
    if problem.code == "wrong_type" and field.numeric:
        code = "problem.not_a_number"
    return texts(
        code,
        field=field.title(texts.language),
        minimum=field.minimum,
        maximum=field.maximum,
        value=field.reference,
        levels=", ".join(level.value for level in field.levels[:SHOWN_LEVELS]),
    )


def _exclusion(problem: Problem, schema: Schema, texts: Texts) -> str:
    """Return the reader's text of the cohort's reason: the API repeats one of the schema's reasons."""
    reasons = (
        say(rule.reason, texts.language, problem.message)
        for rule in schema.cohort.exclusions
        if any(reason.rstrip(".") in problem.message for reason in rule.reason.values() if reason)
    )
    return next(reasons, problem.message)
