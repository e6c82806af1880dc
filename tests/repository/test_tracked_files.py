"""The project speaks of the product only."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

TRACKED = [
    ROOT / name
    for name in subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
]
TEXTS = [
    path
    for path in TRACKED
    if path.is_file() and path.suffix not in {".png", ".onnx", ".parquet", ".zip"} and path != Path(__file__)
]

FORBIDDEN = {
    "a package registry's host": re.compile(
        r"pypi\.org|pythonhosted\.org|registry\.npmjs|proxy\.golang\.org|deb\.debian\.org|crates\.io"
    ),
    "a path of one machine": re.compile(r"(?<![\w^-])(/root/|/home/[a-z]+/|/work/|/Users/[A-Za-z])"),
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_tracked_file_names(what):
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in TEXTS
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if FORBIDDEN[what].search(line)
    ]
    assert found == []


def test_the_data_set_is_not_tracked():
    assert [path for path in TRACKED if path.name in {"diabetic_data.csv", "IDS_mapping.csv"}] == []
    assert [path for path in TRACKED if path.suffix == ".zip"] == []


def test_links_between_documents_lead_somewhere():
    broken = [
        f"{path.relative_to(ROOT)}: {target}"
        for path in TEXTS
        if path.suffix == ".md"
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text())
        if "://" not in target and not (path.parent / target).exists()
    ]
    assert broken == []
