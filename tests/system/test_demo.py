"""`make demo` as users run it: with real processes and the real data set, and without any data set."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
PYTHON = CHECKOUT / ".venvs" / "demo" / "bin" / "python"

# A short search among few candidates: this tests the path from CSV to prediction, not the model's quality.
SHORT = {
    "READMISSION_SEARCH_TRIALS": "1",
    "READMISSION_BOOTSTRAP_SAMPLES": "100",
    "READMISSION_CANDIDATES": '["logistic_regression", "lightgbm"]',
}


def demo(state: Path, **env: str) -> str:
    outcome = subprocess.run(
        [PYTHON, "-m", "readmission_demo", "--once", "--state", state],
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")},
            **SHORT,
            **env,
            "COLUMNS": "120",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert outcome.returncode == 0, outcome.stdout[-3000:] + outcome.stderr[-3000:]
    return outcome.stdout


def cell(output: str, name: str) -> str:
    row = re.search(rf"^│\s*{re.escape(name)}\s*│(.*)│\s*$", output, re.MULTILINE)
    assert row, f"no row {name!r} in the table"
    return row[1].strip()


@pytest.mark.timeout(1200)
def test_the_real_data_set_from_csv_to_a_prediction(real_dataset, tmp_path):
    first = demo(tmp_path, READMISSION_DATASET=str(real_dataset))

    assert cell(first, "raw rows") == "101,766 in 5 batches"
    splits = [int(cell(first, split).replace(",", "")) for split in ("train", "validation", "test")]
    assert sum(splits) == 101_766
    assert cell(first, "rejected rows") == "0"
    assert cell(first, "patients in two splits") == "0"
    assert cell(first, "features") == "50"
    assert cell(first, "version") == "1 (production)"
    assert 0.65 < float(cell(first, "test ROC AUC").split()[0]) < 0.72
    assert re.search(r"^│\s*prediction, .*│\s*risk \d+\.\d%, class [01] at threshold", first, re.MULTILINE)
    assert "SYNTHETIC" not in first
    what_watches_knows_the_demo(first, tmp_path)
    # The API's verified copy of the model is a part of the state, so that two demos never share one.
    assert list(tmp_path.glob("*/serving/**/input_schema.json"))
    assert not still_running(tmp_path)
    # A thousand deprecation warnings of a library hid the tasks' own lines.
    logs = [path.read_text() for path in tmp_path.glob("*/airflow/logs/dag_id=train_and_register/*/*/*.log")]
    assert len(logs) == 2
    assert not [line for text in logs for line in text.splitlines() if "is deprecated" in line]

    second = demo(tmp_path, READMISSION_DATASET=str(real_dataset))
    assert "nothing to do for the DAGs" in second
    assert cell(second, "version") == "1 (production)"
    assert cell(second, "test ROC AUC") == cell(first, "test ROC AUC")


@pytest.mark.timeout(1200)
def test_without_any_data_set_it_says_so_loudly(tmp_path):
    # A checkout without data next to it: the tracked files, and this one's environments.
    checkout = tmp_path / "clone" / "checkout"
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    for name in filter(None, tracked):
        if (CHECKOUT / name).is_file():
            (checkout / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CHECKOUT / name, checkout / name)
    (checkout / ".venvs").symlink_to(CHECKOUT / ".venvs")
    # Nor anything at UCI's address: the proxy is a closed port of this machine.
    nowhere = dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY", "https_proxy"), "http://127.0.0.1:9")
    # The environments contain the other checkout's source; this one takes precedence.
    source = os.pathsep.join(
        str(checkout / folder) for folder in ("server1-data/src", "server3-serving/demo/src")
    )

    state = tmp_path / "state"
    output = demo(
        state,
        READMISSION_DATASET="",
        READMISSION_CANDIDATES='["lightgbm"]',
        NO_PROXY="127.0.0.1,localhost",
        PYTHONPATH=source,
        **nowhere,
    )

    assert output.count("SYNTHETIC DATA") == 2
    assert cell(output, "raw rows").startswith("20,000 in")
    schema = next(state.rglob("input_schema.json"))
    assert json.loads(schema.read_text())["dataset"]["synthetic"] is True


def what_watches_knows_the_demo(output: str, state: Path) -> None:
    """Installed programs are started and find the demo at its ports; missing ones are named."""
    assert cell(output, "retraining webhook").startswith("http://127.0.0.1:")
    [without] = re.findall(r"not on this machine, so without: (.*)", output) or [""]
    for program, name in {"prometheus": "Prometheus", "alertmanager": "Alertmanager"}.items():
        if shutil.which(program) or shutil.which(f"prometheus-{program}"):
            assert cell(output, name).startswith("http://127.0.0.1:")
        else:
            assert program in without
    for job, name in {"readmission-api": "API", "retrain": "retraining webhook"}.items():
        [targets] = state.glob(f"*/monitoring/targets/{job}.yml")
        assert json.loads(targets.read_text()) == [{"targets": [cell(output, name).removeprefix("http://")]}]
    [alerts] = state.glob("*/monitoring/alertmanager.yml")
    assert f"{cell(output, 'retraining webhook')}/alerts" in alerts.read_text()


def still_running(state: Path) -> list[str]:
    """Return the commands of processes that work in `state`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            environment = (process / "environ").read_bytes()
            if str(state).encode() in environment and int(process.name) != os.getpid():
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except (OSError, ProcessLookupError):
            continue
    return found
