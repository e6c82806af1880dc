"""Rows are found by their number without keeping the file in memory."""

import contextlib
import hashlib
import io
import itertools
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from readmission_data.dataset import inspection, synthetic
from readmission_feed import source as module
from readmission_feed.source import Source, SourceError


def read(source: Source, first: int, end: int) -> bytes:
    snapshot = source.snapshot()
    return b"".join(snapshot.read(snapshot.offset(first), snapshot.offset(end)))


@contextlib.contextmanager
def chunks_of(size: int) -> Iterator[None]:
    before = module.CHUNK
    module.CHUNK = size  # type: ignore[misc]
    try:
        yield
    finally:
        module.CHUNK = before  # type: ignore[misc]


@settings(max_examples=300, deadline=None)
@given(
    lines=st.lists(st.binary(max_size=9).map(lambda line: line.replace(b"\n", b"")), min_size=1, max_size=30),
    ended=st.booleans(),
    size=st.integers(1, 40),
)
def test_every_row_starts_where_its_line_does(
    tmp_path_factory, *, lines: list[bytes], ended: bool, size: int
):
    lines = [line + b"\n" for line in [b"header", *lines]]
    content = b"".join(lines) if ended else b"".join(lines).removesuffix(b"\n")
    expected = content.splitlines(keepends=True) if b"\r" not in content else None
    path = tmp_path_factory.getbasetemp() / f"rows-{os.getpid()}.csv"
    path.write_bytes(content)

    with chunks_of(size):
        snapshot = Source(path).snapshot()
        rows = content.count(b"\n") - 1 + (not content.endswith(b"\n"))
        starts = [snapshot.offset(row) for row in range(snapshot.rows + 1)]
        cut = [b"".join(snapshot.read(a, b)) for a, b in itertools.pairwise(starts)]

        assert snapshot.rows == rows
        assert snapshot.sha256 == hashlib.sha256(content).hexdigest()
        assert b"".join(snapshot.read(0, starts[0])) + b"".join(cut) == content
        assert all(line.count(b"\n") == 1 and line.endswith(b"\n") for line in cut[:-1])
        if expected is not None:
            assert cut == expected[1:]


def test_the_header_is_read_without_its_byte_order_mark(tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_bytes(b'\xef\xbb\xbfa,"b",c\r\n1,2,3\r\n')

    assert Source(path).snapshot().header == ["a", "b", "c"]


def test_a_header_alone_has_no_rows(tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"a,b\n")
    snapshot = Source(path).snapshot()

    assert snapshot.rows == 0
    assert snapshot.offset(0) == 4


def zipped(*names: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in names:
            archive.writestr(name, "a,b\n1,2\n")
    return packed.getvalue()


@pytest.mark.parametrize("names", [["diabetic_data.csv", "IDS_mapping.csv"], ["x.csv", "readme"]])
def test_a_zip_is_served_as_the_csv_in_it(tmp_path: Path, names: list[str]):
    path = tmp_path / "a.zip"
    path.write_bytes(zipped(*names))

    assert read(Source(path), 0, 1) == b"1,2\n"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "has no header line"),
        (b"no line end", "has no header line"),
        (zipped("a.csv", "b.csv"), "does not hold one"),
        (zipped("readme"), "does not hold one"),
        (zipped("a.csv")[:60] + b"?" + zipped("a.csv")[61:], "has no header line|not a readable zip"),
        (None, "cannot be read"),
    ],
    ids=["empty", "one line", "two in a zip", "none in a zip", "broken zip", "missing"],
)
def test_what_cannot_be_served_is_named(tmp_path: Path, content: bytes | None, reason: str):
    path = tmp_path / "a"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(SourceError, match=reason):
        Source(path).snapshot()


def test_a_new_file_is_a_new_snapshot_and_the_old_one_can_be_read_to_its_end(tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"a\n1\n2\n")
    source = Source(path)
    old = source.snapshot()
    assert source.snapshot() is old

    path.with_suffix(".new").write_bytes(b"a\n3\n")
    path.with_suffix(".new").replace(path)

    assert read(source, 0, 1) == b"3\n"
    assert b"".join(old.read(old.offset(0), old.offset(2))) == b"1\n2\n"


def test_old_snapshots_close_their_files(tmp_path: Path):
    path = tmp_path / "a.csv"
    source = Source(path)
    path.write_bytes(b"a\n1\n")
    source.snapshot()
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a listing that opens nothing itself

    for number in range(20):
        path.write_bytes(b"a\n" + b"1\n" * number)
        source.snapshot()

    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_a_file_that_is_cut_while_it_is_read_is_no_silent_end(tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"a\n1\n2\n")
    snapshot = Source(path).snapshot()
    os.truncate(path, 3)

    with pytest.raises(SourceError, match="became shorter"):
        b"".join(snapshot.read(0, snapshot.size))


def test_it_tells_a_generated_sample_as_the_loader_does(tmp_path: Path):
    """Two programs that share no code must use the same prefix."""
    path = tmp_path / "a.csv"
    synthetic.write(path, 40, seed=1)
    content = path.read_bytes()
    assert module._UCI_SHA256 == inspection.UCI_SHA256

    for mark in (b"99099099", b"12345678", b"9909909", b"990990990"):
        path.write_bytes(content.replace(b"99099099", mark))
        kind = inspection.inspect(path, tmp_path).kind
        assert Source(path).snapshot().kind == kind
        assert kind == ("synthetic" if mark == b"99099099" else "own")
