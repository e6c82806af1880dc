"""Register the best candidate of a training; the gate decides which alias it gets.

Each step can be killed and run again: one training has one version, a version is created only when all its
files are stored, and the gate's decision is recorded before an alias moves.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
from mlflow import MlflowClient
from mlflow.entities import LoggedModelStatus
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import Model

from readmission_data.errors import RegistryError
from readmission_data.model_version import sources, version_folder
from readmission_data.model_version.contract import MODEL_NAME
from readmission_data.registry import aliases, gate, gate_report, pin, versions
from readmission_data.registry.aliases import Alias
from readmission_data.settings import DataSettings
from readmission_data.tracking import connect, named_errors
from readmission_data.training.lace import lace
from readmission_data.training.lock import one_training
from readmission_data.training.result import TrainingResult
from readmission_data.training.subgroups import GROUP_COLUMNS

log = logging.getLogger(__name__)

GATE: Final = "gate"
"""Tag of a version: the alias that the gate gave it."""

GATE_REASON: Final = "gate_reason"

_AGAINST: Final = "gate_against"
_SETTLED: Final = "gate_settled"
_NOBODY: Final = "none"
_LOGGED_NAME: Final = "onnx"


@dataclass(frozen=True, slots=True)
class Registration:
    """The version of a training, the alias that the gate gave it, and why."""

    version: str
    alias: str
    reason: str
    aliases: dict[str, str]


def register(settings: DataSettings, result: TrainingResult) -> Registration:
    """Register a finished training's best candidate as a version and move the aliases.

    If it runs again, it finds the version, and completes the work of a killed run. Raise `ParityError` if the
    graph differs from scikit-learn, and `RegistryError` if something cannot be read.
    """
    client = connect(settings)
    with one_training(settings), named_errors():
        found = versions.of_training(client, result.run_id)
        if found is None:
            _create(client, settings, result)
            found = versions.of_training(client, result.run_id)
            if found is None:
                raise RegistryError(f"the version of training run {result.run_id} is not in the registry")
        tags = found.tags if _SETTLED in found.tags else _settle(client, settings, found)
        return Registration(
            version=str(found.version),
            alias=tags[GATE],
            reason=tags[GATE_REASON],
            aliases=aliases.current(client),
        )


def _create(client: MlflowClient, settings: DataSettings, result: TrainingResult) -> None:
    """Store the version's files, then create the version with all its tags in one step."""
    read = sources.read(settings, result)
    _drop_unregistered(client, result)
    with TemporaryDirectory(prefix="readmission-") as temporary:
        logged = client.create_logged_model(
            result.experiment_id, name=_LOGGED_NAME, source_run_id=result.best_run_id, model_type="onnx"
        )
        folder = Path(temporary) / "version"
        model = Model(run_id=result.best_run_id, model_id=logged.model_id)
        written = version_folder.write(folder, read, settings, model)
        client.log_model_artifacts(logged.model_id, str(folder))
    client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)
    try:
        client.create_registered_model(MODEL_NAME)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    client.create_model_version(
        MODEL_NAME,
        source=f"models:/{logged.model_id}",
        run_id=result.best_run_id,
        model_id=logged.model_id,
        tags=written.tags,
        description=written.description,
    )


def _drop_unregistered(client: MlflowClient, result: TrainingResult) -> None:
    """Delete the files of a killed registration, to which no version points."""
    left = client.search_logged_models(
        [result.experiment_id],
        filter_string=f"source_run_id = '{result.best_run_id}' and name = '{_LOGGED_NAME}'",
    )
    for model in left:
        client.delete_logged_model(model.model_id)


def _settle(client: MlflowClient, settings: DataSettings, version: ModelVersion) -> dict[str, str]:
    """Ask the gate, record its decision, then move the aliases; return the decision's tags.

    A version that was rolled back meanwhile no longer moves an alias.
    """
    number = str(version.version)
    if aliases.finish_rollback(client):
        # The rollback may have taken this version out of service.
        version = client.get_model_version(MODEL_NAME, number)
    rolled_back = version.tags.get(aliases.ROLLBACK_REASON)
    production = aliases.current(client).get(Alias.PRODUCTION)
    tags: dict[str, str] = {
        name: version.tags[name] for name in (GATE, GATE_REASON, _AGAINST) if name in version.tags
    }
    against = tags.get(_AGAINST)
    # A decision is valid while production is the version that it was compared with, or already this version,
    # or if a person has decided since.
    if against is None or not (rolled_back or production == number or against == (production or _NOBODY)):
        decision = (
            gate.Decision(promoted=False, reason=rolled_back, rows=0)
            if rolled_back
            else _decide(client, settings, number, production)
        )
        if decision.rows:
            report = gate_report.write(number, production, decision)
            client.log_text(str(version.run_id), report, gate_report.REPORT_FILE)
        tags = {
            GATE_REASON: decision.reason,
            GATE: str(Alias.PRODUCTION if decision.promoted else Alias.CHALLENGER),
            # The last tag makes the decision count.
            _AGAINST: production or _NOBODY,
        }
        for name, value in tags.items():
            client.set_model_version_tag(MODEL_NAME, number, name, value)
    tags = _respect_pin(client, number, tags)
    if rolled_back:
        log.warning("version %s of %s moves no alias: %s", number, MODEL_NAME, rolled_back)
    elif tags[GATE] == Alias.PRODUCTION:
        aliases.promote(client, number)
    else:
        aliases.challenge(client, number)
    client.set_model_version_tag(MODEL_NAME, number, _SETTLED, "true")
    log.info("version %s of %s is %s: %s", number, MODEL_NAME, tags[GATE], tags[GATE_REASON])
    return tags


def _respect_pin(client: MlflowClient, number: str, tags: dict[str, str]) -> dict[str, str]:
    """Return the decision's tags; a version that would replace a pinned one becomes challenger instead."""
    held = pin.read(client)
    if held is None or held.version == number or tags[GATE] != Alias.PRODUCTION:
        return tags
    changed = tags | {
        GATE_REASON: f"not promoted: {held}. The gate's own verdict: {tags[GATE_REASON]}",
        GATE: str(Alias.CHALLENGER),
    }
    for name, value in changed.items():
        client.set_model_version_tag(MODEL_NAME, number, name, value)
    return changed


def _decide(
    client: MlflowClient, settings: DataSettings, number: str, production: str | None
) -> gate.Decision:
    rows = sources.judging(settings)
    new = _score(versions.load(client, number), rows)
    serving = None
    if production == number:
        return gate.Decision(promoted=True, reason="was made production by hand", rows=0)
    if production is not None:
        try:
            serving = _score(versions.load(client, production), rows)
        except RegistryError as error:
            # It is unknown which version is better: a person must decide.
            return gate.Decision(promoted=False, reason=f"not compared: {error}", rows=0)
    return gate.decide(
        gate.Rows(
            rows.labels,
            rows.patients,
            rows.frame[list(GROUP_COLUMNS)],
            lace(rows.frame).astype(np.float64),
        ),
        new,
        serving,
        samples=settings.bootstrap_samples,
        seed=settings.seed,
    )


def _score(version: versions.Version, rows: sources.Encounters) -> gate.Scored:
    return gate.Scored(version.number, version.schema.dataset.synthetic, version.score(rows.frame))
