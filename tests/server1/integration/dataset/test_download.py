"""Downloads from a real server that breaks off, stalls, changes its file or sends something else."""

import io
import logging
import os
import signal
import subprocess
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import tenacity

from readmission_data.dataset import DatasetError, DatasetFile, find
from readmission_data.dataset.inspection import SYNTHETIC_PREFIX, UCI_SHA256
from readmission_data.settings import DataSettings


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("readmission_data.web._growing", tenacity.wait_fixed(0.01))
    for name in ("READMISSION_DATASET", "READMISSION_DATASET_SHA256"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def get(cache: Path, url: str) -> DatasetFile:
    return find(DataSettings(cache_dir=cache, dataset=url))


def from_uci(cache: Path, url: str, **settings: object) -> DatasetFile:
    """Locate the data set at the server's address instead of UCI's, without a local file."""
    given = DataSettings(cache_dir=cache, **settings)  # type: ignore[arg-type]
    return find(given, checkout=cache / "nowhere" / "checkout", uci_url=url)


def content(file: DatasetFile) -> bytes:
    with file.open_csv() as stream:
        return stream.read()


def stored(cache: Path) -> list[str]:
    """Return the files that a download left behind, except cached validators and locks."""
    if not cache.exists():
        return []
    return sorted(
        path.name for path in cache.iterdir() if path.is_file() and path.suffix not in {".lock", ".json"}
    )


def zipped(csv: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("diabetic_data.csv", csv)
    return packed.getvalue()


@pytest.mark.parametrize("packed", [False, True], ids=["csv", "zip"])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_a_download_is_the_servers_file(site, sample_csv, cache, packed, chunked, capsys):
    site.content = zipped(sample_csv) if packed else sample_csv
    site.chunked = chunked

    file = get(cache, f"{site.url}/data")

    assert content(file) == sample_csv
    assert file.kind == "synthetic"
    assert len(stored(cache)) == 1
    progress = capsys.readouterr().err
    assert "download" in progress
    if not chunked:
        assert "100%" in progress


def test_own_data_may_come_from_an_address(site, sample_csv, cache):
    site.content = sample_csv.replace(SYNTHETIC_PREFIX.encode(), b"12345678")

    assert get(cache, f"{site.url}/data.csv").kind == "own"


def test_a_broken_connection_is_taken_up_where_it_broke(site, sample_csv, cache):
    site.content = sample_csv
    site.breaks = [100_000, 150_000]

    assert content(get(cache, f"{site.url}/data.csv")) == sample_csv

    asked = [request.get("range") for request in site.requests]
    assert asked[0] is None
    assert asked[1:] == ["bytes=100000-", "bytes=250000-"]
    assert site.requests[1]["if-range"] == site.etag


@pytest.mark.parametrize("etags", [True, False])
def test_without_ranges_it_starts_again(site, sample_csv, cache, etags):
    site.content = sample_csv
    site.ranges = False
    site.etags = etags
    site.breaks = [100_000, 50_000, 399_000]

    assert content(get(cache, f"{site.url}/data.csv")) == sample_csv
    assert len(site.requests) == 4


def test_versions_that_have_no_name_start_again(site, sample_csv, cache):
    site.content = sample_csv
    site.etags = False
    site.breaks = [100_000]

    assert content(get(cache, f"{site.url}/data.csv")) == sample_csv
    assert "range" not in site.requests[1]


def test_a_broken_chunked_answer_is_noticed(site, sample_csv, cache):
    site.content = sample_csv
    site.chunked = True
    site.breaks = [100_000]

    assert content(get(cache, f"{site.url}/data.csv")) == sample_csv
    assert len(site.requests) == 2


@pytest.mark.parametrize("etags", [True, False])
def test_halves_of_two_files_are_never_joined(site, sample_csv, cache, etags):
    """After the break, a file of the same length replaces the server's file."""
    site.content = sample_csv
    site.replacement = sample_csv.replace(b"Steady", b"STEADY")
    site.etags = etags
    site.breaks = [100_000]

    assert content(get(cache, f"{site.url}/data.csv")) == sample_csv.replace(b"Steady", b"STEADY")
    assert len(site.requests) == 2


def test_a_connection_that_breaks_for_good_is_given_up(site, sample_csv, cache):
    site.content = sample_csv
    site.breaks = [100_000] + [0] * 20

    with pytest.raises(DatasetError, match=r"/data\.csv broke off after 100,000 bytes"):
        get(cache, f"{site.url}/data.csv")

    assert stored(cache) == []
    assert len(site.requests) == 1 + 4


def test_a_busy_server_is_asked_again(site, sample_csv, cache):
    site.content = sample_csv
    site.statuses = [503, 429, 502]

    assert content(get(cache, f"{site.url}/data.csv")) == sample_csv


def test_a_server_that_stays_busy_is_given_up(site, cache):
    site.statuses = [503] * 20

    with pytest.raises(DatasetError, match="the server answered 503"):
        get(cache, f"{site.url}/data.csv")


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_refusal_is_final_and_shows_no_secret(site, cache, status, caplog):
    site.statuses = [status] * 20
    address = f"{site.url}/data.csv?signature=s3cret".replace("http://", "http://user:passw0rd@")

    with (
        caplog.at_level(logging.INFO),
        pytest.raises(DatasetError, match=f"/data.csv answered {status}") as refusal,
    ):
        get(cache, address)

    assert site.requests[0]["authorization"].startswith("Basic ")
    for secret in ("s3cret", "passw0rd"):
        assert secret not in str(refusal.value)
        assert secret not in caplog.text
    assert len(site.requests) == 1
    assert stored(cache) == []


def test_a_redirect_is_followed(site, sample_csv, cache):
    site.content = sample_csv

    assert content(get(cache, f"{site.url}/moved/data.csv")) == sample_csv


def test_a_slow_server_is_waited_for_and_a_dead_one_left(site, sample_csv, cache, monkeypatch):
    monkeypatch.setattr("readmission_data.dataset.download._TIMEOUT", httpx.Timeout(0.5))
    site.content = sample_csv
    site.bytes_a_second = 400_000  # a second for all of it, though never half a second without a byte
    site.stalls = [5]

    assert content(get(cache, f"{site.url}/data.csv")) == sample_csv
    assert len(site.requests) == 2
    assert "range" in site.requests[1]


def test_a_web_page_in_the_place_of_the_file_is_refused(site, cache):
    site.content = b"<!DOCTYPE html><html><body>Please log in to the guest network</body></html>"

    with pytest.raises(DatasetError, match=r"http://127.*/data\.zip is a web page"):
        get(cache, f"{site.url}/data.zip")
    assert stored(cache) == []


def test_nothing_at_all_is_refused(site, cache):
    with pytest.raises(DatasetError, match="is empty"):
        get(cache, f"{site.url}/data.zip")
    assert stored(cache) == []


def test_a_changed_file_is_fetched_and_an_unchanged_one_is_not(site, sample_csv, cache):
    site.content = sample_csv
    first = get(cache, f"{site.url}/data.csv")
    again = get(cache, f"{site.url}/data.csv")
    assert again == first
    assert site.requests[1]["if-none-match"] == site.etag

    site.content = sample_csv.replace(b"Female", b"Male")
    assert content(get(cache, f"{site.url}/data.csv")) == site.content


def test_a_bad_download_does_not_take_the_place_of_a_good_one(site, sample_csv, cache):
    site.content = sample_csv
    first = get(cache, f"{site.url}/data.csv")
    site.content = b"<html>maintenance</html>"

    with pytest.raises(DatasetError, match="is a web page"):
        get(cache, f"{site.url}/data.csv")

    assert content(first) == sample_csv
    assert len(stored(cache)) == 1


def test_two_that_want_the_same_file_share_it(site, sample_csv, cache):
    site.content = sample_csv
    site.bytes_a_second = 2_000_000

    with ThreadPoolExecutor() as pool:
        files = list(pool.map(lambda _: get(cache, f"{site.url}/data.csv"), range(3)))

    assert {file.sha256 for file in files} == {files[0].sha256}
    assert sum("if-none-match" not in request for request in site.requests) == 1


def test_a_download_that_is_killed_leaves_no_half_file(site, sample_csv, cache):
    site.content = sample_csv
    site.bytes_a_second = 400_000
    address = f"{site.url}/data.csv"
    code = "from readmission_data.dataset import find; from readmission_data.settings import DataSettings"
    environment = {**os.environ, "READMISSION_DATASET": address, "READMISSION_CACHE_DIR": str(cache)}

    process = subprocess.Popen([sys.executable, "-c", f"{code}; find(DataSettings())"], env=environment)
    while not any(path.stat().st_size > 50_000 for path in cache.glob("*.part")):
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not list(cache.glob("*.csv"))

    site.bytes_a_second = None
    assert content(get(cache, address)) == sample_csv
    assert not list(cache.glob("*.part"))


def test_what_ucis_address_sends_must_be_the_public_data(site, sample_csv, cache):
    site.content = zipped(sample_csv.replace(SYNTHETIC_PREFIX.encode(), b"12345678"))

    with pytest.raises(DatasetError) as refusal:
        from_uci(cache, f"{site.url}/uci.zip")

    assert f"must be {UCI_SHA256}" in str(refusal.value)
    assert f"{site.url}/uci.zip is damaged or is not the public data set" in str(refusal.value)
    assert stored(cache) == []
    # The setting does not lift that: own data has an address of its own.
    with pytest.raises(DatasetError, match="is not the public data set"):
        from_uci(cache, f"{site.url}/uci.zip", dataset=f"{site.url}/uci.zip")


def test_the_public_data_comes_once_and_is_then_there(site, real_dataset, cache):
    site.content = real_dataset.read_bytes()
    site.breaks = [1_000_000]

    first = from_uci(cache, f"{site.url}/uci.zip")
    again = from_uci(cache, f"{site.url}/uci.zip")

    assert first == again
    assert (first.kind, first.sha256) == ("uci", UCI_SHA256)
    assert len(site.requests) == 2  # the one that broke, and the rest


def test_a_damaged_copy_in_the_cache_is_fetched_again(site, real_dataset, cache):
    site.content = real_dataset.read_bytes()
    damaged = from_uci(cache, f"{site.url}/uci.zip").path
    damaged.write_bytes(site.content[:1_000_000])

    assert from_uci(cache, f"{site.url}/uci.zip").kind == "uci"


def test_the_sample_stands_in_where_ucis_address_fails(site, cache):
    site.statuses = [403]

    file = from_uci(cache, f"{site.url}/uci.zip", allow_synthetic=True)

    assert file.synthetic
    assert len(site.requests) == 1
