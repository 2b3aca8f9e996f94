"""Where a coroutine is suspended: file, line and function, in the code of whoever wrote it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

__all__ = ("place_in_users_code", "suspended_at")

_NOT_THE_USERS: Final = (str(Path(asyncio.__file__).parent), str(Path(__file__).parents[1]))
"""Folders whose frames say how something waits, and not what for."""


def suspended_at(coro: object) -> str:
    """Where a coroutine waits: in its user's code if possible."""
    frames = [*_frames(coro)]
    return place_in_users_code(coro) or (_place(frames[-1]) if frames else "its first step")


def place_in_users_code(coro: object) -> str:
    """The innermost frame of a chain of awaits that is neither asyncio's nor this library's; "" if there is none."""
    users = [frame for frame in _frames(coro) if not frame.f_code.co_filename.startswith(_NOT_THE_USERS)]
    return _place(users[-1]) if users else ""


def _place(frame: FrameType) -> str:
    return f"line {frame.f_lineno} of {frame.f_code.co_filename}, in {frame.f_code.co_qualname}"


def _frames(coro: object) -> Iterator[FrameType]:
    """The frames of a chain of awaits that has begun, outermost first."""
    current: Any = coro
    while (frame := _first(current, "cr_frame", "gi_frame", "ag_frame")) is not None:
        if getattr(current, "cr_suspended", True) is False:
            return  # it has not begun
        current = _first(current, "cr_await", "gi_yieldfrom", "ag_await")
        yield frame


def _first(holder: object, *names: str) -> Any:
    return next((value for name in names if (value := getattr(holder, name, None)) is not None), None)
