"""The three servers as a site deploys them: addresses, secrets, certificates, and a short training."""

import datetime as dt
import hashlib
import ipaddress
import json
import secrets
import shutil
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from manifests.support.kustomize import CHECKOUT, SERVERS, build

OUR_IMAGES = ("airflow", "feed", "jupyter", "mlflow", "minio", "api", "ui", "retrain", "locust", "backup")
# What is tested is the way through the images, not the model.
SHORT = {
    "READMISSION_CANDIDATES": '["logistic_regression"]',
    "READMISSION_SEARCH_TRIALS": "1",
    "READMISSION_BOOTSTRAP_SAMPLES": "100",
}


class Site:
    """Generates the secrets once and builds each server's objects with them."""

    def __init__(self, folder: Path, addresses: dict[str, str], tag: str) -> None:
        self.folder = folder
        self.addresses = addresses
        self.tag = tag
        self.ca, self._ca_key, self.ca_pem = _authority()
        self.passwords = {
            name: secrets.token_urlsafe(18)
            for name in (
                "root1", "raw", "clean", "airflow", "predictions", "notebooks", "backup", "exporter", "admin",
                "retrain", "root2", "mlflow", "backup2", "exporter2", "ml_admin", "pipeline", "serving",
                "minio", "mlflow_key", "backup_key", "feed", "api", "grafana", "jupyter", "locust", "pages",
                "audit", "auditor", "edge", "privacy", "data_backup", "expiry", "copies",
                "ml_notebooks",
            )
        }  # fmt: skip

    def objects(self, server: str, merged: dict[str, dict[str, str]]) -> list[dict[str, Any]]:
        """Build a server; `merged` is what the site adds to ConfigMaps of the base."""
        home = self.folder / server
        for path in (f"{server}/deploy", "ansible/manifests", f"{server}/observability"):
            if (CHECKOUT / path).exists():
                shutil.copytree(CHECKOUT / path, home / "release" / path)
        base = home / "release" / server / "deploy"
        here = home / "site"
        here.mkdir()
        generators = []
        for name, keys in self._secrets(server).items():
            for key, value in keys.items():
                (here / f"{name}.{key}").write_text(value)
            generators.append({"name": name, "files": [f"{key}={name}.{key}" for key in keys]})
        known = yaml.safe_load((base / "kustomization.yaml").read_text())["configMapGenerator"][0]["literals"]
        addresses = {literal.partition("=")[0]: "" for literal in known}
        addresses = {name: self.addresses[server if name == "PUBLIC_HOST" else name] for name in addresses}
        overlay = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "namespace": SERVERS[server],
            "resources": [f"../release/{server}/deploy"],
            "components": [f"../release/{server}/deploy/mail"] if server == "server3-serving" else [],
            "configMapGenerator": [
                {
                    "name": name,
                    "behavior": "merge",
                    "literals": [f"{key}={value}" for key, value in values.items()],
                }
                for name, values in {"addresses": addresses, **merged}.items()
            ],
            "secretGenerator": generators,
            "images": [{"name": f"readmission/{name}", "newTag": self.tag} for name in OUR_IMAGES],
        }
        (here / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
        return build(here)

    def _secrets(self, server: str) -> dict[str, dict[str, str]]:
        word = self.passwords
        certificate = dict(
            zip(("tls.crt", "tls.key"), self._certificate(self.addresses[server]), strict=True)
        )
        pipeline = {"MLFLOW_TRACKING_USERNAME": "pipeline", "MLFLOW_TRACKING_PASSWORD": word["pipeline"]}
        shared = {"edge-tls": certificate, "ca": {"ca.crt": self.ca_pem}}

        def url(user: str, database: str, host: str = "mysql:3306", options: str = "") -> str:
            return f"mysql+pymysql://{user}:{word[user]}@{host}/{database}{options}"

        if server == "server1-data":
            users = (
                "raw", "clean", "airflow", "predictions", "audit", "auditor", "notebooks", "backup",
                "exporter", "privacy",
            )  # fmt: skip
            return shared | {
                "mysql-root": {"password": word["root1"]},
                "mysql-users": {name: word[name] for name in users},
                "databases": {
                    "READMISSION_RAW_URL": url("raw", "RawData"),
                    "READMISSION_CLEAN_URL": url("clean", "CleanData"),
                    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url("airflow", "Airflow"),
                    "READMISSION_ERASURE_KEY": Fernet.generate_key().decode(),
                },
                "privacy": {"READMISSION_PREDICTION_LOG_URL": url("privacy", "PredictionLog")},
                **_backup_keys(),
                "notebook-databases": {
                    "READMISSION_RAW_URL": url("notebooks", "RawData"),
                    "READMISSION_CLEAN_URL": url("notebooks", "CleanData"),
                    "READMISSION_PREDICTION_LOG_URL": url("notebooks", "PredictionLog"),
                },
                "airflow": {
                    "AIRFLOW__API__SECRET_KEY": secrets.token_urlsafe(32),
                    "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_urlsafe(32),
                    "AIRFLOW__CORE__FERNET_KEY": Fernet.generate_key().decode(),
                    "passwords.json": json.dumps({"admin": word["admin"], "retrain": word["retrain"]}),
                },
                "mlflow-client": pipeline,
                "notebook-mlflow": {
                    "MLFLOW_TRACKING_USERNAME": "notebooks",
                    "MLFLOW_TRACKING_PASSWORD": word["ml_notebooks"],
                },
                "jupyter": {"JUPYTER_PASSWORD_HASH": _hashed(word["jupyter"])},
                "feed-token": {"FEED_TOKEN": word["feed"]},
                "backup-store": {
                    "AWS_ACCESS_KEY_ID": "data-backup",
                    "AWS_SECRET_ACCESS_KEY": word["data_backup"],
                },
            }
        if server == "server2-tracking":
            database = f"mysql+pymysql://mlflow:{word['mlflow']}@mysql:3306"
            login = (
                "[mlflow]\ndefault_permission = NO_PERMISSIONS\n"
                "database_uri = sqlite:////var/lib/mlflow/basic_auth.db\n"
                f"admin_username = admin\nadmin_password = {word['ml_admin']}\n"
                "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
                "auth_cache_ttl_seconds = 60\n"
            )
            return shared | {
                "mysql-root": {"password": word["root2"]},
                "mysql-users": {
                    "mlflow": word["mlflow"], "backup": word["backup2"], "exporter": word["exporter2"],
                },
                "mlflow": {
                    "MLFLOW_BACKEND_STORE_URI": f"{database}/mlflow",
                    "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_urlsafe(32),
                    "basic_auth.ini": login,
                },
                "mlflow-accounts": {
                    "admin": word["ml_admin"], "pipeline": word["pipeline"], "serving": word["serving"],
                    "notebooks": word["ml_notebooks"],
                },
                "minio-root": {"MINIO_ROOT_USER": "root", "MINIO_ROOT_PASSWORD": word["minio"]},
                "minio-users": {
                    "mlflow_access": "mlflow", "mlflow_secret": word["mlflow_key"],
                    "data_backup_access": "data-backup", "data_backup_secret": word["data_backup"],
                    "tracking_backup_access": "backup", "tracking_backup_secret": word["backup_key"],
                    "expiry_access": "expiry", "expiry_secret": word["expiry"],
                    "copies_access": "copies", "copies_secret": word["copies"],
                },
                **_backup_keys(),
            }  # fmt: skip
        log = f"{self.addresses['DATA_HOST']}:30306"
        return shared | {
            "api": {
                "READMISSION_API_TOKEN": word["api"],
                "READMISSION_API_PREDICTION_LOG_URL": url(
                    "predictions", "PredictionLog", log, "?ssl_ca=/etc/readmission/ca/ca.crt"
                ),
                "READMISSION_API_AUDIT_URL": url("audit", "Audit", log, "?ssl_ca=/etc/readmission/ca/ca.crt"),
                "READMISSION_API_EDGE_KEY": word["edge"],
            },
            "api-clients": {
                "clients.json": json.dumps(
                    [
                        {
                            "name": name,
                            "sha256": hashlib.sha256(word[name].encode()).hexdigest(),
                            "may": ["predict"],
                        }
                        for name in ("pages", "locust")
                    ]
                )
            },
            "ui": {"READMISSION_UI_CLIENT_TOKEN": word["pages"]},
            "edge-login": {
                "users.htpasswd": f"operator:{{PLAIN}}{word['pages']}\n",
                "key.conf": f'map $host $edge_key {{ default "{word["edge"]}"; }}\n',
            },
            "mlflow-client": {
                "MLFLOW_TRACKING_USERNAME": "serving",
                "MLFLOW_TRACKING_PASSWORD": word["serving"],
            },
            "grafana": {"GF_SECURITY_ADMIN_PASSWORD": word["grafana"]},
            "retrain": {
                "READMISSION_RETRAIN_AIRFLOW_USER": "retrain",
                "READMISSION_RETRAIN_AIRFLOW_PASSWORD": word["retrain"],
            },
            "locust": {
                "READMISSION_LOADTEST_WEB_USER": "admin",
                "READMISSION_LOADTEST_WEB_PASSWORD": word["locust"],
                "READMISSION_LOADTEST_TOKEN": word["locust"],
            },
        }

    def _certificate(self, address: str) -> tuple[str, str]:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, address)])
        made = (
            _certificate_of(name, self.ca.subject, key)
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._ca_key.public_key()), critical=False
            )
            .sign(self._ca_key, hashes.SHA256())
        )
        return _pem(made), _pem_key(key)


def _backup_keys() -> dict[str, dict[str, str]]:
    return {
        "backup-keys": {
            "READMISSION_BACKUP_SIGNING_KEYS": Fernet.generate_key().decode(),
            "READMISSION_BACKUP_RECIPIENT": "age1nxj35c96r5ndnn4w8ep7axgupsphv0cped6wjkhe8sgggavzp5lskjyndk",
        },
        "restore-keys": {
            "READMISSION_BACKUP_IDENTITIES":
                "AGE-SECRET-KEY-1WMJUQPKQURVDEAUKAMKRV5GNFRMFL6WJ29K6QC5R8SXNUM8HQYJQGV5865",
        },
    }  # fmt: skip


def _hashed(password: str) -> str:
    """Return a password in the form that Jupyter stores."""
    salt = secrets.token_hex(6)
    return f"sha256:{salt}:{hashlib.sha256((password + salt).encode()).hexdigest()}"


def _authority() -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "readmission test")])
    usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False,
        key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False,
        decipher_only=False,
    )  # fmt: skip
    made = (
        _certificate_of(name, name, key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )
    return made, key, _pem(made)


def _certificate_of(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=2))
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _pem_key(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
