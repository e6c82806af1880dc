import asyncio

import pytest

from readmission_api.errors import RefusedError
from readmission_api.http.bodies import read_body


@pytest.mark.parametrize("sizes", [(101,), (60, 60), (100, 0, 1)])
def test_a_body_that_is_too_long_is_told_the_limit_that_there_is(sizes):
    parts = [
        {"type": "http.request", "body": b"x" * size, "more_body": number < len(sizes) - 1}
        for number, size in enumerate(sizes)
    ]

    async def receive():
        return parts.pop(0)

    with pytest.raises(RefusedError) as caught:
        asyncio.run(read_body(receive, limit=100, timeout=1))
    assert (caught.value.status, caught.value.code) == (413, "body_too_large")
    assert "longer than 100 bytes" in caught.value.message
