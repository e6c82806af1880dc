"""The errors of the webhook. Each message is one line that a person can act on."""


class RetrainError(Exception):
    """A training that could not be started; `result` names the kind in the metrics."""

    result = "failed"


class AirflowAwayError(RetrainError):
    """Airflow does not respond, or cannot handle the request now."""

    result = "airflow_away"


class AirflowRefusedError(RetrainError):
    """Airflow refuses the request: the login, the DAG's name or the request is wrong."""

    result = "airflow_refused"


class DagPausedError(RetrainError):
    """The DAG is paused in Airflow, so a run of it would only wait."""

    result = "dag_paused"


class StateError(RetrainError):
    """The record of the last run cannot be read or written."""

    result = "state_broken"
