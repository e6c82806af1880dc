"""The result of a capacity search, as JSON, as Markdown and as a plot."""

import json
from dataclasses import asdict
from pathlib import Path

from matplotlib.figure import Figure

from readmission_loadtest.search import Search


def write(search: Search, stem: Path) -> list[Path]:
    """Write `stem` with the suffixes .json, .md and .png; return the three paths."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    paths = [stem.with_suffix(ending) for ending in (".json", ".md", ".png")]
    best = search.best
    figures = {
        "limits": asdict(search.limits),
        "held": asdict(best) | {"requests_per_second": best.rate} if best else None,
        "steps": [
            asdict(step) | {"requests_per_second": step.rate, "held": step.holds(search.limits)}
            for step in search.steps
        ],
    }
    paths[0].write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    paths[1].write_text(table(search), encoding="utf-8")
    plot(search).savefig(paths[2], dpi=150)
    return paths


def table(search: Search) -> str:
    """Return the steps as a table in Markdown, fewest users first."""
    lines = [
        "| users | requests/s | p50 | p95 | p99 | failed | |",
        "|---:|---:|---:|---:|---:|---:|---|",
    ]
    for step in sorted(search.steps, key=lambda step: step.users):
        word = "sustained" if step.holds(search.limits) else "not sustained"
        if step is search.best:
            word = "**highest sustained**"
        lines.append(
            f"| {step.users:,} | {step.rate:,.0f} | {step.p50_ms:.0f} ms | {step.p95_ms:.0f} ms "
            f"| {step.p99_ms:.0f} ms | {step.failed:,} | {word} |"
        )
    return "\n".join(lines) + "\n"


def plot(search: Search) -> Figure:
    """Return a figure of requests per second and percentiles by users; loads not sustained are hollow."""
    figure = Figure(figsize=(7.5, 6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    steps = sorted(search.steps, key=lambda step: step.users)
    users = [step.users for step in steps]
    faces = ["C0" if step.holds(search.limits) else "white" for step in steps]
    above.plot(users, [step.rate for step in steps], color="C0", zorder=1)
    above.scatter(users, [step.rate for step in steps], c=faces, edgecolors="C0", zorder=2)
    above.set_ylabel("requests/s")
    above.set_ylim(bottom=0)
    for name, color in (("p50", "C2"), ("p95", "C0"), ("p99", "C3")):
        below.plot(
            users, [getattr(step, f"{name}_ms") for step in steps], color=color, marker=".", label=name
        )
    below.axhline(search.limits.p95_ms, color="grey", linestyle="--", label="limit of p95")
    below.set(xlabel="users", ylabel="ms of /predict", yscale="log")
    below.legend()
    if search.best:
        for axes in (above, below):
            axes.axvline(search.best.users, color="grey", linewidth=0.8)
        above.set_title(
            f"Highest load sustained: {search.best.users:,} users, {search.best.rate:,.0f} requests/s",
            loc="left",
        )
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", alpha=0.3)
    return figure
