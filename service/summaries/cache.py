"""Thread-safe LRU cache that computes each value once."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from threading import Lock
from typing import Generic, TypeVar

__all__ = ["Cache"]

Value = TypeVar("Value")


class Cache(Generic[Value]):
    """Values by key; the least recently used are dropped when their total weight is too high.

    A request for a value that is being computed waits for it. Errors are not cached.

    Args:
        limit: Largest total weight.
        weigh: Weight of a value.
    """

    def __init__(self, limit: int, weigh: Callable[[Value], int]) -> None:
        self._limit = limit
        self._weigh = weigh
        self._values: OrderedDict[Hashable, Future[Value]] = OrderedDict()
        self._weight = 0
        self._lock = Lock()

    def get(self, key: Hashable, compute: Callable[[], Value]) -> Value:
        """The value of ``key``, computed if it is not cached."""
        with self._lock:
            known = self._values.get(key)
            if known is not None:
                self._values.move_to_end(key)
            else:
                mine = self._values[key] = Future()
        if known is not None:
            return known.result()
        try:
            value = compute()
        except BaseException as error:
            with self._lock:
                del self._values[key]
            mine.set_exception(error)
            raise
        mine.set_result(value)
        with self._lock:
            self._weight += self._weigh(value)
            self._drop()
        return value

    def _drop(self) -> None:
        """Drop the least recently used values; those being computed have no weight yet."""
        for key, value in list(self._values.items()):
            if self._weight <= self._limit:
                return
            if value.done() and not value.exception():
                self._weight -= self._weigh(value.result())
                del self._values[key]
