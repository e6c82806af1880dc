"""Every panel's query returns data from a real Prometheus after half an hour of traffic."""

import itertools
import re
import subprocess
import sys
import time

import httpx
import pytest

from server3.observability.support import files
from server3.observability.support.programs import OBSERVABILITY
from server3.observability.support.prometheus import GRAFANA, RATE_INTERVAL, RUNBOOKS

BY_NAME = {path.stem: files.read_dashboard(path) for path in files.DASHBOARDS}
PANELS = [
    pytest.param(panel, target, id=f"{name}-{panel['title']}-{target['refId']}")
    for name, dashboard in BY_NAME.items()
    for panel in files.panels(dashboard)
    for target in panel["targets"]
]
ANNOTATIONS = [
    pytest.param(annotation, id=f"{name}-{annotation['name']}")
    for name, dashboard in BY_NAME.items()
    for annotation in dashboard["annotations"].get("list", [])
]


def substituted(query: str) -> str:
    return query.replace("$__rate_interval", RATE_INTERVAL).replace("$instance", ".*")


@pytest.mark.mysql
@pytest.mark.parametrize(("panel", "target"), PANELS)
def test_panel_has_data(watched, panel, target):
    instant = panel["type"] in {"stat", "bargauge"}
    assert watched.values(substituted(target["expr"]), instant=instant), target["expr"]


@pytest.mark.mysql
@pytest.mark.parametrize("annotation", ANNOTATIONS)
def test_annotation_marks_a_moment_of_the_half_hour(watched, annotation):
    found = watched.values(substituted(annotation["expr"]))
    assert found
    if annotation["name"] == "Promotions":
        moments = {name: max(values) / 1000 for name, values in found.items()}
        assert sorted(name[name.index("version") :][:12] for name in moments) == [
            "version': '1",
            "version': '2",
        ]
        [first, second] = sorted(moments.values())
        assert first < watched.began < second < watched.ended


@pytest.mark.mysql
@pytest.mark.parametrize(("book", "query"), files.runbook_queries())
def test_what_a_runbook_asks_has_an_answer(watched, book, query):
    assert watched.values(query, instant=True), f"{book}: {query}"


@pytest.mark.mysql
def test_everything_is_scraped_and_every_rule_can_be_evaluated(watched):
    targets = watched.get("targets")["activeTargets"]
    assert {target["labels"]["job"] for target in targets} == {
        "readmission-api", "airflow", "mlflow", "airflow-api", "mysql", "node", "prometheus", "alertmanager",
        "retrain", "minio", "edges", "kubernetes",
    }  # fmt: skip
    # A scrape may come late on a busy machine; that none ever came is a mistake.
    for metric in ("up", "probe_success", "mysql_up"):
        answered = watched.values(f"max_over_time({metric}[1m])", instant=True)
        assert set(itertools.chain(*answered.values())) == {1.0}, answered
    rules = [rule for group in watched.get("rules")["groups"] for rule in group["rules"]]
    assert {rule["name"]: rule.get("lastError") for rule in rules if rule["health"] != "ok"} == {}
    assert {rule["name"] for rule in rules} >= {alert["alert"] for alert in files.all_alerts()}


@pytest.mark.mysql
@pytest.mark.parametrize("name", BY_NAME)
def test_each_variable_of_a_dashboard_finds_values(watched, name):
    for variable in BY_NAME[name]["templating"]["list"]:
        if variable["type"] == "query":
            query = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
            found = watched.get("series", **{"match[]": query[1], "start": watched.began})
            assert all(series[query[2]] for series in found)
            assert found


@pytest.mark.mysql
def test_an_alert_reaches_alertmanager_with_its_links_and_without_their_labels(watched):
    [manager] = watched.get("alertmanagers")["activeAlertmanagers"]
    # Prometheus sends what fires with one of its next evaluations.
    end = time.monotonic() + 60
    alerts = []
    while not alerts and time.monotonic() < end:
        alerts = httpx.get(manager["url"], params={"filter": 'alertname="Watchdog"'}).json()
        time.sleep(0.2)
    [watchdog] = alerts
    assert watchdog["labels"] == {"alertname": "Watchdog", "severity": "none"}
    assert watchdog["annotations"]["runbook_url"] == f"{RUNBOOKS}/Watchdog.md"
    assert watchdog["annotations"]["dashboard_url"] == f"{GRAFANA}/d/readmission-operations"


def test_the_dashboards_are_what_their_program_writes(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "readmission_dashboards", tmp_path],
        cwd=OBSERVABILITY / "grafana",
        check=True,
    )
    written = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert written == {path.name: path.read_text() for path in files.DASHBOARDS}, "run `make dashboards`"


@pytest.mark.parametrize("name", BY_NAME)
def test_each_panel_has_a_description_and_a_unit(name):
    for panel in files.panels(BY_NAME[name]):
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]


@pytest.mark.parametrize("name", BY_NAME)
def test_no_line_is_drawn_where_data_is_missing(name):
    lines = [panel for panel in files.panels(BY_NAME[name]) if panel["type"] == "timeseries"]
    assert lines
    assert not any(panel["fieldConfig"]["defaults"]["custom"]["spanNulls"] for panel in lines)


@pytest.mark.parametrize("name", BY_NAME)
def test_a_dashboard_lists_the_alerts(name):
    [source] = files.read_yaml(OBSERVABILITY / "grafana/provisioning/datasources/prometheus.yml")[
        "datasources"
    ]
    [alerts] = [panel for panel in BY_NAME[name]["panels"] if panel["type"] == "alertlist"]
    assert alerts["options"]["datasource"] == source["name"]


@pytest.mark.parametrize("name", BY_NAME)
def test_each_row_links_to_runbooks(name):
    links = files.row_links(BY_NAME[name])
    assert all(links.values())
    assert set(itertools.chain(*links.values())) <= {alert["alert"] for alert in files.all_alerts()}


def test_dashboards_keep_their_addresses():
    assert {name: dashboard["uid"] for name, dashboard in BY_NAME.items()} == {
        "api-performance": "readmission-api-performance",
        "model": "readmission-model",
        "operations": "readmission-operations",
        "pipeline": "readmission-pipeline",
    }


@pytest.mark.parametrize("name", BY_NAME)
def test_a_dashboard_uses_the_provisioned_data_source(name):
    [source] = files.read_yaml(OBSERVABILITY / "grafana/provisioning/datasources/prometheus.yml")[
        "datasources"
    ]
    dashboard = BY_NAME[name]
    [variable] = [given for given in dashboard["templating"]["list"] if given["name"] == "datasource"]
    assert variable["current"]["value"] == source["uid"]
    for panel in files.panels(dashboard):
        for holder in [panel, *panel["targets"]]:
            assert holder["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


@pytest.mark.parametrize("name", BY_NAME)
def test_panels_are_numbered_and_lie_side_by_side(name):
    panels = BY_NAME[name]["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(taken)) == len(taken)
    assert max(x for x, _ in taken) == 23
