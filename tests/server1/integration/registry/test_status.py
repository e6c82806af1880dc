"""The output of `status` about a version during its registration."""

import pytest
from mlflow import MlflowClient

from readmission_data.registry.register import register
from readmission_data.status import status

from .conftest import Trained


class StoppedError(Exception):
    """The registration is stopped here."""


def test_a_version_is_not_current_before_its_gate_has_settled(
    registry: dict[str, Trained], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = registry["own"]
    set_tag = MlflowClient.set_model_version_tag

    # Its first tag, and the one that ends the registration.
    for last, gate in (("gate_reason", None), ("gate_settled", "production")):

        def stop_before(
            client: MlflowClient, name: str, version: str, key: str, value: str, last: str = last
        ) -> None:
            if key == last:
                raise StoppedError
            set_tag(client, name, version, key, value)

        monkeypatch.setattr(MlflowClient, "set_model_version_tag", stop_before)
        with pytest.raises(StoppedError):
            register(own.settings, own.first)
        now = status(own.settings)
        assert (now["model"]["gate"], now["current"]) == (gate, False)

    monkeypatch.undo()
    register(own.settings, own.first)
    now = status(own.settings)
    assert (now["model"]["gate"], now["current"]) == ("production", True)
