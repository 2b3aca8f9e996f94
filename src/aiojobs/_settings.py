"""The arguments of a scheduler, for whoever makes one later on behalf of an application."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypedDict

from . import _validate
from ._events import Observer
from ._scheduler import ExceptionHandler, Scheduler

__all__ = ("Settings", "checked", "unseen")


class Settings(TypedDict, total=False):
    """What `aiojobs.Scheduler` takes, so that a type checker knows what an integration passes on to it."""

    close_timeout: float | None
    wait_timeout: float | None
    limit: int | None
    pending_limit: int
    exception_handler: ExceptionHandler | None
    observer: Observer | Iterable[Observer] | None


def checked(settings: Settings) -> Settings:
    """The same, to be used any number of times: of an iterator of observers nothing would be left.

    No observer is attached to anything here, since there is no scheduler to be seen yet.

    Raises:
        TypeError, ValueError: an argument makes no sense (``SPAWN-3``).
    """
    observers = _validate.functions("observer", settings.get("observer"))
    unseen(settings)
    settings = settings.copy()
    settings["observer"] = observers
    return settings


def unseen(settings: Settings) -> Scheduler:
    """A scheduler of these arguments that no observer hears of: to ask it what they are."""
    settings = settings.copy()
    settings["observer"] = None
    return Scheduler(**settings)
