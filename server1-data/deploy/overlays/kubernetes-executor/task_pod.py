"""Writes the pod of a task for Airflow to read: `task_pod.py CRONJOB FILE`.

Runs before the scheduler, with its service account. The suspended CronJob holds the pod, so that kustomize's
names (a Secret's ends in a hash of its content) and images are in it.
"""

import json
import sys
from pathlib import Path

from kubernetes import client, config

NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def main(name: str, target: str) -> None:
    """Read the CronJob `name` of this namespace and write its pod to `target`; JSON is YAML as well."""
    config.load_incluster_config()
    job = client.BatchV1Api().read_namespaced_cron_job(name, NAMESPACE.read_text())
    pod = client.ApiClient().sanitize_for_serialization(job.spec.job_template.spec.template)
    pod |= {"apiVersion": "v1", "kind": "Pod"}
    pod["metadata"]["name"] = name
    Path(target).write_text(json.dumps(pod))


if __name__ == "__main__":
    main(*sys.argv[1:])
