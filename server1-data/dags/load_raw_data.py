"""Load the next batch of encounters into RawData.

Every ten minutes the next 15,000 train rows of the source go into `train_data`. The first load also brings
`validation_data` and `test_data` whole. When the source has nothing new the run is skipped and says so.

- **Reads** the source (`READMISSION_SOURCE`: the data set's file, or a hospital's HTTP feed).
- **Writes** `train_data`, `validation_data`, `test_data`, `rejected_rows` and one line of the ledger
  `batch_info`, in one transaction.
- **Safe to run again**: a load that was killed left nothing behind, and a row is never loaded twice. One
  that was killed after its commit is told of by the next try.
- **Fails without another try** when not one row of a source is good; all are in `rejected_rows` then.
- **Starts** `preprocess_incremental`, through the asset `readmission_raw_batches`.

Trigger it with `{"all_batches": true}` to bring the whole source in one run.
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
