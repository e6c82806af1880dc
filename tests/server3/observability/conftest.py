import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from server3.observability.support import programs

AIRFLOW_LINES = Path(__file__).parent / "support" / "airflow_lines.txt"
"""What a real Airflow 3.3.2 sent while it ran `load_raw_data` and `preprocess_incremental` on the sample:
scheduler, DAG processor and tasks, each series at most twice."""

# The one line that those two runs had no reason to send, as DagRun spells it.
FAILED_RUN = "airflow.dagrun.duration.failed,dag_id=train_and_register,run_type=asset_triggered:5321.5|ms"


def send(port: int) -> None:
    """Send Airflow's lines to an exporter, a datagram each, as Airflow does."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        for line in [*AIRFLOW_LINES.read_text().splitlines(), FAILED_RUN]:
            udp.sendto(line.encode(), ("127.0.0.1", port))


@pytest.fixture(scope="session")
def airflow_lines() -> Callable[[int], None]:
    return send


@pytest.fixture
def statsd(tmp_path: Path) -> Iterator[tuple[str, int]]:
    with programs.statsd(tmp_path / "statsd") as running:
        yield running
