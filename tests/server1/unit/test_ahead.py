import threading
from collections.abc import Iterator

import pytest

from readmission_data.ahead import one_ahead


def test_the_next_item_is_made_while_one_is_used():
    made = [threading.Event() for _ in range(3)]

    def make() -> Iterator[int | None]:
        for number, event in enumerate(made):
            event.set()
            yield number or None

    items = one_ahead(make())

    assert next(items) is None
    assert made[1].wait(10)
    assert list(items) == [1, 2]


def test_an_error_comes_where_its_item_would():
    def make() -> Iterator[int]:
        yield 1
        raise ValueError("torn")

    items = one_ahead(make())

    assert next(items) == 1
    with pytest.raises(ValueError, match="torn"):
        next(items)
