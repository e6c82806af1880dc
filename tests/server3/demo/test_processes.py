"""The demo leaves nothing running if one of its processes dies or its terminal is closed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from readmission_demo.errors import DemoError
from readmission_demo.processes import Processes

# Starts and waits, as the demo does. Under nohup the test itself would ignore a closed terminal.
PROGRAM = """
import signal, sys, time
from pathlib import Path
from readmission_demo.processes import Processes

signal.signal(signal.SIGHUP, signal.SIG_DFL)
with Processes(Path(sys.argv[1])) as processes:
    processes.start("long", ["sleep", "600"], {}, Path.cwd())
    print(processes.running["long"].pid, flush=True)
    time.sleep(600)
"""


def in_session(leader: int) -> list[int]:
    """Return the processes in the session of `leader`, even if it has ended itself."""
    found = []
    for process in psutil.process_iter(["status"]):
        try:
            if os.getsid(process.pid) == leader and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except ProcessLookupError:
            continue
    return found


def test_a_process_that_dies_is_named_and_the_others_are_stopped(tmp_path: Path) -> None:
    running = Processes(tmp_path)
    running.start("first", ["sleep", "600"], {}, tmp_path)
    # A dead scheduler leaves a worker without its parent.
    running.start("dying", ["sh", "-c", "sleep 600 & exit 3"], {}, tmp_path)
    running.start("last", ["sleep", "600"], {}, tmp_path)
    leaders = [process.pid for process in running.running.values()]
    try:
        running.running["dying"].wait(timeout=60)
        assert [len(in_session(leader)) for leader in leaders] == [1, 1, 1]
        with pytest.raises(DemoError, match=r"^dying ended with code 3$"):
            running.check()
        running.stop()
        assert [in_session(leader) for leader in leaders] == [[], [], []]
    finally:
        kill(leaders)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_closed_terminal_stops_everything(tmp_path: Path, number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, tmp_path],
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdout
        leader = int(program.stdout.readline())
        try:
            assert in_session(leader) == [leader]
            # The shell forwards the signal, and the kernel sends another one.
            for _ in range(3):
                program.send_signal(number)
            assert program.wait(timeout=60) == 128 + number
            assert in_session(leader) == []
        finally:
            program.kill()
            kill([leader])


def kill(leaders: list[int]) -> None:
    for leader in leaders:
        for pid in in_session(leader):
            os.kill(pid, signal.SIGKILL)
