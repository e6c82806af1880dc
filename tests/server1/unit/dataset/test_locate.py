"""The places where the data set is searched, their order, and what counts as a hospital's own data."""

import hashlib
import logging
import socket
import zipfile
from pathlib import Path

import pytest

from readmission_data.dataset import DatasetError, DatasetFile, find
from readmission_data.dataset.inspection import UCI_SHA256
from readmission_data.settings import DataSettings


def nobody_listens() -> str:
    """An address of this machine that refuses connections."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/uci.zip"


class Place:
    """A checkout with `shared` next to it, and no access to UCI."""

    def __init__(self, root: Path) -> None:
        self.checkout = root / "checkout"
        self.data = self.checkout / "data"
        self.shared = root / "shared" / "data"
        self.data.mkdir(parents=True)
        self.shared.mkdir(parents=True)
        self._cache = root / "cache"

    def find(self, **settings: object) -> DatasetFile:
        given = DataSettings(cache_dir=self._cache, **settings)  # type: ignore[arg-type]
        return find(given, checkout=self.checkout, uci_url=nobody_listens())


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    for name in ("READMISSION_DATASET", "READMISSION_DATASET_SHA256"):
        monkeypatch.delenv(name, raising=False)
    return Place(tmp_path)


def test_the_setting_comes_first(place: Place, own_csv: bytes, sample_csv: bytes, tmp_path: Path):
    named = tmp_path / "hospital.csv"
    named.write_bytes(own_csv)
    (place.data / "diabetic_data.csv").write_bytes(sample_csv)

    assert place.find(dataset=str(named)).path == named


def test_a_setting_that_leads_nowhere_is_not_replaced(place: Place, sample_csv: bytes, tmp_path: Path):
    (place.data / "diabetic_data.csv").write_bytes(sample_csv)

    with pytest.raises(DatasetError, match="does not exist"):
        place.find(dataset=str(tmp_path / "gone.csv"), allow_synthetic=True)


def test_an_empty_setting_is_none(place: Place, sample_csv: bytes, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("READMISSION_DATASET", "")
    (place.data / "diabetic_data.csv").write_bytes(sample_csv)

    assert place.find().path == place.data / "diabetic_data.csv"


def test_data_in_the_checkout_comes_before_shared(place: Place, sample_csv: bytes):
    (place.shared / "diabetic_data.csv").write_bytes(sample_csv)
    assert place.find().path == place.shared / "diabetic_data.csv"

    (place.data / "diabetes-130-us-hospitals.csv").write_bytes(sample_csv)
    assert place.find().path == place.data / "diabetes-130-us-hospitals.csv"

    with zipfile.ZipFile(place.data / "diabetes-130-us-hospitals.zip", "w") as archive:
        archive.writestr("diabetic_data.csv", sample_csv)
    assert place.find().path == place.data / "diabetes-130-us-hospitals.zip"


def test_a_broken_file_in_the_folder_is_not_passed_over(place: Place, sample_csv: bytes):
    (place.data / "diabetes-130-us-hospitals.zip").write_bytes(b"PK\x03\x04 and no more")
    (place.shared / "diabetic_data.csv").write_bytes(sample_csv)

    with pytest.raises(DatasetError, match="broken or truncated zip"):
        place.find(allow_synthetic=True)


def test_a_damaged_public_file_does_not_pass_for_own_data(place: Place, own_csv: bytes):
    (place.data / "diabetic_data.csv").write_bytes(own_csv)

    with pytest.raises(DatasetError) as refusal:
        place.find(allow_synthetic=True)

    message = str(refusal.value)
    assert UCI_SHA256 in message
    assert hashlib.sha256(own_csv).hexdigest() in message
    assert "READMISSION_DATASET" in message


def test_own_data_is_whatever_the_setting_names(
    place: Place, own_csv: bytes, caplog: pytest.LogCaptureFixture
):
    path = place.data / "diabetic_data.csv"
    path.write_bytes(own_csv)

    with caplog.at_level(logging.WARNING):
        assert place.find(dataset=str(path)).kind == "own"
    assert "not the public data set" in caplog.text


def test_a_checksum_that_is_set_must_match(place: Place, own_csv: bytes):
    path = place.data / "diabetic_data.csv"
    path.write_bytes(own_csv)
    right = hashlib.sha256(own_csv).hexdigest()

    assert place.find(dataset=str(path), dataset_sha256=right).kind == "own"
    assert place.find(dataset_sha256=right).kind == "own"
    with pytest.raises(
        DatasetError, match=f"SHA-256 is {right}, but READMISSION_DATASET_SHA256 is {'0' * 64}"
    ):
        place.find(dataset=str(path), dataset_sha256="0" * 64)


@pytest.mark.parametrize(
    "address", ["ftp://host/data.zip", "file:///data.csv", "s3://bucket/data", "http://"]
)
def test_other_addresses_are_refused(place: Place, address: str):
    with pytest.raises(DatasetError, match="neither a path nor a full http or https address"):
        place.find(dataset=address)


def test_where_nothing_is_to_be_had_all_that_was_tried_is_listed(place: Place):
    with pytest.raises(DatasetError) as refusal:
        place.find()

    message = str(refusal.value)
    for tried in (str(place.data), str(place.shared), "uci.zip cannot be reached", "READMISSION_DATASET"):
        assert tried in message
    assert "\n" not in message


def test_the_sample_takes_its_place_only_where_allowed_and_says_so(
    place: Place, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.WARNING):
        file = place.find(allow_synthetic=True)

    assert file.synthetic
    assert "SYNTHETIC" in caplog.text
    made = file.path.stat().st_mtime_ns
    assert place.find(allow_synthetic=True).path.stat().st_mtime_ns == made


def test_no_sample_stands_in_for_a_checksum(place: Place):
    with pytest.raises(DatasetError, match="no data set found"):
        place.find(allow_synthetic=True, dataset_sha256=UCI_SHA256)


def test_a_sample_that_the_setting_names_still_is_one(place: Place, sample_csv: bytes, tmp_path: Path):
    path = tmp_path / "real-patients.csv"
    path.write_bytes(sample_csv)

    assert place.find(dataset=str(path)).kind == "synthetic"


def test_the_real_file_is_found_by_its_name(place: Place, real_dataset: Path):
    (place.shared / "diabetes-130-us-hospitals.zip").symlink_to(real_dataset)

    assert place.find(dataset_sha256=UCI_SHA256).kind == "uci"
