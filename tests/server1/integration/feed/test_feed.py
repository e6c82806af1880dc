"""The feed as its clients use it: a separate process, over HTTP."""

import base64
import contextlib
import csv
import hashlib
import io
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import httpx
import pytest
import uvicorn

from readmission_data.dataset import synthetic
from readmission_data.dataset.inspection import UCI_SHA256
from readmission_data.encounters.columns import CSV_HEADER
from readmission_feed.app import create_app
from readmission_feed.settings import FeedSettings


@dataclass(frozen=True)
class Feed:
    client: httpx.Client

    def block(self, cursor: str | None = None, limit: int | None = None) -> httpx.Response:
        given = {"cursor": cursor, "limit": limit}
        return self.client.get("/v1/encounters", params={k: v for k, v in given.items() if v is not None})

    def blocks(self, limit: int | None = None) -> Iterator[httpx.Response]:
        cursor = None
        while True:
            answer = self.block(cursor, limit).raise_for_status()
            yield answer
            if answer.headers["Feed-Exhausted"] == "true":
                return
            cursor = answer.headers["Feed-Next-Cursor"]


@contextlib.contextmanager
def as_process(dataset: Path, log: Path) -> Iterator[tuple[Feed, int]]:
    """A feed that is started as users do, and its process id."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("FEED_")}
    environment |= {"FEED_DATASET": str(dataset), "FEED_PORT": "0", "FEED_TOKEN": ""}
    command = [sys.executable, "-m", "readmission_feed"]
    with log.open("wb") as out:
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=out)
    try:
        while not (found := re.search(r"running on (http://127\.0\.0\.1:\d+)", log.read_text())):
            if process.poll() is not None:
                pytest.fail(f"the feed ended: {log.read_text()}")
            time.sleep(0.05)
        with httpx.Client(base_url=found[1], timeout=30, trust_env=False) as client:
            yield Feed(client), process.pid
    finally:
        process.terminate()
        assert process.wait(timeout=10) in {0, -signal.SIGTERM}


@contextlib.contextmanager
def serving(dataset: Path, **settings: object) -> Iterator[Feed]:
    """The same app under the same server, in a thread, which starts a second faster."""
    app = create_app(FeedSettings(dataset=dataset, **settings))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None))
    thread = Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client:
            yield Feed(client)
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sample") / "sample.csv"
    synthetic.write(path, 1_000, seed=5)
    return path


@pytest.fixture(scope="module")
def feed(sample: Path) -> Iterator[Feed]:
    with serving(sample) as feed:
        yield feed


def data_lines(answer: httpx.Response) -> bytes:
    return answer.content.split(b"\n", 1)[1]


def resident_kb(pid: int) -> int:
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])


def test_all_blocks_of_the_real_data_are_the_source_byte_for_byte(real_dataset: Path, tmp_path: Path):
    if zipfile.is_zipfile(real_dataset):
        with zipfile.ZipFile(real_dataset) as archive:
            source = archive.read("diabetic_data.csv")
    else:
        source = real_dataset.read_bytes()
    whole, sizes = source[: source.index(b"\n") + 1], []
    with as_process(real_dataset, tmp_path / "log") as (feed, pid):
        before = resident_kb(pid)
        for answer in feed.blocks():
            headers = answer.headers
            assert headers["Feed-Source-SHA256"] == UCI_SHA256
            assert headers["Feed-Source-Kind"] == "uci"
            assert headers["Feed-Source-Rows"] == "101766"
            assert int(headers["Feed-First-Row"]) == sum(sizes)
            digest = base64.b64encode(hashlib.sha256(answer.content).digest()).decode()
            assert headers["Content-Digest"] == f"sha-256=:{digest}:"
            assert next(csv.reader(io.StringIO(answer.text))) == list(CSV_HEADER)
            whole += data_lines(answer)
            sizes.append(int(headers["Feed-Rows"]))
        grown = resident_kb(pid) - before

    assert whole == source
    assert sizes == [15_000] * 6 + [11_766]
    # 19 MB were streamed, but never held in memory.
    assert grown < 16_000


@pytest.mark.parametrize("limit", [1, 7, 333, 999, 1_000, 15_000])
def test_blocks_of_any_size_make_up_the_source(feed: Feed, sample: Path, limit: int):
    if limit == 1:  # each of a thousand rows would take long; the first and the last are enough
        first = feed.block(limit=1)
        last = feed.block(first.headers["Feed-Next-Cursor"].replace(".1", ".999"), 1)
        lines = sample.read_bytes().splitlines(keepends=True)
        assert data_lines(first) == lines[1]
        assert data_lines(last) == lines[-1]
        return
    source = sample.read_bytes()

    whole = b"".join(data_lines(answer) for answer in feed.blocks(limit))

    assert source[: source.index(b"\n") + 1] + whole == source


def test_the_end_can_be_asked_for_again(feed: Feed, sample: Path):
    end = feed.block().headers["Feed-Next-Cursor"]

    answer = feed.block(end)

    assert answer.status_code == 200
    assert answer.content == sample.read_bytes().splitlines(keepends=True)[0]
    assert answer.headers["Feed-Rows"] == "0"
    assert answer.headers["Feed-Exhausted"] == "true"
    assert answer.headers["Feed-Next-Cursor"] == end


def test_the_same_cursor_gives_the_same_block(feed: Feed):
    cursor = feed.block(limit=10).headers["Feed-Next-Cursor"]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: feed.block(cursor, 500), range(24)))

    assert len({answer.content for answer in answers}) == 1
    assert len({answer.headers["Feed-Next-Cursor"] for answer in answers}) == 1


@pytest.mark.parametrize(
    ("query", "status", "detail"),
    [
        ("limit=0", 422, "limit:"),
        ("limit=-1", 422, "limit:"),
        ("limit=15001", 422, "at most 15000"),
        ("limit=all", 422, "limit:"),
        ("cursor=", 400, "not issued by this feed"),
        ("cursor=15000", 400, "not issued by this feed"),
        (f"cursor={'0' * 64}.1", 409, "the source has changed"),
        (f"cursor={'0' * 63}.1", 400, "not issued by this feed"),
        (f"cursor={'0' * 64}.-1", 400, "not issued by this feed"),
        (f"cursor={'0' * 64}.%D9%A1", 400, "not issued by this feed"),
    ],
)
def test_a_wrong_request_is_refused_in_one_line(feed: Feed, query: str, status: int, detail: str):
    answer = feed.client.get(f"/v1/encounters?{query}")

    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert detail in problem["detail"]
    assert "\n" not in problem["detail"]


def test_a_row_beyond_the_end_is_refused(feed: Feed):
    cursor = feed.block().headers["Feed-Next-Cursor"].replace(".1000", ".1001")

    assert feed.block(cursor).status_code == 400


def test_unknown_addresses_and_methods_are_problems_too(feed: Feed):
    assert feed.client.get("/nowhere").headers["Content-Type"] == "application/problem+json"
    assert feed.client.post("/v1/source").status_code == 405


def test_it_describes_its_source(feed: Feed, sample: Path):
    described = feed.client.get("/v1/source").raise_for_status().json()

    assert described == {
        "sha256": hashlib.sha256(sample.read_bytes()).hexdigest(),
        "kind": "synthetic",
        "synthetic": True,
        "rows": 1_000,
        "bytes": sample.stat().st_size,
        "header": list(CSV_HEADER),
        "block_rows": 15_000,
    }


def test_it_says_what_it_is(feed: Feed):
    about = feed.client.get("/").json()

    for address in (about["source"], about["encounters"], about["openapi"], "/health/live", "/health/ready"):
        assert feed.client.get(address).status_code == 200


def test_bad_lines_are_handed_out_as_they_are(tmp_path: Path):
    """The loader reports what is wrong with a row; the feed neither fixes nor drops it."""
    content = b'\xef\xbb\xbfa,b\r\n1,2\r\n\r\n\xff\xfe\x00,"\nonly\n3,4'
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    with serving(path, block_rows=2) as feed:
        answers = list(feed.blocks())

        assert b"\xef\xbb\xbfa,b\r\n" + b"".join(data_lines(answer) for answer in answers) == content
        assert [answer.headers["Feed-Rows"] for answer in answers] == ["2", "2", "1"]


def test_a_source_that_changed_makes_old_cursors_conflict(sample: Path, tmp_path: Path):
    path = tmp_path / "source.csv"
    path.write_bytes(sample.read_bytes())
    with serving(path) as feed:
        first = feed.block(limit=10)
        cursor = first.headers["Feed-Next-Cursor"]
        assert feed.block(cursor).status_code == 200

        path.write_bytes(sample.read_bytes().replace(b"Female", b"Male", 1))
        answer = feed.block(cursor)
        assert answer.status_code == 409
        assert "start again" in answer.json()["detail"]
        assert feed.block().headers["Feed-Source-SHA256"] != first.headers["Feed-Source-SHA256"]

        path.write_bytes(sample.read_bytes())  # the old content is the old source
        assert feed.block(cursor).status_code == 200


def test_without_its_source_it_lives_but_is_not_ready(sample: Path, tmp_path: Path):
    path = tmp_path / "late.csv"
    with serving(path) as feed:
        assert feed.client.get("/health/live").status_code == 200
        for address in ("/health/ready", "/v1/source", "/v1/encounters"):
            answer = feed.client.get(address)
            assert answer.status_code == 503
            assert answer.headers["Retry-After"]
            assert str(tmp_path) not in answer.text

        path.write_bytes(sample.read_bytes())
        assert feed.client.get("/health/ready").status_code == 200
        assert feed.block().headers["Feed-Rows"] == "1000"


def test_a_token_that_is_set_is_asked_for(sample: Path):
    with serving(sample, token="hospital-7") as feed:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic hospital-7"}):
            for address in ("/v1/source", "/v1/encounters"):
                answer = feed.client.get(address, headers=headers)
                assert answer.status_code == 401
                assert answer.headers["WWW-Authenticate"] == "Bearer"
                assert "hospital-7" not in answer.text
        assert feed.client.get("/health/ready").status_code == 200
        right = {"Authorization": "Bearer hospital-7"}
        assert feed.client.get("/v1/encounters", headers=right).status_code == 200


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "FEED_DATASET: Field required"),
        ({"FEED_DATASET": "x.csv", "FEED_PORT": "http"}, "FEED_PORT: "),
        ({"FEED_DATASET": "x.csv", "FEED_BLOCK_ROWS": "0"}, "FEED_BLOCK_ROWS: "),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, str], message: str):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("FEED_")} | settings

    done = subprocess.run(
        [sys.executable, "-m", "readmission_feed"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
