"""The repository contains only the product."""

import re
import subprocess
import tomllib
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


COMMUNITY = [
    "LICENSE",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
    ".github/workflows/ci.yml",
    ".github/pull_request_template.md",
]
PRODUCT = {"server1-data", "server2-tracking", "server3-serving", "ansible", "vagrant", "docs", "tests"}
TOOLS = {"Vagrantfile", "README.md", "Makefile", "pyproject.toml", *COMMUNITY[:4]}


@pytest.mark.parametrize("name", COMMUNITY)
def test_the_front_door_has(name):
    assert (ROOT / name).stat().st_size > 0


def test_the_top_level_is_fixed():
    top = {path.relative_to(ROOT).parts[0] for path in TRACKED if path.is_file()}
    assert {name for name in top if not name.startswith(".")} == PRODUCT | TOOLS


def test_the_changelog_covers_the_version_of_every_project():
    versions = {
        tomllib.loads(path.read_text())["project"]["version"]
        for path in TRACKED
        if path.name == "pyproject.toml" and path.parent != ROOT
    }
    [version] = versions
    headings = re.findall(r"^## \[([^]]+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[:2] == ["Unreleased", version]


def _folder(page: Path) -> Path:
    """Return the folder that a page's links start from: a preface becomes the head of a page in docs."""
    return ROOT / "docs" if page.name == "preface.md" else page.parent


def test_links_between_documents_lead_somewhere():
    broken = [
        f"{path.relative_to(ROOT)}: {target}"
        for path in TEXTS
        if path.suffix == ".md"
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text())
        # `../../actions/` leads from the README to a page of the repository's host.
        if "://" not in target
        and not target.startswith("../../actions/")
        and not (_folder(path) / target).exists()
    ]
    assert broken == []
