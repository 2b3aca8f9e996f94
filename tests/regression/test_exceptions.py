"""What aiojobs 1.4 did wrong with exceptions, each as the story of somebody whom it happened to."""

import asyncio

import pytest

from aiojobs import Scheduler
from aiojobs.testing import settle
from support.observing import Complaints, Recorder
from unit.bodies import Body, fails, returns


@pytest.mark.requirement("EXC-1", "WAIT-1")
async def test_a_failure_after_its_waiter_was_cancelled_is_reported():
    """A request waits for a job; the client hangs up and the request is cancelled; then the job fails.

    In 1.4 the job remembered that somebody had waited, and the failure reached nobody. Now it goes to
    the handler, since nobody received it.
    """
    handler, job_body = Recorder(), Body()
    scheduler = Scheduler(exception_handler=handler)
    job = await scheduler.spawn(job_body.run())
    request = asyncio.create_task(job.wait())
    await settle()
    request.cancel()
    await settle()
    job_body.fail(OSError("disk full"))
    await settle()
    assert [(context["message"], str(context["exception"])) for context in handler.calls] == [
        ("Job processing failed", "disk full")
    ]
    await scheduler.close()


@pytest.mark.requirement("EXC-2", "LIMIT-6")
async def test_a_handler_that_raises_does_not_leave_the_job_active():
    """The exception handler reports to a service that is down, and raises itself.

    In 1.4 that cut the end of the job short: it stayed `active` for ever and kept its slot. Now the job
    has ended before the handler is called, and the loop hears of the handler's error.
    """
    scheduler = Scheduler(limit=1, exception_handler=Recorder(raises=ConnectionError("no report today")))
    with Complaints() as complaints:
        failed, next_ = await scheduler.spawn(fails(OSError())), await scheduler.spawn(returns("runs"))
        assert await next_ == "runs"
        await settle()
    assert (failed.state, failed.active, len(scheduler)) == ("done", False, 0)
    assert [str(call["exception"]) for call in complaints.calls] == ["no report today"]
    await scheduler.close()


@pytest.mark.requirement("EXC-3", "SHUT-5")
async def test_a_base_exception_of_a_job_does_not_come_out_of_close():
    """A job uses a library whose exceptions derive from `BaseException`, and fails while it is stopped.

    In 1.4 it came out of `close()`, which left the other jobs running. Now it goes to the handler.
    """

    class Abort(BaseException):
        pass

    handler = Recorder()
    scheduler, other = Scheduler(exception_handler=handler), Body()

    async def aborting():
        try:
            await asyncio.sleep(9)
        finally:
            raise Abort

    jobs = [await scheduler.spawn(aborting()), await scheduler.spawn(other.run())]
    await settle()
    await scheduler.close()
    assert [job.outcome for job in jobs] == ["raised", "cancelled"]
    assert [type(error) for error in handler.exceptions] == [Abort]
