"""Answers that are worked out once."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from threading import Lock
from typing import Generic, TypeVar

__all__ = ["Cache"]

Value = TypeVar("Value")


class Cache(Generic[Value]):
    """Values by key; the least recently used go when they weigh too much together.

    Whoever asks for a value that is being worked out waits for it. An error is not kept.

    Args:
        limit: Most weight together.
        weigh: Weight of a value.
    """

    def __init__(self, limit: int, weigh: Callable[[Value], int]) -> None:
        self._limit = limit
        self._weigh = weigh
        self._values: OrderedDict[Hashable, Future[Value]] = OrderedDict()
        self._weight = 0
        self._lock = Lock()

    def get(self, key: Hashable, compute: Callable[[], Value]) -> Value:
        """The value of ``key``; ``compute`` works it out where it is not there."""
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
        """Make room; what is being worked out weighs nothing yet."""
        for key, value in list(self._values.items()):
            if self._weight <= self._limit:
                return
            if value.done() and not value.exception():
                self._weight -= self._weigh(value.result())
                del self._values[key]
