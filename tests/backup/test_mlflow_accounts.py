"""The Job mlflow-accounts on a real MLflow: what each account may do with models and experiments."""

import base64
import json
import os
import subprocess
import urllib.request
from urllib.error import HTTPError

import pytest

from backup.conftest import CHECKOUT
from support import tracking

NAMES = ("admin", "pipeline", "serving", "notebooks")
PASSWORDS = {name: f"{name}-password-0123456789" for name in NAMES}
MODEL = "best_diabetes_readmission_model"
CONFIG = """[mlflow]
default_permission = NO_PERMISSIONS
database_uri = sqlite:///{folder}/basic_auth.db
admin_username = admin
admin_password = {password}
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
"""


@pytest.fixture(scope="module")
def ask(tmp_path_factory):
    """Call it with an account, a method, a path and fields for the status of the answer."""
    folder = tmp_path_factory.mktemp("mlflow")
    (folder / "basic_auth.ini").write_text(CONFIG.format(folder=folder, password=PASSWORDS["admin"]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_AUTH_CONFIG_PATH", str(folder / "basic_auth.ini"))
        patch.setenv("MLFLOW_FLASK_SERVER_SECRET_KEY", "of-the-test")
        server = tracking.start(folder, f"sqlite:///{folder}/mlflow.db", "--app-name=basic-auth")
    try:
        server.wait()
        accounts = folder / "accounts"
        accounts.mkdir()
        for name, password in PASSWORDS.items():
            (accounts / name).write_text(password)
        # Twice: a second run changes nothing.
        for _ in range(2):
            subprocess.run(
                [
                    tracking.MLFLOW.with_name("python"),
                    CHECKOUT / "server2-tracking/deploy/mlflow/accounts.py",
                ],
                env={**os.environ, "MLFLOW_TRACKING_URI": server.address, "ACCOUNTS": str(accounts)},
                check=True,
            )

        def ask(user, method, path, **fields):
            word = base64.b64encode(f"{user}:{PASSWORDS[user]}".encode()).decode()
            request = urllib.request.Request(  # noqa: S310 - our own address
                f"{server.address}/api/2.0/mlflow/{path}",
                json.dumps(fields).encode() if method != "GET" else None,
                {"Authorization": f"Basic {word}", "Content-Type": "application/json"},
                method=method,
            )
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
                    return answer.status, json.load(answer)
            except HTTPError as error:
                return error.code, {}

        assert ask("pipeline", "POST", "registered-models/create", name=MODEL)[0] == 200
        yield ask
    finally:
        server.stop()


ALIAS = ("POST", "registered-models/alias", {"name": MODEL, "alias": "production", "version": "1"})
DELETES = [
    ("DELETE", "model-versions/delete", {"name": MODEL, "version": "1"}),
    ("DELETE", "registered-models/delete", {"name": MODEL}),
    ("DELETE", "registered-models/alias", {"name": MODEL, "alias": "production"}),
    ("PATCH", "registered-models/update", {"name": MODEL, "description": "forged"}),
]


@pytest.mark.parametrize("user", ["notebooks", "serving"])
@pytest.mark.parametrize(("method", "path", "fields"), [ALIAS, *DELETES])
def test_only_the_pipeline_moves_aliases_and_changes_models(ask, user, method, path, fields):
    assert ask(user, method, path, **fields)[0] == 403


def test_the_pipeline_may_move_an_alias(ask):
    # There is no such version, which it learns because it may ask.
    assert ask("pipeline", *ALIAS[:2], **ALIAS[2])[0] != 403


def test_everybody_with_an_account_reads_the_model(ask):
    for user in ("pipeline", "notebooks", "serving"):
        assert ask(user, "GET", f"registered-models/get?name={MODEL}")[0] == 200


def test_notebooks_write_experiments_and_serving_reads_them(ask):
    status, made = ask("pipeline", "POST", "experiments/create", name="of the pipeline")
    assert status == 200
    for user, expected in (("notebooks", 200), ("pipeline", 200), ("serving", 403)):
        assert ask(user, "POST", "runs/create", experiment_id=made["experiment_id"])[0] == expected, user
    assert ask("serving", "GET", f"experiments/get?experiment_id={made['experiment_id']}")[0] == 200
