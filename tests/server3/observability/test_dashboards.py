"""Every panel shows something: its query, asked of a real Prometheus after half an hour of traffic."""

import itertools

import pytest

from server3.observability.support import files
from server3.observability.support.programs import OBSERVABILITY
from server3.observability.support.prometheus import RATE_INTERVAL

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
    for annotation in dashboard["annotations"]["list"]
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
        "retrain",
    }  # fmt: skip
    # A scrape may come late on a busy machine; that none ever came is a mistake.
    for metric in ("up", "probe_success", "mysql_up"):
        answered = watched.values(f"max_over_time({metric}[1m])", instant=True)
        assert set(itertools.chain(*answered.values())) == {1.0}, answered
    rules = [rule for group in watched.get("rules")["groups"] for rule in group["rules"]]
    assert {rule["name"]: rule.get("lastError") for rule in rules if rule["health"] != "ok"} == {}
    assert {rule["name"] for rule in rules} >= {alert["alert"] for alert in files.all_alerts()}


def test_dashboards_keep_their_addresses():
    assert {name: dashboard["uid"] for name, dashboard in BY_NAME.items()} == {
        "api-performance": "readmission-api-performance",
        "model": "readmission-model",
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
