"""The results of the bench, as a section in Markdown."""

from dataclasses import dataclass

from batches import CsvRun
from servers import MLFLOW, MLFLOW_SKLEARN

OURS = "this project"
NO_OP = "FastAPI no-op"
PEER = "MLServer"


@dataclass(frozen=True)
class Round:
    """One run of the load generator."""

    per_second: float
    p50: float
    p99: float


Medians = dict[str, dict[int, Round]]


@dataclass(frozen=True)
class Found:
    """All measurements; latencies in milliseconds."""

    medians: Medians
    seconds: int
    rounds: int
    json_rows_per_second: float
    uploads: list[CsvRun]
    candidate: str
    synthetic: bool


def section(found: Found) -> str:
    """Return the section as Markdown."""
    connections = list(next(iter(found.medians.values())))
    most = connections[-1]
    data = ", trained on synthetic data" if found.synthetic else ""
    about = (
        "Each server runs on one core and wrk on the other, with one patient per request and the same "
        f"version of the model ({found.candidate}{data}). Figures are medians of {found.rounds} rounds of "
        f"{found.seconds} s, in which the servers take turns. Before the load, each server that predicts "
        "returned the same risk as this project within 1e-6."
    )
    mlflow = (
        f"`{MLFLOW}` is the stock command on `models:/NAME@production`. The version's main model "
        "is the ONNX graph, so it takes two tensors, numbers and texts, and does not use scikit-learn: this "
        "is the baseline. The version also contains the scikit-learn pipeline, which takes a raw row of the "
        "data set, as this project does; the next line shows that pipeline served by MLflow."
    )
    lines = [
        "## Serving",
        "",
        about,
        "",
        mlflow,
        "",
        "| | "
        + " | ".join(f"{n} conn., requests/s" for n in connections)
        + f" | p50 at {most} | p99 at {most} |",
        "|---|" + "---:|" * (len(connections) + 2),
    ]
    for name, by_connections in found.medians.items():
        cells = [f"{by_connections[n].per_second:,.0f}" for n in connections]
        last = by_connections[most]
        lines.append(f"| {name} | {' | '.join(cells)} | {last.p50:.1f} ms | {last.p99:.1f} ms |")
    lines += [
        "",
        "![Requests per second by server](performance-serving.png)",
        "",
        f"| At {most} connections | aim | measured |",
        "|---|---:|---:|",
        *(f"| {what} | {aim} | {value} |" for what, aim, value in ratios(found.medians, most)),
        f"| rows/s of a JSON list | at least 40,000 | {found.json_rows_per_second:,.0f} |",
    ]
    lines += [
        "",
        "| CSV upload, end to end | seconds | peak memory above the start |",
        "|---:|---:|---:|",
        *(
            f"| {run.rows:,} rows | {run.seconds:.2f} | {run.extra_megabytes:.0f} MB |"
            for run in found.uploads
        ),
        "",
    ]
    return "\n".join(lines)


def ratios(medians: Medians, most: int) -> list[tuple[str, str, str]]:
    """Return label, aim and value of each comparison with the baselines of the same run."""
    ours = medians[OURS][most]
    return [
        *(
            (f"times {name}", "at least 60", f"{ours.per_second / medians[name][most].per_second:.1f}")
            for name in (MLFLOW, MLFLOW_SKLEARN)
        ),
        (
            f"times {PEER}",
            "at least 5",
            f"{ours.per_second / medians[PEER][most].per_second:.1f}",
        ),
        (
            "times the FastAPI no-op",
            "at least 1.3",
            f"{ours.per_second / medians[NO_OP][most].per_second:.2f}",
        ),
        ("p99 against the FastAPI no-op's", "under 2", f"{ours.p99 / medians[NO_OP][most].p99:.2f}"),
    ]
