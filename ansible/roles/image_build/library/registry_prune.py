"""Remove unused tags of an image registry. Its next garbage collection frees the space."""

import json
import urllib.error
import urllib.parse
from http import HTTPStatus
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.urls import open_url

DOCUMENTATION = r"""
module: registry_prune
short_description: Removes all tags of an image registry except some
description:
  - A tag with the same content as a kept tag stays. The registry must allow deletion.
options:
  registry: {description: Address of the registry, type: str, required: true}
  prefix: {description: Prefix of the repositories to prune, type: str, required: true}
  keep: {description: Tags to keep, type: list, elements: str, required: true}
author: [The readmission platform's authors]
"""
EXAMPLES = r"""
- name: Remove old images
  registry_prune:
    registry: http://localhost:32000
    prefix: readmission/
    keep: [0a1b2c3d4e5f]
"""
RETURN = r"""
removed: {description: Images that were removed (name:tag), type: list, returned: always}
"""

MANIFESTS = (
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.docker.distribution.manifest.v2+json"
)
TIMEOUT_SECONDS = 30
# The registry's maximum per request.
PAGE = 1000


class Registry:
    """A registry's HTTP API (version 2)."""

    def __init__(self, address: str) -> None:
        self._address = address.rstrip("/")

    def repositories(self) -> list[str]:
        """Return the names of all repositories."""
        return self._json(f"_catalog?n={PAGE}")["repositories"] or []

    def tags(self, repository: str) -> list[str]:
        """Return the tags of a repository, or an empty list if all were removed."""
        try:
            return self._json(f"{repository}/tags/list")["tags"] or []
        except urllib.error.HTTPError as error:
            if error.code == HTTPStatus.NOT_FOUND:
                return []
            raise

    def digest(self, repository: str, tag: str) -> str:
        """Return the digest that a tag points to."""
        path = f"{repository}/manifests/{urllib.parse.quote(tag)}"
        with self._open("HEAD", path, {"Accept": MANIFESTS}) as answer:
            return answer.headers["Docker-Content-Digest"]

    def delete(self, repository: str, digest: str) -> None:
        """Remove a manifest and all tags that point to it."""
        self._open("DELETE", f"{repository}/manifests/{digest}", {}).close()

    def _json(self, path: str) -> Any:  # noqa: ANN401 - JSON
        with self._open("GET", path, {}) as answer:
            return json.load(answer)

    def _open(self, method: str, path: str, headers: dict[str, str]) -> Any:  # noqa: ANN401 - urllib's answer
        return open_url(f"{self._address}/v2/{path}", method=method, headers=headers, timeout=TIMEOUT_SECONDS)


def prune(registry: Registry, prefix: str, keep: set[str], *, dry: bool) -> list[str]:
    """Remove every image without a tag in `keep` from the repositories whose names begin with `prefix`.

    Return the removed images (name:tag), sorted. With `dry`, remove nothing.
    """
    removed = []
    for repository in registry.repositories():
        if not repository.startswith(prefix):
            continue
        digests = {tag: registry.digest(repository, tag) for tag in registry.tags(repository)}
        kept = {digest for tag, digest in digests.items() if tag in keep}
        stale = {tag: digest for tag, digest in digests.items() if digest not in kept}
        if not dry:
            for digest in sorted(set(stale.values())):
                registry.delete(repository, digest)
        removed += [f"{repository}:{tag}" for tag in stale]
    return sorted(removed)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "registry": {"type": "str", "required": True},
            "prefix": {"type": "str", "required": True},
            "keep": {"type": "list", "elements": "str", "required": True, "no_log": False},
        },
        supports_check_mode=True,
    )
    values = module.params
    try:
        removed = prune(
            Registry(values["registry"]), values["prefix"], set(values["keep"]), dry=module.check_mode
        )
    except OSError as error:
        module.fail_json(msg=f"unexpected response from the registry at {values['registry']}: {error}")
    module.exit_json(changed=bool(removed), removed=removed)


if __name__ == "__main__":
    main()
