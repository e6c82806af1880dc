"""Loads from the real feed, over HTTP."""

import itertools

import pytest
import tenacity
from pydantic import SecretStr

from readmission_data import web
from readmission_data.errors import ReadmissionDataError
from readmission_data.raw.load import load_all, load_next
from readmission_feed.app import create_app
from readmission_feed.settings import FeedSettings
from support import csv_lines
from support.feeds import Edited, served, serving


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(web, "_growing", tenacity.wait_fixed(0.01))


def test_blocks_come_one_a_load_until_the_feed_is_exhausted(settings, query, tmp_path):
    lines = csv_lines.lines(50)
    lines[44] = csv_lines.line(45, gender="SECRET")
    path = csv_lines.write(tmp_path / "d.csv", lines)
    with serving(path) as url:
        given = settings(source="feed", feed_url=url, batch_size=20)
        results = list(load_all(given))
        assert load_next(given).batch is None

    assert [(result.batch, result.rows_read, result.exhausted) for result in results] == [
        (1, 20, False),
        (2, 20, False),
        (3, 10, True),
    ]
    assert sum(result.loaded for result in results) == 49
    assert query("SELECT batch, line_number, line FROM rejected_rows") == [(3, 46, lines[44])]
    assert query("SELECT DISTINCT source_kind, source_name, dataset_kind FROM batch_info") == [
        ("feed", url, "own")
    ]


def test_feed_and_file_bring_the_same_rows(settings, query, tmp_path):
    path = csv_lines.write(tmp_path / "d.csv", csv_lines.lines(50))
    list(load_all(settings(dataset=str(path))))
    with serving(path) as url:
        [result] = load_all(settings(source="feed", feed_url=url, batch_size=30))

    assert (result.known, result.loaded, result.rejected) == (50, 0, 0)
    assert query("SELECT SUM(train_rows + validation_rows + test_rows) FROM batch_info") == [(50,)]


def test_an_id_that_comes_twice_in_a_feed_is_loaded_once(settings, query, tmp_path):
    lines = csv_lines.lines(30)
    path = csv_lines.write(tmp_path / "d.csv", [*lines, lines[3]])
    with serving(path) as url:
        results = list(load_all(settings(source="feed", feed_url=url, batch_size=10)))

    assert [result.rejected for result in results] == [0, 0, 0, 1]
    assert query("SELECT line_number, line FROM rejected_rows") == [(32, lines[3])]


@pytest.mark.parametrize("mood", ["busy", "torn", "altered"])
def test_a_feed_in_trouble_is_asked_again(settings, tmp_path, mood):
    path = csv_lines.write(tmp_path / "d.csv", csv_lines.lines(20))
    with serving(path, [mood, mood]) as url:
        [result] = load_all(settings(source="feed", feed_url=url))

    assert result.loaded == 20


@pytest.mark.parametrize(
    ("mood", "reason"), [("busy", "503"), ("torn", "."), ("altered", "the block does not match its digest")]
)
def test_a_feed_that_stays_in_trouble_is_told_in_one_line(settings, query, tmp_path, mood, reason):
    path = csv_lines.write(tmp_path / "d.csv", csv_lines.lines(20))
    with serving(path, [mood] * web.TRIES) as url:
        expected = rf"^{url} cannot be read: [^\n]*{reason}[^\n]*$"
        with pytest.raises(ReadmissionDataError, match=expected):
            load_next(settings(source="feed", feed_url=url))

    assert query("SELECT COUNT(*) FROM batch_info") == [(0,)]


def test_blocks_of_blank_lines_are_passed_over(settings, query, tmp_path):
    lines = [*csv_lines.lines(20), *[""] * 50, "torn", *csv_lines.lines(19, start=21), *[""] * 50]
    path = csv_lines.write(tmp_path / "d.csv", lines)
    with serving(path) as url:
        given = settings(source="feed", feed_url=url, batch_size=20)
        results = list(load_all(given))
        again = load_next(given)

    found = [(result.batch, result.loaded, result.rejected, result.exhausted) for result in results]
    assert found == [(1, 20, 0, False), (2, 9, 1, False), (3, 10, 0, False), (None, 0, 0, True)]
    assert (again.batch, again.exhausted) == (None, True)
    assert query("SELECT line_number, line FROM rejected_rows") == [(72, "torn")]
    assert query("SELECT next_line FROM batch_info") == [(22,), (82,), (102,)]


def test_a_feed_whose_source_changed_is_read_from_the_start(settings, tmp_path):
    lines = csv_lines.lines(40)
    path = csv_lines.write(tmp_path / "d.csv", lines[:20])
    with serving(path) as url:
        given = settings(source="feed", feed_url=url)
        assert load_next(given).loaded == 20
        csv_lines.write(path, lines)
        result = load_next(given)

    assert (result.known, result.loaded, result.rejected) == (20, 20, 0)


