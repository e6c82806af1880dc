"""The servers share no code: what one needs from another comes over the network or with the model version."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PACKAGES = {
    "server1-data/src": {"readmission_data"},
    "server1-data/feed": {"readmission_feed"},
    "server1-data/dags": {"readmission_data"},
    "server3-serving/api/src": {"readmission_api"},
    "server3-serving/ui/src": {"readmission_ui"},
    "server3-serving/retrain/src": {"readmission_retrain"},
    # Runs on one machine with the webhook, and uses its Airflow client.
    "server3-serving/demo/src": {"readmission_demo", "readmission_retrain"},
    "server3-serving/loadtest/src": {"readmission_loadtest"},
    "server2-tracking/backup/src": {"readmission_backup"},
}
OURS = set().union(*PACKAGES.values())


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize("folder", PACKAGES)
def test_imports_stay_in_their_folder(folder):
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    strangers = {
        str(path.relative_to(ROOT)): sorted(found)
        for path in files
        if (found := imported(path) & (OURS - PACKAGES[folder]))
    }
    assert strangers == {}


def test_serving_does_not_unpickle():
    unsafe = {"pickle", "joblib", "cloudpickle", "dill", "skops", "sklearn"}
    files = sorted((ROOT / "server3-serving").rglob("src/**/*.py"))
    assert files
    assert {str(path): imported(path) & unsafe for path in files if imported(path) & unsafe} == {}
