"""The place where a coroutine is suspended, and the tasks that wait for a future (``SEE-2``).

Both are read from Python's own objects.

The rules of this file
----------------------
It looks and changes nothing, and nothing that it does runs anybody's code: types are compared, never asked, and what
is not one of Python's or asyncio's own is passed over. It knows no job.

How it works
------------
*Where.* A suspended coroutine says what it awaits, and whether that has a frame of its own (``cr_await``,
``gi_yieldfrom``, ``ag_await``). What Python puts between an ``async for`` and its generator says nothing; it has the
generator among what it refers to (``gc.get_referents``).

*Who waits.* A future that is not done has callbacks, and one of them leads to whoever waits: the step of a task, or
what ``gather``, ``wait``, ``shield``, ``wait_for`` and task groups have left there, which leads to a future of theirs,
and so on. There is no public list of them, but the collector knows what a future refers to, callbacks included.

What is deliberately not here
-----------------------------
No waiting through a queue, a lock, an event or ``as_completed``: there is nothing that leads from what is awaited to
the one who waits, or it may be anybody else who wakes that one.
"""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Iterable, Iterator
from functools import partial
from types import (
    AsyncGeneratorType,
    BuiltinMethodType,
    CoroutineType,
    FrameType,
    FunctionType,
    GeneratorType,
    MethodType,
)
from typing import Any, Final, cast

from ._snapshot import Location

__all__ = ("is_task", "stack_of", "waiting_for")

_MOST: Final = 10_000
"""Frames of one stack, and futures on the way to those who wait for one. A bound, lest a tangle take for ever."""
_BETWEEN: Final = ("anext_awaitable", "async_generator_asend", "async_generator_athrow", "coroutine_wrapper")
"""What Python itself puts between two frames, by the names of the types, which it gives no other."""
_WITH_FRAMES: Final = (AsyncGeneratorType, CoroutineType, GeneratorType)

_OWN_FILES: Final = os.path.join(os.path.dirname(__file__), "")  # noqa: PTH118, PTH120 - compared as text
"""Where the frames of this package come from."""

_name_of_type = type.__dict__["__name__"].__get__


# --- Where --------------------------------------------------------------------------------------------


def stack_of(coro: object) -> tuple[Location, ...]:
    """Where a coroutine is suspended, the outermost call first; empty if it has not begun or is not suspended.

    It ends where the user's code has called this package, if that is where it waits.
    """
    if not _is_suspended(coro):
        return ()
    places: list[Location] = []
    step: Any = coro
    while step is not None and len(places) < _MOST:
        frame, awaited = _frame_and_awaited(step)
        if frame is not None:
            places.append(Location(frame.f_code.co_filename, frame.f_lineno or 0, frame.f_code.co_qualname))
        step = awaited
    while len(places) > 1 and places[-1].file.startswith(_OWN_FILES):
        places.pop()
    return tuple(places)


def _is_suspended(value: object) -> bool:
    kind, coro = type(value), cast("Any", value)
    return bool(
        (kind is CoroutineType and coro.cr_suspended) or (kind is GeneratorType and coro.gi_suspended)
    )


def _frame_and_awaited(on_the_way: object) -> tuple[FrameType | None, object]:
    """The frame of what is on the way to where a coroutine is suspended, and what comes next."""
    kind, step = type(on_the_way), cast("Any", on_the_way)
    if kind is CoroutineType:
        return step.cr_frame, step.cr_await
    if kind is GeneratorType:
        return step.gi_frame, step.gi_yieldfrom
    if kind is AsyncGeneratorType:
        return step.ag_frame, step.ag_await
    if _name_of_type(kind) in _BETWEEN:
        within = (inner for inner in gc.get_referents(step) if _has_frames(type(inner)))
        return None, next(within, None)
    return None, None


def _has_frames(kind: type) -> bool:
    return kind in _WITH_FRAMES or _name_of_type(kind) in _BETWEEN


# --- Who waits ----------------------------------------------------------------------------------------


def is_task(value: object) -> bool:
    """Whether it is a task of asyncio's, or of a class made from that."""
    return issubclass(type(value), asyncio.Task)


def waiting_for(
    futures: Iterable[object], callbacks: Iterable[object] = ()
) -> list[tuple[asyncio.Task[Any], bool]]:
    """The tasks that wait for any of these, and whether each waits for the first of several.

    Arguments:
        futures: what is awaited; not done.
        callbacks: what else is called when it is.
    """
    found: dict[int, tuple[asyncio.Task[Any], bool]] = {}
    seen: dict[int, object] = {}
    todo = [(callback, False) for callback in (*_callbacks_of(futures, seen), *callbacks)]
    for callback, is_choice in todo:  # grows meanwhile
        if len(seen) >= _MOST:
            break
        onward, is_first = _leads_to(callback)
        for one in onward:
            if is_task(one):
                found.setdefault(id(one), (cast("asyncio.Task[Any]", one), is_choice or is_first))
        todo += [(after, is_choice or is_first) for after in _callbacks_of(filter(_is_future, onward), seen)]
    return list(found.values())


def _is_future(value: object) -> bool:
    """Whether it is a future of asyncio's and no task."""
    return issubclass(type(value), asyncio.Future) and not is_task(value)


def _callbacks_of(futures: Iterable[object], seen: dict[int, object]) -> Iterator[object]:
    """What is called when one of these is done; those that were seen before have no more to tell."""
    for future in futures:
        if id(future) in seen:
            continue
        seen[id(future)] = future
        for referent in gc.get_referents(future):
            if type(referent) is list:
                entries = cast("list[Any]", cast("object", referent))
                yield from (entry[0] for entry in entries if type(entry) is tuple and entry)
            elif type(referent) in _CALLBACKS:
                yield referent


_CALLBACKS: Final = (BuiltinMethodType, FunctionType, MethodType, partial)


def _leads_to(called: object) -> tuple[list[object], bool]:
    """The task that goes on by a callback, or the futures that it settles; and whether the first such call does."""
    kind, callback = type(called), cast("Any", called)
    if kind is BuiltinMethodType:
        # That of a task's next step is no method of its class, as ``cancel`` is.
        is_step = is_task(callback.__self__) and not hasattr(asyncio.Task, callback.__name__)
        return [callback.__self__] if is_step else [], False
    if kind is MethodType and type(callback.__self__) is asyncio.TaskGroup:
        return list(filter(_is_future, _attributes(callback.__self__))), False
    if kind is partial and _is_of_asyncio(callback.func):
        return list(filter(_is_future, callback.args)), False
    if kind is FunctionType and _is_of_asyncio(callback):
        held = [value for cell in callback.__closure__ or () for value in gc.get_referents(cell)]
        is_first = any(type(value) is str and value == asyncio.FIRST_COMPLETED for value in held)
        return list(filter(_is_future, held)), is_first
    return [], False


def _is_of_asyncio(function: Any) -> bool:
    """Whether it is a function of asyncio's own, so that what it does with what it holds is known."""
    if type(function) is not FunctionType:
        return False
    module = function.__module__
    return type(module) is str and module.startswith("asyncio.")


def _attributes(value: object) -> Iterator[object]:
    """What an object refers to, by a dictionary or not."""
    for referent in gc.get_referents(value):
        if type(referent) is dict:
            yield from referent.values()
        else:
            yield referent
