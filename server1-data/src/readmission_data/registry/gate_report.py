"""Write `gate_report.md`, which the gate stores in the run of the version that it judged."""

from typing import Final

from readmission_data.registry.gate import GROUP_MARGIN, SMALLEST_GROUP, Decision
from readmission_data.training.subgroups import level_name

REPORT_FILE: Final = "gate_report.md"

_MEASURES: Final = {"roc_auc": "ROC AUC", "average_precision": "Average precision"}


def write(version: str, against: str | None, decision: Decision) -> str:
    """Return the report as Markdown; `against` is the version that served, None if none did."""
    lines = [
        f"# Version {version} {'serves' if decision.promoted else 'does not serve'}",
        "",
        f"{decision.reason[0].upper()}{decision.reason[1:]}.",
        "",
        f"Compared with {f'version {against}' if against else 'no version: none served'}, on",
        f"{decision.rows:,} encounters of validation patients who chose neither settings nor candidate.",
        "Intervals cover 95 % and come from drawing patients.",
        "",
    ]
    if decision.over_lace:
        lines += [
            "## Over the LACE index",
            "",
            "LACE is a score that wards know. It decides nothing here.",
            "",
            "| Measure | Lead over LACE |",
            "|---|---|",
            *(f"| {_MEASURES[name]} | {found.as_change()} |" for name, found in decision.over_lace.items()),
            "",
        ]
    if decision.groups:
        lines += [
            "## By group",
            "",
            f"Change of the log loss in every group of at least {SMALLEST_GROUP} encounters; below zero, the",
            f"group gains. A group loses if the change is above {GROUP_MARGIN} and its interval above zero.",
            "",
            "| | Level | Encounters | Log loss | Loses |",
            "|---|---|---|---|---|",
            *(
                f"| {group.column} | {level_name(group.level)} "
                f"| {group.encounters:,} | {group.log_loss.as_change()} | {'yes' if group.loses else 'no'} |"
                for group in decision.groups
            ),
            "",
        ]
    return "\n".join(lines)
