"""The demo's output besides its progress: the table at the end, and the warning about synthetic data."""

import time
from collections.abc import Mapping
from typing import Any, Final

from rich.console import Console
from rich.panel import Panel
from rich.table import Table

CONSOLE: Final = Console(highlight=False)

SYNTHETIC_BANNER: Final = Panel(
    "SYNTHETIC DATA: no data set was found, so this run uses a generated sample.\n"
    "Nothing it shows says anything about real patients. Put diabetes-130-us-hospitals.zip into data/,\n"
    "or set READMISSION_DATASET to its path or URL, and run `make demo` again.",
    style="bold white on red",
)


def summary(
    status: Mapping[str, Any],
    answer: Mapping[str, Any],
    patient: str,
    addresses: Mapping[str, str],
    began: float,
) -> Table:
    """Return the table: the data, the model, one prediction, and `addresses` by title."""
    table = Table(title="Readmission within 30 days", show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column()
    rows = status["raw"]["rows"]
    table.add_row("raw rows", f"{sum(rows.values()):,} in {len(status['raw']['batches'])} batches")
    for split, count in rows.items():
        table.add_row(f"  {split}", f"{count:,}")
    table.add_row("rejected rows", f"{status['raw']['rejected']:,}")
    table.add_row("patients in two splits", str(status["raw"]["patients_in_two_splits"]))
    table.add_row("features", str(status["clean"]["features"]))
    model = status["model"]
    table.add_row("model", f"{model['name']}, {model['candidate']}")
    table.add_row("version", f"{model['version']} ({', '.join(model['aliases'])})")
    for name, label in (("roc_auc", "test ROC AUC"), ("average_precision", "test average precision")):
        metric = model["test"][name]
        table.add_row(label, f"{metric['value']:.3f} (95 %: {metric['low']:.3f} to {metric['high']:.3f})")
    table.add_row(
        f"prediction, {patient}",
        f"risk {answer['probability']:.1%}, class {answer['class']} "
        f"at threshold {answer['threshold']:.3f}, by version {answer['version']}",
    )
    for title, url in addresses.items():
        table.add_row(title, url)
    table.add_row("took", f"{time.monotonic() - began:.0f} s")
    return table
