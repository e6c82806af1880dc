import random
import threading

import pytest
import sqlalchemy as sa

from readmission_data.encounters.columns import COLUMNS
from readmission_data.errors import NothingLoadedError
from readmission_data.raw.load import load_all, load_next
from readmission_data.raw.split import ORDER, Split, assign
from readmission_data.raw.tables import ENCOUNTERS
from support import csv_lines

SALT = "readmission-1"


def split_of(line: str) -> Split:
    return ORDER[assign([int(line.split(",")[1])], SALT)[0]]


def of(split: Split, lines: list[str]) -> list[str]:
    return [line for line in lines if split_of(line) is split]


def test_the_first_load_brings_validation_and_test_whole_and_each_a_share_of_train(settings, query, tmp_path):
    lines = csv_lines.lines(200)
    dataset = str(csv_lines.write(tmp_path / "d.csv", lines))
    train = of(Split.TRAIN, lines)
    held_out = [len(of(split, lines)) for split in (Split.VALIDATION, Split.TEST)]

    first = load_next(settings(dataset=dataset, batch_size=50))

    assert (first.batch, first.train, first.validation, first.test) == (1, 50, *held_out)
    assert (first.rows_read, first.rejected, first.exhausted) == (50 + sum(held_out), 0, False)
    rows = query("SELECT encounter_id FROM train_data ORDER BY encounter_id")
    assert [number for (number,) in rows] == [int(line.split(",")[0]) for line in train[:50]]

    second = load_next(settings(dataset=dataset, batch_size=50))
    third = load_next(settings(dataset=dataset, batch_size=50))

    assert (second.batch, second.rows_read, second.train, second.exhausted) == (2, 50, 50, False)
    assert (third.batch, third.train, third.exhausted) == (3, len(train) - 100, True)
    assert query("SELECT COUNT(*) FROM train_data") == [(len(train),)]

    fourth = load_next(settings(dataset=dataset, batch_size=50))

    assert (fourth.batch, fourth.rows_read, fourth.exhausted) == (None, 0, True)
    assert query("SELECT batch, rows_read FROM batch_info ORDER BY batch") == [
        (1, first.rows_read),
        (2, 50),
        (3, third.rows_read),
    ]


def test_the_batch_size_does_not_change_what_is_loaded(settings, query, tmp_path):
    lines = csv_lines.lines(120)
    dataset = str(csv_lines.write(tmp_path / "d.csv", lines))

    results = list(load_all(settings(dataset=dataset, batch_size=7)))

    assert sum(result.rows_read for result in results) == 120
    assert results[-1].exhausted
    assert all(result.train == 7 for result in results[:-1])
    for split in Split:
        wanted = [line.split(",") for line in of(split, lines)]
        table = ENCOUNTERS[split]
        columns = [table.c[column.name] for column in COLUMNS]
        stored = query(sa.select(*columns).order_by(table.c.encounter_id))
        assert [["?" if value is None else str(value) for value in row] for row in stored] == wanted


def test_the_ledger_tells_where_a_batch_came_from(settings, query, tmp_path):
    path = csv_lines.write(tmp_path / "d.csv", csv_lines.lines(30))

    load_next(settings(dataset=str(path)))

    [row] = query("SELECT source_kind, source_name, dataset_kind, started <= finished FROM batch_info")
    assert row == ("file", str(path), "own", 1)


@pytest.mark.parametrize("end", ["\r\n", "\n"])
def test_line_ends_byte_order_mark_and_empty_lines_do_not_matter(settings, tmp_path, end):
    lines = csv_lines.lines(60)
    with_gaps = [*lines[:20], "", *lines[20:], "", ""]
    dataset = csv_lines.write(tmp_path / "d.csv", with_gaps, header="\ufeff" + csv_lines.HEADER, end=end)

    results = list(load_all(settings(dataset=str(dataset), batch_size=10)))

    assert sum(result.rows_read for result in results) == 60
    assert sum(result.loaded for result in results) == 60
    assert load_next(settings(dataset=str(dataset), batch_size=10)).batch is None


# With its return `NO` would fit into the column, `<30` would not.
@pytest.mark.parametrize(
    ("end", "last_end", "readmitted"), [("\n", "", "NO"), ("\r\n", "\r", "NO"), ("\r\n", "\r", "<30")]
)
def test_a_last_line_without_its_end_is_loaded(settings, query, tmp_path, end, last_end, readmitted):
    lines = [csv_lines.HEADER, *csv_lines.lines(9), csv_lines.line(10, readmitted=readmitted)]
    dataset = tmp_path / "d.csv"
    dataset.write_bytes((end.join(lines) + last_end).encode())

    assert load_next(settings(dataset=str(dataset))).loaded == 10
    table = ENCOUNTERS[split_of(lines[-1])]
    stored = sa.select(table.c.readmitted).where(table.c.encounter_id == 10)
    assert query(stored) == [(readmitted,)]


