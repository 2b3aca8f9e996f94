"""Jobs for FastAPI: `setup` gives an application a scheduler, and the annotation `Jobs` gives it to a route.

The rest is `aiojobs.starlette`'s, since a FastAPI application is one of Starlette.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

from ._scheduler import Scheduler

try:
    from fastapi import Depends
    from fastapi.requests import HTTPConnection  # noqa: TC002 - FastAPI reads the annotation
except ImportError as _exc:
    raise ImportError(
        "aiojobs.fastapi needs FastAPI 0.115 or newer: pip install 'fastapi>=0.115'", name=_exc.name
    ) from _exc

from .asgi import ClientDisconnected, get_scheduler, while_connected
from .starlette import atomic, get_scheduler_from_app, setup, shield, spawn

__all__ = (
    "ClientDisconnected",
    "Jobs",
    "atomic",
    "get_scheduler",
    "get_scheduler_from_app",
    "setup",
    "shield",
    "spawn",
    "while_connected",
)


async def _scheduler_of(connection: HTTPConnection) -> Scheduler:
    """A coroutine function, since FastAPI calls plain ones in a thread."""
    return get_scheduler(connection)


Jobs: TypeAlias = Annotated[Scheduler, Depends(_scheduler_of)]
"""The scheduler of a route's application: ``async def accept(order: Order, jobs: Jobs): …``.

It serves routes, websockets, dependencies, and applications that are mounted. A route that is a plain function
runs in a thread, and spawns with ``jobs.spawn_threadsafe(coro).result()`` (``SPAWN-7``).
"""
