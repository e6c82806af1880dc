"""Server 1's own version through HTTP, against scikit-learn, on every row of the test split."""

import csv
import os
import subprocess

import pytest

from server3.api.support.tracking import CHECKOUT, MODEL, Tracking

PYTHON = CHECKOUT / ".venvs/data/bin/python"
SUPPORT = CHECKOUT / "tests/server3/api/support"
ENCOUNTERS = "8000"
TOLERANCE = 1e-6


class Served:
    """Return the service's settings for server 1's registry."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.model = MODEL


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Load, prepare and train with server 1's commands; on the real data set with READMISSION_FULL_TESTS."""
    folder = tmp_path_factory.mktemp("trained")
    tracking = Tracking(folder / "tracking")
    tracking.start()
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "READMISSION_RAW_URL": f"sqlite:///{folder / 'raw.db'}",
        "READMISSION_CLEAN_URL": f"sqlite:///{folder / 'clean.db'}",
        "READMISSION_STAGING_DIR": str(folder / "staging"),
        "READMISSION_CACHE_DIR": str(folder / "cache"),
        "READMISSION_TRACKING_URI": tracking.uri,
        "READMISSION_SEARCH_TRIALS": "1",
        "READMISSION_BOOTSTRAP_SAMPLES": "100",
    }

    def run(*command):
        subprocess.run([PYTHON, *command], check=True, env=environment, cwd=CHECKOUT)

    if not os.environ.get("READMISSION_FULL_TESTS"):
        sample = folder / "sample.csv"
        run("-m", "readmission_data.dataset.synthetic", sample, "--encounters", ENCOUNTERS)
        environment["READMISSION_DATASET"] = str(sample)
    for command in ("load-all", "preprocess", "train"):
        run("-m", "readmission_data", command)
    run(SUPPORT / "score_test_split.py", folder / "test.csv")
    yield Served(tracking.uri), folder / "test.csv"
    tracking.stop()


def test_http_equals_scikit_learn_on_all_of_test(trained, new_service):
    registry, path = trained
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    expected = [row.pop("expected") for row in rows]
    assert len(rows) > 800
    service = new_service(registry).start()

    # As a file.
    lines = [",".join(rows[0]), *(",".join(f'"{value}"' for value in row.values()) for row in rows)]
    answer = service.http.post(
        "/predict_batch", content="\n".join(lines), headers={"content-type": "text/csv"}, timeout=300
    )
    found = list(csv.DictReader(answer.text.splitlines()))
    assert [row["encounter_id"] for row in found] == [row["encounter_id"] for row in rows]
    # Encounters that the cohort excludes, and no others, are refused.
    assert [row["code"] for row in found] == ["" if risk else "outside_cohort" for risk in expected]
    assert "" in expected
    kept = [place for place, risk in enumerate(expected) if risk]
    rows, found = ([table[place] for place in kept] for table in (rows, found))
    expected = [float(expected[place]) for place in kept]
    worst = max(abs(float(row["probability"]) - risk) for row, risk in zip(found, expected, strict=True))
    assert worst <= TOLERANCE

    # One by one, and as a list: the same to the last digit.
    kinds = {field["name"]: field["kind"] for field in service.http.get("/model/schema").json()["fields"]}
    patients = [
        {name: int(row[name]) if kind == "integer" else row[name] for name, kind in kinds.items()}
        for row in rows[:300]
    ]
    single = [service.http.post("/predict", json=patient).json()["probability"] for patient in patients]
    batch = service.http.post("/predict_batch", json=patients).json()["predictions"]
    for one, many, row, risk in zip(single, batch, found, expected, strict=False):
        assert one == pytest.approx(many["probability"], abs=1e-7)
        assert one == pytest.approx(float(row["probability"]), abs=1e-7)
        assert abs(one - risk) <= TOLERANCE
    print(f"{len(rows)} rows, worst difference {worst:.2e}")  # noqa: T201 - with -s
