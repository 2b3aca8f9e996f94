"""What the exception handler is told: one function for each occasion."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from ._calling import shown

if TYPE_CHECKING:
    from ._job import Job
    from ._machine import JobMachine
    from ._records import ExceptionContext

__all__ = ("cleanup_failure", "failure", "shield_failure", "shield_timeout", "task_failure", "timeout")


def failure(job: JobMachine) -> ExceptionContext:
    """A job has failed and nobody was there to receive it (``EXC-1``)."""
    return _about(job, "Job processing failed", job._result[0])


def task_failure(job: JobMachine, exception: BaseException) -> ExceptionContext:
    """What a task factory made of the job's coroutine has failed where the coroutine has not (``START-3``)."""
    return _about(job, "Task failed beside its coroutine", exception)


def cleanup_failure(job: JobMachine, exception: BaseException) -> ExceptionContext:
    """The coroutine of a job that never runs could not be closed in peace (``START-2``)."""
    return _about(job, "Closing a coroutine failed", exception)


def timeout(job: JobMachine, within: float | None) -> ExceptionContext:
    """A job has not stopped by the deadline of the shutdown (``SHUT-2``)."""
    return _about(job, "Job closing timed out", TimeoutError(f"{shown(job)} did not stop within {within} s"))


def _about(job: JobMachine, message: str, exception: BaseException) -> ExceptionContext:
    return {"message": message, "job": cast("Job[Any]", job), "exception": exception}


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
        "exception": TimeoutError(f"{shown(inner)} did not stop within {within} s"),
    }
