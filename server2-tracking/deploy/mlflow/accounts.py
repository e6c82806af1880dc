"""Makes MLflow's accounts, and gives each the password that its Secret holds now. Can run at any time.

`pipeline` may change every experiment and model, `notebooks` every experiment but no model, and `serving` may
read. The folder ACCOUNTS has a file per password: admin, pipeline, notebooks, serving, and admin_previous if
the administrator's was changed.
"""

import os
import sys
import time
from http import HTTPStatus
from pathlib import Path
from typing import Any

# MLflow's own client of these addresses would load the whole server.
import requests

ACCOUNTS = Path(os.environ["ACCOUNTS"])
API = f"{os.environ['MLFLOW_TRACKING_URI']}/api"
TRIES = int(os.environ.get("TRIES", "60"))
# What an account may do with each experiment and each registered model; by default it may do nothing.
GRANTS = {
    "pipeline": {"experiment": "EDIT", "registered_model": "EDIT"},
    # No alias is moved and no version is deleted from a notebook.
    "notebooks": {"experiment": "EDIT", "registered_model": "READ"},
    "serving": {"experiment": "READ", "registered_model": "READ"},
}
PERMISSIONS = "3.0/mlflow/users/permissions"


def password(name: str) -> str:
    """Return the password of an account."""
    return (ACCOUNTS / name).read_text().strip()


def call(session: requests.Session, method: str, path: str, **fields: str) -> requests.Response:
    """Make one call of MLflow's API."""
    place: dict[str, Any] = {"params" if method == "GET" else "json": fields}
    return session.request(method, f"{API}/{path}", timeout=30, **place)


def administrator() -> requests.Session:
    """Return a session that is logged in; a changed password is set with the previous one."""
    session = requests.Session()
    for _ in range(TRIES):
        session.auth = ("admin", password("admin"))
        try:
            answer = call(session, "GET", "2.0/mlflow/users/get", username="admin")
        except requests.ConnectionError:
            time.sleep(5)
            continue
        if answer.status_code == HTTPStatus.UNAUTHORIZED:
            if not (ACCOUNTS / "admin_previous").exists():
                sys.exit(
                    "accounts: MLflow refuses the administrator's password, and there is no previous one"
                )
            session.auth = ("admin", password("admin_previous"))
            changed = {
                "username": "admin",
                "password": password("admin"),
                "current_password": password("admin_previous"),
            }
            call(session, "PATCH", "2.0/mlflow/users/update-password", **changed).raise_for_status()
            session.auth = ("admin", password("admin"))
            return session
        answer.raise_for_status()
        return session
    sys.exit(f"accounts: no response from MLflow at {API}")


def main() -> None:
    """Bring every account to what the Secret and GRANTS say."""
    session = administrator()
    for user, permissions in GRANTS.items():
        wanted = {"username": user, "password": password(user)}
        if call(session, "GET", "2.0/mlflow/users/get", username=user).status_code == HTTPStatus.NOT_FOUND:
            call(session, "POST", "2.0/mlflow/users/create", **wanted).raise_for_status()
        else:
            call(session, "PATCH", "2.0/mlflow/users/update-password", **wanted).raise_for_status()
        for kind, permission in permissions.items():
            grant = {"username": user, "resource_type": kind, "resource_id": "*", "permission": permission}
            answer = call(session, "POST", f"{PERMISSIONS}/grant", **grant)
            if answer.status_code == HTTPStatus.BAD_REQUEST:
                # It has one already, which a grant does not replace.
                call(session, "POST", f"{PERMISSIONS}/revoke", **grant).raise_for_status()
                answer = call(session, "POST", f"{PERMISSIONS}/grant", **grant)
            answer.raise_for_status()
    sys.stdout.write(f"accounts: {', '.join(GRANTS)} are in place\n")


if __name__ == "__main__":
    main()
