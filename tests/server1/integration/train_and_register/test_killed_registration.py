"""A registration that is killed, killed again and then completes has the same result as an undisturbed one.

There are twenty kills, two before each successful try, as the task's two retries allow. Identical means: the
same versions by number, the same aliases, and the new version has the same tags, description and files, bit
for bit. What may differ: the id of its logged model, the moment of its creation (in `input_schema.json`, in
one line of the card, and so in the manifest and its tag), and the bytes of `MLmodel` and `sklearn/`, where
MLflow and skops write ids and times; the files of the contract are checked against the manifest.
"""

import hashlib
import json
import logging
import re
from collections import deque
from pathlib import Path

import numpy as np
import pytest
from mlflow.artifacts import download_artifacts

from readmission_data.model_version import manifest
from readmission_data.model_version.contract import (
    CARD_FILE,
    MANIFEST_FILE,
    MANIFEST_TAG,
    MODEL_NAME,
    SCHEMA_FILE,
)
from readmission_data.registry import aliases, versions
from readmission_data.registry.register import register
from readmission_data.tracking import connect
from readmission_data.training.run import train
from support import checksums, kill_points

from .conftest import put_aside

KILLS = 20
SEED = 12
TRIES = 3
OLD = {"previous": "1", "production": "2", "challenger": "3"}
NEW = {"previous": "2", "production": "4"}

pytestmark = pytest.mark.mysql
_LOG = logging.getLogger(__name__)


class Registry:
    """A registry with three versions of one model of generated data, and a finished training of own data."""

    def __init__(self, settings, before, result):
        self.settings = settings
        self.result = result
        self.client = connect(settings)
        self.before = before

    def restore(self) -> None:
        """Undo the registrations of the training."""
        self.client.delete_registered_model(MODEL_NAME)
        for model in self.logged():
            self.client.delete_logged_model(model.model_id)
        self.client.create_registered_model(MODEL_NAME)
        for _ in OLD:
            self.client.create_model_version(
                MODEL_NAME,
                source=self.before.source,
                run_id=self.before.run_id,
                model_id=self.before.source.removeprefix("models:/"),
                tags=self.before.tags,
            )
        for alias, number in OLD.items():
            self.client.set_registered_model_alias(MODEL_NAME, alias, number)

    def logged(self) -> list:
        """The graphs that were stored for the training, registered or not."""
        return self.client.search_logged_models(
            [self.result.experiment_id],
            filter_string=f"source_run_id = '{self.result.best_run_id}' and name = 'onnx'",
        )

    def check_served(self) -> None:
        """Check that the version that a server would load is complete, and that previous was production."""
        now = aliases.current(self.client)
        served = versions.load(self.client, now["production"])
        assert served.schema.dataset.synthetic == (now["production"] == "2")
        assert (now["production"], now["previous"]) in {("2", "1"), ("2", "2"), ("4", "2")}

    def told(self, folder: Path) -> dict:
        """Return everything in the registry that must be the same after another registration."""
        found = self.client.search_model_versions(f"name = '{MODEL_NAME}'")
        number = max((str(one.version) for one in found), key=int)
        versions.load(self.client, number)
        version = self.client.get_model_version(MODEL_NAME, number)
        (logged,) = self.logged()
        assert version.source == f"models:/{logged.model_id}"
        copy = Path(download_artifacts(f"models:/{MODEL_NAME}/{number}", dst_path=str(folder)))
        return {
            "versions": sorted(int(one.version) for one in found),
            "aliases": aliases.current(self.client),
            "tags": {name: text for name, text in version.tags.items() if name != MANIFEST_TAG},
            "description": version.description,
            "run": version.run_id,
            "status": (str(version.status), str(logged.status)),
            "names": sorted(str(path.relative_to(copy)) for path in copy.rglob("*")),
            "files": {name: timeless(copy / name) for name in manifest.FILES},
            "listed": sorted(json.loads((copy / MANIFEST_FILE).read_text())),
        }


def timeless(path: Path) -> str:
    """Return the checksum of a file without its time of creation."""
    content = path.read_bytes()
    if path.name == SCHEMA_FILE:
        content, times = re.subn(rb'"created": "[^"]+"', b"", content)
        assert times == 1
    if path.name == CARD_FILE:
        content, times = re.subn(rb"\| Trained \| [^|]+\|", b"", content)
        assert times == 1
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def registry(prepared, server):
    made_up, own = (
        prepared[kind].model_copy(update={"tracking_uri": server.address}) for kind in ("synthetic", "own")
    )
    put_aside(own)
    client = connect(own)
    first = register(made_up, train(made_up))
    before = client.get_model_version(MODEL_NAME, first.version)
    yield Registry(own, before, train(own))
    client.delete_registered_model(MODEL_NAME)


def test_a_registration_killed_twenty_times(registry, settled, tmp_path):
    settings, result = registry.settings, registry.result
    tables = checksums.of_raw(settings), checksums.of_clean(settings)
    registry.restore()
    course = kill_points.follow(register, settings, result)
    assert course.result.aliases == NEW, course.result.reason
    expected = registry.told(tmp_path / "undisturbed")
    assert expected["aliases"] == NEW
    assert expected["versions"] == [1, 2, 3, 4]

    drawn = kill_points.draw(course, KILLS, SEED)
    points = deque(np.random.default_rng(SEED).permutation(drawn))
    # Shown if the test fails.
    _LOG.warning("seed %d, %d steps in %.1f s: %s", SEED, len(course.steps), course.seconds, points)
    left = set()
    while points:
        registry.restore()
        for number in range(TRIES - 1):
            if not points:
                break
            if not kill_points.killed(points[0], register, settings, result):
                # A retry may have less to do: the next round begins with the point that it did not reach.
                assert number, f"the registration ended before {points[0]}"
                break
            points.popleft()
            settled()
            registry.check_served()
            left.add((len(registry.logged()), *sorted(aliases.current(registry.client).items())))
        done = register(settings, result)
        assert done == course.result
        assert registry.told(tmp_path / str(len(points))) == expected
    _LOG.warning("kills left %s", left)
    assert len(left) >= TRIES, "most kills left nothing half done: the test proves nothing"
    assert (checksums.of_raw(settings), checksums.of_clean(settings)) == tables
