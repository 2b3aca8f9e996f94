"""The arguments of a scheduler as a type, for whoever makes one on behalf of an application."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypedDict

from ._events import Observer
from ._scheduler import ExceptionHandler

__all__ = ("Settings",)


class Settings(TypedDict, total=False):
    """What `aiojobs.Scheduler` takes, so that a type checker knows what an integration passes on to it."""

    close_timeout: float | None
    wait_timeout: float | None
    limit: int | None
    pending_limit: int
    exception_handler: ExceptionHandler | None
    observer: Observer | Iterable[Observer] | None
