"""Responses of gateways, proxies and other feeds: digests, encodings, pauses, addresses."""

import base64
import gzip
import hashlib
import time

import pytest
import tenacity

from readmission_data import web
from readmission_data.errors import ReadmissionDataError
from readmission_data.raw import feed_answer
from readmission_data.raw.load import load_next
from readmission_feed.app import create_app
from readmission_feed.settings import FeedSettings
from support import csv_lines
from support.feeds import Edited, served

SQLITE_ALONE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
pytestmark = SQLITE_ALONE
ROWS = 20


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(web, "_growing", tenacity.wait_fixed(0.01))


@pytest.fixture
def feed(tmp_path):
    """The real feed's application."""
    return create_app(FeedSettings(dataset=csv_lines.write(tmp_path / "d.csv", csv_lines.lines(ROWS))))


def load(settings, app, query=""):
    with served(app, lifespan="off") as url:
        return load_next(settings(source="feed", feed_url=url + query))


def digest(algorithm, content):
    digested = hashlib.new(algorithm.replace("-", ""), content).digest()
    return f"{algorithm}=:{base64.b64encode(digested).decode()}:"


def zipped(headers, body, _first):
    coded = gzip.compress(body)
    return headers | {"content-encoding": "gzip", "content-digest": digest("sha-256", coded)}, coded


def zipped_by_a_proxy(headers, body, _first):
    """A proxy that compresses the response but keeps the feed's digest."""
    return headers | {"content-encoding": "gzip", "content-digest": headers["kept-digest"]}, gzip.compress(
        body
    )


def several(headers, body, _first):
    digests = ["crc32c=:AAAAAA==:", digest("sha-512", body), digest("sha-256", body)]
    return headers | {"content-digest": ", ".join(digests)}, body


def two_members(headers, body, _first):
    coded = gzip.compress(body[:100]) + gzip.compress(body[100:])
    return headers | {"content-encoding": "x-gzip", "repr-digest": digest("sha-512", coded)}, coded


@pytest.mark.parametrize("edit", [zipped, zipped_by_a_proxy, several, two_members])
def test_a_digest_is_checked_over_what_it_covers(settings, feed, edit):
    assert load(settings, Edited(feed, edit)).loaded == ROWS


def wrong_second(headers, body, _first):
    return headers | {"content-digest": f"{digest('sha-256', body)}, {digest('sha-512', body[1:])}"}, body


def wrong_of_coded(headers, body, _first):
    return zipped(headers, body, _first)[0], gzip.compress(body + body)


def cut_off(headers, body, _first):
    return headers | {"content-encoding": "gzip"}, gzip.compress(body)[:-20]


def not_gzip(headers, body, _first):
    return headers | {"content-encoding": "gzip"}, body


def brotli(headers, body, _first):
    return headers | {"content-encoding": "br"}, body


def bomb(headers, _body, _first):
    return headers | {"content-encoding": "gzip"}, gzip.compress(bytes(2 * feed_answer.MOST_BYTES), 1)


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (wrong_second, "the block does not match its digest"),
        (wrong_of_coded, "the block does not match its digest"),
        (cut_off, "its answer is cut off gzip"),
        (not_gzip, "its answer is not valid gzip"),
        (brotli, "its answer has the Content-Encoding 'br', not gzip or identity"),
        (bomb, "its answer is larger than 64 MiB when decompressed"),
    ],
)
def test_an_answer_that_is_not_what_it_says_is_refused_by_name(settings, query, feed, edit, reason):
    with pytest.raises(ReadmissionDataError, match=rf"^http://[^ ]* cannot be read: {reason}$"):
        load(settings, Edited(feed, edit))

    assert query("SELECT COUNT(*) FROM batch_info") == [(0,)]


def test_the_query_of_an_address_stays(settings, feed):
    asked = []

    async def app(scope, receive, send):
        asked.append((scope["path"], scope["query_string"].decode()))
        await feed(scope | {"path": scope["path"].removeprefix("/gateway")}, receive, send)

    assert load(settings, app, "/gateway/?key=s3cret").loaded == ROWS
    path, sent = asked[0]
    assert path == "/gateway/v1/encounters"
    assert "key=s3cret" in sent
    assert "limit=" in sent


@pytest.mark.parametrize("asked", ["1", "date"])
def test_a_pause_that_the_feed_asks_for_is_kept(settings, feed, asked):
    moments = []

    async def app(scope, receive, send):
        moments.append(time.monotonic())
        if len(moments) > 1:
            await feed(scope, receive, send)
            return
        # HTTP dates have whole seconds: two from now are at least one.
        in_two = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 2))
        pause = in_two if asked == "date" else asked
        headers = [(b"retry-after", pause.encode())]
        await send({"type": "http.response.start", "status": 503, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    assert load(settings, app).loaded == ROWS
    assert moments[1] - moments[0] > 0.9


def test_a_pause_of_an_hour_is_named_instead(settings):
    async def app(_scope, _receive, send):
        await send({"type": "http.response.start", "status": 429, "headers": [(b"retry-after", b"3600")]})
        await send({"type": "http.response.body", "body": b""})

    with pytest.raises(ReadmissionDataError, match=r"the server answered 429 and asks to wait 3600 s$"):
        load(settings, app)
