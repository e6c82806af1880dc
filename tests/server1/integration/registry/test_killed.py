"""A rollback that is killed before each of its changes and then run again; a registration between aliases.

../train_and_register kills registrations at random points; this file covers points that a draw may miss.
"""

from pathlib import Path

import pytest
from mlflow import MlflowClient

from readmission_data.model_version.contract import MODEL_NAME
from readmission_data.registry import aliases, pin, versions
from readmission_data.registry.register import register
from readmission_data.tracking import connect
from support.dying import died

from .conftest import Trained, database, in_copy

MOST_STEPS = 20


@pytest.fixture(scope="module")
def serving(trainings: dict[str, Trained], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Trained]:
    """A production and a challenger, both synthetic, that a model of real data will replace."""
    folder = tmp_path_factory.mktemp("serving")
    copied = in_copy(trainings, database(trainings["own"]), folder / "mlflow.db")
    made_up = copied["synthetic"]
    register(made_up.settings, made_up.first)
    register(made_up.settings, made_up.second)
    return copied


@pytest.fixture(scope="module")
def promoted(
    trainings: dict[str, Trained], serving: dict[str, Trained], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Trained]:
    """The same after a model of real data has replaced the production."""
    copied = in_copy(trainings, database(serving["own"]), tmp_path_factory.mktemp("promoted") / "mlflow.db")
    register(copied["own"].settings, copied["own"].first)
    return copied


def _served(client: MlflowClient) -> str:
    """Return the version that a server would load now, all its files checked."""
    production = aliases.current(client)["production"]
    return versions.load(client, production).number


@pytest.mark.parametrize(
    ("change", "number", "served"),
    [
        # Only a part of the decision is written.
        ("set_model_version_tag", 3, "1"),
        # Previous has moved, production has not.
        ("set_registered_model_alias", 2, "1"),
        # Production has moved, the challenger that it replaces is still one.
        ("delete_registered_model_alias", 1, "3"),
    ],
)
def test_a_registration(
    serving: dict[str, Trained], tmp_path: Path, change: str, number: int, served: str
) -> None:
    own = in_copy(serving, database(serving["own"]), tmp_path / "mlflow.db")["own"]
    assert died(number, register, own.settings, own.first, changes=(change,))
    client = connect(own.settings)
    assert _served(client) == served

    done = register(own.settings, own.first)
    assert (done.version, done.alias) == ("3", "production")
    assert done.aliases == {"production": "3", "previous": "1"}
    found = client.search_model_versions(f"name = '{MODEL_NAME}'")
    assert sorted(str(version.version) for version in found) == ["1", "2", "3"]
    left = client.search_logged_models(
        [own.first.experiment_id],
        filter_string=f"source_run_id = '{own.first.best_run_id}' and name = 'onnx'",
    )
    assert len(left) == 1


def test_a_rollback(promoted: dict[str, Trained], tmp_path: Path) -> None:
    served = []
    for step in range(1, MOST_STEPS):
        own = in_copy(promoted, database(promoted["own"]), tmp_path / f"mlflow-{step}.db")["own"]
        killed = died(step, aliases.rollback, own.settings)
        client = connect(own.settings)
        served.append(_served(client))
        if not killed:
            break
        done = aliases.rollback(own.settings)
        assert (done.production, done.previous) == ("1", "3")
        assert aliases.current(client) == {"production": "1", "previous": "3"}
        assert list(client.get_registered_model(MODEL_NAME).tags) == [pin.PIN]
    else:
        pytest.fail(f"a rollback of more than {MOST_STEPS} steps")
    # Killed before the pin, before the note and before production moves; after that, it can only continue.
    assert served[:3] == ["3", "3", "3"]
    assert set(served[3:]) == {"1"}


def test_a_registration_ends_a_rollback_that_was_killed(promoted: dict[str, Trained], tmp_path: Path) -> None:
    own = in_copy(promoted, database(promoted["own"]), tmp_path / "mlflow.db")["own"]
    # Its first change is the pin, the second the note, the third moves production.
    assert died(3, aliases.rollback, own.settings)
    client = connect(own.settings)
    assert aliases.current(client)["production"] == "3"
    done = register(own.settings, own.second)
    # Production is synthetic again, and the other model of real data would replace it but for the pin.
    assert done.aliases == {"production": "1", "previous": "3", "challenger": "4"}
    assert done.reason.startswith("not promoted: version 1 is pinned")


@pytest.mark.parametrize("killed", [False, True])
def test_a_registration_run_again_leaves_a_rolled_back_version_out_of_service(
    serving: dict[str, Trained], tmp_path: Path, *, killed: bool
) -> None:
    own = in_copy(serving, database(serving["own"]), tmp_path / "mlflow.db")["own"]
    # Its aliases have moved, but this is not recorded yet.
    assert died(4, register, own.settings, own.first, changes=("set_model_version_tag",))
    client = connect(own.settings)
    assert aliases.current(client) == {"production": "3", "previous": "1"}
    if killed:
        assert died(3, aliases.rollback, own.settings)
    else:
        aliases.rollback(own.settings)

    # The second run completes it.
    for _ in range(2):
        done = register(own.settings, own.first)
        assert done.version == "3"
        assert done.aliases == {"production": "1", "previous": "3"}
