"""The health of an Airflow container: asks the process that runs in it, whichever of Airflow's it is.

Exit status 0 where that answers. Jobs that end by themselves (`airflow db migrate`) have no health but their own
exit status.
"""

import os
import subprocess
import sys
import urllib.request
from pathlib import Path

PAGES = {
    "api-server": "http://127.0.0.1:8080/api/v2/version",
    "scheduler": f"http://127.0.0.1:{os.environ.get('AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT', 8974)}/health",
}
JOBS = {"dag-processor": "DagProcessorJob", "triggerer": "TriggererJob"}


def main() -> int:
    """Ask the first process of this container."""
    words = Path("/proc/1/cmdline").read_bytes().decode(errors="replace").replace("\0", " ").split()
    for role, page in PAGES.items():
        if role in words:
            with urllib.request.urlopen(page, timeout=5) as answer:
                return 0 if answer.status == 200 else 1
    for role, job in JOBS.items():
        if role in words:
            return subprocess.run(["airflow", "jobs", "check", f"--job-type={job}", "--local"], check=False).returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
