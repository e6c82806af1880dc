"""The identification of files, and the messages about files that are not a data set."""

import gzip
import hashlib
import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from readmission_data.dataset import DatasetError
from readmission_data.dataset.inspection import SYNTHETIC_PREFIX, UCI_SHA256, inspect
from readmission_data.encounters.columns import CSV_HEADER


def zipped(members: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return packed.getvalue()


def encrypted(content: bytes) -> bytes:
    """Set the flag that says so, in the member's own header and in the directory's."""
    packed = bytearray(zipped({"diabetic_data.csv": content}))
    packed[6] |= 1
    packed[packed.rindex(b"PK\x01\x02") + 8] |= 1
    return bytes(packed)


def with_flipped_byte(packed: bytes) -> bytes:
    middle = len(packed) // 2
    return packed[:middle] + bytes([packed[middle] ^ 0x55]) + packed[middle + 1 :]


def reheaded(content: bytes, change: Callable[[list[bytes]], list[bytes]]) -> bytes:
    header, rest = content.split(b"\r\n", 1)
    return b",".join(change(header.split(b","))) + b"\r\n" + rest


BROKEN: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda _: b"", "is empty"),
    "blank": (lambda _: b" \r\n", "is empty"),
    "html": (lambda _: b"<!DOCTYPE html>\n<html><body>404</body></html>", "is a web page"),
    "html after blanks": (lambda _: b"  <html>\n", "is a web page"),
    "binary": (lambda _: bytes(range(256)) * 16, "neither a zip nor a CSV"),
    "gzip": (gzip.compress, "compressed with gzip; unpack it first"),
    "utf-16": (lambda csv: csv.decode().encode("utf-16"), "neither a zip nor a CSV"),
    "text": (lambda _: b"hello\nworld\n", "the first line names no column of an encounter"),
    "no header": (lambda csv: csv.split(b"\r\n", 1)[1], "the first line names no column of an encounter"),
    "semicolons": (lambda csv: csv.replace(b",", b";"), "separated by ';'"),
    "header alone": (lambda csv: csv.split(b"\r\n")[0] + b"\r\n", "no rows"),
    "missing column": (
        lambda csv: reheaded(csv, lambda names: [name for name in names if name != b"age"]),
        "the header lacks column 'age'",
    ),
    "extra column": (
        lambda csv: reheaded(csv, lambda names: [*names, b"note"]),
        "the header has column 'note' beyond the 50 columns",
    ),
    "column twice": (
        lambda csv: reheaded(csv, lambda names: [*names, b"age"]),
        "the header has column 'age' twice",
    ),
    "an index": (lambda csv: reheaded(csv, lambda names: [b"", *names]), "write the file with index=False"),
    "an index with a name": (
        lambda csv: reheaded(csv, lambda names: [b"Unnamed: 0", *names]),
        "the first column is an index without a name",
    ),
    "CR alone": (lambda csv: csv.replace(b"\r\n", b"\r"), "the lines end with CR alone"),
    "tabs": (lambda csv: csv.replace(b",", b"\t"), r"separated by '\t'"),
    "truncated zip": (lambda csv: zipped({"diabetic_data.csv": csv})[:-60], "broken or truncated zip"),
    "half a zip": (lambda csv: zipped({"diabetic_data.csv": csv})[:2000], "broken or truncated zip"),
    "zip with a flipped byte": (
        lambda csv: with_flipped_byte(zipped({"diabetic_data.csv": csv})),
        "broken or truncated zip",
    ),
    "encrypted zip": (encrypted, "is encrypted"),
    "empty zip": (lambda _: zipped({}), "it holds nothing"),
    "zip without csv": (lambda _: zipped({"readme": b"hello"}), "it holds readme"),
    "zip with the mapping alone": (
        lambda _: zipped({"IDS_mapping.csv": b"a,b\n"}),
        "it holds IDS_mapping.csv",
    ),
    "zip with two": (lambda csv: zipped({"one.csv": csv, "two.csv": csv}), "it holds one.csv, two.csv"),
    "zip with an empty csv": (lambda _: zipped({"diabetic_data.csv": b""}), "is empty"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_refused_in_one_clear_line(name: str, own_csv: bytes, tmp_path: Path, cache: Path):
    damage, expected = BROKEN[name]
    path = tmp_path / "data"
    path.write_bytes(damage(own_csv))

    with pytest.raises(DatasetError) as refusal:
        inspect(path, cache)

    message = str(refusal.value)
    assert expected in message
    assert message.startswith(str(path))
    assert "\n" not in message
    assert len(message) < len(str(path)) + 200


def test_the_undamaged_file_is_read(own_csv: bytes, tmp_path: Path, cache: Path):
    path = tmp_path / "data"
    path.write_bytes(own_csv)

    file = inspect(path, cache)

    assert (file.kind, file.synthetic) == ("own", False)
    assert file.sha256 == hashlib.sha256(own_csv).hexdigest()
    with file.open_csv() as stream:
        assert stream.read() == own_csv


@pytest.mark.parametrize(
    "members",
    [
        {"diabetic_data.csv": True, "IDS_mapping.csv": False},
        {"dataset_diabetes/diabetic_data.csv": True, "dataset_diabetes/IDS_mapping.csv": False},
        {"DIABETIC_DATA.CSV": True},
        {"our_hospital.csv": True, "__MACOSX/._our_hospital.csv": False, "readme": False},
    ],
    ids=["uci", "in a folder", "upper case", "another name"],
)
def test_a_zip_is_the_csv_in_it(members: dict[str, bool], own_csv: bytes, tmp_path: Path, cache: Path):
    path = tmp_path / "data.zip"
    path.write_bytes(zipped({name: own_csv if wanted else b"x,y\n" for name, wanted in members.items()}))

    file = inspect(path, cache)

    assert file.sha256 == hashlib.sha256(own_csv).hexdigest()
    with file.open_csv() as stream:
        assert stream.readline().decode().rstrip("\r\n").split(",") == list(CSV_HEADER)
        assert stream.read() == own_csv.split(b"\r\n", 1)[1]


@pytest.mark.parametrize(
    "change",
    [
        lambda csv: b"\xef\xbb\xbf" + csv,
        lambda csv: csv.replace(b"\r\n", b"\n"),
        lambda csv: csv.removesuffix(b"\r\n"),
        lambda csv: csv.replace(b"encounter_id", b'"encounter_id"', 1),
    ],
    ids=["byte order mark", "line feeds", "no last line end", "quotes"],
)
def test_harmless_differences_of_form_are_read(
    change: Callable[[bytes], bytes], own_csv: bytes, tmp_path: Path, cache: Path
):
    path = tmp_path / "data.csv"
    path.write_bytes(change(own_csv))

    assert inspect(path, cache).sha256 == hashlib.sha256(change(own_csv)).hexdigest()


def test_what_is_no_file_is_named(tmp_path: Path, cache: Path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "dangling").symlink_to(tmp_path / "gone")
    (tmp_path / "file").write_bytes(b"x")
    expected = {
        ".": "is a folder",
        "gone.csv": "does not exist",
        "dangling": "does not exist",
        "pipe": "is not a regular file",
        "loop": "cannot be read",
        "file/in.csv": "cannot be read",
    }

    for name, reason in expected.items():
        with pytest.raises(DatasetError, match=reason):
            inspect(tmp_path / name, cache)


def test_a_file_without_permission_is_named(own_csv: bytes, tmp_path: Path, cache: Path):
    path = tmp_path / "data.csv"
    path.write_bytes(own_csv)
    path.chmod(0)
    root = os.geteuid() == 0
    if root:  # whom no mode keeps out
        os.seteuid(65534)
    try:
        with pytest.raises(DatasetError, match=r"cannot be read: Permission denied"):
            inspect(path, cache)
    finally:
        if root:
            os.seteuid(0)


@pytest.mark.parametrize(
    "change",
    [
        lambda csv: csv,
        lambda csv: b"\r\n".join(csv.split(b"\r\n")[:2]) + b"\r\n",
        lambda csv: csv.replace(b"\r\n", b"\n"),
        lambda csv: b"\xef\xbb\xbf" + csv,
        lambda csv: zipped({"hospital.csv": csv}),
        lambda csv: csv.replace(b"Female", b"Male"),
        lambda csv: reheaded(csv, list),
    ],
    ids=["as it is", "one row", "line feeds", "byte order mark", "zipped", "edited", "same"],
)
def test_a_generated_sample_is_known_whatever_was_done_to_it(
    change: Callable[[bytes], bytes], sample_csv: bytes, tmp_path: Path, cache: Path
):
    path = tmp_path / "our-hospital.csv"
    path.write_bytes(change(sample_csv))

    assert inspect(path, cache).kind == "synthetic"


@pytest.mark.parametrize("where", [0, 5_000, 9_999])
def test_one_generated_row_among_real_ones_is_enough(
    where: int, sample_csv: bytes, own_csv: bytes, tmp_path: Path, cache: Path
):
    """Also beyond the first megabyte, where rows cross the boundaries of blocks."""
    header, *rows = own_csv.splitlines(keepends=True)
    rows = (rows * 40)[:10_000]
    path = tmp_path / "mixed.csv"
    path.write_bytes(header + b"".join(rows))
    assert inspect(path, cache).kind == "own"

    rows[where] = sample_csv.splitlines(keepends=True)[1]
    path.write_bytes(header + b"".join(rows))

    assert inspect(path, cache).kind == "synthetic"


def test_a_mark_across_any_border_of_a_chunk_is_seen(
    sample_csv: bytes, own_csv: bytes, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
):
    header, *rows = own_csv.splitlines(keepends=True)
    rows[3] = sample_csv.splitlines(keepends=True)[1]
    path = tmp_path / "mixed.csv"
    path.write_bytes(header + b"".join(rows[:8]))

    for size in range(40, 400):
        monkeypatch.setattr("readmission_data.dataset.inspection._CHUNK", size)
        assert inspect(path, cache / str(size)).kind == "synthetic"


def test_numbers_that_only_resemble_the_reserved_ones_are_own(own_csv: bytes, tmp_path: Path, cache: Path):
    path = tmp_path / "data.csv"
    prefix = SYNTHETIC_PREFIX.encode()
    # Sixteen digits, and eight.
    longer = own_csv.replace(b"\n12345678", b"\n" + prefix + b"0", 5)
    path.write_bytes(longer.replace(b",12345678", b"," + prefix + b",", 1))

    assert inspect(path, cache).kind == "own"


def test_the_checksum_is_remembered_until_the_file_changes(
    own_csv: bytes, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "data.csv"
    path.write_bytes(own_csv)
    first = inspect(path, cache)
    monkeypatch.setattr("readmission_data.dataset.inspection.open_csv", None)
    assert inspect(path, cache) == first
    monkeypatch.undo()

    times = path.stat()
    path.write_bytes(own_csv.replace(b"Female", b"female", 1))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # the same size, and the time set back

    assert inspect(path, cache).sha256 != first.sha256


def test_a_damaged_note_is_ignored(own_csv: bytes, tmp_path: Path, cache: Path):
    path = tmp_path / "data.csv"
    path.write_bytes(own_csv)
    first = inspect(path, cache)
    (note,) = (cache / "inspected").iterdir()

    for damage in (b"", b"[]", b'{"identity": 1}', b"\xff"):
        note.write_bytes(damage)
        assert inspect(path, cache) == first


def test_a_cache_that_cannot_be_written_stops_nothing(own_csv: bytes, tmp_path: Path):
    path = tmp_path / "data.csv"
    path.write_bytes(own_csv)

    assert inspect(path, path / "cache").kind == "own"


def test_a_file_that_changed_since_is_not_opened(own_csv: bytes, tmp_path: Path, cache: Path):
    path = tmp_path / "data.csv"
    path.write_bytes(own_csv)
    file = inspect(path, cache)
    path.write_bytes(own_csv + own_csv.splitlines(keepends=True)[1])

    with pytest.raises(DatasetError, match="has changed since it was checked"):
        file.open_csv()
    path.unlink()
    with pytest.raises(DatasetError, match="does not exist"):
        file.open_csv()


def test_the_real_file_is_known(real_dataset: Path, cache: Path):
    file = inspect(real_dataset, cache)

    assert (file.kind, file.sha256) == ("uci", UCI_SHA256)
    with file.open_csv() as stream:
        assert sum(1 for _ in stream) == 101_766 + 1


@pytest.mark.parametrize(
    "change",
    [
        lambda names: [names[1], names[0], *names[2:]],
        lambda names: [name.replace(b"-", b"_") for name in names],
        lambda names: [b'"' + name + b'"' for name in names],
    ],
    ids=["shuffled", "underscored", "quoted"],
)
def test_a_file_takes_every_header_that_a_feed_takes(tmp_path, own_csv, change):
    path = tmp_path / "d.csv"
    path.write_bytes(reheaded(own_csv, change))

    assert inspect(path, tmp_path / "cache").kind == "own"
