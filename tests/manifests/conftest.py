"""The clusters' objects as a site deploys them, each built once: servers, and server 1 with an option."""

import copy
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import pytest
import yaml
from jinja2 import Environment, StrictUndefined

from manifests.support.kustomize import CHECKOUT, SERVERS, build
from manifests.support.objects import Object

COMPONENTS = ("schedules", "overlays/kubernetes-executor")

# The Secrets that a site must provide, with their keys.
SECRETS = {
    "server1-data": {
        "mysql-root": {"password"},
        "mysql-users": {
            "raw", "clean", "airflow", "predictions", "audit", "auditor", "notebooks", "privacy", "backup",
            "exporter",
        },
        "databases": {
            "READMISSION_RAW_URL", "READMISSION_CLEAN_URL", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
            "READMISSION_ERASURE_KEY",
        },
        "privacy": {"READMISSION_PREDICTION_LOG_URL"},
        "notebook-databases": {
            "READMISSION_RAW_URL", "READMISSION_CLEAN_URL", "READMISSION_PREDICTION_LOG_URL",
        },
        "airflow": {
            "AIRFLOW__API__SECRET_KEY", "AIRFLOW__API_AUTH__JWT_SECRET", "AIRFLOW__CORE__FERNET_KEY",
            "passwords.json",
        },
        "mlflow-client": {"MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"},
        "notebook-mlflow": {"MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"},
        "jupyter": {"JUPYTER_PASSWORD_HASH"},
        "feed-token": {"FEED_TOKEN"},
        "backup-keys": {"READMISSION_BACKUP_SIGNING_KEYS", "READMISSION_BACKUP_RECIPIENT"},
        "restore-keys": {"READMISSION_BACKUP_IDENTITIES"},
        "backup-store": {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"},
        "edge-tls": {"tls.crt", "tls.key"},
        "ca": {"ca.crt"},
    },
    "server2-tracking": {
        "mysql-root": {"password"},
        "mysql-users": {"mlflow", "backup", "exporter"},
        "mlflow": {"MLFLOW_BACKEND_STORE_URI", "MLFLOW_FLASK_SERVER_SECRET_KEY", "basic_auth.ini"},
        "mlflow-accounts": {"admin", "pipeline", "notebooks", "serving"},
        "backup-keys": {"READMISSION_BACKUP_SIGNING_KEYS", "READMISSION_BACKUP_RECIPIENT"},
        "restore-keys": {"READMISSION_BACKUP_IDENTITIES"},
        "minio-root": {"MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD"},
        "minio-users": {
            f"{account}_{part}"
            for account in ("mlflow", "data_backup", "tracking_backup", "expiry", "copies")
            for part in ("access", "secret")
        },
        "edge-tls": {"tls.crt", "tls.key"},
    },
    "server3-serving": {
        "api": {
            "READMISSION_API_TOKEN", "READMISSION_API_PREDICTION_LOG_URL", "READMISSION_API_AUDIT_URL",
            "READMISSION_API_EDGE_KEY",
        },
        "mlflow-client": {"MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"},
        "grafana": {"GF_SECURITY_ADMIN_PASSWORD"},
        "retrain": {"READMISSION_RETRAIN_AIRFLOW_USER", "READMISSION_RETRAIN_AIRFLOW_PASSWORD"},
        "api-clients": {"clients.json"},
        "locust": {
            "READMISSION_LOADTEST_WEB_USER", "READMISSION_LOADTEST_WEB_PASSWORD",
            "READMISSION_LOADTEST_TOKEN",
        },
        "ui": {"READMISSION_UI_CLIENT_TOKEN"},
        "edge-login": {"users.htpasswd", "key.conf"},
        "edge-tls": {"tls.crt", "tls.key"},
        "ca": {"ca.crt"},
    },
}  # fmt: skip
IMAGES = (
    "airflow", "api", "backup", "feed", "jupyter", "locust", "minio", "mlflow", "retrain", "ui",
)  # fmt: skip
ADDRESSES = {"PUBLIC_HOST": "10.20.0.1", "DATA_HOST": "10.20.0.11", "TRACKING_HOST": "10.20.0.12",
             "SERVING_HOST": "10.20.0.13"}  # fmt: skip


# The primary and a worker of each group.
NODES = {
    "data": [ADDRESSES["DATA_HOST"], "10.20.0.21"],
    "tracking": [ADDRESSES["TRACKING_HOST"], "10.20.0.22"],
    "serving": [ADDRESSES["SERVING_HOST"], "10.20.0.23"],
}
TEMPLATE = CHECKOUT / "ansible/roles/deploy/templates/kustomization.yaml.j2"


def site(
    folder: Path,
    server: str,
    components: tuple[str, ...] = (),
    settings: Mapping[str, Sequence[str]] = MappingProxyType({}),
    **changed: str,
) -> list[Object]:
    """Build a server as the play does: the folders of a release, with the role's overlay on top.

    `settings` are merged into other ConfigMaps; `changed` are other addresses.
    """
    release = folder / "release"
    if not release.exists():
        for path in (f"{server}/deploy", "ansible/manifests", f"{server}/observability"):
            if (CHECKOUT / path).exists():
                shutil.copytree(CHECKOUT / path, release / path)
    deploy = release / server / "deploy"
    here = folder / "site"
    known = yaml.safe_load((deploy / "kustomization.yaml").read_text())["configMapGenerator"]
    names = [literal.partition("=")[0] for literal in known[0]["literals"]]
    addresses = ADDRESSES | changed
    group = SERVERS[server].removeprefix("readmission-")
    values, files = {}, {}
    for name, keys in SECRETS[server].items():
        files[name] = sorted(key for key in keys if "." in key)
        values[name] = sorted(key for key in keys if "." not in key)
        (here / "secrets" / name).mkdir(parents=True, exist_ok=True)
        for key in files[name]:
            (here / "secrets" / name / key).write_text("x")
        (here / "secrets" / f"{name}.env").write_text("".join(f"{key}=x\n" for key in values[name]))
    if server == "server3-serving":
        components = (*components, "mail")
    environment = Environment(trim_blocks=True, undefined=StrictUndefined)  # noqa: S701 - no page
    environment.filters |= {"bool": bool, "comment": "# {}".format, "to_json": json.dumps}
    (here / "kustomization.yaml").write_text(
        environment.from_string(TEMPLATE.read_text()).render(
            ansible_managed="tests",
            platform_group=group,
            platform_namespace=SERVERS[server],
            platform_tracking_ip=ADDRESSES["TRACKING_HOST"],
            platform_registry_port=32000,
            release_tag="0a1b2c3d",
            deploy_source=server,
            deploy_site_components=[f"../release/{server}/deploy/{name}" for name in components],
            deploy_node_addresses=NODES,
            deploy_addresses={group: {name: addresses[name] for name in names}},
            deploy_targets={group: {}},
            deploy_settings=settings,
            deploy_dags_paused=False,
            deploy_wait_seconds=900,
            deploy_own_secrets=[name for name, keys in values.items() if keys],
            deploy_own_secret_files={name: keys for name, keys in files.items() if keys},
            deploy_followed_secrets=["api-clients"],
            deploy_images=IMAGES,
        )
    )
    return build(here)


@pytest.fixture(scope="session", params=[*SERVERS, *COMPONENTS])
def variant(request: pytest.FixtureRequest) -> str:
    """A deployed variant: a server, or server 1 with one of its optional components."""
    return str(request.param)


@pytest.fixture(scope="session")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[Object]]:
    """A function that returns a copy of a variant's objects as a site deploys them."""
    known: dict[str, list[Object]] = {}

    def give(variant: str) -> list[Object]:
        if variant not in known:
            server = variant if variant in SERVERS else "server1-data"
            components = () if variant in SERVERS else (variant,)
            known[variant] = site(tmp_path_factory.mktemp("site"), server, components)
        return copy.deepcopy(known[variant])

    return give
