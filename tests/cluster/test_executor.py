"""A pod per task: the component `overlays/kubernetes-executor`, switched on and off in a running site."""

import json

import pytest

from cluster.support.commands import wait_for
from cluster.support.platform import SETTINGS
from cluster.support.site import PlayError

pytestmark = pytest.mark.timeout(2400)
COMPONENT = "overlays/kubernetes-executor"
DAG = "preprocess_incremental"
# One node: a class of its volumes is one that all nodes share.
CLASS = """
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: readmission-shared}
provisioner: microk8s.io/hostpath
reclaimPolicy: Delete
volumeBindingMode: WaitForFirstConsumer
"""
# What an earlier attempt with another class may have left: Kubernetes does not change a claim's class.
CLAIM = """
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: airflow-logs-shared, labels: {app.kubernetes.io/part-of: readmission}}
spec:
  storageClassName: microk8s-hostpath
  accessModes: [ReadWriteMany]
  resources: {requests: {storage: 10Gi}}
"""


@pytest.fixture
def with_component(lab_only):
    """Name the component in the inventory; afterwards, deploy the site without it."""
    settings = json.loads(json.dumps(SETTINGS))
    settings["data"]["deploy_components"] = {"data": [COMPONENT]}
    lab_only.settle()
    lab_only.write_inventory(settings)
    try:
        yield lab_only
    finally:
        lab_only.write_inventory()
        lab_only.site.play("site", "--limit", "data", tags="deploy")
        lab_only.data.settle()


def test_each_task_gets_a_pod_of_its_own(with_component):
    running, cluster = with_component, with_component.data
    cluster.kubectl("apply", "-f", "-", text=CLASS)
    cluster.kubectl("apply", "-f", "-", text=CLAIM)
    generation = {
        one["metadata"]["name"]: one["metadata"]["generation"] for one in cluster.get("deployments")
    }
    with pytest.raises(PlayError, match="persistentvolumeclaim/airflow-logs-shared"):
        running.site.play("site", "--limit", "data", tags="deploy")
    after = {one["metadata"]["name"]: one["metadata"]["generation"] for one in cluster.get("deployments")}
    assert after == generation, "the refused play changed something"

    # The way out that the refusal names.
    replace = json.dumps({"deploy_replace": ["persistentvolumeclaim/airflow-logs-shared"]})
    running.site.play("site", "--limit", "data", "-e", replace, tags="deploy")
    cluster.settle()
    run = running.airflow.start(DAG)
    seen = set()

    def state():
        seen.update(pod["metadata"]["name"] for pod in cluster.get("pods", "-l", f"dag_id={DAG}"))
        found = running.airflow.state(DAG, run)
        return found if found in {"success", "failed"} else None

    assert wait_for(state, "the run", 900, every=1) == "success"
    tasks = running.airflow.ask("GET", f"dags/{DAG}/dagRuns/{run}/taskInstances")["task_instances"]
    ran = [one["task_id"] for one in tasks if one["state"] == "success"]
    assert len(seen) >= len(ran) > 0, (seen, ran)
    running.figures.add("A pod per task", f"tasks of `{DAG}`, each in a pod of its own", str(len(ran)))
