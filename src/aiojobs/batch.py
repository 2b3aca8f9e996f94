"""An async function over many items: a limit on how many run at once, and on how many results wait to be taken.

Rules:

1. It is lazy. The source is asked for an item when there is room: at most `window` items are under way, from the
   moment they were taken from the source until their results are.
2. Each item is a job of its own, in a scheduler of its own. A map inside a job therefore never waits for slots that
   the job and its like hold.
3. A failure is raised in its place, and never lost: what nobody was there to receive, because the map had ended
   before, goes to the loop's exception handler (as ``EXC-1``).
4. However it ends, it ends whole. What still runs is asked to stop and waited for, without a deadline, as in an
   `asyncio.TaskGroup`.

How it works: a plain iterable is read by whoever takes the results. An asynchronous one is read by a *feeder*, a job
that has a slot beyond the limit for as long as the source flows, so that results are there while it does.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
)
from contextlib import aclosing, nullcontext
from types import TracebackType
from typing import Any, Generic, Self, TypeAlias, TypeVar, cast

from ._events import ExceptionContext
from ._job import Job
from ._scheduler import Scheduler
from ._validate import check_count, check_flag

__all__ = ("Results", "as_completed", "map")

_T = TypeVar("_T")
_R = TypeVar("_R")
_E = TypeVar("_E")
_R_co = TypeVar("_R_co", covariant=True)

_Source: TypeAlias = Iterable[_T] | AsyncIterable[_T]


def map(  # noqa: A001 - what Python calls it, and it is used as `batch.map`
    function: Callable[[_T], Awaitable[_R]],
    source: _Source[_T],
    *,
    limit: int,
    window: int | None = None,
    ordered: bool = True,
) -> Results[_R]:
    """Call `function` for each item of `source`, at most `limit` at once, and give the results.

    ``async for result in map(…)`` takes them. To leave such a loop early, use ``async with map(…) as results`` around
    it, or call ``aclose()``: both return when nothing runs any more.

    Arguments:
        function: called with one item, in the item's own job; what it returns is awaited there.
        source: the items, an iterable or an asynchronous one. An asynchronous generator is closed at the end.
        limit: how many items may run at once, at least 1.
        window: how many items may be under way, at least `limit`: taken from the source, and their results not yet
            taken. None for twice the limit.
        ordered: whether the results come in the order of the items. If not, each comes as soon as it is there.

    Raises:
        TypeError, ValueError: an argument makes no sense.
        BaseException: from the loop, in its place, what `function` raised for an item; or what the source raised,
            after all items before it. The map has ended then.
    """
    return Results(_results(_flow(function, source, limit, window, ordered)))


def as_completed(
    function: Callable[[_T], Awaitable[_R]],
    source: _Source[_T],
    *,
    limit: int,
    window: int | None = None,
) -> Results[tuple[_T, Job[_R]]]:
    """Call `function` for each item, as `map`, and give pairs of an item and its job, as each job ends.

    A failure ends nothing: ``job.result()`` raises it for whoever asks. It is theirs, as the job is: no handler is
    told.

    Arguments, exceptions: those of `map`; what `function` raises is not among them.
    """
    return Results(_pairs(_flow(function, source, limit, window, False)))


class Results(AsyncIterator[_R_co]):
    """What comes of the items. It begins when it is asked for the first result, and belongs to one task."""

    def __init__(self, generator: AsyncGenerator[_R_co, None]) -> None:
        self._generator = generator

    def __aiter__(self) -> Self:
        return self

    def __anext__(self) -> Coroutine[Any, Any, _R_co]:
        return self._generator.__anext__()

    async def aclose(self) -> None:
        """Stop what still runs, and wait until it has stopped; the source is asked for no more."""
        await self._generator.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()


# --- How it works ---------------------------------------------------------------------------------------------


async def _results(flow: _Flow[Any, _R]) -> AsyncGenerator[_R, None]:
    try:
        flow.begin()
        while (item := flow.take() or await flow.next()) is not None:
            result = flow.result(item.job) if item.job.done() else await flow.receive(item.job)
            flow.make_room()
            yield result
        await flow.end()
    finally:
        await flow.close()


async def _pairs(flow: _Flow[_T, _R]) -> AsyncGenerator[tuple[_T, Job[_R]], None]:
    try:
        flow.begin()
        while (item := flow.take() or await flow.next()) is not None:
            await flow.until_ended(item.job)
            flow.hand_over(item.job)
            flow.make_room()
            yield item.value, item.job
        await flow.end()
    finally:
        await flow.close()


def _flow(
    function: Callable[[_T], Awaitable[_R]],
    source: _Source[_T],
    limit: int,
    window: int | None,
    ordered: bool,
) -> _Flow[_T, _R]:
    """Check the arguments. Nothing is begun, and no loop is needed."""
    _check_callable(function)
    _check_iterable(source)
    check_count("limit", limit, least=1)
    check_count("window", window, least=limit, none_means="twice the limit")
    check_flag("ordered", ordered)
    return _Flow(function, source, limit, 2 * limit if window is None else window, ordered)


def _check_callable(function: object) -> None:
    if not callable(function):
        raise TypeError(f"function must be callable, got {function!r}")


def _check_iterable(source: object) -> None:
    if not isinstance(source, (AsyncIterable, Iterable)):
        raise TypeError(f"source must be an iterable or an asynchronous one, got {source!r}")


class _Item(Generic[_T, _R]):
    """One item that is under way."""

    __slots__ = ("job", "told", "value")

    job: Job[_R]

    def __init__(self, value: _T) -> None:
        self.value = value
        self.told = False


class _Flow(Generic[_T, _R]):
    """The items of one map that are under way."""

    def __init__(
        self,
        function: Callable[[_T], Awaitable[_R]],
        source: _Source[_T],
        limit: int,
        window: int,
        ordered: bool,
    ) -> None:
        self._function = function
        self._qualname = str(getattr(function, "__qualname__", type(function).__qualname__))
        self._source = source
        self._limit = limit
        self._window = window
        self._ordered = ordered
        # Those whose results have not been asked for, in the order of the source; _window at most.
        self._line: OrderedDict[_Item[_T, _R], None] = OrderedDict()
        # Those of them that have told that they end, in that order; empty if results come in the order of the source.
        self._ended: deque[_Item[_T, _R]] = deque()
        # How many are under way: one more than stand in the line while a result is being received.
        self._under_way = 0
        # Whoever takes the results has left, or has all.
        self._is_closing = False
        # Nothing more comes from the source, and why if it has failed.
        self._is_over = False
        self._failure: Exception | None = None
        # What the consumer waits for when it has to, and what the feeder waits for.
        self._news: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        # Failures that nobody has received yet.
        self._unreceived: dict[Job[Any], ExceptionContext] = {}
        self._values: Iterator[_T] | None = None
        self._feeder: Job[None] | None = None

    def begin(self) -> None:
        """Make the scheduler, and take the first items, or make the feeder that does."""
        slots = self._limit + isinstance(self._source, AsyncIterable)
        self._scheduler = Scheduler(
            limit=slots, pending_limit=0, close_timeout=None, exception_handler=self._keep
        )
        if isinstance(self._source, AsyncIterable):
            self._feeder = self._scheduler.spawn_nowait(self._feed(self._source), "feeder")
            self._feeder.add_done_callback(self._dry)
        else:
            self._values = iter(self._source)
            self._take()

    def take(self) -> _Item[_T, _R] | None:
        """Take the item whose turn it is out of the line, if there is one.

        Its job may still be running: it is the next in the order of the source, or has told that it ends.
        """
        item = self._ended.popleft() if self._ended else self._oldest()
        if item is None:
            return None
        # A job whose task was cancelled before its first step tells nothing; it grows to be the oldest.
        if not (self._ordered or item.told or item.job.done()):
            return None
        del self._line[item]
        return item

    async def next(self) -> _Item[_T, _R] | None:
        """Wait for the item whose turn it is, and take it; None if there are no more."""
        while self._line or not self._is_over:
            await self._wait()
            item = self.take()
            if item is not None:
                return item
        return None

    async def receive(self, job: Job[_E]) -> _E:
        """Wait for what the job returns or raises."""
        try:
            return await job
        except asyncio.CancelledError:  # it has not failed, or nothing was received
            raise
        except BaseException:
            self.hand_over(job)
            raise

    def result(self, job: Job[_R]) -> _R:
        """What the job has returned or raised. Then nobody else needs to hear of it."""
        try:
            return job.result()
        except BaseException:
            self.hand_over(job)
            raise

    async def until_ended(self, job: Job[_R]) -> None:
        """Wait until the job has ended, which it has told that it does."""
        if job.done():
            return
        ended = asyncio.Event()

        def tell(_job: Job[_R]) -> None:
            ended.set()

        job.add_done_callback(tell)
        await ended.wait()

    def hand_over(self, job: Job[Any]) -> None:
        """The consumer has the job, or what it raised."""
        self._unreceived.pop(job, None)

    def make_room(self) -> None:
        """The consumer has a result: another item may be taken."""
        self._under_way -= 1
        if self._values is not None:
            self._take()
        else:
            _wake(self._room)

    async def end(self) -> None:
        """Nothing more comes from the source, and all that came was received; raise what the source has raised."""
        if self._feeder is not None:
            await self.receive(self._feeder)
        elif self._failure is not None:
            raise self._failure

    async def close(self) -> None:
        """Stop what still runs, wait for it, and tell of every failure that nobody has received."""
        self._is_closing = True
        try:
            await self._stop()
        finally:
            await self._scheduler.close()
            tell = asyncio.get_running_loop().call_exception_handler
            for context in self._unreceived.values():
                tell(cast("dict[str, Any]", context))

    # --- The source -----------------------------------------------------------------------------------------

    def _take(self) -> None:
        """Take as many items as there is room for."""
        values = cast("Iterator[_T]", self._values)
        while self._under_way < self._window and not self._is_over:
            try:
                value = next(values)
            except StopIteration:
                self._is_over = True
            except Exception as exc:  # noqa: BLE001 - it is raised in its place
                self._is_over, self._failure = True, exc
            else:
                self._spawn(value)

    async def _feed(self, source: AsyncIterable[_T]) -> None:
        try:
            values = aiter(source)
            async with aclosing(values) if isinstance(values, AsyncGenerator) else nullcontext():
                async for value in values:
                    if self._is_closing:  # the source went on although it was told to stop
                        return
                    self._spawn(value)
                    if self._under_way >= self._window:
                        await self._until_there_is_room()
        finally:
            self._scheduler.set_limit(self._limit)

    def _dry(self, _feeder: Job[None]) -> None:
        self._is_over = True
        _wake(self._news)

    async def _until_there_is_room(self) -> None:
        self._room = asyncio.get_running_loop().create_future()
        await self._room

    # --- The items ------------------------------------------------------------------------------------------

    def _spawn(self, value: _T) -> None:
        item: _Item[_T, _R] = _Item(value)
        coro: Any = self._run(value) if self._ordered else self._run_and_tell(item)
        coro.__qualname__ = self._qualname  # whatever shows jobs shows the function
        item.job = self._scheduler.spawn_nowait(coro)
        self._line[item] = None
        self._under_way += 1
        _wake(self._news)

    async def _run(self, value: _T) -> _R:
        return await self._function(value)

    async def _run_and_tell(self, item: _Item[_T, _R]) -> _R:
        try:
            return await self._function(item.value)
        finally:
            item.told = True
            self._ended.append(item)
            _wake(self._news)

    def _oldest(self) -> _Item[_T, _R] | None:
        return next(iter(self._line), None)

    async def _wait(self) -> None:
        """Wait until something has come or ended."""
        self._news = asyncio.get_running_loop().create_future()
        oldest = self._oldest()
        if oldest is not None:
            oldest.job.add_done_callback(self._hear)
        try:
            await self._news
        finally:
            self._news = None
            if oldest is not None:
                oldest.job.remove_done_callback(self._hear)

    def _hear(self, _job: Job[_R]) -> None:
        _wake(self._news)

    # --- The end --------------------------------------------------------------------------------------------

    async def _stop(self) -> None:
        """Ask all jobs to stop and wait until they have.

        One by one: what the scheduler stops when it closes is work that was dropped, and would be reported.
        """
        jobs = list(self._scheduler)
        ends = await asyncio.gather(*(job.close() for job in jobs), return_exceptions=True)
        for job, end in zip(jobs, ends, strict=True):
            if end is not None:
                self._keep(
                    self._scheduler, {"message": "Job processing failed", "job": job, "exception": end}
                )

    def _keep(self, _scheduler: Scheduler, context: ExceptionContext) -> None:
        self._unreceived[cast("Job[Any]", context["job"])] = context


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
