"""Alerts, their tests and their runbooks: none without the others."""

import re
import subprocess

import pytest

from server3.observability.support import files
from server3.observability.support.programs import find


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
    assert {case["alertname"] for case in cases if not case["exp_alerts"]} == names


def test_alerts_and_runbooks_are_the_same_list():
    books = {path.stem for path in files.RUNBOOKS.glob("*.md")} - {"README"}
    assert {alert["alert"] for alert in files.all_alerts()} == books


@pytest.mark.parametrize("alert", files.all_alerts(), ids=lambda alert: alert["alert"])
def test_an_alert_says_how_bad_it_is_and_where_its_runbook_lies(alert):
    assert alert["labels"]["severity"] in {"critical", "warning"}
    assert alert["annotations"]["runbook"] == f"docs/runbooks/{alert['alert']}.md"
    assert alert["annotations"]["summary"]


@pytest.mark.parametrize("alert", files.all_alerts(), ids=lambda alert: alert["alert"])
def test_a_runbook_has_its_four_parts(alert):
    text = (files.RUNBOOKS / f"{alert['alert']}.md").read_text()
    assert text.startswith(f"# {alert['alert']}\n")
    assert re.findall(r"^\*\*(.+?)\*\*", text, re.MULTILINE) == [
        "What it means.", "What to look at.", "How to mend it.", "Close when",
    ]  # fmt: skip


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
