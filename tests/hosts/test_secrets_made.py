"""The secrets that are generated and those that are kept, without a host."""

import importlib.util
import inspect
import ipaddress
import json
from hashlib import sha256 as _sha256
from pathlib import Path

import pyrage
import pytest
import yaml
from ansible.errors import AnsibleFilterError
from cryptography import x509
from cryptography.fernet import Fernet, MultiFernet
from cryptography.x509.verification import PolicyBuilder, Store

ROLES = Path(__file__).parents[2] / "ansible" / "roles"
PLAN = [
    {"name": "root", "kind": "password", "keeps_previous": True},
    {"name": "token", "kind": "password"},
    {"name": "fernet", "kind": "fernet"},
    {"name": "age", "kind": "age"},
    {"name": "authority", "kind": "authority"},
    {"name": "certificate", "kind": "certificate", "addresses": ["192.0.2.1"]},
]


def sha256(token):
    return _sha256(token.encode()).hexdigest()


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


@pytest.mark.parametrize(("days", "renewed"), [(29, True), (31, False)])
def test_a_certificate_is_renewed_a_month_before_it_ends_unless_told_otherwise(days, renewed, monkeypatch):
    monkeypatch.setattr(site_secrets, "CERTIFICATE_DAYS", days)
    before = site_secrets.complete_secrets({}, PLAN)
    after = site_secrets.complete_secrets(before, PLAN)
    assert (after["certificate"] != before["certificate"]) == renewed


def test_the_plays_renew_in_time_for_a_weekly_run():
    """The alert fires three weeks before the end: a weekly run has had its chance by then."""
    said = {
        role: yaml.safe_load((ROLES / role / "defaults/main.yml").read_text())[f"{role}_renew_days"]
        for role in ("secrets", "microk8s")
    }
    default = inspect.signature(site_secrets.complete_secrets).parameters["renew_days"].default
    assert said["secrets"] == default == 30
    assert said["microk8s"] >= 30


def test_each_client_gets_a_token_whose_hash_alone_leaves_the_control_machine():
    clients = [{"name": "pages", "may": ["predict"]}, {"name": "load-test", "may": ["predict", "outcomes"]}]
    site = site_secrets.complete_secrets({}, site_secrets.client_plan(clients))
    tokens = {client["name"]: site[f"api_client_{client['name']}"] for client in clients}
    assert len(set(tokens.values())) == 2
    told = site_secrets.client_file(site, clients)
    assert not any(token in told for token in tokens.values())
    assert json.loads(told) == [
        {"name": "pages", "sha256": sha256(tokens["pages"]), "may": ["predict"]},
        {"name": "load-test", "sha256": sha256(tokens["load-test"]), "may": ["outcomes", "predict"]},
    ]


def test_a_client_that_is_no_longer_named_is_revoked():
    clients = [{"name": "ehr", "may": ["predict"]}, {"name": "ward", "may": ["predict"]}]
    before = site_secrets.complete_secrets({}, site_secrets.client_plan(clients))
    after = site_secrets.complete_secrets(before, site_secrets.client_plan(clients[:1]))
    assert after == {"api_client_ehr": before["api_client_ehr"]}


@pytest.mark.parametrize(
    "client",
    [
        {"name": "operator", "may": ["predict"]},
        {"name": "A B", "may": ["predict"]},
        {"name": "twice", "may": ["predict"]},
        {"name": "none", "may": []},
        {"name": "more", "may": ["everything"]},
        {"may": ["predict"]},
    ],
)
def test_a_mistake_in_the_list_of_clients_is_refused(client):
    with pytest.raises(AnsibleFilterError, match="api_clients"):
        site_secrets.client_plan([{"name": "twice", "may": ["predict"]}, client])


def test_what_is_kept_stays(first):
    assert site_secrets.complete_secrets(first, PLAN) == first


def test_rotation_keeps_what_is_still_needed(first):
    second = site_secrets.complete_secrets(first, PLAN, ["root", "token", "fernet", "age"])
    assert second["root_previous"] == first["root"] != second["root"]
    assert second["token"] != first["token"]
    assert "token_previous" not in second
    old = Fernet(first["fernet"]).encrypt(b"connection")
    assert MultiFernet([Fernet(key) for key in second["fernet"].split(",")]).decrypt(old) == b"connection"
    backup = pyrage.encrypt(b"dump", [pyrage.x25519.Recipient.from_str(first["age"]["recipient"])])
    assert second["age"]["recipient"] != first["age"]["recipient"]
    keys = [pyrage.x25519.Identity.from_str(key) for key in second["age"]["identities"].split(",")]
    assert str(keys[0].to_public()) == second["age"]["recipient"]
    assert pyrage.decrypt(backup, keys) == b"dump"
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
