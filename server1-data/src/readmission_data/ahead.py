"""Work that goes on while its earlier results are used."""

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def one_ahead(items: Iterator[Item]) -> Generator[Item]:
    """Give what an iterator gives, and let a thread make the next item while one is used.

    An error of the iterator comes where its item would. Whoever stops early waits for the item under way.
    """
    # In a tuple, so that any item can be told from the end.
    marked = ((item,) for item in items)
    with ThreadPoolExecutor(max_workers=1) as worker:
        coming = worker.submit(next, marked, None)
        while (made := coming.result()) is not None:
            coming = worker.submit(next, marked, None)
            yield made[0]