def test_a_bad_row_is_kept_with_its_place_and_reason_and_the_rest_loads(settings, query, tmp_path):
    lines = csv_lines.lines(40)
    lines[9] = csv_lines.line(10, gender="SECRET")
    lines[29] = "half,a,row"
    dataset = str(csv_lines.write(tmp_path / "d.csv", lines))

    [result] = load_all(settings(dataset=dataset))

    assert (result.rows_read, result.loaded, result.rejected) == (40, 38, 2)
    assert query(
        "SELECT batch, line_number, encoding, line, reason FROM rejected_rows ORDER BY line_number"
    ) == [
        (1, 11, "utf-8", lines[9], "gender: must be one of Female, Male, Unknown/Invalid"),
        (1, 31, "utf-8", "half,a,row", "3 fields, but the header has 50"),
    ]


def test_every_line_is_counted_once_whatever_is_broken(settings, query, tmp_path):
    chance = random.Random(5)  # noqa: S311 - broken rows, no secrets
    lines = csv_lines.lines(300)
    for number in chance.sample(range(300), 90):
        lines[number] = chance.choice(
            [
                csv_lines.line(number + 1, time_in_hospital="-1"),
                csv_lines.line(number + 1).replace(str(1_000_001 + number), "nobody"),
                "torn",
                lines[chance.randrange(300)],
            ]
        )
    dataset = str(csv_lines.write(tmp_path / "d.csv", lines))

    results = list(load_all(settings(dataset=dataset, batch_size=20)))

    assert sum(result.rows_read for result in results) == 300
    for result in results:
        assert result.rows_read == result.loaded + result.known + result.rejected
    kept = query(
        "SELECT encounter_id FROM train_data UNION ALL SELECT encounter_id FROM validation_data"
        " UNION ALL SELECT encounter_id FROM test_data"
    )
    assert len(kept) == len(set(kept)) == sum(result.loaded for result in results)
    rejected = query("SELECT line_number, line FROM rejected_rows")
    assert len(rejected) == len({number for number, _ in rejected}) == sum(r.rejected for r in results)
    assert all(lines[number - 2] == line for number, line in rejected)


def test_an_id_that_comes_twice_is_loaded_once(settings, query, tmp_path):
    lines = csv_lines.lines(60)
    train = of(Split.TRAIN, lines)
    test = of(Split.TEST, lines)[0]
    other_patient = csv_lines.line(int(train[0].split(",")[0]), int(test.split(",")[1]))
    again = [train[0], csv_lines.line(int(train[1].split(",")[0]), race="Other"), test, other_patient]
    dataset = str(csv_lines.write(tmp_path / "d.csv", [*lines, *again]))

    results = list(load_all(settings(dataset=dataset, batch_size=10)))

    assert sum(result.loaded for result in results) == 60
    assert sum(result.rejected for result in results) == 4
    reasons = query("SELECT DISTINCT reason FROM rejected_rows")
    assert reasons == [("encounter_id: repeated in this source; the first row is kept",)]


def test_a_newer_delivery_adds_what_is_new(settings, query, tmp_path):
    lines = csv_lines.lines(100)
    list(load_all(settings(dataset=str(csv_lines.write(tmp_path / "old.csv", lines[:80])), batch_size=30)))
    changed = csv_lines.line(5, race="Other")
    newer = [*lines[:4], changed, *lines[5:]]

    results = list(
        load_all(settings(dataset=str(csv_lines.write(tmp_path / "new.csv", newer)), batch_size=30))
    )

    assert sum(result.loaded for result in results) == 20
    assert sum(result.known for result in results) == 79
    assert sum(result.rejected for result in results) == 1
    [(line, reason)] = query("SELECT line, reason FROM rejected_rows")
    assert line == changed
    assert reason == "encounter_id: differs from the row of batch 1, which is kept"
    assert query("SELECT SUM(rows_read) FROM batch_info") == [(180,)]


def test_the_same_content_under_another_name_is_nothing_new(settings, tmp_path):
    lines = csv_lines.lines(30)
    list(load_all(settings(dataset=str(csv_lines.write(tmp_path / "a.csv", lines)))))

    assert load_next(settings(dataset=str(csv_lines.write(tmp_path / "b.csv", lines)))).batch is None


def test_a_source_without_one_good_row_is_an_error_and_keeps_them(settings, query, tmp_path):
    lines = [csv_lines.line(number, gender="SECRET") for number in range(1, 6)]
    dataset = str(csv_lines.write(tmp_path / "d.csv", lines))

    with pytest.raises(NothingLoadedError) as refused:
        load_next(settings(dataset=dataset))

    assert str(refused.value) == (
        f"{dataset}: not one of 5 rows could load; all are in rejected_rows, "
        "the first is line 2: gender: must be one of Female, Male, Unknown/Invalid"
    )
    assert [line for (line,) in query("SELECT line FROM rejected_rows ORDER BY line_number")] == lines


def test_two_loads_at_once_take_turns(settings, query, tmp_path):
    dataset = str(csv_lines.write(tmp_path / "d.csv", csv_lines.lines(200)))
    failures = []

    def run():
        try:
            list(load_all(settings(dataset=dataset, batch_size=20)))
        except Exception as error:  # noqa: BLE001 - whatever it is, the test shows it
            failures.append(error)

    loads = [threading.Thread(target=run) for _ in range(3)]
    for load in loads:
        load.start()
    for load in loads:
        load.join()

    assert failures == []
    assert query("SELECT SUM(rows_read), SUM(rejected_rows + known_rows) FROM batch_info") == [(200, 0)]
