"""Every kustomization builds, and Kubernetes 1.35 knows every field of it."""

import copy
import json

import kubernetes_validate
import pytest
import yaml

from manifests.support.kustomize import CHECKOUT, SERVERS, build
from manifests.support.objects import named, of_kind

KUBERNETES = "1.35"


VALID = set()
"""Objects that were already validated: the variants of a server share most of them."""


def invalid(objects):
    found = []
    for one in objects:
        if (text := json.dumps(one, sort_keys=True)) in VALID:
            continue
        try:
            kubernetes_validate.validate(one, KUBERNETES, strict=True)
        except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
            found.append(f"{one['kind']}/{one['metadata']['name']}: {error.message}")
        else:
            VALID.add(text)
    return found


@pytest.mark.parametrize("server", SERVERS)
def test_a_server_builds_alone(server):
    objects = build(CHECKOUT / server / "deploy")
    assert named(objects, "Namespace").keys() == {SERVERS[server]}
    # The repository contains no secrets.
    assert of_kind(objects, "Secret") == []


def test_what_a_site_deploys_is_known_to_kubernetes(variant, deployed):
    assert invalid(deployed(variant)) == []


def test_an_unknown_field_and_a_wrong_type_are_found(deployed):
    objects = deployed("server3-serving")
    one = next(one for one in objects if one["kind"] == "Deployment")
    misspelt, wrong = copy.deepcopy(one), copy.deepcopy(one)
    misspelt["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}
    wrong["spec"]["minReadySeconds"] = "soon"
    assert len(invalid([misspelt])) == 1
    assert len(invalid([wrong])) == 1


def test_every_folder_of_manifests_is_part_of_a_server():
    """A folder that no kustomization names would never be deployed."""
    used = set()
    for server in SERVERS:
        folder = CHECKOUT / server / "deploy"
        named = yaml.safe_load((folder / "kustomization.yaml").read_text())
        own = {*named["resources"], *named.get("components", []), "schedules", "overlays"}
        assert {one.name for one in folder.iterdir() if one.is_dir()} <= own, server
        for kustomization in folder.rglob("kustomization.yaml"):
            resources = yaml.safe_load(kustomization.read_text()).get("resources", [])
            used |= {(kustomization.parent / one).resolve() for one in resources}
    assert set((CHECKOUT / "ansible/manifests").iterdir()) <= used
