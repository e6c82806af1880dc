"""What is made anew and what stays, without a host."""

import importlib.util
import ipaddress
from pathlib import Path

import pytest
from ansible.errors import AnsibleFilterError
from cryptography import x509
from cryptography.fernet import Fernet, MultiFernet
from cryptography.x509.verification import PolicyBuilder, Store

ROLES = Path(__file__).parents[2] / "ansible" / "roles"
PLAN = [
    {"name": "root", "kind": "password", "keeps_previous": True},
    {"name": "token", "kind": "password"},
    {"name": "fernet", "kind": "fernet"},
    {"name": "authority", "kind": "authority"},
    {"name": "certificate", "kind": "certificate", "addresses": ["192.0.2.1"]},
]


def plugin(path):
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROLES / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


site_secrets = plugin("secrets/filter_plugins/site_secrets.py")
networks = plugin("firewall/filter_plugins/networks.py")


@pytest.fixture(scope="module")
def first():
    return site_secrets.complete_secrets({}, PLAN)


def test_what_is_kept_stays(first):
    assert site_secrets.complete_secrets(first, PLAN) == first


def test_rotation_keeps_what_is_still_needed(first):
    second = site_secrets.complete_secrets(first, PLAN, ["root", "token", "fernet"])
    assert second["root_previous"] == first["root"] != second["root"]
    assert second["token"] != first["token"]
    assert "token_previous" not in second
    old = Fernet(first["fernet"]).encrypt(b"connection")
    assert MultiFernet([Fernet(key) for key in second["fernet"].split(",")]).decrypt(old) == b"connection"
    assert site_secrets.complete_secrets(second, PLAN) == second


def test_browsers_can_verify_the_certificate(first):
    authority = x509.load_pem_x509_certificate(first["authority"]["crt"].encode())
    own = x509.load_pem_x509_certificate(first["certificate"]["crt"].encode())
    verifier = PolicyBuilder().store(Store([authority]))
    address = x509.IPAddress(ipaddress.ip_address("192.0.2.1"))
    assert verifier.build_server_verifier(address).verify(own, []) == [own, authority]
    with pytest.raises(x509.verification.VerificationError):
        verifier.build_server_verifier(x509.IPAddress(ipaddress.ip_address("192.0.2.2"))).verify(own, [])


def test_a_certificate_follows_address_authority_and_age(first):
    moved = [*PLAN[:-1], PLAN[-1] | {"addresses": ["192.0.2.2"]}]
    assert site_secrets.complete_secrets(first, moved)["certificate"] != first["certificate"]
    rotated = site_secrets.complete_secrets(first, PLAN, ["authority"])
    assert rotated["certificate"] != first["certificate"]
    renewed = site_secrets.complete_secrets(first, PLAN, renew_days=397)
    assert renewed["certificate"] != first["certificate"]
    assert renewed["authority"] == first["authority"]


def test_an_unknown_name_is_refused(first):
    with pytest.raises(AnsibleFilterError, match=r"cannot rotate tokn; there are: root, token"):
        site_secrets.complete_secrets(first, PLAN, ["tokn"])


def test_networks_that_overlap_are_merged():
    assert networks.merged_networks(["192.0.2.0/24", "192.0.2.7", "198.51.100.1"]) == [
        "192.0.2.0/24",
        "198.51.100.1",
    ]
