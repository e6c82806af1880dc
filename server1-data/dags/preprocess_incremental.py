"""Turn RawData into the processed tables of CleanData.

Runs after every new raw batch. Everything is fitted on the train split only.

1. **load** reads the batches that RawData has at that moment.
2. **clean** selects the cohort (without discharges to death or hospice, and without pending outcomes) and
   checks it.
3. **select_features** fits the encodings and selects the 50 best features.
4. **save** replaces `diabetes_train_processed`, `diabetes_validation_processed`, `diabetes_test_processed`
   and `feature_info` atomically.

- **Tasks pass on** only paths, ids and counts; the frames are Parquet files in the staging folder.
- **Safe to run again**: the same batches produce the same tables; a reader sees the old or the new ones.
- **Starts** `train_and_register`, through the asset `readmission_processed_tables`.
"""

from airflow.sdk import dag, get_current_context, task

from readmission_data.orchestration import PROCESSED_TABLES, RAW_BATCHES, START, TASK_DEFAULTS


@dag(
    schedule=[RAW_BATCHES],
    start_date=START,
    catchup=False,
    max_active_runs=1,
    default_args=TASK_DEFAULTS,
    tags=["readmission", "clean"],
    doc_md=__doc__,
)
def preprocess_incremental():
    @task
    def load() -> dict[str, object]:
        from readmission_data.tasks import load_snapshot

        return load_snapshot(get_current_context()["run_id"])

    @task
    def clean(snapshot: dict[str, object]) -> dict[str, object]:
        from readmission_data.tasks import clean_cohort

        return clean_cohort(snapshot)

    @task
    def select_features(cohort: dict[str, object]) -> dict[str, object]:
        from readmission_data.tasks import select_features

        return select_features(cohort)

    @task(outlets=[PROCESSED_TABLES])
    def save(selection: dict[str, object]) -> dict[str, object]:
        from readmission_data.tasks import save_processed

        return save_processed(selection)

    save(select_features(clean(load())))


preprocess_incremental()
