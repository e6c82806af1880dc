"""The Job mysql-users on a real server: users, rights, and new passwords."""

from dataclasses import replace

import pytest


@pytest.fixture(scope="module", autouse=True)
def made(databases):
    """Other tests took databases away: the Job's next run brings them back."""
    assert databases.make_users().returncode == 0


def refused(databases, user, statements):
    with pytest.raises(RuntimeError) as error:
        databases.query(user, statements)
    return str(error.value)


def test_each_user_has_its_own_databases_and_no_other(databases):
    databases.query("raw", "CREATE TABLE RawData.t (a INT); DROP TABLE RawData.t;")
    databases.query("notebooks", "CREATE TABLE CleanData.t (a INT); DROP TABLE CleanData.t;")
    assert "denied" in refused(databases, "raw", "CREATE TABLE CleanData.t (a INT)")
    assert "denied" in refused(databases, "clean", "CREATE TABLE PredictionLog.t (a INT)")
    assert "denied" in refused(databases, "notebooks", "CREATE TABLE PredictionLog.t (a INT)")
    assert "denied" in refused(databases, "backup", "CREATE TABLE RawData.t (a INT)")
    databases.query("root", "CREATE TABLE PredictionLog.t (a INT)")
    databases.query("privacy", "SELECT a FROM PredictionLog.t; DELETE FROM PredictionLog.t;")
    assert "denied" in refused(databases, "privacy", "INSERT INTO PredictionLog.t VALUES (1)")
    assert "denied" in refused(databases, "privacy", "SELECT 1 FROM RawData.t")
    databases.query("root", "DROP TABLE PredictionLog.t")
    own = set(databases.query("predictions", "SHOW DATABASES").split())
    assert own - {"information_schema", "performance_schema"} == {"PredictionLog"}


def test_predictions_and_the_audit_trail_are_not_changed_by_who_writes_them(databases):
    # As a site of before has it.
    databases.query("root", "GRANT ALL ON PredictionLog.* TO 'predictions'@'%'")
    assert databases.make_users().returncode == 0
    databases.query(
        "predictions",
        """
        CREATE TABLE PredictionLog.predictions (a INT);
        CREATE INDEX b ON PredictionLog.predictions (a);
        INSERT INTO PredictionLog.predictions VALUES (1);
        SELECT a FROM PredictionLog.predictions;
        CREATE TABLE PredictionLog.outcomes (a INT);
        INSERT INTO PredictionLog.outcomes VALUES (1);
        DELETE FROM PredictionLog.outcomes WHERE a = 1;
        CREATE TABLE PredictionLog.loaded_slices (a INT);
        DELETE FROM PredictionLog.loaded_slices WHERE a = 1;
        """,
    )
    try:
        for statement in ("UPDATE {0} SET a = 2", "DELETE FROM {0}", "TRUNCATE {0}", "DROP TABLE {0}",
                          "ALTER TABLE {0} ADD c INT"):  # fmt: skip
            assert "denied" in refused(
                databases, "predictions", statement.format("PredictionLog.predictions")
            )
        line = "(at, request_id, client, address, action, status) VALUES (NOW(), 'r', 'c', '::1', 'x', 200)"
        databases.query("audit", f"INSERT INTO Audit.accesses {line}")
        for user in ("audit", "auditor", "predictions", "notebooks"):
            for statement in (
                "UPDATE {0} SET client = 'x'",
                "DELETE FROM {0}",
                "TRUNCATE {0}",
                "DROP TABLE {0}",
            ):
                assert "denied" in refused(databases, user, statement.format("Audit.accesses"))
        assert databases.query("auditor", "SELECT client FROM Audit.accesses").split() == ["c"]
        assert databases.query("auditor", "SELECT a FROM PredictionLog.predictions").split() == ["1"]
        assert databases.query("backup", "SELECT COUNT(*) FROM Audit.accesses").split() == ["1"]
        for user in ("audit", "notebooks", "predictions"):
            assert "denied" in refused(databases, user, "SELECT client FROM Audit.accesses")
    finally:
        databases.query("root", "DROP TABLE PredictionLog.predictions, PredictionLog.outcomes")
        databases.query("root", "DROP TABLE PredictionLog.loaded_slices; DELETE FROM Audit.accesses")


def test_the_user_of_the_prediction_log_comes_by_tls_alone(databases):
    plain = "ALTER USER 'predictions'@'%' REQUIRE NONE"
    assert (
        databases.query("root", "SELECT ssl_type FROM mysql.user WHERE user = 'predictions'").strip() == "ANY"
    )
    databases.query("root", plain)
    assert databases.make_users().returncode == 0
    assert (
        databases.query("root", "SELECT ssl_type FROM mysql.user WHERE user = 'predictions'").strip() == "ANY"
    )


def test_a_second_run_changes_nothing_but_what_a_secret_changed(databases):
    databases.query("raw", "CREATE TABLE RawData.kept (a INT)")
    old = databases.passwords["raw"]
    databases.passwords["raw"] = "AnotherPassword0123"
    done = databases.make_users()
    assert done.returncode == 0, done.stderr
    assert databases.query("raw", "SHOW TABLES IN RawData").split() == ["kept"]
    databases.query("raw", "DROP TABLE RawData.kept")
    with pytest.raises(RuntimeError, match="Access denied"):
        databases.query("raw", "SELECT 1", password=old)


def test_root_takes_its_new_password_with_the_one_before(databases):
    databases.previous, databases.root = databases.root, "NewRootPassword01234"
    done = databases.make_users()
    assert done.returncode == 0, done.stderr
    assert databases.query("root", "SELECT 1").strip() == "1"
    with pytest.raises(RuntimeError, match="Access denied"):
        databases.query("root", "SELECT 1", password=databases.previous)
    # And again, when there is nothing left to do.
    assert databases.make_users().returncode == 0


def test_a_lost_root_password_is_told_in_one_line(databases):
    kept, databases.root = databases.root, "NobodyKnowsThisOne01"
    kept_previous, databases.previous = databases.previous, ""
    try:
        done = databases.make_users()
    finally:
        databases.root, databases.previous = kept, kept_previous
    assert done.returncode == 1
    assert done.stderr.startswith("users: MySQL refuses root")
    assert "NobodyKnowsThisOne01" not in done.stderr


def test_a_password_cannot_become_sql(databases):
    kept = databases.passwords["clean"]
    databases.passwords["clean"] = "x'; DROP DATABASE RawData; -- "
    try:
        done = databases.make_users()
    finally:
        databases.passwords["clean"] = kept
    assert done.returncode == 1
    assert "users/clean: at least 16 of" in done.stderr
    assert "RawData" in databases.query("root", "SHOW DATABASES")


def test_server_2_has_users_of_its_own(databases, tmp_path):
    names = ("backup", "exporter")
    passwords = {name: databases.passwords[name] for name in names} | {"mlflow": "mlflowPassword0123"}
    other = replace(databases, owner="server2-tracking", folder=tmp_path, passwords=passwords)
    for _ in range(2):
        done = other.make_users()
        assert done.returncode == 0, done.stderr
    other.query("mlflow", "CREATE TABLE mlflow.t (a INT)")
    assert "denied" in refused(other, "mlflow", "CREATE TABLE RawData.t (a INT)")
    assert other.query("backup", "SELECT COUNT(*) FROM mlflow.t").strip() == "0"
    other.query("root", "DROP DATABASE mlflow; DROP USER mlflow")
