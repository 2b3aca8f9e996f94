"""How failures and late-comers reach the exception handler, and why no handler can do harm.

A handler is user code that is called in the middle of the scheduler's work, so it is called last, when
the books are in order, and nothing that it raises gets further than the loop's own handler (``EXC-2``).
``SystemExit`` and ``KeyboardInterrupt`` do stop the loop, as they do in asyncio, but from a callback of their
own: the work that the handler was called from is finished first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from ._job import Job
    from ._machine import JobMachine
    from ._records import ExceptionContext

__all__ = ("call_guarded", "failure", "shield_failure", "shield_timeout", "stop_loop", "timeout")


def failure(job: JobMachine) -> ExceptionContext:
    """A job has failed and nobody was there to receive it (``EXC-1``)."""
    exception = job._result[0]
    return {"message": "Job processing failed", "job": cast("Job[Any]", job), "exception": exception}


def timeout(job: JobMachine, within: float | None) -> ExceptionContext:
    """A job has not stopped by the deadline of the shutdown (``SHUT-2``)."""
    exception = TimeoutError(f"{job!r} did not stop within {within} s")
    return {"message": "Job closing timed out", "job": cast("Job[Any]", job), "exception": exception}


def shield_failure(inner: asyncio.Future[Any], exception: BaseException) -> ExceptionContext:
    """A shielded awaitable has failed and its caller is gone (``EXC-4``)."""
    return {
        "message": "Shielded awaitable failed",
        "job": None,
        "future": inner,
        "exception": exception,
    }


def shield_timeout(inner: asyncio.Future[Any], within: float | None) -> ExceptionContext:
    """A shielded awaitable has not stopped by the deadline of the shutdown (``SHUT-2``)."""
    return {
        "message": "Shielded awaitable closing timed out",
        "job": None,
        "future": inner,
        "exception": TimeoutError(f"{inner!r} did not stop within {within} s"),
    }


def call_guarded(loop: asyncio.AbstractEventLoop, what: str, call: Callable[[], object]) -> None:
    """Call user code; what it raises goes to the handler of `loop`."""
    try:
        call()
    except (SystemExit, KeyboardInterrupt) as exc:
        stop_loop(loop, exc)
    except BaseException as exc:  # noqa: BLE001 - whatever user code raises, the scheduler goes on
        loop.call_exception_handler(
            {"message": f"Unhandled error in {what} of a scheduler", "exception": exc}
        )


def stop_loop(loop: asyncio.AbstractEventLoop, exc: BaseException) -> None:
    """Have `exc` stop the loop, as soon as the work under way is finished."""
    loop.call_soon(_raise, exc)


def _raise(exc: BaseException) -> None:
    raise exc
