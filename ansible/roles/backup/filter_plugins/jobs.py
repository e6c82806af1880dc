"""Changes to a Kubernetes Job before it is created."""

import copy
from collections.abc import Callable, Sequence
from typing import Any


def job_with_environment(job: dict[str, Any], environment: Sequence[str]) -> dict[str, Any]:
    """Return `job` with `environment` (NAME=value) merged into the environment of its first container."""
    changed = copy.deepcopy(job)
    if environment:
        container = changed["spec"]["template"]["spec"]["containers"][0]
        wanted = dict(line.split("=", 1) for line in environment)
        others = [entry for entry in container.get("env", []) if entry["name"] not in wanted]
        container["env"] = others + [{"name": name, "value": value} for name, value in wanted.items()]
    return changed


class FilterModule:
    """The filters of this file, as Ansible expects them."""

    def filters(self) -> dict[str, Callable[..., object]]:
        """Return the filters by name."""
        return {"job_with_environment": job_with_environment}
