"""Two Lambda handlers that start and stop the feed's EC2 instances: `handlers.start` and `handlers.stop`.

INSTANCE_IDS names the instances, comma-separated; if it is not set, all instances whose tag TAG_KEY has the
value TAG_VALUE are used. An event may also contain `instance_ids`. Running a handler twice changes nothing.
"""

import logging
import os
from collections.abc import Mapping
from typing import Any, Final, Literal

import boto3

log = logging.getLogger()
log.setLevel(logging.INFO)

State = Literal["stopped", "running"]
# EC2 refuses to start an instance that is still stopping; the schedule's retry succeeds later.
BEFORE: Final[dict[State, tuple[str, ...]]] = {
    "running": ("stopped", "stopping"),
    "stopped": ("running", "pending"),
}


class NoInstanceError(Exception):
    """No instance to start or stop: the settings name none, or one that does not exist."""


def start(event: Mapping[str, Any], _context: object) -> dict[str, list[str]]:
    """Start the stopped instances; return their ids as `changed`, and all that were found as `instances`."""
    return _bring(event, "running")


def stop(event: Mapping[str, Any], _context: object) -> dict[str, list[str]]:
    """Stop the running instances; return the same as `start`."""
    return _bring(event, "stopped")


def _bring(event: Mapping[str, Any], state: State) -> dict[str, list[str]]:
    ec2 = boto3.client("ec2")
    found = _instances(ec2, event)
    change = sorted(name for name, now in found.items() if now in BEFORE[state])
    if change and state == "running":
        ec2.start_instances(InstanceIds=change)
    elif change:
        ec2.stop_instances(InstanceIds=change)
    log.info("%s: %s of %s", state, change, sorted(found))
    return {"instances": sorted(found), "changed": change}


def _instances(ec2: Any, event: Mapping[str, Any]) -> dict[str, str]:  # noqa: ANN401 - boto3's clients have no type
    """Return the selected instances and their states. Raise `NoInstanceError` if there are none."""
    ids = list(event.get("instance_ids", [])) or [
        one.strip() for one in os.environ.get("INSTANCE_IDS", "").split(",") if one.strip()
    ]
    key, value = os.environ.get("TAG_KEY", ""), os.environ.get("TAG_VALUE", "")
    if ids:
        pages = ec2.get_paginator("describe_instances").paginate(InstanceIds=ids)
    elif key and value:
        wanted = [{"Name": f"tag:{key}", "Values": [value]}]
        pages = ec2.get_paginator("describe_instances").paginate(Filters=wanted)
    else:
        raise NoInstanceError("set INSTANCE_IDS, or TAG_KEY and TAG_VALUE")
    found = {
        str(instance["InstanceId"]): str(instance["State"]["Name"])
        for page in pages
        for reservation in page["Reservations"]
        for instance in reservation["Instances"]
        if instance["State"]["Name"] not in {"terminated", "shutting-down"}
    }
    if not found:
        raise NoInstanceError(
            f"no instance has the tag {key}={value}" if not ids else "the instances are gone"
        )
    return found
