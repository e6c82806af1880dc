"""Alerts, their tests and their runbooks: none without the others."""

import re
import subprocess

import pytest

from server3.observability.support import files
from server3.observability.support.programs import find

ALWAYS = "Watchdog"
"""The alert that is never silent."""


def promtool(*arguments):
    ran = subprocess.run([find("promtool"), *arguments], check=False, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("path", sorted(files.RULES.glob("*.rules.yml")), ids=lambda path: path.stem)
def test_rules_are_valid(path):
    promtool("check", "rules", str(path))


@pytest.mark.parametrize("path", files.alert_files(), ids=lambda path: path.stem)
def test_promtool_tests_pass(path):
    tests = path.with_name(path.name.replace(".rules.yml", ".tests.yml"))
    promtool("test", "rules", str(tests))


@pytest.mark.parametrize("path", files.alert_files(), ids=lambda path: path.stem)
def test_each_alert_is_tested_firing_and_silent(path):
    tests = files.read_yaml(path.with_name(path.name.replace(".rules.yml", ".tests.yml")))["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    names = {alert["alert"] for alert in files.alerts(path)}
    assert {case["alertname"] for case in cases if case["exp_alerts"]} == names
    assert {case["alertname"] for case in cases if not case["exp_alerts"]} == names - {ALWAYS}


def test_alerts_and_runbooks_are_the_same_list():
    books = {path.stem for path in files.RUNBOOKS.glob("*.md")} - {"README"}
    assert {alert["alert"] for alert in files.all_alerts()} == books


@pytest.mark.parametrize("alert", files.all_alerts(), ids=lambda alert: alert["alert"])
def test_an_alert_says_what_is_wrong_how_bad_it_is_and_where_to_look(alert):
    severity, annotations = alert["labels"]["severity"], alert["annotations"]
    assert severity in ({"none"} if alert["alert"] == ALWAYS else {"critical", "warning"})
    assert set(annotations) == {"summary", "description", "runbook_url", "dashboard_url"}
    assert re.search(r"{{[^}]*\$value", annotations["description"])
    assert annotations["runbook_url"] == f"{{{{ $externalLabels.runbooks }}}}/{alert['alert']}.md"
    board = re.fullmatch(r"{{ \$externalLabels.grafana }}/d/([\w-]+)", annotations["dashboard_url"])[1]
    [dashboard] = [one for one in map(files.read_dashboard, files.DASHBOARDS) if one["uid"] == board]
    # The dashboard that an alert leads to leads on to the alert's runbook.
    assert alert["alert"] in set().union(*files.row_links(dashboard).values())


@pytest.mark.parametrize("path", files.alert_files(), ids=lambda path: path.stem)
def test_an_alert_about_one_instance_names_it(path):
    tests = files.read_yaml(path.with_name(path.name.replace(".rules.yml", ".tests.yml")))["tests"]
    for alert in (
        alert for test in tests for case in test["alert_rule_test"] for alert in case["exp_alerts"]
    ):
        assert alert["exp_labels"].get("instance", "") in alert["exp_annotations"]["description"]


@pytest.mark.parametrize("alert", files.all_alerts(), ids=lambda alert: alert["alert"])
def test_a_runbook_has_its_four_parts(alert):
    text = (files.RUNBOOKS / f"{alert['alert']}.md").read_text()
    assert text.startswith(f"# {alert['alert']}\n")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Meaning", "Impact", "Diagnosis", "Fix"]
    assert "\n## Fix\n\n" in text


def test_mysql_down_leads_to_the_restore():
    text = (files.RUNBOOKS / "MysqlDown.md").read_text()
    [anchor] = re.findall(r"\(\.\./backups\.md#([\w-]+)\)", text)
    headings = re.findall(r"^## (.+)$", (files.RUNBOOKS.parent / "backups.md").read_text(), re.MULTILINE)
    assert anchor in {heading.lower().replace(" ", "-") for heading in headings}


def test_the_index_of_the_runbooks_is_complete():
    rows = re.findall(
        r"^\| \[(\w+)\]\((\w+)\.md\) \| ([\w, ]+) \|",
        (files.RUNBOOKS / "README.md").read_text(),
        re.MULTILINE,
    )
    expected = {
        alert["alert"]: ", ".join([alert["labels"]["severity"], *([action] if action else [])])
        for alert in files.all_alerts()
        for action in [alert["labels"].get("action")]
    }
    assert {name: severity for name, target, severity in rows if name == target} == expected
