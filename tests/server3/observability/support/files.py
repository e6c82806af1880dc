"""Readers of the shipped files: rules, dashboards, runbooks."""

import itertools
import json
import re
from pathlib import Path
from typing import Any

import yaml

from server3.api.support.tracking import CHECKOUT
from server3.observability.support.programs import OBSERVABILITY

RULES = OBSERVABILITY / "prometheus" / "rules"
RUNBOOKS = CHECKOUT / "docs" / "runbooks"
DASHBOARDS = sorted((OBSERVABILITY / "grafana" / "dashboards").glob("*.json"))


def read_yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def alerts(path: Path) -> list[dict[str, Any]]:
    return [rule for group in read_yaml(path)["groups"] for rule in group["rules"] if "alert" in rule]


def alert_files() -> list[Path]:
    return [path for path in sorted(RULES.glob("*.rules.yml")) if alerts(path)]


def all_alerts() -> list[dict[str, Any]]:
    return [alert for path in alert_files() for alert in alerts(path)]


def read_dashboard(path: Path) -> dict[str, Any]:
    return json.loads(path.read_bytes())


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    """The panels that show data."""
    return [panel for panel in dashboard["panels"] if panel["type"] not in {"row", "text", "alertlist"}]


def row_links(dashboard: dict[str, Any]) -> dict[str, set[str]]:
    """Return the runbooks that each row links to: the text right below its title."""
    every = dashboard["panels"]
    return {
        row["title"]: set(re.findall(r"\[(\w+)\]\(\$\{runbooks\}/\1\.md\)", text["options"]["content"]))
        for row, text in itertools.pairwise(every)
        if row["type"] == "row"
    }


def runbook_queries() -> list[tuple[str, str]]:
    """Return the Prometheus queries in runbooks: name of the runbook, query."""
    return [
        (book.stem, query)
        for book in sorted(RUNBOOKS.glob("*.md"))
        for query in re.findall(r"`ask '([^']+)'`", book.read_text())
    ]
