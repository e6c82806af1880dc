"""The audit trail: what a line says, who is believed about an address, and a database that is away."""

import json
import sqlite3
import sys
import time
from datetime import datetime

import pytest
from pydantic import SecretStr
from sqlalchemy import create_engine

from readmission_api import audit_report
from readmission_api.audit import AuditTrail
from readmission_api.prediction_log.tables import METADATA

KEY = "key-of-the-edge"
EDGE = {b"x-edge-key": KEY.encode(), b"x-forwarded-for": b"10.1.2.3"}


def trail(file):
    return AuditTrail(SecretStr(f"sqlite:///{file}"), SecretStr(KEY))


def lines(file):
    with sqlite3.connect(file) as connection:
        return connection.execute(
            "SELECT request_id, client, address, action, status FROM accesses ORDER BY id"
        ).fetchall()


def test_each_request_that_was_let_in_is_a_line(tmp_path):
    file = tmp_path / "audit.db"
    kept = trail(file)
    kept.start()
    kept.note("/predict", "r-1", "ward", "10.9.9.9", EDGE, 200)
    kept.note("/explain", "r-2", "ward", "10.9.9.9", EDGE, 422)
    kept.note("/predict", "r-3", None, "10.9.9.9", EDGE, 401)
    kept.note("/health", "r-4", None, "10.9.9.9", EDGE, 200)
    kept.note("/outcomes", "r-5", "ehr", "10.9.9.9", {}, 200)
    kept.note("/reload_model", "r-6", "operator", "10.9.9.9", EDGE, 403)
    kept.stop(10)
    assert lines(file) == [
        ("r-1", "ward", "10.1.2.3", "predict", 200),
        ("r-2", "ward", "10.1.2.3", "explain", 422),
        ("r-5", "ehr", "10.9.9.9", "outcomes", 200),
        ("r-6", "operator", "10.1.2.3", "reload", 403),
    ]


@pytest.mark.parametrize(
    "headers",
    [
        {b"x-forwarded-for": b"10.1.2.3"},
        EDGE | {b"x-edge-key": b"guessed"},
        EDGE | {b"x-forwarded-for": b"10.1.2.3, 6.6.6.6"},
        EDGE | {b"x-forwarded-for": b"\r\nforged"},
    ],
)
def test_only_the_edge_is_believed_about_an_address(tmp_path, headers):
    assert trail(tmp_path / "audit.db").address("10.9.9.9", headers) == "10.9.9.9"
    assert trail(tmp_path / "audit.db").address("10.9.9.9", EDGE) == "10.1.2.3"


def test_lines_wait_for_a_database_that_is_away(tmp_path):
    folder = tmp_path / "away"
    kept = trail(folder / "audit.db")
    kept.start()
    kept.note("/predict", "r-1", "ward", "10.9.9.9", {}, 200)
    end = time.monotonic() + 30
    while kept.state != "failing":
        assert time.monotonic() < end
        time.sleep(0.05)
    folder.mkdir()
    kept.note("/predict", "r-2", "ward", "10.9.9.9", {}, 200)
    kept.stop(20)
    assert [line[0] for line in lines(folder / "audit.db")] == ["r-1", "r-2"]


def test_the_report_says_who_asked_about_a_patient(tmp_path, monkeypatch, capsys):
    file, log = tmp_path / "audit.db", tmp_path / "log.db"
    kept = trail(file)
    kept.start()
    for request_id, client in (("r-1", "ward"), ("r-2", "ehr"), ("r-3", "ward")):
        kept.note("/predict", request_id, client, "10.9.9.9", {}, 200)
    kept.stop(10)
    METADATA.create_all(create_engine(f"sqlite:///{log}"))
    patients = {"r-1": {"age": "[70-80)", "stays": 3}, "r-2": {"age": "[70-80)", "stays": 4},
                "r-3": {"age": "[70-80)", "stays": 3}}  # fmt: skip
    with sqlite3.connect(log) as connection:
        for request_id, patient in patients.items():
            connection.execute(
                "INSERT INTO predictions (request_id, number, predicted_at, model, version, probability, "
                "class, inputs) VALUES (?, 0, '2026-01-01', 'm', '1', 0.1, 0, ?)",
                (request_id, json.dumps(patient)),
            )
    (tmp_path / "patient.json").write_text('{"stays": 3, "age": "[70-80)"}')
    monkeypatch.setenv("READMISSION_AUDIT_URL", f"sqlite:///{file}")
    monkeypatch.setenv("READMISSION_AUDIT_PREDICTION_LOG_URL", f"sqlite:///{log}")

    def report(*arguments):
        monkeypatch.setattr(sys, "argv", ["audit_report", *map(str, arguments)])
        assert audit_report.main() == 0
        return [line.split("\t") for line in capsys.readouterr().out.splitlines()]

    found = report("--patient", tmp_path / "patient.json")
    assert [line[1:] for line in found] == [
        ["ward", "10.9.9.9", "predict", "200", "r-1"],
        ["ward", "10.9.9.9", "predict", "200", "r-3"],
    ]
    assert datetime.fromisoformat(found[0][0])
    assert [line[-1] for line in report("--client", "ehr")] == ["r-2"]
