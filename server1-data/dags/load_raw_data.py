"""Load the next batch of encounters into RawData.

Every ten minutes, the next 15,000 train rows of the source are loaded into `train_data`. The first load also
fills `validation_data` and `test_data` completely. If the source has nothing new, the run is skipped with a
message.

- **Reads** the source (`READMISSION_SOURCE`: the data set's file, or a hospital's HTTP feed).
- **Writes** `train_data`, `validation_data`, `test_data`, `rejected_rows` and one line of the ledger
  `batch_info`, in one transaction.
- **Updates** `readmitted` of a known encounter that has another outcome, and keeps the one before in
  `outcome_history`. An outcome that is not known yet is `pending`; a known one never becomes pending again.
- **Safe to run again**: a killed load leaves nothing behind, and a row is never loaded twice. If a load is
  killed after its commit, the next try reports it.
- **Fails without a retry** if a source has no valid row; all its rows are then in `rejected_rows`.
- **Starts** `preprocess_incremental`, through the asset `readmission_raw_batches`.

Trigger it with `{"all_batches": true}` to load the whole source in one run.
"""

from datetime import timedelta

from airflow.sdk import Param, dag, get_current_context, task

from readmission_data.orchestration import RAW_BATCHES, START, TASK_DEFAULTS


@dag(
    schedule=timedelta(minutes=10),
    start_date=START,
    catchup=False,
    max_active_runs=1,
    default_args=TASK_DEFAULTS,
    tags=["readmission", "raw"],
    params={"all_batches": Param(default=False, type="boolean", description="Load the whole source at once")},
    doc_md=__doc__,
)
def load_raw_data():
    @task(outlets=[RAW_BATCHES])
    def load_batch() -> dict[str, object]:
        from readmission_data.tasks import load_batches

        context = get_current_context()
        return load_batches(everything=context["params"]["all_batches"], again=context["ti"].try_number > 1)

    load_batch()


load_raw_data()
