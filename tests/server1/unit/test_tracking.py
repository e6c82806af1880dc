"""An MLflow that is away is named within seconds, not after minutes of tries."""

import socket
import time
from collections.abc import Iterator

import pytest

from readmission_data import tracking
from readmission_data.cli import main
from readmission_data.errors import TrackingError
from readmission_data.settings import DataSettings
from readmission_data.training.run import train


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://somebody:secret@127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def closed() -> str:
    """An address at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return f"http://somebody:secret@127.0.0.1:{port}"


@pytest.mark.parametrize("away", ["silent", "closed"])
def test_it_is_named_within_seconds(away: str, request: pytest.FixtureRequest) -> None:
    settings = DataSettings(tracking_uri=request.getfixturevalue(away))
    for call in (tracking.connect, train):
        started = time.monotonic()
        with pytest.raises(
            TrackingError, match=r"MLflow at http://127\.0\.0\.1:\d+ does not answer"
        ) as found:
            call(settings)
        assert time.monotonic() - started < 4 * tracking.SECONDS
        assert "secret" not in str(found.value)


def test_the_command_ends_with_one_line(
    closed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("READMISSION_TRACKING_URI", closed)
    for words in (["rollback"], ["pin", "--reason", "audit"], ["release"], ["train"]):
        assert main(words) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        [line] = printed.err.splitlines()
        assert line.startswith("readmission_data: MLflow at http://127.0.0.1:")


def test_a_pin_needs_a_reason(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["pin"])
    assert "--reason" in capsys.readouterr().err
