"""Descriptions of API operations, written once for the blocking and the asynchronous client.

A method under ``endpoint`` or ``paged_endpoint`` only describes a request and how its response is
read. The decorator sends it: on an object with a blocking transport, calling the method returns the
result; on one with an asynchronous transport, the call is awaited (or iterated with ``async for``).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, overload

__all__ = [
    "AsyncOperations",
    "AsyncSender",
    "BlockingOperations",
    "BlockingSender",
    "Operation",
    "PagedOperation",
    "endpoint",
    "paged_endpoint",
]

T = TypeVar("T")
P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class Operation(Generic[T]):
    """One request and how its response is read.

    Attributes:
        method: HTTP method.
        path: Path below the service's address.
        read: Converts the body of the response to the result.
        params: Query parameters; those that are None are omitted.
        content: Body of the request.
        headers: Headers in addition to those of every request.
    """

    method: str
    path: str
    read: Callable[[bytes], T]
    params: Mapping[str, Any] = field(default_factory=dict)
    content: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PagedOperation(Generic[T]):
    """A list that the service returns in pages, one request per page.

    Attributes:
        path: Path below the service's address.
        read: Converts the body of a page to its items and the cursor of the next page (None on the
            last page).
        params: Query parameters.
    """

    path: str
    read: Callable[[bytes], tuple[list[T], str | None]]
    params: Mapping[str, Any] = field(default_factory=dict)

    def page(self, cursor: str | None) -> Operation[tuple[list[T], str | None]]:
        """The operation that reads the page at ``cursor``; None is the first page."""
        return Operation("GET", self.path, self.read, {**self.params, "cursor": cursor})


class BlockingSender(Protocol):
    """The part of a blocking transport that operations need."""

    def send(self, operation: Operation[T]) -> T:
        """The result of an operation."""
        ...

    def pages(self, operation: PagedOperation[T]) -> Iterator[T]:
        """The items of all pages."""
        ...


class AsyncSender(Protocol):
    """The part of an asynchronous transport that operations need."""

    async def send(self, operation: Operation[T]) -> T:
        """The result of an operation."""
        ...

    def pages(self, operation: PagedOperation[T]) -> AsyncIterator[T]:
        """The items of all pages."""
        ...


class BlockingOperations:
    """An object whose operations return their results."""

    _transport: BlockingSender


class AsyncOperations:
    """An object whose operations are awaited."""

    _transport: AsyncSender


class endpoint(Generic[P, T]):  # noqa: N801 - a decorator
    """Decorator of a method that describes one request."""

    def __init__(self, describe: Callable[Concatenate[Any, P], Operation[T]]) -> None:
        self._describe = describe

    @overload
    def __get__(self, instance: BlockingOperations, owner: Any = None) -> Callable[P, T]: ...
    @overload
    def __get__(
        self, instance: AsyncOperations, owner: Any = None
    ) -> Callable[P, Awaitable[T]]: ...
    @overload
    def __get__(
        self, instance: None, owner: Any = None
    ) -> Callable[Concatenate[Any, P], Operation[T]]: ...
    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return _bound(self._describe, instance, "send")


class paged_endpoint(Generic[P, T]):  # noqa: N801 - a decorator
    """Decorator of a method that describes a paged list."""

    def __init__(self, describe: Callable[Concatenate[Any, P], PagedOperation[T]]) -> None:
        self._describe = describe

    @overload
    def __get__(
        self, instance: BlockingOperations, owner: Any = None
    ) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(
        self, instance: AsyncOperations, owner: Any = None
    ) -> Callable[P, AsyncIterator[T]]: ...
    @overload
    def __get__(
        self, instance: None, owner: Any = None
    ) -> Callable[Concatenate[Any, P], PagedOperation[T]]: ...
    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return _bound(self._describe, instance, "pages")


def _bound(describe: Callable[..., Any], instance: Any, send: str) -> Any:
    """The bound method: describes an operation and passes it to the object's transport."""
    if instance is None:
        return describe  # accessed on the class, for ``help`` and signatures

    @wraps(describe)
    def call(*args: Any, **kwargs: Any) -> Any:
        return getattr(instance._transport, send)(describe(instance, *args, **kwargs))

    return call
