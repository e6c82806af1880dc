"""The checks' access to a cluster: only by kubectl, so that it may be the lab's or a real MicroK8s."""

import json
import subprocess
from collections.abc import Sequence
from typing import Any

from cluster.support.commands import LabError, run, wait_for

Object = dict[str, Any]


class Cluster:
    """The cluster of one group, `data`, `tracking` or `serving`."""

    def __init__(self, group: str, address: str, kubectl: Sequence[str]) -> None:
        self.group = group
        self.address = address
        self.namespace = f"readmission-{group}"
        self._kubectl = list(kubectl)

    def kubectl(self, *arguments: object, check: bool = True, text: str | None = None) -> str:
        """Run kubectl in the platform's namespace."""
        return run(*self._kubectl, f"--namespace={self.namespace}", *arguments, check=check, input=text)

    def get(self, *arguments: object) -> list[Object]:
        """Return the objects of a kind, as `get("pods", "-l", "a=b")`; none if there are none."""
        said = self.kubectl("get", *arguments, "-o", "json", "--ignore-not-found")
        found = json.loads(said) if said else {"items": []}
        return found.get("items", [found])

    def pods(self, app: str | None = None, *, ready: bool = False) -> list[Object]:
        """Return the pods of an application, or all pods, that are not terminating."""
        chosen = [] if app is None else ["-l", f"app.kubernetes.io/name={app}"]
        return [
            pod
            for pod in self.get("pods", *chosen)
            if not pod["metadata"].get("deletionTimestamp") and (not ready or is_ready(pod))
        ]

    def execute(self, target: str, *command: object, container: str | None = None) -> str:
        """Run a command in a pod, for example of `deployment/api`."""
        chosen = [] if container is None else ["-c", container]
        return self.kubectl("exec", target, *chosen, "--", *command)

    def sql(self, query: str) -> list[list[str]]:
        """Ask the cluster's MySQL as root; return its rows."""
        shell = 'MYSQL_PWD=$(cat "$MYSQL_ROOT_PASSWORD_FILE") exec mysql -uroot -N --raw -e "$1"'
        said = self.execute("mysql-0", "bash", "-c", shell, "-", query, container="mysql")
        return [line.split("\t") for line in said.splitlines()]

    def settle(self, seconds: float = 300) -> None:
        """Wait until every Deployment and StatefulSet has all its pods."""
        wait_for(lambda: not self.unready(), f"{self.group}: not ready: {self.unready()}", seconds, every=2)

    def unready(self) -> list[str]:
        """Return the names of the workloads that lack pods."""
        return [
            one["metadata"]["name"]
            for one in self.get("deployments,statefulsets")
            if one["status"].get("readyReplicas", 0) < one["spec"]["replicas"]
            or one["status"].get("updatedReplicas", 0) < one["spec"]["replicas"]
            or one["status"].get("observedGeneration", 0) < one["metadata"]["generation"]
        ]

    def run_cron_job(self, name: str, seconds: float = 300) -> str:
        """Run a CronJob now, as it is. Return its log; raise LabError with it if it does not complete."""
        job = f"{name}-by-test"
        self.kubectl("delete", "job", job, "--ignore-not-found")
        self.kubectl("create", "job", job, f"--from=cronjob/{name}")
        log = self.finish(job, seconds)
        self.kubectl("delete", "job", job)
        return log

    def run_job_again(self, name: str, seconds: float = 300) -> str:
        """Run a copy of a Job that ended. Return its log; raise LabError with it if it does not complete."""
        [found] = self.get("job", name)
        job = f"{name}-by-test"
        spec = {key: found["spec"][key] for key in ("template", "backoffLimit") if key in found["spec"]}
        labels = spec["template"]["metadata"]["labels"]
        spec["template"]["metadata"]["labels"] = {
            key: value for key, value in labels.items() if not key.endswith(("controller-uid", "job-name"))
        }
        copy = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": job}, "spec": spec}
        self.kubectl("delete", "job", job, "--ignore-not-found")
        self.kubectl("create", "-f", "-", text=json.dumps(copy))
        log = self.finish(job, seconds)
        self.kubectl("delete", "job", job)
        return log

    def finish(self, job: str, seconds: float = 300) -> str:
        """Wait for a Job; return its log. Raise LabError with the log if it fails."""

        def outcome() -> str | None:
            [found] = self.get("job", job)
            states = {one["type"] for one in found["status"].get("conditions", []) if one["status"] == "True"}
            return next((state for state in ("Complete", "Failed") if state in states), None)

        state = wait_for(outcome, f"{self.group}: Job {job}", seconds, every=2)
        log = self.kubectl("logs", f"job/{job}", "--all-containers", check=False)
        if state == "Failed":
            raise LabError(f"{self.group}: Job {job} failed\n{log[-3000:]}")
        return log

    def report(self) -> str:
        """Return the pods and the latest events, for a failure's message."""
        events = self.kubectl("get", "events", "--sort-by=.lastTimestamp", check=False).splitlines()
        return "\n".join([self.kubectl("get", "pods", "-o", "wide", check=False), *events[-40:]])

    def forward(self, target: str, port: int, local: int) -> "subprocess.Popen[bytes]":
        """Start a port forward; the caller ends it."""
        return subprocess.Popen(
            [*self._kubectl, f"--namespace={self.namespace}", "port-forward", target, f"{local}:{port}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


def is_ready(pod: Object) -> bool:
    """Return whether a pod is ready."""
    return any(
        one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", [])
    )
