import asyncio

import pytest

from readmission_api.errors import OverloadedError
from readmission_api.metrics.instruments import Instruments
from readmission_api.scored import Scored, ScoredQueue
from readmission_api.scoring import Scoring
from server3.api.conftest import load_folder


@pytest.fixture(scope="module")
def rows(predictor, versions):
    return [predictor.patients.read_value(patient) for patient, _ in versions.exam(versions.one)[:100]]


def scoring(told, *, max_queue=512):
    return Scoring(Instruments(), max_queue=max_queue, on_scored=told.append)


def test_requests_of_one_turn_share_a_call_and_get_their_own_risk(predictor, rows):
    told = []

    async def ask():
        scores = scoring(told)
        risks = await asyncio.gather(*[scores.one(predictor, str(n), row) for n, row in enumerate(rows)])
        await asyncio.sleep(0)
        return risks

    risks = asyncio.run(ask())
    assert risks == pytest.approx(predictor.score(rows), abs=1e-7)
    assert [len(scored.rows) for scored in told] == [64, 36]
    assert [name for scored in told for name in scored.request_ids] == [str(n) for n in range(100)]


def test_a_swap_between_two_requests_mixes_nothing(predictor, rows, versions):
    other = load_folder(versions.two, "2")
    told = []

    async def ask():
        scores = scoring(told)
        risks = await asyncio.gather(
            *[scores.one((predictor, other)[n % 2], str(n), row) for n, row in enumerate(rows[:10])]
        )
        await asyncio.sleep(0)
        return risks

    risks = asyncio.run(ask())
    one, two = predictor.score(rows[:10]), other.score(rows[:10])
    wanted = [(one, two)[n % 2][n] for n in range(10)]
    assert risks == pytest.approx(wanted, abs=1e-7)
    assert {scored.predictor for scored in told} == {predictor, other}


def test_a_full_queue_refuses(predictor, rows):
    async def ask():
        scores = scoring([], max_queue=5)
        accepted = [scores.one(predictor, "r", row) for row in rows[:5]]
        with pytest.raises(OverloadedError):
            scores.one(predictor, "r", rows[5])
        await asyncio.gather(*accepted)
        await scores.one(predictor, "r", rows[5])

    asyncio.run(ask())


def test_a_client_that_left_does_not_disturb_the_others(predictor, rows):
    async def ask():
        scores = scoring([])
        gone, there = (scores.one(predictor, "r", row) for row in rows[:2])
        gone.cancel()
        return await there

    assert 0 <= asyncio.run(ask()) <= 1


def test_whatever_fails_those_who_wait_hear_of_it(predictor, rows, monkeypatch):
    def fail(_):
        raise RuntimeError

    async def ask():
        scores = scoring([])
        waiting = [scores.one(predictor, "r", row) for row in rows[:3]]
        return await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 5)

    monkeypatch.setattr(predictor, "score", fail)
    assert [type(error) for error in asyncio.run(ask())] == [RuntimeError] * 3


def entry(rows):
    return Scored(None, [""] * rows, range(rows), [(n,) for n in range(rows)], [0.0] * rows, 0.0)


def test_a_queue_holds_so_many_rows():
    queue = ScoredQueue(10)
    assert [queue.offer(entry(size)) for size in (6, 5, 1)] == [6, 4, 0]
    assert len(queue) == 10
    assert [one.rows for one in queue.take(10)][1] == [(0,), (1,), (2,), (3,)]


def test_a_queue_gives_the_oldest_first_and_no_more_than_asked():
    queue = ScoredQueue(100)
    for size in (30, 5, 6, 7):
        queue.offer(entry(size))
    (first,) = queue.take(10)
    assert (first.rows, first.numbers) == ([(n,) for n in range(10)], range(10))
    rest, five, some = queue.take(26)
    assert (rest.rows[0], len(rest.rows), len(five.rows), len(some.rows)) == ((10,), 20, 5, 1)
    assert len(queue) == 12
    assert queue.clear() == 12
    assert queue.take(10) == []
