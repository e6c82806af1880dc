"""The results of a server's set-up Jobs: databases, users, rights, accounts and buckets."""

import sqlite3
from contextlib import closing

from images.support.node import Node

QUERIES = (
    "SELECT schema_name, default_character_set_name FROM information_schema.schemata",
    # Not the hash: the same password has another one each time it is set.
    "SELECT user, host, plugin, ssl_type, max_user_connections, account_locked FROM mysql.user",
    "SELECT grantee, table_schema, privilege_type FROM information_schema.schema_privileges",
    "SELECT grantee, privilege_type FROM information_schema.user_privileges",
    "SELECT table_schema, table_name FROM information_schema.tables",
)


def sql(node: Node, password: str, query: str) -> list[list[str]]:
    """Query a server's MySQL as root."""
    said = node.execute("mysql", "mysql", "-uroot", f"-p{password}", "-N", "--raw", "-e", query)
    return [line.split("\t") for line in said.splitlines() if not line.startswith("mysql: [Warning]")]


def state(node: Node, password: str) -> dict[str, list[list[str]]]:
    """Return what is set up on a server."""
    found = {query: sorted(sql(node, password, query)) for query in QUERIES}
    accounts = node.claim("mlflow-accounts") / "basic_auth.db"
    if accounts.exists():
        found["accounts"] = _accounts(str(accounts))
        # Users and policies are encrypted; their names are not.
        store = node.claim("data-minio")
        found["store"] = sorted([str(path)] for path in store.glob(".minio.sys/config/iam/**/*"))
        found["buckets"] = sorted([path.name] for path in store.iterdir())
    else:
        found["migration"] = sql(node, password, "SELECT * FROM Airflow.alembic_version")
    return found


def _accounts(path: str) -> list[list[str]]:
    """Return MLflow's accounts and their rights, without numbers and hashes, which a new grant changes."""
    with closing(sqlite3.connect(path)) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found = []
        for table in tables:
            rows = database.execute(f"SELECT * FROM {table}")
            names = [column[0] for column in rows.description]
            kept = [index for index, name in enumerate(names) if name not in {"id", "password_hash"}]
            found += [[table, *(str(row[index]) for index in kept)] for row in rows]
    return sorted(found)
