"""Generate the secrets of a site that are missing, expiring or to be rotated; keep all others."""

import base64
import datetime as dt
import hashlib
import ipaddress
import json
import os
import re
import secrets
import string
from collections.abc import Callable, Sequence
from typing import Any

import pyrage
from ansible.errors import AnsibleFilterError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LETTERS = string.ascii_letters + string.digits
PASSWORD_LENGTH = 32
AUTHORITY_DAYS = 3650
# Browsers refuse certificates that are valid for more than 398 days.
CERTIFICATE_DAYS = 397
# What a client of the API may be allowed, and the name that the API gives to the holder of `api_token`.
RIGHTS = {"predict", "outcomes", "reload"}
OPERATOR = "operator"

Secret = str | dict[str, str]


def complete_secrets(
    kept: dict[str, Secret],
    plan: Sequence[dict[str, Any]],
    rotate: Sequence[str] = (),
    renew_days: int = 30,
) -> dict[str, Secret]:
    """Return every secret of `plan`, from `kept` or newly generated.

    Anew: what is missing or named in `rotate`, and a certificate that ends within `renew_days`, has other
    addresses or another authority. A rotated password that `keeps_previous` leaves the one before as
    `NAME_previous`; a rotated Fernet or age key stays behind the new one, since it must still decrypt. What
    the plan does not name is dropped. A name in `rotate` that the plan does not have raises
    `AnsibleFilterError`.
    """
    names = [entry["name"] for entry in plan]
    if unknown := sorted(set(rotate) - set(names)):
        raise AnsibleFilterError(f"cannot rotate {', '.join(unknown)}; there are: {', '.join(names)}")
    site: dict[str, Secret] = {}
    for entry in plan:
        name, before = entry["name"], kept.get(entry["name"])
        again = before is None or name in rotate
        if entry["kind"] == "password":
            site[name] = _password() if again else before
            previous = before if again else kept.get(f"{name}_previous")
            if entry.get("keeps_previous") and previous:
                site[f"{name}_previous"] = previous
        elif entry["kind"] == "fernet":
            site[name] = ",".join(filter(None, [_fernet(), before])) if again else before
        elif entry["kind"] == "age":
            site[name] = _age(before) if again else before
        elif entry["kind"] == "authority":
            site[name] = _authority() if again else before
        elif entry["kind"] == "certificate":
            authority, addresses = site["authority"], entry["addresses"]
            good = not again and _serves(before, authority, addresses, renew_days)
            site[name] = before if good else _certificate(authority, name, addresses)
        else:
            raise AnsibleFilterError(f"{name}: unknown kind of secret {entry['kind']!r}")
    return site


def _password() -> str:
    return "".join(secrets.choice(LETTERS) for _ in range(PASSWORD_LENGTH))


def _fernet() -> str:
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


def _age(before: Secret | None) -> dict[str, str]:
    identity = pyrage.x25519.Identity.generate()
    private = [str(identity), before["identities"]] if before else [str(identity)]
    return {"recipient": str(identity.to_public()), "identities": ",".join(private)}


def _names(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Readmission platform"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, days: int
) -> x509.CertificateBuilder:
    # An hour ago: the clock of a fresh machine may be behind.
    start = dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + dt.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _pem(key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> dict[str, str]:
    return {
        "key": key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode(),
        "crt": certificate.public_bytes(serialization.Encoding.PEM).decode(),
    }


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _authority() -> dict[str, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _names("Authority of the readmission platform")
    builder = (
        _builder(name, name, key, AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
    )
    return _pem(key, builder.sign(key, hashes.SHA256()))


def _certificate(authority: Secret, name: str, addresses: Sequence[str]) -> dict[str, str]:
    issuer = x509.load_pem_x509_certificate(authority["crt"].encode())
    issuer_key = serialization.load_pem_private_key(authority["key"].encode(), None)
    key = ec.generate_private_key(ec.SECP256R1())
    alternatives = [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
    builder = (
        _builder(_names(name), issuer.subject, key, CERTIFICATE_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()), critical=False
        )
    )
    return _pem(key, builder.sign(issuer_key, hashes.SHA256()))


def _serves(certificate: Secret, authority: Secret, addresses: Sequence[str], renew_days: int) -> bool:
    own = x509.load_pem_x509_certificate(certificate["crt"].encode())
    issuer = x509.load_pem_x509_certificate(authority["crt"].encode())
    try:
        own.verify_directly_issued_by(issuer)
    except Exception:  # noqa: BLE001 (whatever is wrong with the signature, a new certificate is the answer)
        return False
    named = own.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    soon = dt.datetime.now(dt.UTC) + dt.timedelta(days=renew_days)
    return own.not_valid_after_utc > soon and {
        str(address) for address in named.get_values_for_type(x509.IPAddress)
    } == set(addresses)


def client_plan(clients: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the plan of the tokens of the API's clients: `api_client_NAME` each.

    Raise `AnsibleFilterError` if a name or a right is not valid, or a name is repeated.
    """
    names = [str(client.get("name", "")) for client in clients]
    for client, name in zip(clients, names, strict=True):
        if not re.fullmatch(r"[a-z0-9-]{1,32}", name) or name == OPERATOR or names.count(name) > 1:
            raise AnsibleFilterError(
                f"api_clients: {name!r} is not a name of a client: a-z, 0-9 and -, used once, not {OPERATOR}"
            )
        if not client.get("may") or not RIGHTS.issuperset(client["may"]):
            raise AnsibleFilterError(f"api_clients: {name} needs `may`, some of {', '.join(sorted(RIGHTS))}")
    return [{"name": f"api_client_{name}", "kind": "password"} for name in names]


def client_file(site: dict[str, Secret], clients: Sequence[dict[str, Any]]) -> str:
    """Return the API's file of clients: names, rights and the SHA-256 of each token, never a token."""
    return json.dumps(
        [
            {
                "name": client["name"],
                "sha256": hashlib.sha256(str(site[f"api_client_{client['name']}"]).encode()).hexdigest(),
                "may": sorted(client["may"]),
            }
            for client in clients
        ]
    )


def user_plan(users: Sequence[str]) -> list[dict[str, Any]]:
    """Return the plan of the passwords of people who open the pages: `page_user_NAME` each.

    Raise `AnsibleFilterError` if a name is not valid or is repeated.
    """
    for name in users:
        if not re.fullmatch(r"[a-z0-9.-]{1,32}", name) or users.count(name) > 1:
            raise AnsibleFilterError(f"page_users: {name!r} is not a name: a-z, 0-9, . and -, used once")
    return [{"name": f"page_user_{name}", "kind": "password"} for name in users]


def htpasswd(site: dict[str, Secret], users: Sequence[str]) -> str:
    """Return nginx's file of users. Equal passwords give an equal file: a second run changes nothing."""
    lines = []
    for name in users:
        password = str(site[f"page_user_{name}"]).encode()
        # The passwords have 190 random bits: no list of hashes helps against them.
        salt = hashlib.sha256(name.encode() + b":" + password).digest()[:8]
        hashed = base64.b64encode(hashlib.sha1(password + salt, usedforsecurity=False).digest() + salt)
        lines.append(f"{name}:{{SSHA}}{hashed.decode()}\n")
    return "".join(lines)


class FilterModule:
    """The filters of this file, as Ansible expects them."""

    def filters(self) -> dict[str, Callable[..., object]]:
        """Return the filters by name."""
        return {
            "client_file": client_file,
            "client_plan": client_plan,
            "complete_secrets": complete_secrets,
            "htpasswd": htpasswd,
            "user_plan": user_plan,
        }
