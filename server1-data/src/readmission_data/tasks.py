"""The tasks that load and preprocess: read the settings, call the logic, pass on ids, paths and counts.

Those that train are in `training_tasks`, since each task is a process that pays for its imports: MLflow,
skops and Matplotlib cost seconds.
"""

import dataclasses
import logging
from typing import Any

from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from readmission_data import databases, pipeline_metrics
from readmission_data.clean import tables as clean_tables
from readmission_data.clean import tasks as clean_tasks
from readmission_data.clean.tasks import Stage
from readmission_data.errors import NothingLoadedError
from readmission_data.raw import ledger, load
from readmission_data.settings import DataSettings

log = logging.getLogger(__name__)


def load_batches(*, everything: bool, again: bool) -> dict[str, Any]:
    """Load the next batch, or all batches.

    The task is skipped if the source has nothing new. `again`, a retry of a task, is not skipped while
    CleanData lacks a batch: the previous try may have died after its commit without reporting it. A source
    without one good row fails the task for good: another try would find nothing new, and the failure be
    forgotten.
    """
    settings = DataSettings()
    whole = everything or settings.all_batches
    try:
        results = list(load.load_all(settings)) if whole else [load.load_next(settings)]
    except NothingLoadedError as error:
        raise AirflowFailException(str(error)) from error
    pipeline_metrics.report_raw(settings, exhausted=results[-1].exhausted)
    loaded = [result for result in results if result.batch is not None]
    if not loaded:
        batches, processed = _progress(settings)
        if batches and not any(batch.loaded_rows for batch in batches):
            raise AirflowFailException("RawData has no valid row; all rows are in rejected_rows")
        behind = bool(batches) and processed != [batch.batch for batch in batches]
        if not (again and behind):
            raise AirflowSkipException("the source has nothing new")
        log.warning("the source has nothing new, but CleanData lacks batches of RawData")
    for result in loaded:
        log.info("%s", result)
    return {"batches": [result.batch for result in loaded]}


def _progress(settings: DataSettings) -> tuple[list[ledger.Batch], list[int]]:
    """Return the ledger of RawData, and the batches that CleanData was built from."""
    with databases.engine(settings.raw_url) as engine, engine.connect() as connection:
        batches = ledger.batches(connection)
    with databases.engine(settings.clean_url) as engine, engine.connect() as connection:
        lineage = clean_tables.read_lineage(connection)
    return batches, list(lineage.batches) if lineage else []


def load_snapshot(run_id: str) -> dict[str, Any]:
    """Task 1 of `preprocess_incremental`: copy the current RawData to the staging folder of the run."""
    return dataclasses.asdict(clean_tasks.load(DataSettings(), run_id))


def clean_cohort(stage: dict[str, Any]) -> dict[str, Any]:
    """Task 2 of `preprocess_incremental`: select and check the cohort."""
    return dataclasses.asdict(clean_tasks.clean(DataSettings(), Stage(**stage)))


def select_features(stage: dict[str, Any]) -> dict[str, Any]:
    """Task 3 of `preprocess_incremental`: fit the encoding and select the 50 best features."""
    return dataclasses.asdict(clean_tasks.select_features(DataSettings(), Stage(**stage)))


def save_processed(stage: dict[str, Any]) -> dict[str, Any]:
    """Task 4 of `preprocess_incremental`: replace all processed tables at once."""
    settings = DataSettings()
    saved = clean_tasks.save(settings, Stage(**stage))
    pipeline_metrics.report_processed(settings)
    return dataclasses.asdict(saved)
