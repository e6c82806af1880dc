"""A pod per task: the component `overlays/kubernetes-executor`, switched on in a running site."""

import json

import pytest

from cluster.support.commands import wait_for
from cluster.support.platform import SETTINGS
from cluster.support.site import PlayError

pytestmark = pytest.mark.timeout(2400)
COMPONENT = "overlays/kubernetes-executor"
CLASS = """
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: readmission-shared}
provisioner: microk8s.io/hostpath
reclaimPolicy: Delete
volumeBindingMode: WaitForFirstConsumer
"""


def test_each_task_gets_a_pod_of_its_own(lab_only):
    running, cluster = lab_only, lab_only.data
    running.settle()
    settings = json.loads(json.dumps(SETTINGS))
    settings["data"]["deploy_components"] = {"data": [COMPONENT]}
    running.write_inventory(settings)
    generation = {
        one["metadata"]["name"]: one["metadata"]["generation"] for one in cluster.get("deployments")
    }
    # One node: a class of its volumes is one that all nodes share.
    cluster.kubectl("apply", "-f", "-", text=CLASS)
    with pytest.raises(PlayError) as refused:
        running.site.play("site", "--limit", "data", tags="deploy")
    assert "airflow-logs" in str(refused.value)
    after = {one["metadata"]["name"]: one["metadata"]["generation"] for one in cluster.get("deployments")}
    assert after == generation, "the refused play changed something"

    # The way out that the refusal names: these claims are replaced, with what is in them.
    claims = ["persistentvolumeclaim/airflow-logs", "persistentvolumeclaim/airflow-staging"]
    replace = json.dumps({"deploy_replace": claims})
    seen = set()
    try:
        running.site.play("site", "--limit", "data", "-e", replace, tags="deploy")
        cluster.settle()
        dag = "preprocess_incremental"
        run = running.airflow.start(dag)

        def state():
            seen.update(pod["metadata"]["name"] for pod in cluster.get("pods", "-l", f"dag_id={dag}"))
            found = running.airflow.state(dag, run)
            return found if found in {"success", "failed"} else None

        assert wait_for(state, "the run", 900, every=1) == "success"
        tasks = running.airflow.ask("GET", f"dags/{dag}/dagRuns/{run}/taskInstances")["task_instances"]
        ran = [one["task_id"] for one in tasks if one["state"] == "success"]
        assert len(seen) >= len(ran) > 0, (seen, ran)
        running.figures.add("A pod per task", f"tasks of `{dag}`, each in a pod of its own", str(len(ran)))
    finally:
        running.write_inventory()
        running.site.play("site", "--limit", "data", "-e", replace, tags="deploy")
        cluster.kubectl("delete", "cronjob", "airflow-task", "--ignore-not-found")
    cluster.settle()
