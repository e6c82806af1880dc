"""Schemathesis against the running service: responses match the document."""

import os
import subprocess

import pytest

from server3.api.support.tracking import CHECKOUT

# JSON Schema can't describe a CSV file with the right first line, so a text that the document
# allows may be refused there; for JSON the same fields are checked at /predict and /explain.
CONFIGURATION = """
[[operations]]
include-path = "/predict_batch"
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 422]
"""


# Ten minutes, and the start of the service.
@pytest.mark.timeout(900)
def test_no_answer_is_undocumented(service, tmp_path):
    """All checks. With READMISSION_FULL_TESTS=1 fuzzing repeats until ten minutes are over."""
    full = bool(os.environ.get("READMISSION_FULL_TESTS"))
    much = ["--max-examples=100", "--max-time=600"] if full else ["--max-examples=15"]
    (tmp_path / "schemathesis.toml").write_text(CONFIGURATION)
    options = ["--checks", "all", "--seed", "20140101", "--generation-database", "none", "--no-color"]
    run = subprocess.run(
        [
            CHECKOUT / ".venvs/api/bin/schemathesis",
            "--config-file=schemathesis.toml",
            "run",
            f"{service.url}/openapi.json",
            *much,
            *options,
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    print(run.stdout[-1500:])  # noqa: T201 - with -s
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
    assert "Traceback" not in service.log()
    assert service.metric("prediction_errors_total", kind="internal") == 0
