"""What the exception handler is called with, and what it cannot break (EXC-2)."""

import asyncio
import traceback

import pytest

from aiojobs import Scheduler
from aiojobs.testing import settle
from support.observing import Complaints, Recorder
from unit.bodies import Body, books, fails, forever, returns

EVERYWHERE = pytest.mark.loops("virtual", "stock", "uvloop", "eager", "stock-eager")

pytestmark = pytest.mark.requirement("EXC-2")


async def late(**options):
    """A scheduler that was closed while a job would not stop, and the job; the handler was called."""
    scheduler, body = Scheduler(close_timeout=1, **options), Body(swallows=9)
    job = await scheduler.spawn(body.run(), "late")
    await settle()
    await scheduler.close()
    return scheduler, body, job


# The contexts, key by key.


async def test_the_context_of_a_failure_has_message_job_and_exception_and_nothing_else():
    calls, error = [], ValueError("mine")
    scheduler = Scheduler(exception_handler=lambda *arguments: calls.append(arguments))
    asyncio.get_running_loop().set_debug(False)
    job = await scheduler.spawn(fails(error))
    await settle()
    assert calls == [(scheduler, {"message": "Job processing failed", "job": job, "exception": error})]


@pytest.mark.requirement("SHUT-2")
async def test_the_context_of_a_late_job_has_message_job_and_a_timeout_error_and_nothing_else():
    handler = Recorder()
    asyncio.get_running_loop().set_debug(False)
    _, body, job = await late(exception_handler=handler)
    (context,) = handler.calls
    assert context == {"message": "Job closing timed out", "job": job, "exception": context["exception"]}
    assert type(context["exception"]) is TimeoutError
    assert "name='late'" in str(context["exception"])
    assert "did not stop within 1 s" in str(context["exception"])
    body.finish()
    await settle()


@pytest.mark.requirement("EXC-4")
async def test_the_context_of_a_failed_shield_has_message_exception_future_and_no_job():
    handler, error = Recorder(), ValueError("mine")
    scheduler = Scheduler(exception_handler=handler)
    inner = asyncio.get_running_loop().create_future()
    scheduler.shield(inner).cancel()
    inner.set_exception(error)
    await settle()
    assert handler.calls == [
        {"message": "Shielded awaitable failed", "job": None, "future": inner, "exception": error}
    ]


@pytest.mark.requirement("SHUT-2")
async def test_the_context_of_a_late_shield_has_message_exception_future_and_no_job():
    handler = Recorder()
    scheduler, body = Scheduler(close_timeout=1, exception_handler=handler), Body(swallows=9)
    inner = asyncio.create_task(body.run())
    scheduler.shield(inner)
    await settle()
    await scheduler.close()
    (context,) = handler.calls
    assert context == {
        "message": "Shielded awaitable closing timed out",
        "job": None,
        "future": inner,
        "exception": context["exception"],
    }
    assert type(context["exception"]) is TimeoutError
    body.finish()
    await inner


@pytest.mark.parametrize("how", ["spawn", "spawn_nowait", "queued", "blocked"])
async def test_in_debug_mode_the_context_tells_where_the_job_was_spawned(how):
    asyncio.get_running_loop().set_debug(True)
    handler = Recorder()
    scheduler = Scheduler(limit=1, pending_limit=1, exception_handler=handler)
    if how in {"queued", "blocked"}:
        await scheduler.spawn(returns())
    if how == "blocked":
        await scheduler.spawn(returns())

    async def this_is_where():
        if how == "spawn_nowait":
            scheduler.spawn_nowait(fails(ValueError()))
        else:
            await scheduler.spawn(fails(ValueError()))

    await this_is_where()
    await settle(50)
    (context,) = handler.calls
    stack = context["source_traceback"]
    assert isinstance(stack, traceback.StackSummary)
    assert (stack[-1].filename, stack[-1].name) == (__file__, "this_is_where")
    assert "fails(ValueError())" in stack[-1].line
    await scheduler.close()


