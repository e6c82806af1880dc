"""Every Job and CronJob of the manifests runs once, as it is."""

import json

import pytest
import yaml

from cluster.support.commands import wait_for
from cluster.support.layout import FOLDERS
from cluster.support.platform import SETTINGS
from manifests.support.kustomize import CHECKOUT

pytestmark = pytest.mark.timeout(1200)
KINDS = {"Job", "CronJob"}
# Run by other tests of this folder, since they need something before or after.
ELSEWHERE = {
    "restore": "test_backup",
    "airflow-task": "test_executor",
}
COMPONENTS = ("schedules", "overlays/kubernetes-executor")
SCHEDULES = ("feed-stop", "feed-start")


def listed(cluster):
    """Return the kinds of the Jobs and CronJobs in a group's manifests by name, optional ones included."""
    folder = CHECKOUT / FOLDERS[cluster.group] / "deploy"
    documents = list(yaml.safe_load_all(cluster.kubectl("kustomize", folder)))
    for component in COMPONENTS:
        for path in (folder / component).glob("*.yaml"):
            documents += yaml.safe_load_all(path.read_text())
    return {
        one["metadata"]["name"]: one["kind"]
        for one in documents
        if one.get("kind") in KINDS and "spec" in one
    }


def test_every_job_is_run_by_some_test(running):
    """Every Job must be run by a test."""
    for group, cluster in running.clusters.items():
        there = {one["metadata"]["name"] for one in cluster.get("jobs,cronjobs")}
        for name in listed(cluster):
            assert name in there or name in SCHEDULES or name in ELSEWHERE, f"{group}: nothing runs {name}"


@pytest.mark.parametrize("group", FOLDERS)
def test_the_set_up_jobs_completed(running, group):
    jobs = [name for name, kind in listed(running.clusters[group]).items() if kind == "Job"]
    for job in jobs:
        [found] = running.clusters[group].get("job", job)
        assert found["status"].get("succeeded") == 1, job


@pytest.mark.parametrize("group", ["data", "tracking"])
def test_a_set_up_job_that_runs_again_changes_nothing(running, group):
    cluster = running.clusters[group]
    before = state(cluster)
    assert all(before.values())
    jobs = [name for name, kind in listed(running.clusters[group]).items() if kind == "Job"]
    for job in jobs:
        cluster.run_job_again(job)
    assert state(cluster) == before


def state(cluster):
    """Return what the set-up Jobs made in MySQL: databases, users, rights and tables."""
    queries = (
        "SELECT schema_name, default_character_set_name FROM information_schema.schemata",
        # Not the hash: the same password has another one each time it is set.
        "SELECT user, host, plugin, ssl_type, max_user_connections, account_locked FROM mysql.user",
        "SELECT grantee, table_schema, privilege_type FROM information_schema.schema_privileges",
        "SELECT grantee, privilege_type FROM information_schema.user_privileges",
        "SELECT table_schema, table_name FROM information_schema.tables",
    )
    return {query: sorted(cluster.sql(query)) for query in queries}


@pytest.mark.parametrize("group", FOLDERS)
def test_every_cron_job_completes(running, group):
    cluster = running.clusters[group]
    names = [one["metadata"]["name"] for one in cluster.get("cronjobs")]
    for name in sorted(names, reverse=True):
        if name not in ELSEWHERE and name not in SCHEDULES:
            cluster.run_cron_job(name)


def test_the_feed_is_scaled_by_its_schedule(lab_only):
    """The component `schedules`, which is off by itself."""
    running, cluster = lab_only, lab_only.data
    settings = json.loads(json.dumps(SETTINGS))
    settings["data"]["deploy_components"] = {"data": ["schedules"]}
    running.write_inventory(settings)
    try:
        running.site.play("site", "--limit", "data", tags="deploy")
        cluster.run_cron_job("feed-stop")
        wait_for(lambda: not cluster.pods("feed"), "the feed's end", 90)
        play = running.site.play("site", "--limit", "data", tags="deploy")
        assert not cluster.pods("feed"), f"the play opened the closed feed: {play.output[-2000:]}"
        cluster.run_cron_job("feed-start")
        wait_for(lambda: cluster.pods("feed", ready=True), "the feed", 120)
    finally:
        running.write_inventory()
        cluster.kubectl("delete", "cronjob", *SCHEDULES, "--ignore-not-found")
        cluster.kubectl("scale", "deployment/feed", "--replicas=1")
        running.site.play("site", "--limit", "data", tags="deploy")
