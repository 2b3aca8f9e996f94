"""Exception handlers as users write them, and what they may rely on in what they get."""

import asyncio
import logging
import traceback
from collections.abc import Mapping
from typing import Any, assert_type

from aiojobs import ExceptionContext, ExceptionHandler, Job, Scheduler

logger = logging.getLogger("shop")


def typed(scheduler: Scheduler, context: ExceptionContext) -> None:
    """The keys that are always there need no question."""
    assert_type(context["message"], str)
    assert_type(context["job"], Job[Any] | None)
    assert_type(context["exception"], BaseException)
    logger.error(context["message"], exc_info=context["exception"])
    if context["job"] is not None:
        assert_type(context["job"].get_name(), str | None)
    if "future" in context:
        assert_type(context["future"], asyncio.Future[Any])
    if "source_traceback" in context:
        assert_type(context["source_traceback"], traceback.StackSummary)
    scheduler.call_exception_handler(context)


def as_with_1_4(scheduler: Scheduler, context: dict[str, Any]) -> None:
    """The annotation that existing handlers have."""
    scheduler.call_exception_handler(context)


def careless(scheduler: Scheduler, context: ExceptionContext) -> None:
    """The other keys need one."""
    assert scheduler
    assert context["future"]  # error: pyright[reportTypedDictNotRequiredAccess]
    assert context["source_traceback"]  # error: pyright[reportTypedDictNotRequiredAccess]
    context["exeption"] = OSError()  # error: mypy[typeddict-unknown-key] pyright[reportGeneralTypeIssues]


def reads_anything(scheduler: Scheduler, context: Mapping[str, object]) -> bool:
    """A wider parameter does as well, and so does any result."""
    return bool(scheduler) and "job" in context


def too_few(context: ExceptionContext) -> None:
    """It has to take two arguments."""
    logger.error(context["message"])


class Reporter:
    """A method, and an object that can be called."""

    def report(self, scheduler: Scheduler, context: ExceptionContext) -> None:
        """As a method."""

    def __call__(self, scheduler: Scheduler, context: ExceptionContext) -> None:
        """As the object itself."""


Scheduler(exception_handler=typed)
Scheduler(exception_handler=as_with_1_4)
Scheduler(exception_handler=careless)
Scheduler(exception_handler=reads_anything)
Scheduler(exception_handler=Reporter().report)
Scheduler(exception_handler=Reporter())
Scheduler(exception_handler=lambda scheduler, context: None)
Scheduler(exception_handler=None)
Scheduler(exception_handler=too_few)  # error: mypy[arg-type] pyright[reportArgumentType]
Scheduler(exception_handler="log")  # error: mypy[arg-type] pyright[reportArgumentType]

assert_type(Scheduler().exception_handler, ExceptionHandler | None)

complete: ExceptionContext = {"message": "lost", "job": None, "exception": OSError()}
Scheduler().call_exception_handler(complete)
complete["futur"] = 7  # error: mypy[typeddict-unknown-key] pyright[reportGeneralTypeIssues]
lost: ExceptionContext = {"message": ""}  # error: mypy[typeddict-item] pyright[reportAssignmentType]
