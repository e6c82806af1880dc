"""Outcomes that mature or are corrected after their encounters were loaded."""

import pytest
from pydantic import SecretStr

from readmission_data import databases
from readmission_data.raw.load import load_all
from readmission_data.raw.split import ORDER, Split, assign
from readmission_data.raw.tables import OUTCOME_HISTORY
from support import csv_lines
from support.feeds import serving

HISTORY = (
    "SELECT encounter_id, batch, line_number, outcome_before, outcome FROM outcome_history ORDER BY 1, 2, 3"
)


def with_outcome(line: str, outcome: str) -> str:
    return f"{line.rpartition(',')[0]},{outcome}"


def outcomes(query) -> dict[int, str]:
    tables = (f"SELECT encounter_id, readmitted FROM {split}_data" for split in Split)
    return dict(query(" UNION ALL ".join(tables)))


@pytest.fixture
def deliver(settings, tmp_path):
    """Loads lines as a file of a path; returns the results."""

    def load(lines: list[str], name: str = "d.csv", **values: object):
        return list(load_all(settings(dataset=str(csv_lines.write(tmp_path / name, lines)), **values)))

    return load


def test_a_later_delivery_matures_and_corrects_outcomes_of_every_split(deliver, query):
    lines = csv_lines.lines(60)
    first = [with_outcome(line, "pending") if number % 2 else line for number, line in enumerate(lines)]
    deliver(first, "monday.csv", batch_size=20)
    assert sorted(set(outcomes(query).values())) == ["NO", "pending"]
    batches = query("SELECT MAX(batch) FROM batch_info")[0][0]

    [result] = deliver([with_outcome(line, "<30") for line in lines], "tuesday.csv")

    assert (result.loaded, result.known, result.corrected, result.rejected) == (0, 60, 60, 0)
    assert set(outcomes(query).values()) == {"<30"}
    assert query(HISTORY) == [
        (number, batches + 1, number + 1, "NO" if number % 2 else "pending", "<30") for number in range(1, 61)
    ]
    # Who and when: the ledger has the source and the moments of the batch.
    [(name,)] = query(
        "SELECT DISTINCT source_name FROM outcome_history JOIN batch_info"
        " ON batch_info.batch = outcome_history.batch WHERE finished IS NOT NULL"
    )
    assert name.endswith("tuesday.csv")


def test_the_same_delivery_again_changes_nothing(deliver, query):
    lines = csv_lines.lines(20)
    deliver(lines, "a.csv")
    corrected = [with_outcome(lines[0], "<30"), *lines[1:]]
    deliver(corrected, "b.csv")
    before = query(HISTORY), outcomes(query)

    [again] = deliver(corrected, "copy.csv")

    assert (again.batch, again.corrected) == (None, 0)
    assert (query(HISTORY), outcomes(query)) == before


def test_a_correction_may_be_corrected(deliver, query):
    line = csv_lines.line(1)
    deliver([line], "a.csv")
    deliver([with_outcome(line, "<30"), csv_lines.line(2)], "b.csv")
    deliver([with_outcome(line, "NO"), csv_lines.line(3)], "c.csv")
    assert query(HISTORY) == [(1, 2, 2, "NO", "<30"), (1, 3, 2, "<30", "NO")]
    assert outcomes(query)[1] == "NO"


def test_a_known_outcome_does_not_become_pending(deliver, query):
    line = csv_lines.line(1, readmitted=">30")
    deliver([line], "a.csv")
    [result] = deliver([with_outcome(line, "pending"), csv_lines.line(2)], "b.csv")
    assert (result.known, result.corrected, result.loaded) == (1, 0, 1)
    assert outcomes(query)[1] == ">30"
    assert query(HISTORY) == []


def test_a_row_that_differs_in_more_than_its_outcome_is_refused(deliver, query):
    deliver([csv_lines.line(1)], "a.csv")
    deliver([csv_lines.line(1, readmitted="<30", race="Other"), csv_lines.line(2)], "b.csv")
    assert query("SELECT reason FROM rejected_rows") == [
        ("encounter_id: differs from the row of batch 1, which is kept",)
    ]
    assert (outcomes(query)[1], query(HISTORY)) == ("NO", [])


@pytest.mark.parametrize("batch_size", [5, 1_000])
def test_a_correction_further_down_in_the_same_source_counts(deliver, query, batch_size):
    lines = csv_lines.lines(30)
    changes = [with_outcome(lines[number], "<30") for number in (0, 1, 29)]
    results = deliver([*lines, *changes], batch_size=batch_size)
    assert sum(result.corrected for result in results) == 3
    assert sum(result.rejected for result in results) == 0
    assert sorted(number for number, outcome in outcomes(query).items() if outcome == "<30") == [1, 2, 30]
    assert sum(rows for (rows,) in query("SELECT rows_read FROM batch_info")) == 33


def test_a_feed_that_grows_by_corrections_is_read_again_without_taking_them_back(settings, query, tmp_path):
    lines = csv_lines.lines(10)
    path = csv_lines.write(tmp_path / "d.csv", [with_outcome(lines[0], "pending"), *lines[1:]])
    with serving(path) as url:
        given = settings(source="feed", feed_url=url, batch_size=4)
        list(load_all(given))
        grown = [with_outcome(lines[0], "pending"), *lines[1:], with_outcome(lines[0], "NO")]
        csv_lines.write(path, grown)
        list(load_all(given))
        assert outcomes(query)[1] == "NO"
        grown += [with_outcome(lines[0], "<30"), with_outcome(lines[4], "<30")]
        seen = []
        for more in ([], csv_lines.lines(1, 11)):
            csv_lines.write(path, grown + more)
            seen += [outcomes(query)[1] for _ in load_all(given)]

    assert set(seen) <= {"NO", "<30"}
    assert seen == sorted(seen, reverse=True)
    assert seen[-1] == "<30"
    changes = [(number, before, after) for number, _, _, before, after in query(HISTORY)]
    assert changes == [(1, "pending", "NO"), (1, "NO", "<30"), (5, "NO", "<30")]


@pytest.mark.mysql
@pytest.mark.parametrize("database_url", [pytest.param("mysql")], indirect=True)
def test_tables_of_a_release_without_pending_outcomes_take_them(deliver, query, database_url):
    lines = csv_lines.lines(20)
    deliver(lines, "a.csv")
    with databases.engine(SecretStr(database_url)) as engine, engine.begin() as connection:
        OUTCOME_HISTORY.drop(connection)
        for split in Split:
            connection.exec_driver_sql(f"ALTER TABLE {split}_data MODIFY readmitted VARCHAR(3) NOT NULL")

    more = [csv_lines.line(number, readmitted="pending") for number in range(21, 61)]
    results = deliver([with_outcome(lines[0], "<30"), *more], "b.csv")

    assert sum(result.loaded for result in results) == 40
    assert {ORDER[assign([1_000_000 + number], "readmission-1")[0]] for number in range(21, 61)} == set(Split)
    assert list(outcomes(query).values()).count("pending") == 40
    assert query(HISTORY) == [(1, 2, 2, "NO", "<30")]
