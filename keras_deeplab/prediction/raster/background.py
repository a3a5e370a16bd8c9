"""Steps of a pipeline at the same time: reading, prediction and writing."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")
_END = object()


@contextlib.contextmanager
def in_background(items: Iterable[Item], depth: int) -> Iterator[Iterator[Item]]:
    """Computes items in a thread, ahead of their use.

    Args:
        items: Iterable; an error that it raises is raised where the item is used.
        depth: Items that are computed ahead at most, with the one that is being computed.

    Yields:
        Iterator over the same items. The thread ends with the `with` block, also early.
    """
    waiting: queue.SimpleQueue = queue.SimpleQueue()
    room = threading.Semaphore(depth)
    stopped = threading.Event()

    def work() -> None:
        iterator = iter(items)
        try:
            while room.acquire() and not stopped.is_set():
                waiting.put(next(iterator, _END))
        except BaseException as error:
            waiting.put(error)

    def taken() -> Iterator[Item]:
        while (item := waiting.get()) is not _END:
            if isinstance(item, BaseException):
                raise item
            room.release()
            yield item

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield taken()
    finally:
        stopped.set()
        room.release()
        thread.join()
