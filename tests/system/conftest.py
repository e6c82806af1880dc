"""Airflow for the tests of the whole system: one migrated SQLite metadata database per session.

Airflow reads its settings when it is imported, so they are set here, before any test module imports it.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]

_home = tempfile.TemporaryDirectory(prefix="airflow-", ignore_cleanup_errors=True)
os.environ |= {
    "AIRFLOW_HOME": _home.name,
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{_home.name}/airflow.db",
    "AIRFLOW__CORE__DAGS_FOLDER": str(CHECKOUT / "server1-data" / "dags"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    "OMP_NUM_THREADS": "1",
}


@pytest.fixture(scope="session")
def airflow_metadata() -> None:
    """A migrated metadata database."""
    airflow = Path(sys.executable).with_name("airflow")
    subprocess.run([airflow, "db", "migrate"], check=True, stdout=subprocess.DEVNULL)
