"""Work that continues while its earlier results are used."""

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def one_ahead(items: Iterator[Item]) -> Generator[Item]:
    """Yield the items of an iterator; a thread makes the next item while the caller uses the current one.

    An error of the iterator is raised in place of its item. A caller that stops early waits for the next
    item.
    """
    # In a tuple, so that no item can be confused with the end.
    marked = ((item,) for item in items)
    with ThreadPoolExecutor(max_workers=1) as worker:
        coming = worker.submit(next, marked, None)
        while (made := coming.result()) is not None:
            coming = worker.submit(next, marked, None)
            yield made[0]
