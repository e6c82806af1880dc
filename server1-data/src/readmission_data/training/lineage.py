"""The lineage of a training: data, rules, code and settings, and one key for all of them."""

import hashlib
import json
import platform
import subprocess
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Self

import pandas as pd

from readmission_data.settings import DataSettings
from readmission_data.training.data import TrainingData

_PACKAGES: Final = ("lightgbm", "numpy", "pandas", "scikit-learn", "scipy", "skops")

_DECIDING: Final = (
    "flagged_fraction",
    "threshold",
    "search_trials",
    "candidates",
    "bootstrap_samples",
    "seed",
)
"""The settings that change the result of a training."""


@dataclass(frozen=True)
class Lineage:
    """The data and the code behind a training.

    `processed_sha256` covers the rows of the three processed tables and the encoding behind them,
    `code_sha256` the modules of this package. Only the hash of the split's salt is recorded: with the
    salt, anybody could compute the split of a patient.
    """

    dataset: str
    dataset_sha256: str
    batches: tuple[int, ...]
    cohort_version: str
    split_version: str
    split_salt_sha256: str
    processed_sha256: str
    code_sha256: str
    git_commit: str
    versions: dict[str, str]

    @property
    def synthetic(self) -> bool:
        """Whether the data set was generated."""
        return self.dataset == "synthetic"

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary that JSON can hold."""
        return asdict(self) | {"batches": list(self.batches)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Return the lineage that `to_json` returned."""
        return cls(**(values | {"batches": tuple(values["batches"])}))

    def training_key(self, settings: DataSettings) -> str:
        """Return a sha256 that is the same for every training that must give the same result.

        The commit is left out: if the code matters, `code_sha256` covers it.
        """
        parts = self.to_json()
        del parts["git_commit"]
        parts["settings"] = {name: getattr(settings, name) for name in _DECIDING}
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def trace(settings: DataSettings, data: TrainingData) -> Lineage:
    """Return the lineage of a training on `data`, by this code, in this environment."""
    source = data.processed.lineage
    return Lineage(
        dataset=source.dataset,
        dataset_sha256=source.dataset_sha256,
        batches=tuple(source.batches),
        cohort_version=source.cohort_version,
        split_version=source.split_version,
        split_salt_sha256=source.split_salt_sha256,
        processed_sha256=_combined(
            {name: frame_digest(frame) for name, frame in data.frames.items()}
            | {"encoding": frame_digest(data.processed.encoding.to_frame())}
        ),
        code_sha256=_code_digest(),
        git_commit=settings.git_commit or _commit_of_checkout(),
        versions={"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
    )


def frame_digest(frame: pd.DataFrame) -> str:
    """Return a sha256 of a frame's column names and values, whatever its index."""
    digest = hashlib.sha256(json.dumps([str(name) for name in frame.columns]).encode())
    digest.update(pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes())
    return digest.hexdigest()


def _combined(digests: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()


def _code_digest() -> str:
    folder = Path(__file__).parent
    return _combined(
        {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("*.py"))}
    )


def _commit_of_checkout() -> str:
    # An image has no checkout, and perhaps no git: then the setting names the commit.
    try:
        found = subprocess.run(  # noqa: S603
            ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"],  # noqa: S607
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return found.stdout.strip()
