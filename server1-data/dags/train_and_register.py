"""Train the candidates and register the best one.

Runs every time the processed tables are replaced.

1. **train** fits the candidates (logistic regression, random forest, gradient boosting) with a small seeded
   search, and records each in the MLflow experiment `diabetes_readmission_training`.
2. **register** selects the best candidate by average precision on the validation split, registers it as
   `best_diabetes_readmission_model`, and moves the aliases: it becomes `production` only if it beats the
   current production on the same validation rows and its calibration holds; otherwise it becomes
   `challenger`.

- **The test split** decides nothing; it is scored only for the report.
- **Safe to run again**: a finished training of the same tables with the same settings is reused.
- **Rollback**: `python -m readmission_data rollback` moves `production` back to `previous`.
"""

from datetime import timedelta

from airflow.sdk import dag, task

from readmission_data.orchestration import PROCESSED_TABLES, REGISTERED_MODEL, START, TASK_DEFAULTS


@dag(
    schedule=[PROCESSED_TABLES],
    start_date=START,
    catchup=False,
    max_active_runs=1,
    default_args=TASK_DEFAULTS,
    tags=["readmission", "model"],
    doc_md=__doc__,
)
def train_and_register():
    @task(execution_timeout=timedelta(hours=6))
    def train() -> dict[str, object]:
        from readmission_data.training_tasks import train_candidates

        return train_candidates()

    @task(outlets=[REGISTERED_MODEL])
    def register(training: dict[str, object]) -> dict[str, object]:
        from readmission_data.training_tasks import register_best

        return register_best(training)

    register(train())


train_and_register()
