"""The sentences of kubectl's error output, without the objects that it quotes."""

import re
from collections.abc import Callable
from typing import Any, TypedDict

# A refusal quotes the patch and the object, with the values of Secrets, before the sentence that matters.
SOURCE = re.compile(r'^(?:for: )?"[^"]*": error when [a-z]+ "[^"]*": ')
PREFIX = re.compile(r'^(?:error: |Error from server \(\w+\): )?(?:error when [a-z]+ "[^"]*": )?')
QUOTED = re.compile(
    r"^(?:Error from server \(\w+\): |error: )?error when applying patch:$|^(?:Resource|Name): |^to:$"
)
OBJECT = re.compile(r'(?:^|The )([A-Za-z]+)(?:\.[\w.-]+)? "([^"]+)" (?:is invalid|is forbidden|not found)')


class Refusal(TypedDict):
    """One sentence of kubectl: the object (`kind/name`, or empty) and the reason."""

    object: str
    says: str


def kubectl_refusals(errors: str) -> list[Refusal]:
    """Return the refusals in kubectl's error output, without the patches and diffs that it quotes."""
    found: list[Refusal] = []
    for line in errors.splitlines():
        if line.startswith("* ") and found:
            found[-1]["says"] += f" {line[2:]}"
        elif line[:1] in {"", "{", "}", "+", "-", " ", "\t", "\u00a0"} or line.startswith("Warning: "):
            continue
        elif not QUOTED.search(line):
            says = PREFIX.sub("", SOURCE.sub("", line)).strip()
            named = OBJECT.search(says)
            found.append({"object": f"{named[1].lower()}/{named[2]}" if named else "", "says": says})
    return found


def claim_holders(workloads: dict[str, Any], claim: str) -> list[str]:
    """Return the Deployments and StatefulSets of a list (`kind/name`) whose pods mount the claim."""
    return [
        f"{item['kind'].lower()}/{item['metadata']['name']}"
        for item in workloads["items"]
        for volume in item["spec"]["template"]["spec"].get("volumes", [])
        if volume.get("persistentVolumeClaim", {}).get("claimName") == claim
    ]


class FilterModule:
    """The filters of this file, as Ansible expects them."""

    def filters(self) -> dict[str, Callable[..., object]]:
        """Return the filters by name."""
        return {"kubectl_refusals": kubectl_refusals, "claim_holders": claim_holders}
