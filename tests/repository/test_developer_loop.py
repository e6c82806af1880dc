"""`make help` is true: every target exists, and every test and package is part of one."""

import itertools
import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def make(*arguments: str) -> str:
    """Return what make prints, without the flags of a make that runs these tests."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(
        ["make", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout


HELP = make("help")
PARTS = {
    f"{kind}-{part}"
    for kind, parts in re.findall(r"^(check|unit|test)-PART .*PART: (.*)$", HELP, re.MULTILINE)
    for part in parts.split()
}
TARGETS = set(re.findall(r"^([a-z]+) ", HELP, re.MULTILINE)) | PARTS


def paths_of(target: str) -> list[str]:
    """Return the paths that pytest gets from `target`."""
    commands = re.findall(r"/bin/pytest (.*)$", make("-n", target), re.MULTILINE)
    return [part for command in commands for part in command.split() if part.startswith("tests/")]


def test_help_lists_targets_that_exist():
    assert {"demo", "fix", "check", "unit", "test", "check-tools", "unit-api", "test-data"} <= TARGETS
    make("-n", *sorted(TARGETS))


def test_every_documented_target_is_phony():
    phony = " ".join(re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(phony.split()) >= TARGETS - PARTS


def test_every_test_belongs_to_a_target():
    run = [ROOT / path for target in ("test", "test-cluster") for path in paths_of(target)]
    files = sorted((ROOT / "tests").rglob("test_*.py"))
    assert files
    assert [str(file) for file in files if not any(file.is_relative_to(path) for path in run)] == []


def test_make_unit_runs_every_pure_test():
    run = {ROOT / path for path in paths_of("unit")}
    assert set((ROOT / "tests").rglob("unit")) <= run
    assert all(path.exists() for path in run)


def test_make_check_types_every_package():
    commands = re.findall(r"/bin/mypy (.*)$", make("-n", "check"), re.MULTILINE)
    typed = {folder for command in commands for folder in command.split()}
    packages = {
        str(path.parent.parent.relative_to(ROOT))
        for server in ROOT.glob("server*")
        for path in server.rglob("py.typed")
    }
    assert packages
    assert packages <= typed


@pytest.mark.parametrize("target", sorted(name for name in PARTS if name.startswith("check-")))
def test_a_check_of_one_part_uses_one_environment(target):
    commands = make("-n", target)
    assert set(re.findall(r"\.venvs/([a-z]+)/bin/(?:mypy|ruff|yamllint|detect-secrets)", commands)) == {
        target.removeprefix("check-")
    }


def floors(makefile: str) -> dict[str, int]:
    return {name: int(value) for name, value in re.findall(r"^FLOOR_(\w+) := (\d+)$", makefile, re.MULTILINE)}


def test_the_floor_of_coverage_has_only_risen():
    """Compare every commit of this clone with the previous one."""
    now = floors((ROOT / "Makefile").read_text())
    assert {f"test-{name}" for name in now} <= PARTS
    history = git("log", "--format=%H", "-G^FLOOR_", "--", "Makefile").split()
    earlier = [floors(git("show", f"{commit}:Makefile")) for commit in history]
    for after, before in itertools.pairwise([now, *earlier]):
        assert {name: floor for name, floor in before.items() if after.get(name, 0) < floor} == {}


def test_git_hooks_call_make():
    entries = re.findall(r"^ +entry: (.*)$", (ROOT / ".pre-commit-config.yaml").read_text(), re.MULTILINE)
    assert entries
    assert {entry.removeprefix("make ") for entry in entries} <= TARGETS
