"""The shipped backups, then all stores emptied, then the restore play: compared by checksums."""

import pytest

from cluster.support.commands import wait_for
from cluster.support.load import Load

pytestmark = pytest.mark.timeout(1800)
DATABASES = {"data": ("RawData", "CleanData", "PredictionLog"), "tracking": ("mlflow",)}
WRITERS = {"data": ("airflow-scheduler",), "tracking": ("mlflow",)}


def tables(cluster):
    """Return the full names of a server's tables."""
    names = ",".join(f"'{name}'" for name in DATABASES[cluster.group])
    query = (
        "SELECT CONCAT(table_schema, '.', table_name) FROM information_schema.tables "
        f"WHERE table_type = 'BASE TABLE' AND table_schema IN ({names}) ORDER BY 1"
    )
    return [name for [name] in cluster.sql(query)]


def checksums(cluster):
    """Return the checksum of each table."""
    return {name: cluster.sql(f"CHECKSUM TABLE {name}")[0][1] for name in tables(cluster)}


def artifacts(running):
    """Return the names and sizes of the objects in MinIO's bucket, as it keeps them."""
    said = running.tracking.execute(
        "statefulset/minio", "sh", "-c", "cd /data/mlflow && find . -type f | sort | xargs -r sha256sum"
    )
    return set(said.splitlines())


def scale(running, replicas):
    for group, names in WRITERS.items():
        for name in names:
            running.clusters[group].kubectl("scale", f"deployment/{name}", f"--replicas={replicas}")
            if not replicas:
                wait_for(lambda group=group, name=name: not running.clusters[group].pods(name), name, 120)


def test_what_was_lost_comes_back(running):
    running.settle()
    scale(running, 0)
    try:
        play = running.site.play("backup")
        before = {group: checksums(running.clusters[group]) for group in DATABASES}
        assert len(before["data"]) > 5
        assert len(before["tracking"]) > 5
        for group, names in DATABASES.items():
            for name in names:
                running.clusters[group].sql(f"DROP DATABASE {name}")
        assert not tables(running.data)
        restored = running.site.play(
            "restore", "-e", "backup_confirm=replace", "-e", "backup_restore_from=latest"
        )
        after = {group: checksums(running.clusters[group]) for group in DATABASES}
    finally:
        scale(running, 1)
    different = {
        name for group in before for name in before[group] if after[group].get(name) != before[group][name]
    }
    # Predictions went on, and their rows came after the restore.
    assert different <= {"PredictionLog.predictions"}
    running.figures.add("Backup and restore", "`backup.yml` of both servers", f"{play.seconds:.0f} s")
    running.figures.add(
        "Backup and restore", "`restore.yml` into dropped databases (RTO)", f"{restored.seconds:.0f} s"
    )
    running.figures.add(
        "Backup and restore",
        "tables with equal checksums",
        str(sum(map(len, before.values())) - len(different)),
    )
    running.settle()
    with Load(running.client, threads=1, rate=5) as load:
        wait_for(lambda: len(load.answers.ids) > 10, "predictions after the restore", 60)
    wait_for(lambda: running.logged(load.answers.ids) == len(load.answers.ids), "their rows", 120, every=2)
