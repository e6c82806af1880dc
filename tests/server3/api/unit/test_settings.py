"""An invalid setting stops the start with one line that names it and a valid value."""

import socket

import pytest

from readmission_api.__main__ import main
from readmission_api.settings import ApiSettings

SECRET = "geheim"


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("TRACKING_URI", "sqlite:///mlflow.db", "give the http or https address of an MLflow server"),
        ("TRACKING_URI", f"postgresql://u:{SECRET}@h/d", "give the http or https address"),
        ("TRACKING_URI", "http://", "give the http or https address"),
        ("TRACKING_URI", f"http://u:{SECRET}@h:port", "give the http or https address"),
        ("TRACKING_URI", "mlruns", "give the http or https address"),
        ("PREDICTION_LOG_URL", "predictions", "give mysql+pymysql://USER:PASSWORD@HOST:PORT/DATABASE"),
        ("PREDICTION_LOG_URL", f"postgresql://u:{SECRET}@h/d", "give mysql+pymysql://"),
        ("PREDICTION_LOG_URL", f"mysql://u:{SECRET}@h/d", "give mysql+pymysql://"),
        ("PREDICTION_LOG_URL", f"mysql+pymysql://u:{SECRET}@h:port/d", "give mysql+pymysql://"),
        ("HOST", "serving.example", "give an IP address of this machine"),
        ("PORT", "99999", "less than or equal to 65535"),
        ("WORKERS", "0", "greater than or equal to 1"),
        ("MODEL_NAME", "", "at least 1 character"),
        ("ALIAS", "", "at least 1 character"),
        ("TOKEN", " ", "give a token, or leave the setting out"),
        ("SHADOW", "perhaps", "valid boolean"),
        ("MAX_BATCH_BYTES", "8MB", "valid integer"),
        ("DRIFT_MINIMUM", "6000", "above READMISSION_API_DRIFT_WINDOW (5000)"),
    ],
)
def test_a_bad_setting_is_named_with_what_is_allowed(monkeypatch, capsys, name, value, wanted):
    monkeypatch.setenv(f"READMISSION_API_{name}", value)
    assert main() == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"READMISSION_API_{name}: ")
    assert wanted in line
    assert SECRET not in line


@pytest.mark.parametrize("host", ["127.0.0.1", "203.0.113.9"])
def test_an_address_that_cannot_be_had_is_named(monkeypatch, capsys, host):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        monkeypatch.setenv("READMISSION_API_HOST", host)
        monkeypatch.setenv("READMISSION_API_OPEN", "true")
        monkeypatch.setenv("READMISSION_API_PORT", str(port))
        assert main() == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        f"READMISSION_API_HOST, READMISSION_API_PORT: cannot listen on {host} port {port} ("
    )


def test_a_folder_that_cannot_be_made_is_named(monkeypatch, capsys, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("READMISSION_API_STATE_DIR", str(tmp_path / "file"))
    monkeypatch.setenv("READMISSION_API_PORT", "0")
    monkeypatch.setenv("READMISSION_API_WORKERS", "2")
    assert main() == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"READMISSION_API_STATE_DIR: cannot create {tmp_path}")


def test_no_default_points_into_the_demo():
    assert [name for name, field in ApiSettings.model_fields.items() if ".demo" in str(field.default)] == []
