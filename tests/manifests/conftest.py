"""The clusters' objects as a site deploys them, each built once: servers, and server 1 with an option."""

import copy
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import pytest
import yaml

from manifests.support.kustomize import CHECKOUT, SERVERS, build
from manifests.support.objects import Object

COMPONENTS = ("schedules", "overlays/kubernetes-executor")

# Secret: its keys. What a site has to give.
SECRETS = {
    "server1-data": {
        "mysql-root": {"password"},
        "mysql-users": {"raw", "clean", "airflow", "predictions", "notebooks", "backup", "exporter"},
        "databases": {
            "READMISSION_RAW_URL", "READMISSION_CLEAN_URL", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
        },
        "notebook-databases": {
            "READMISSION_RAW_URL", "READMISSION_CLEAN_URL", "READMISSION_PREDICTION_LOG_URL",
        },
        "airflow": {
            "AIRFLOW__API__SECRET_KEY", "AIRFLOW__API_AUTH__JWT_SECRET", "AIRFLOW__CORE__FERNET_KEY",
            "passwords.json",
        },
        "mlflow-client": {"MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"},
        "jupyter": {"JUPYTER_PASSWORD_HASH"},
        "feed": {"FEED_TOKEN"},
        "backup-store": {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"},
        "edge-tls": {"tls.crt", "tls.key"},
        "ca": {"ca.crt"},
    },
    "server2-tracking": {
        "mysql-root": {"password"},
        "mysql-users": {"mlflow", "backup", "exporter"},
        "mlflow": {"MLFLOW_BACKEND_STORE_URI", "MLFLOW_FLASK_SERVER_SECRET_KEY", "basic_auth.ini"},
        "mlflow-accounts": {"admin", "pipeline", "serving"},
        "minio-root": {"MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD"},
        "minio-users": {"mlflow_access", "mlflow_secret", "backup_access", "backup_secret"},
        "edge-tls": {"tls.crt", "tls.key"},
    },
    "server3-serving": {
        "api": {"READMISSION_API_TOKEN", "READMISSION_API_PREDICTION_LOG_URL"},
        "mlflow-client": {"MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"},
        "grafana": {"GF_SECURITY_ADMIN_PASSWORD"},
        "retrain": {"READMISSION_RETRAIN_AIRFLOW_USER", "READMISSION_RETRAIN_AIRFLOW_PASSWORD"},
        "locust": {"READMISSION_LOADTEST_WEB_USER", "READMISSION_LOADTEST_WEB_PASSWORD"},
        "ui": {"READMISSION_UI_TOKEN"},
        "edge-tls": {"tls.crt", "tls.key"},
        "ca": {"ca.crt"},
    },
}  # fmt: skip
IMAGES = (
    "airflow", "api", "backup", "feed", "jupyter", "locust", "minio", "mlflow", "retrain", "ui",
)  # fmt: skip
ADDRESSES = {"PUBLIC_HOST": "10.20.0.1", "DATA_HOST": "10.20.0.11", "TRACKING_HOST": "10.20.0.12",
             "SERVING_HOST": "10.20.0.13"}  # fmt: skip


def site(
    folder: Path,
    server: str,
    components: tuple[str, ...] = (),
    settings: Mapping[str, Sequence[str]] = MappingProxyType({}),
    **changed: str,
) -> list[Object]:
    """Build a server as a site does: the folders of a release, an overlay with addresses, secrets, images.

    `settings` are what a site merges into further ConfigMaps.
    """
    release = folder / "release"
    if not release.exists():
        for path in (f"{server}/deploy", "ansible/manifests", f"{server}/observability"):
            if (CHECKOUT / path).exists():
                shutil.copytree(CHECKOUT / path, release / path)
    base = release / server / "deploy"
    here = folder / "site"
    here.mkdir(exist_ok=True)
    known = yaml.safe_load((base / "kustomization.yaml").read_text())["configMapGenerator"]
    names = [literal.partition("=")[0] for literal in known[0]["literals"]]
    addresses = ADDRESSES | changed
    overlay = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": SERVERS[server],
        "resources": [f"../release/{server}/deploy"],
        "components": [f"../release/{server}/deploy/{name}" for name in (*components, "flows")],
        "configMapGenerator": [
            {
                "name": "addresses",
                "behavior": "merge",
                "literals": [f"{name}={addresses[name]}" for name in names],
            },
            *(
                {"name": name, "behavior": "merge", "literals": list(literals)}
                for name, literals in settings.items()
            ),
        ],
        "secretGenerator": [
            {"name": name, "literals": [f"{key}=x" for key in sorted(keys)]}
            for name, keys in SECRETS[server].items()
        ],
        "images": [
            {"name": name, "newName": f"10.20.0.12:32000/{name}", "newTag": "0a1b2c3d"}
            for name in (f"readmission/{image}" for image in IMAGES)
        ],
    }  # fmt: skip
    (here / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    return build(here)


@pytest.fixture(scope="session", params=[*SERVERS, *COMPONENTS])
def variant(request: pytest.FixtureRequest) -> str:
    """What is deployed: a server, or server 1 with one of its opt-in components."""
    return str(request.param)


@pytest.fixture(scope="session")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[Object]]:
    """Call it with a variant for its objects as a site deploys them, a copy of one's own."""
    known: dict[str, list[Object]] = {}

    def give(variant: str) -> list[Object]:
        if variant not in known:
            server = variant if variant in SERVERS else "server1-data"
            components = () if variant in SERVERS else (variant,)
            known[variant] = site(tmp_path_factory.mktemp("site"), server, components)
        return copy.deepcopy(known[variant])

    return give
