"""A coroutine that is run again and again, cancelled at its first await, its second, and so on.

Rules of this file: at each await that suspends, the coroutine is cancelled in two moments, each in a run of its own:
while it waits, and when what it waits for has come but the coroutine has not yet seen it. The second is when wake-ups,
connections and places in a line get lost. Every run has objects of its own, on a loop of its own.

Deliberately not here: all orders of events (`_explore`); this looks at one cancellation, at every place.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Final, NamedTuple, TypeVar, cast

from ._virtual_loop import VirtualLoop
from ._waiting import settle
from ._where import suspended_at

__all__ = ("cancel_at_every_await",)

_T = TypeVar("_T")

WAITING: Final = "while it waits"
AN_HOUR: Final = 3600.0
ANSWERED: Final = "when the answer has come, unseen"


class _Moment(NamedTuple):
    number: int
    when: str


class _Driven:
    """Drives a coroutine, counts where it suspends, and has it cancelled at one of these places."""

    def __init__(self, coro: Coroutine[Any, Any, Any], moment: _Moment) -> None:
        self._coro = coro
        self._moment = moment
        self.suspensions = 0
        self.place: str | None = None
        """Where it was cancelled."""

    async def run(self) -> Any:
        """What a task runs in the coroutine's stead."""
        return await self._drive()

    @types.coroutine
    def _drive(self) -> Generator[Any, Any, Any]:
        send: Callable[[Any], Any] = self._coro.send
        value: Any = None
        while True:
            try:
                awaited = send(value)
            except StopIteration as end:
                return end.value
            self._suspended(awaited)
            try:
                value, send = (yield awaited), self._coro.send
            except BaseException as error:  # noqa: BLE001  it is the coroutine's to take
                value, send = error, self._coro.throw

    def _suspended(self, awaited: Any) -> None:
        self.suspensions += 1
        if self.suspensions != self._moment.number:
            return
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        if self._moment.when == WAITING:
            asyncio.get_running_loop().call_soon(self._cancel, task)
        elif asyncio.isfuture(awaited):
            # The callback of the task comes after this one: it finds that it was cancelled.
            awaited.add_done_callback(lambda _: self._cancel(task))

    def _cancel(self, task: asyncio.Task[Any]) -> None:
        self.place = suspended_at(self._coro)
        task.cancel()


def cancel_at_every_await(
    make: Callable[[], tuple[_T, Coroutine[Any, Any, Any]]],
    check: Callable[[_T], object],
    *,
    most: int = 1000,
) -> None:
    """Run a coroutine again and again on virtual time, cancelled once in each run, at every await that suspends.

    Each await has two moments: while the coroutine waits, and when what it waits for has come but it has not yet seen
    it. The check must hold when the coroutine has ended and the other tasks have too, or had an hour of virtual time
    to.

    Arguments:
        make: makes what is looked at and the coroutine that works with it, new for every run. No loop runs yet.
        check: gets what is looked at; it holds unless it returns False or raises.
        most: how many awaits are looked at.

    Raises:
        AssertionError: for one or more of the places the check does not hold, the coroutine does not end, or an
            exception reached nobody; each is named by file and line. Or it does not hold without any cancellation.
    """
    broken: list[str] = []
    last: Exception | None = None
    unharmed, error = _try(make, check, _Moment(0, WAITING))
    if error is not None:
        raise AssertionError(f"{_said(error)}, without any cancellation") from error
    for number in range(1, min(unharmed.suspensions, most) + 1):
        for when in (WAITING, ANSWERED):
            driven, error = _try(make, check, _Moment(number, when))
            if error is not None and driven.place is not None:
                broken.append(f"await {number}, {when}: {driven.place}\n    {_said(error)}")
                last = error
    if broken:
        places = "\n".join(broken)
        raise AssertionError(
            f"a cancellation breaks the check at {len(broken)} of the moments:\n{places}"
        ) from last


def _try(
    make: Callable[[], tuple[_T, Coroutine[Any, Any, Any]]], check: Callable[[_T], object], moment: _Moment
) -> tuple[_Driven, Exception | None]:
    """Make one run; what was driven, and what was wrong."""
    subject, coro = make()
    driven = _Driven(coro, moment)

    async def main() -> None:
        task = asyncio.create_task(driven.run())
        await asyncio.wait([task])
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error
        await _others()
        await settle()
        if check(subject) is False:
            raise AssertionError("the check is False")

    try:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(main())
            return driven, _untaken(runner.get_loop())
    except Exception as error:  # noqa: BLE001  whatever goes wrong is the finding
        return driven, error


async def _others() -> None:
    """Wait for the other tasks, which may have something back to give."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        await asyncio.wait(others, timeout=AN_HOUR)


def _untaken(loop: asyncio.AbstractEventLoop) -> Exception | None:
    complaints = loop.complaints if isinstance(loop, VirtualLoop) else []
    if not complaints:
        return None
    return AssertionError(
        f"the loop was told: {complaints[0].get('message')}: {complaints[0].get('exception')!r}"
    )


def _said(error: BaseException) -> str:
    first = str(error).partition("\n")[0]
    return f"{type(error).__qualname__}{first and ': '}{first}"
