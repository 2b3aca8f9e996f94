"""A job that stands for a call on a Dask cluster: asked to stop with the job, and ended when the call has ended.

Rules of this file: a future of Dask is never cancelled. Dask can't end a thread: the future would be over, and the
work would go on. A request to stop is an event that Dask's scheduler keeps. The worker looks at it before it calls
the function, and the function looks at it wherever it can end.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

import distributed

from aiojobs.elsewhere import elsewhere

P = ParamSpec("P")
T = TypeVar("T")


class Stopped(BaseException):
    """A function on the cluster was asked to stop, and has. What catches each `Exception` lets it pass."""


class Stop:
    """What a function on the cluster is given: whether its job was asked to stop."""

    def __init__(self, event: distributed.Event) -> None:
        self._event = event

    def check(self) -> None:
        """Raise `Stopped` if it was. This asks Dask's scheduler, which takes a millisecond or two."""
        if self._event.is_set():
            raise Stopped


async def on_cluster(
    client: distributed.Client,
    function: Callable[Concatenate[Stop, P], T],
    /,
    *args: P.args,
    **kwargs: P.kwargs,
) -> T:
    """Call a function on a worker of the cluster, and be the job of that call.

    Arguments:
        client: one that was made with ``asynchronous=True``.
        function: called with a `Stop` and the arguments; again, from its beginning, if its worker dies.
        args: the arguments, which can be pickled.
        kwargs: more of them.

    Raises:
        ConnectionError: Dask's scheduler can't be reached any more, and what it knew of this call is lost.
        BaseException: what the function raises.
    """
    event = distributed.Event(client=client)

    async def start() -> distributed.Future:
        return client.submit(_call, Stop(event), function, args, kwargs, pure=False)

    async def wait(future: distributed.Future) -> T:
        try:
            await distributed.wait(future)
        except distributed.client.FuturesCancelledError as lost:
            raise ConnectionError("the connection to the cluster is lost, and the call with it") from lost
        try:
            returned: tuple[T, ...] = await future.result()
        finally:
            await event.clear()  # an event that is set would be kept for ever
        if not returned:
            raise asyncio.CancelledError
        return returned[0]

    async def stop(_future: distributed.Future) -> None:
        await event.set()

    return await elsewhere(start, wait, stop)


def _call(
    stop: Stop, function: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[T, ...]:
    """On the worker: what the function returns, or nothing if it was stopped."""
    try:
        stop.check()
        return (function(stop, *args, **kwargs),)
    except Stopped:
        return ()
