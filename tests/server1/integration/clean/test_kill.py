"""A task that is killed at any point leaves all old tables or all new ones; the next run does the rest."""

import random
import signal
import time

import pytest
from pydantic import SecretStr

from readmission_data.clean import tables, tasks
from readmission_data.raw.load import load_next
from support import killing

from .conftest import checksums, table_names

KILLS = 20
pytestmark = pytest.mark.mysql


def test_a_save_killed_at_any_statement_leaves_all_old_or_all_new(mysql_settings):
    settings = mysql_settings
    load_next(settings)
    stages = [tasks.preprocess(settings, "one")]
    saved = [checksums(settings)]
    load_next(settings)
    stages.append(tasks.preprocess(settings, "two"))
    saved.append(checksums(settings))
    assert not set(saved[0].values()) & set(saved[1].values())

    statements = killing.count_statements(tasks.save, settings, stages[0])
    # The last statements include the swap; the others are drawn at random.
    points = [*range(statements - 7, statements + 1)]
    points += random.Random(4).sample(range(1, statements - 7), KILLS - len(points))  # noqa: S311
    outcomes = {}
    for point in sorted(points):
        (old_stage, new_stage), (old, new) = stages, saved
        process = killing.start_and_die(point, tasks.save, settings, new_stage)
        process.join()
        assert process.exitcode == -signal.SIGKILL
        found = checksums(settings)
        assert found in (old, new)
        outcomes[point] = found == new
        tasks.save(settings, new_stage)
        assert checksums(settings) == new
        assert table_names(settings) == set(tables.NAMES)
        # The new tables are the old ones of the next kill.
        stages, saved = [new_stage, old_stage], [new, old]
    assert len(outcomes) == KILLS
    # Both really happened: killed before the swap and after it.
    assert list(outcomes.values()) == sorted(outcomes.values())
    assert set(outcomes.values()) == {False, True}


def test_a_run_killed_twenty_times_ends_in_the_tables_of_an_undisturbed_one(mysql_settings, tmp_path):
    settings = mysql_settings
    load_next(settings)
    tasks.preprocess(settings, "old")
    old = checksums(settings)
    load_next(settings)

    elsewhere = settings.model_copy(
        update={
            "clean_url": SecretStr(f"sqlite:///{tmp_path / 'undisturbed.db'}"),
            "staging_dir": tmp_path / "undisturbed",
        }
    )
    began = time.monotonic()
    tasks.preprocess(elsewhere, "new")
    seconds = time.monotonic() - began
    new = checksums(elsewhere)

    moments = random.Random(11)  # noqa: S311
    killed = 0
    while killed < KILLS:
        process = killing.start(tasks.preprocess, settings, "new")
        process.join(timeout=moments.uniform(0, 1.1 * seconds))
        process.kill()
        process.join()
        # A run that ended before its kill does not count.
        killed += process.exitcode == -signal.SIGKILL
        assert checksums(settings) in (old, new)
    tasks.preprocess(settings, "new")
    assert checksums(settings) == new
    assert table_names(settings) == set(tables.NAMES)
