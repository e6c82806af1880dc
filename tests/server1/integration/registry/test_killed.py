"""A registration or rollback that is killed before each of its changes in turn, and then run again."""

from pathlib import Path

import pytest
from mlflow import MlflowClient

from readmission_data.registry import aliases, versions
from readmission_data.registry.contract import MODEL_NAME
from readmission_data.registry.register import register
from readmission_data.settings import DataSettings
from support.dying import died

from .conftest import Trained

MOST_STEPS = 40


@pytest.fixture
def serving(registry: dict[str, Trained]) -> dict[str, Trained]:
    """A production and a challenger, both synthetic, that a model of real data will replace."""
    made_up = registry["synthetic"]
    register(made_up.settings, made_up.first)
    register(made_up.settings, made_up.second)
    return registry


def _copied(settings: DataSettings, folder: Path, step: int) -> DataSettings:
    source = Path(settings.tracking_uri.removeprefix("sqlite:///"))
    copy = folder / f"mlflow-{step}.db"
    copy.write_bytes(source.read_bytes())
    return settings.model_copy(update={"tracking_uri": f"sqlite:///{copy}"})


def _assert_servable(client: MlflowClient) -> str:
    production = aliases.current(client)["production"]
    return versions.load(client, production).number


def test_a_registration_killed_anywhere(serving: dict[str, Trained], tmp_path: Path) -> None:
    own = serving["own"]
    seen = set()
    for step in range(1, MOST_STEPS):
        settings = _copied(own.settings, tmp_path, step)
        killed = died(step, register, settings, own.first)
        client = versions.connect(settings)
        seen.add(_assert_servable(client))
        done = register(settings, own.first)
        assert done.alias == "production"
        assert done.aliases == {"production": done.version, "previous": "1"}
        found = client.search_model_versions(f"name = '{MODEL_NAME}'")
        assert sorted(str(version.version) for version in found) == ["1", "2", done.version]
        left = client.search_logged_models(
            [own.first.experiment_id],
            filter_string=f"source_run_id = '{own.first.best_run_id}' and name = 'onnx'",
        )
        assert len(left) == 1
        if not killed:
            break
    else:
        pytest.fail(f"a registration of more than {MOST_STEPS} steps")
    # It was killed both before and after production moved.
    assert seen == {"1", "3"}
    assert step > 10


def test_a_rollback_killed_anywhere(serving: dict[str, Trained], tmp_path: Path) -> None:
    own = serving["own"]
    register(own.settings, own.first)
    seen = set()
    for step in range(1, MOST_STEPS):
        settings = _copied(own.settings, tmp_path, step)
        killed = died(step, aliases.rollback, settings)
        client = versions.connect(settings)
        seen.add(_assert_servable(client))
        if not killed:
            break
        done = aliases.rollback(settings)
        assert (done.production, done.previous) == ("1", "3")
        assert aliases.current(client) == {"production": "1", "previous": "3"}
        assert not client.get_registered_model(MODEL_NAME).tags
    else:
        pytest.fail(f"a rollback of more than {MOST_STEPS} steps")
    assert seen == {"1", "3"}
    assert step > 4


def test_a_registration_ends_a_rollback_that_was_killed(
    serving: dict[str, Trained], tmp_path: Path
) -> None:
    own = serving["own"]
    register(own.settings, own.first)
    # Its first word is the note, the second moves production.
    assert died(2, aliases.rollback, own.settings)
    client = versions.connect(own.settings)
    assert aliases.current(client)["production"] == "3"
    done = register(own.settings, own.second)
    # Production is synthetic again, so the other model of real data replaces it.
    assert done.aliases["previous"] == "1"
    assert done.aliases["production"] == done.version
