"""Changes to a Kubernetes Job before it is made."""

import copy
from collections.abc import Callable, Sequence
from typing import Any


def job_with_environment(job: dict[str, Any], environment: Sequence[str]) -> dict[str, Any]:
    """Give `job` with the environment of its first container changed by `environment` (NAME=value)."""
    changed = copy.deepcopy(job)
    if environment:
        container = changed["spec"]["template"]["spec"]["containers"][0]
        wanted = dict(line.split("=", 1) for line in environment)
        others = [entry for entry in container.get("env", []) if entry["name"] not in wanted]
        container["env"] = others + [{"name": name, "value": value} for name, value in wanted.items()]
    return changed


class FilterModule:
    """What Ansible asks a filter plugin for."""

    def filters(self) -> dict[str, Callable[..., object]]:
        """Give the filters by name."""
        return {"job_with_environment": job_with_environment}
