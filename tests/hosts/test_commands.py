"""Every command of the roles reaches its program in the words that its author meant."""

from pathlib import Path

import pytest
import yaml
from ansible.parsing.splitter import split_args

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


def free_form_commands():
    for path in sorted([*ANSIBLE.glob("roles/*/*/*.yml"), *ANSIBLE.glob("playbooks/*.yml")]):
        for task in tasks(yaml.safe_load(path.read_text())):
            for module in FREE_FORM:
                command = task.get(module)
                line = command.get("cmd") if isinstance(command, dict) else command
                if isinstance(line, str):
                    yield pytest.param(line, id=f"{path.relative_to(ANSIBLE)}: {task['name']}")


@pytest.mark.parametrize("line", list(free_form_commands()))
def test_a_command_in_one_line_has_no_word_that_the_line_would_split(line):
    # Outside Jinja's own braces a quote, a brace or a blank within a word is the line's, not the program's.
    literal = [word for word in split_args(line) if "{{" not in word and "}}" not in word]
    assert [word for word in literal if set(word) & set("{}[]\"'\\$`")] == []