async def test_in_debug_mode_the_report_of_a_late_job_tells_it_too():
    asyncio.get_running_loop().set_debug(True)
    handler = Recorder()
    _, body, _ = await late(exception_handler=handler)
    assert handler.calls[0]["source_traceback"][-1].name == "late"
    body.finish()
    await settle()


async def test_user_code_beside_the_package_is_not_taken_for_it(tmp_path):
    """The folder of the package is the beginning of many another path, say of `aiojobs_demo`."""
    import aiojobs

    asyncio.get_running_loop().set_debug(True)
    handler = Recorder()
    path = aiojobs.__file__.replace("__init__.py", "")[:-1] + "_demo/main.py"
    source = "async def demo(scheduler, coro):\n    await scheduler.spawn(coro)\n"
    names = {}
    exec(compile(source, path, "exec"), names)
    await names["demo"](Scheduler(exception_handler=handler), fails(ValueError()))
    await settle()
    assert handler.calls[0]["source_traceback"][-1].filename == path


# Whose handler.


async def test_without_a_handler_the_loop_hears_of_it():
    with Complaints() as complaints:
        job = await Scheduler().spawn(fails(ValueError("mine")))
        await settle()
    (context,) = complaints.calls
    assert (context["message"], context["job"]) == ("Job processing failed", job)
    assert str(context["exception"]) == "mine"


@pytest.mark.loops("stock", "uvloop")
async def test_the_loops_of_others_take_the_context_as_it_is(caplog):
    job = await Scheduler().spawn(fails(ValueError("mine")), "failing")
    await settle()
    (record,) = caplog.records
    assert "Job processing failed" in record.getMessage()
    assert "failing" in record.getMessage()
    assert job.outcome == "raised"


async def test_the_handler_can_be_called_by_hand_and_so_can_the_loops():
    handler, context = Recorder(), {"message": "by hand"}
    Scheduler(exception_handler=handler).call_exception_handler(context)
    assert handler.calls == [context]
    with Complaints() as complaints:
        Scheduler().call_exception_handler(context)
    assert complaints.calls == [context]


def test_the_handler_can_be_called_where_no_loop_runs():
    calls = []
    scheduler = Scheduler(exception_handler=lambda *arguments: calls.append(arguments))
    scheduler.call_exception_handler({"message": "by hand"})
    assert calls == [(scheduler, {"message": "by hand"})]
    with pytest.raises(RuntimeError, match="no running event loop"):
        Scheduler().call_exception_handler({"message": "by hand"})


async def test_what_a_handler_called_by_hand_raises_goes_to_the_loop_once_there_is_one():
    scheduler = Scheduler(exception_handler=Recorder(raises=ValueError("of the handler")))
    with pytest.raises(ValueError, match="of the handler"):
        scheduler.call_exception_handler({"message": "unbound"})
    await (await scheduler.spawn(returns()))
    with Complaints() as complaints:
        scheduler.call_exception_handler({"message": "bound"})
    assert complaints.messages == ["Unhandled error in exception_handler of a scheduler"]


# A handler that raises.


@pytest.mark.parametrize("error", [ValueError("h"), asyncio.CancelledError("h"), GeneratorExit("h")])
@EVERYWHERE
async def test_a_handler_that_raises_changes_no_state_and_the_loop_hears_of_its_error(error):
    handler = Recorder(raises=error)
    scheduler = Scheduler(limit=1, exception_handler=handler)
    with Complaints() as complaints:
        failed, next_ = await scheduler.spawn(fails(KeyError())), await scheduler.spawn(returns("next"))
        assert await next_ == "next"
        await settle()
    assert (failed.state, failed.outcome) == ("done", "raised")
    assert books(scheduler) == (0, 0, 0)
    assert complaints.calls == [
        {"message": "Unhandled error in exception_handler of a scheduler", "exception": error}
    ]
    assert len(handler.calls) == 1
    await scheduler.close()


