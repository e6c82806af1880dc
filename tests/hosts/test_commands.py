"""Every command of the roles reaches its program with the intended arguments."""

from pathlib import Path

import pytest
import yaml
from ansible.parsing.splitter import split_args
from jinja2 import Environment

ANSIBLE = Path(__file__).parents[2] / "ansible"
FREE_FORM = ("ansible.builtin.command", "ansible.builtin.shell", "command", "shell")


def tasks(value):
    """Every mapping in a file of tasks or plays, blocks included."""
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from tasks(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from tasks(inner)


def all_tasks():
    """Yield every task of the roles and playbooks, with its file."""
    for path in sorted([*ANSIBLE.glob("roles/*/*/*.yml"), *ANSIBLE.glob("playbooks/*.yml")]):
        for task in tasks(yaml.safe_load(path.read_text())):
            yield path.relative_to(ANSIBLE), task


def line_of(task):
    """Return the free-form command of a task, or None."""
    for module in FREE_FORM:
        command = task.get(module)
        line = command.get("cmd") if isinstance(command, dict) else command
        if isinstance(line, str):
            return line
    return None


def free_form_commands():
    for path, task in all_tasks():
        if line := line_of(task):
            yield pytest.param(line, id=f"{path}: {task['name']}")


@pytest.mark.parametrize("line", list(free_form_commands()))
def test_a_command_in_one_line_has_no_word_that_the_line_would_split(line):
    # Outside of Jinja's braces, a quote, brace or blank within a word belongs to the line, not to the
    # program.
    literal = [word for word in split_args(line) if "{{" not in word and "}}" not in word]
    assert [word for word in literal if set(word) & set("{}[]\"'\\$`")] == []


@pytest.mark.parametrize(
    ("tasks_file", "facts"),
    [
        ("upgrade", {"ansible_facts": {"nodename": "Server1.example.org", "hostname": "Server1"}}),
        ("kubelet_certificate", {"microk8s_hostname": {"stdout": "Server1.example.org"}}),
    ],
)
def test_a_node_has_the_whole_name_of_its_host(tasks_file, facts):
    """The kubelet registers with its host name in lower case, including dots; a short name finds no node."""
    path = ANSIBLE / "roles/microk8s/tasks" / f"{tasks_file}.yml"
    names = [
        task["vars"]["microk8s_node"]
        for task in tasks(yaml.safe_load(path.read_text()))
        if "microk8s_node" in task.get("vars", {})
    ]
    assert names
    for name in names:
        assert Environment().from_string(name).render(facts) == "server1.example.org"  # noqa: S701 - no page


def test_what_a_busy_or_starting_machine_refuses_is_tried_again():
    """Packages while others hold the lock, snaps, and addons while the API server restarts."""
    found = 0
    for path, task in all_tasks():
        line = line_of(task) or ""
        installs = task.get("ansible.builtin.apt", {"state": "absent"}).get("state") != "absent"
        if installs or line.startswith(("snap install", "microk8s enable")):
            found += 1
            assert "until" in task, f"{path}: {task['name']}"
            assert task["retries"] * task["delay"] >= 100, f"{path}: {task['name']}"
    assert found >= 4


def test_an_error_of_kustomize_is_shown():
    rendering = [task for _, task in all_tasks() if "kubectl kustomize" in (line_of(task) or "")]
    assert rendering
    assert not any(task.get("no_log") for task in rendering)
