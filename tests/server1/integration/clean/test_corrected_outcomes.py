"""Corrected outcomes on their way from RawData to the tables that models are trained on."""

import sqlalchemy as sa

from readmission_data import databases
from readmission_data.clean import tasks
from readmission_data.clean.tables import LABEL, PROCESSED, read_lineage
from readmission_data.raw.load import load_all


def labels(settings):
    found = {}
    with databases.engine(settings.clean_url) as engine, engine.connect() as connection:
        for name in PROCESSED.values():
            found |= dict(connection.execute(sa.text(f"SELECT encounter_id, {LABEL} FROM {name}")).all())
        return found, read_lineage(connection)


def changed(path, sample, change):
    """Write the sample with other outcomes to a path; `change` gets and returns a row's outcome."""
    header, *rows = sample.read_text().splitlines()
    pairs = (row.rpartition(",") for row in rows)
    edited = [f"{values},{change(number, outcome)}" for number, (values, _, outcome) in enumerate(pairs)]
    path.write_text("\n".join([header, *edited]) + "\n")
    return str(path)


def test_a_matured_or_corrected_outcome_reaches_the_next_training(sqlite_settings, sample, tmp_path):
    first = changed(tmp_path / "a.csv", sample, lambda number, outcome: outcome if number % 5 else "pending")
    given = sqlite_settings.model_copy(update={"dataset": first})
    list(load_all(given))
    tasks.preprocess(given, "before")
    before, lineage = labels(given)

    # What was pending is known now, and some outcomes were wrong.
    second = changed(
        tmp_path / "b.csv", sample, lambda number, outcome: "<30" if number % 97 == 0 else outcome
    )
    results = list(load_all(given.model_copy(update={"dataset": second})))
    tasks.preprocess(given, "after")
    after, following = labels(given)

    pending = after.keys() - before.keys()
    assert len(pending) > 300
    assert before.keys() < after.keys()
    corrected = {number for number in before if before[number] != after[number]}
    assert len(corrected) > 5
    assert all(after[number] == 1 for number in corrected)
    assert len(pending) + len(corrected) <= sum(result.corrected for result in results)
    assert len(following.batches) > len(lineage.batches)

    # A second run over the same batches makes the same tables.
    tasks.preprocess(given, "again")
    assert labels(given) == (after, following)