@pytest.mark.requirement("EXC-1")
async def test_a_handler_that_raises_on_behalf_of_a_waiter_that_left_does_not_disturb_the_waiter():
    scheduler = Scheduler(exception_handler=Recorder(raises=ValueError("of the handler")), close_timeout=9)
    body = Body(swallows=1)
    job = await scheduler.spawn(body.run())
    await settle()
    asyncio.get_running_loop().call_at(2, body.fail, KeyError("of the job"))
    with Complaints() as complaints, pytest.raises(TimeoutError, match="did not end within 1 s"):
        await job.wait(timeout=1)
    assert [str(call["exception"]) for call in complaints.calls] == ["of the handler"]


def interrupting(loop, main, interrupt):
    """Run until the interrupt comes out of the loop, and then to the end."""
    task = loop.create_task(main)
    with pytest.raises(interrupt):
        loop.run_until_complete(task)
    return loop.run_until_complete(task)


@pytest.fixture(params=["virtual", "stock"])
def any_loop(request):
    from support.loops import available_loops

    loop = available_loops()[request.param]()
    yield loop
    loop.close()


@pytest.mark.requirement("SHUT-3", "WAIT-4", "LIMIT-2")
@pytest.mark.parametrize("interrupt", [SystemExit, KeyboardInterrupt])
def test_a_handler_that_exits_stops_the_loop_and_the_work_under_way_is_finished_first(any_loop, interrupt):
    """Fail fast: the handler calls sys.exit(). What then cleans up must find a scheduler in order."""
    scheduler = Scheduler(limit=1, close_timeout=None, exception_handler=Recorder(raises=interrupt("h")))

    async def main():
        failed, next_ = await scheduler.spawn(fails(KeyError())), await scheduler.spawn(returns("next"))
        assert await next_ == "next"
        assert failed.outcome == "raised"
        assert books(scheduler) == (0, 0, 0)
        await scheduler.close()
        return "went on"

    assert interrupting(any_loop, main(), interrupt) == "went on"
    assert scheduler.phase == "closed"


@pytest.mark.requirement("SHUT-3", "WAIT-4", "SHUT-2")
@pytest.mark.parametrize("moment", ["as closing begins", "while it closes", "at the deadline"])
def test_a_handler_that_exits_while_the_scheduler_closes_does_not_hold_up_closing(any_loop, moment):
    handler = Recorder(raises=SystemExit("h"))
    scheduler = Scheduler(
        close_timeout=0.05 if moment == "at the deadline" else None, exception_handler=handler
    )

    async def failing_late():
        try:
            await forever()
        finally:
            raise KeyError

    async def main():
        bodies = [Body(swallows=9) for _ in range(2)] if moment == "at the deadline" else []
        for body in bodies:
            await scheduler.spawn(body.run())
        await scheduler.spawn(forever())
        await scheduler.spawn(failing_late() if moment == "while it closes" else forever())
        if moment == "as closing begins":
            await scheduler.spawn(fails(KeyError()))
            await asyncio.sleep(0)
        else:
            await settle()
        closers = [asyncio.create_task(scheduler.close()) for _ in range(2)]
        await asyncio.wait(closers)
        for body in bodies:
            body.finish()
        await settle()
        return [closer.exception() for closer in closers]

    task = any_loop.create_task(main())
    for _ in range(2 if moment == "at the deadline" else 1):
        with pytest.raises(SystemExit):
            any_loop.run_until_complete(task)
    assert any_loop.run_until_complete(task) == [None, None]
    assert scheduler.phase == "closed"
    assert books(scheduler) == (0, 0, 0)
    assert len(handler.calls) == (2 if moment == "at the deadline" else 1)


# A handler that uses the scheduler.


async def test_a_handler_finds_a_scheduler_in_order_and_may_spawn():
    spawned = []

    def handler(scheduler, context):
        assert context["job"].done()
        assert context["job"] not in scheduler
        spawned.append((books(scheduler), scheduler.spawn_nowait(returns("repair"))))

    scheduler = Scheduler(limit=1, exception_handler=handler)
    await scheduler.spawn(fails(ValueError()))
    await scheduler.spawn(forever())
    await settle()
    ((seen, job),) = spawned
    assert seen == (1, 0, 0)  # the next one has been started before anybody was told
    assert job.pending
    await scheduler.close()
