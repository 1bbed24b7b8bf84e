"""Describes the calls of the API once, for both clients.

A method under ``endpoint`` or ``listing`` only says what to ask and how to read the answer. On an
object that speaks over a ``Transport`` it answers; over an ``AsyncTransport`` it is awaited.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, overload

if TYPE_CHECKING:
    from service.client.transport import AsyncTransport, Transport

__all__ = ["Awaiting", "Blocking", "Call", "Listing", "endpoint", "listing"]

T = TypeVar("T")
P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request and how its answer is read.

    Attributes:
        method: HTTP method.
        path: Below the service's address.
        read: Makes the answer of its bytes.
        params: Of the query; those that are None are left out.
        content: The body.
        headers: Sent beside those of every request.
    """

    method: str
    path: str
    read: Callable[[bytes], T]
    params: Mapping[str, Any] = field(default_factory=dict)
    content: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """A list that comes in pages.

    Attributes:
        path: Below the service's address.
        read: Makes things, and the cursor of the next page, of a page's bytes.
        params: Of the query.
    """

    path: str
    read: Callable[[bytes], tuple[list[T], str | None]]
    params: Mapping[str, Any] = field(default_factory=dict)

    def page(self, cursor: str | None) -> Call[tuple[list[T], str | None]]:
        """The call for the page at a cursor."""
        return Call("GET", self.path, self.read, {**self.params, "cursor": cursor})


class Blocking:
    """Speaks over a transport that waits."""

    _transport: Transport


class Awaiting:
    """Speaks over a transport that is awaited."""

    _transport: AsyncTransport


class endpoint(Generic[P, T]):  # noqa: N801 - a decorator
    """A method that asks one thing."""

    def __init__(self, describe: Callable[Concatenate[Any, P], Call[T]]) -> None:
        self._describe = describe

    @overload
    def __get__(self, instance: Blocking, owner: Any = None) -> Callable[P, T]: ...
    @overload
    def __get__(self, instance: Awaiting, owner: Any = None) -> Callable[P, Awaitable[T]]: ...
    @overload
    def __get__(
        self, instance: None, owner: Any = None
    ) -> Callable[Concatenate[Any, P], Call[T]]: ...
    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return _bound(self._describe, instance, "send")


class listing(Generic[P, T]):  # noqa: N801 - a decorator
    """A method that lists things, a page a request."""

    def __init__(self, describe: Callable[Concatenate[Any, P], Listing[T]]) -> None:
        self._describe = describe

    @overload
    def __get__(self, instance: Blocking, owner: Any = None) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(self, instance: Awaiting, owner: Any = None) -> Callable[P, AsyncIterator[T]]: ...
    @overload
    def __get__(
        self, instance: None, owner: Any = None
    ) -> Callable[Concatenate[Any, P], Listing[T]]: ...
    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return _bound(self._describe, instance, "pages")


def _bound(describe: Callable[..., Any], instance: Any, verb: str) -> Any:
    """The method of an object: describes a call and gives it to the object's transport."""
    if instance is None:
        return describe  # as a class attribute: what ``help`` shows

    @wraps(describe)
    def ask(*args: Any, **kwargs: Any) -> Any:
        return getattr(instance._transport, verb)(describe(instance, *args, **kwargs))

    return ask