def test_one_load_brings_the_new_rows_of_a_feed_that_grew(settings, query, tmp_path):
    lines = csv_lines.lines(60)
    lines[10] = "torn"
    path = csv_lines.write(tmp_path / "d.csv", lines[:50])
    with serving(path) as url:
        given = settings(source="feed", feed_url=url, batch_size=20)
        list(load_all(given))
        csv_lines.write(path, lines)
        result = load_next(given)

    assert (result.batch, result.known, result.loaded, result.rejected) == (4, 49, 10, 1)
    assert result.exhausted
    assert query("SELECT batch, line_number FROM rejected_rows") == [(1, 12), (4, 12)]
    assert query("SELECT next_line FROM batch_info WHERE batch = 4") == [(62,)]


def test_a_source_that_comes_back_goes_on_where_it_was(settings, tmp_path):
    path = csv_lines.write(tmp_path / "d.csv", csv_lines.lines(60))
    with serving(path) as url:
        given = settings(source="feed", feed_url=url, batch_size=20)
        load_next(given)
        csv_lines.write(path, csv_lines.lines(40, start=41))
        between = list(load_all(given))
        csv_lines.write(path, csv_lines.lines(60))
        results = list(load_all(given))
        again = load_next(given)

    assert sum(result.loaded for result in between) == 40
    assert [(result.known, result.loaded, result.rejected) for result in results] == [(0, 20, 0), (20, 0, 0)]
    assert (again.batch, again.exhausted) == (None, True)


SQLITE_ALONE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@SQLITE_ALONE
def test_the_token_is_sent_and_never_shown(settings, tmp_path):
    path = csv_lines.write(tmp_path / "d.csv", csv_lines.lines(20))
    with serving(path, token="right-token") as url:
        for wrong in (None, SecretStr("wrong-token")):
            with pytest.raises(ReadmissionDataError, match=rf"^{url} answered 401[^\n]*$") as refused:
                load_next(settings(source="feed", feed_url=url, feed_token=wrong))
            assert "wrong-token" not in str(refused.value)
        assert (
            load_next(settings(source="feed", feed_url=url, feed_token=SecretStr("right-token"))).loaded == 20
        )


@SQLITE_ALONE
@pytest.mark.parametrize(
    ("url", "message"),
    [
        (None, "READMISSION_SOURCE is feed, but READMISSION_FEED_URL names no address"),
        ("http://me:secret@127.0.0.1:9", r"^http://127\.0\.0\.1:9 cannot be read: "),
        ("nonsense", "READMISSION_FEED_URL"),
    ],
)
def test_a_feed_out_of_reach_is_told_in_one_line(settings, url, message):
    with pytest.raises(ReadmissionDataError, match=message) as refused:
        load_next(settings(source="feed", feed_url=url))
    assert "\n" not in str(refused.value)
    assert "secret" not in str(refused.value)


@SQLITE_ALONE
def test_another_web_server_is_no_feed(settings):
    async def other(_scope, _receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"<html>hello</html>"})

    message = "is not an encounter feed: its answer lacks "
    with served(other, lifespan="off") as url, pytest.raises(ReadmissionDataError, match=message):
        load_next(settings(source="feed", feed_url=url))


def half(headers, body, _first):
    lines = body.splitlines(keepends=True)
    return headers, b"".join(lines[: len(lines) // 2 + 1])


def cached(_headers, _body, first):
    return first


def same_cursor(headers, body, first):
    return headers | {"feed-next-cursor": first[0]["feed-next-cursor"]}, body


def saying(**values):
    """Replace the values of some headers."""
    changed = {f"feed-{name.replace('_', '-')}": value for name, value in values.items()}
    return lambda headers, body, _first: (headers | changed, body)


@SQLITE_ALONE
@pytest.mark.parametrize(
    ("edit", "loaded", "reason"),
    [
        (half, 0, "its block from row 0 has 10 rows, not 20 as Feed-Rows says"),
        (cached, 20, "its block begins at row 0 of [0-9a-f]{6}, not row 20 "),
        (saying(first_row="20"), 0, "its block begins at row 20 of [0-9a-f]{6}, not row 0 "),
        (same_cursor, 20, "its block from row 20 has the cursor that was asked for"),
        (saying(exhausted="false"), 50, "its block from row 50 is empty, yet it is not exhausted"),
        (
            saying(source_kind="Hospital"),
            0,
            "its Feed-Source-Kind is 'Hospital', none of uci, own, synthetic",
        ),
    ],
)
def test_an_answer_that_cannot_be_right_is_refused_whole(settings, query, tmp_path, edit, loaded, reason):
    app = create_app(FeedSettings(dataset=csv_lines.write(tmp_path / "d.csv", csv_lines.lines(50))))
    with served(Edited(app, edit), lifespan="off") as url:
        given = settings(source="feed", feed_url=url, batch_size=20)
        with pytest.raises(ReadmissionDataError, match=rf"^{url}: {reason}[^\n]*$"):
            list(itertools.islice(load_all(given), 4))

    assert query("SELECT COALESCE(SUM(rows_read), 0) FROM batch_info") == [(loaded,)]
    assert query("SELECT COUNT(*) FROM rejected_rows") == [(0,)]
