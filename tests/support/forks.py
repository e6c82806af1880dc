"""The fork server of a test session: everything is imported, so a process starts in a hundredth of a second.

Python keeps one such server per session for all callers, so its imports must be listed in one place.
"""

import multiprocessing
import os
from multiprocessing import forkserver

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(
    [
        "__main__",
        "readmission_data.raw.load",
        "readmission_data.clean.tasks",
        "readmission_data.training.run",
        "readmission_data.registry.register",
        "pymysql",
        "sqlalchemy.dialects.mysql.pymysql",
        "sqlalchemy.dialects.sqlite.pysqlite",
    ]
)


def warm_up() -> None:
    """Start the server's imports, which take seconds, while the caller does something else."""
    forkserver.ensure_running()


def wait() -> None:
    """Return when the imports are done, so that a timed process does not wait for them."""
    process = PROCESSES.Process(target=os.getpid)
    process.start()
    process.join()
