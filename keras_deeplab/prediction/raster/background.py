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
        depth: Items that may wait.

    Yields:
        Iterator over the same items. The thread ends with the `with` block, also early.
    """
    waiting: queue.Queue = queue.Queue(depth)
    stopped = threading.Event()

    def put(item: object) -> None:
        while not stopped.is_set():
            with contextlib.suppress(queue.Full):
                waiting.put(item, timeout=0.1)
                return

    def work() -> None:
        try:
            for item in items:
                put(item)
                if stopped.is_set():
                    return
            put(_END)
        except BaseException as error:
            put(error)

    def taken() -> Iterator[Item]:
        while (item := waiting.get()) is not _END:
            if isinstance(item, BaseException):
                raise item
            yield item

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield taken()
    finally:
        stopped.set()
        thread.join()
