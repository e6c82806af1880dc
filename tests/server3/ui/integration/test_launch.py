"""`python -m readmission_ui`, as a user starts it."""

import os
import subprocess
from pathlib import Path

import pytest

from server3.ui.support import processes
from server3.ui.support.processes import Served

LISTEN = "0A"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("READMISSION_UI_PORT", "99999"),
        ("READMISSION_UI_LANGUAGE", "fr"),
        ("READMISSION_UI_API_TIMEOUT", "soon"),
    ],
)
def test_a_wrong_setting_is_named_and_nothing_starts(name: str, value: str):
    run = subprocess.run(
        [processes.python("ui"), "-m", "readmission_ui"],
        env={**os.environ, name: value},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 1
    assert run.stderr.startswith(f"{name}: ")
    assert len(run.stderr.splitlines()) == 1


def test_it_listens_on_loopback_alone(pages: Served):
    listening = [
        line.split()[1]
        for table in ("/proc/net/tcp", "/proc/net/tcp6")
        for line in Path(table).read_text().splitlines()[1:]
        if line.split()[3] == LISTEN and int(line.split()[1].split(":")[1], 16) == pages.port
    ]
    assert listening == [f"0100007F:{pages.port:04X}"]
