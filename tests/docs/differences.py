"""The rows of docs/differences.md as programs: what each version of aiojobs does in the same situation.

Rules of this file
    One function per row, its name being the id of the row. It gets the package to be asked, acts out the
    situation in a few lines, and returns what was seen as a short text. The decorator says what that text is
    with aiojobs 1.4.0 and what it is here.

How it works
    Every situation runs on a fresh virtual loop, so nothing sleeps, and a program that would hang or spin
    says so instead. The tests run all of them on this version. To run them on aiojobs 1.4.0:

        python -m pip install --no-deps --target build/aiojobs-1.4.0 aiojobs==1.4.0
        python tests/docs/differences.py build/aiojobs-1.4.0

Deliberately not here: what is new in this version without being different (`spawn_nowait`, `result()`, …),
and what can't be seen in one situation (costs, very many jobs).
"""

import asyncio
import contextvars
import gc
import importlib
import logging
import sys
import threading
import types
import warnings
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

PROBES = {}


def difference(*, before, now):
    """Register a situation and what is seen in it, with aiojobs 1.4.0 and here."""

    def register(probe):
        PROBES[probe.__name__.replace("_", "-")] = (probe, before, now)
        return probe

    return register


def virtual_loop():
    """The module of the virtual loop, by its folder: aiojobs 1.4.0 has none."""
    name = "aiojobs_testing"
    if name not in sys.modules:
        sys.modules[name] = folder = types.ModuleType(name)
        folder.__path__ = [str(ROOT / "src/aiojobs/testing")]
    return importlib.import_module(f"{name}._virtual_loop")


def observe(probe, package):
    """Act out one situation and return what was seen."""
    module = virtual_loop()
    loop = module.VirtualLoop(spin_limit=1000)
    loop.set_debug(False)
    loop.set_exception_handler(lambda _loop, _context: None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return loop.run_until_complete(probe(package))
        except module.Deadlock:
            return "hangs for ever"
        except module.Livelock:
            return "spins"
        finally:
            discard(loop)


def discard(loop):
    """End what the situation has left behind, without letting it say anything."""
    for _ in range(3):
        for task in asyncio.all_tasks(loop):
            with suppress(RecursionError):  # tasks of aiojobs 1.4.0 that wait for each other in a circle
                task.cancel()
        loop.run_until_complete(pause())
    gc.collect()
    loop.close()


# --- What the situations are made of ----------------------------------------------------------------------


async def pause(passes=10):
    for _ in range(passes):
        await asyncio.sleep(0)


async def returns(value=None):
    await asyncio.sleep(0)
    return value


async def sleeps(seconds=1000.0):
    await asyncio.sleep(seconds)


async def raises(exc, after=0.0):
    await asyncio.sleep(after)
    raise exc


async def cleans_up(log, seconds):
    """A job whose cleanup takes some time and writes down how it ended."""
    try:
        await asyncio.sleep(1000)
    finally:
        try:
            await asyncio.sleep(seconds)
            log.append("cleanup complete")
        except asyncio.CancelledError:
            log.append("cleanup interrupted")


async def swallows(times):
    """A job that takes no notice of so many cancellations."""
    for _ in range(times):
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            continue


async def under_way(awaitable):
    """A task that has got as far as it gets without time passing."""
    task = asyncio.create_task(awaitable)
    await pause()
    return task


async def abandoned(awaitable):
    """A call whose caller is cancelled while it waits."""
    task = await under_way(awaitable)
    task.cancel()
    await asyncio.wait([task])
    return task


async def takes_time_to_stop(scheduler):
    """A job that is under way and cleans up for two seconds when it is stopped, and what it writes down."""
    log = []
    job = await scheduler.spawn(cleans_up(log, 2))
    await pause()
    return job, log


class Reports:
    """An exception handler that keeps messages."""

    def __init__(self):
        self.messages = []

    def __call__(self, _scheduler, context):
        self.messages.append(context["message"])

    def __str__(self):
        return ", ".join(self.messages) or "nothing reported"


async def answer(awaitable, within=500.0):
    """What an awaitable comes to: a value, an exception, or nothing in so many (virtual) seconds."""
    task = asyncio.ensure_future(awaitable)
    await asyncio.wait([task], timeout=within)
    if not task.done():
        return "no answer"
    if task.cancelled():
        return "CancelledError"
    if (exc := task.exception()) is not None:
        return type(exc).__name__
    return repr(task.result())


async def caught(awaitable):
    """The name of the very class that comes out of an awaitable."""
    try:
        await awaitable
    except BaseException as exc:
        return type(exc).__name__
    return "nothing"


def called(function, *args, **kwargs):
    """The name of the exception of a plain call, or `accepted`."""
    try:
        function(*args, **kwargs)
    except Exception as exc:
        return type(exc).__name__
    return "accepted"


# --- Limit and queue ----------------------------------------------------------------------------------------


@difference(before="2 run", now="1 run")
async def limit_close_pending(aiojobs):
    running = 0

    async def counts():
        nonlocal running
        running += 1
        await asyncio.sleep(1000)

    scheduler = aiojobs.Scheduler(limit=1)
    await scheduler.spawn(counts())
    pending = await scheduler.spawn(counts())
    await scheduler.spawn(counts())
    await pending.close()
    await pause()
    return f"{running} run"


@difference(before="pending for ever, 0 run", now="active, 1 run")
async def limit_lost_wakeup(aiojobs):
    scheduler = aiojobs.Scheduler(limit=1, pending_limit=1)
    first = await scheduler.spawn(sleeps(10))
    pending = await scheduler.spawn(sleeps(10))
    blocked = await under_way(scheduler.spawn(sleeps()))
    await asyncio.gather(pending.close(), first.close())
    await asyncio.sleep(100)
    job = await blocked
    return f"{'active' if job.active else 'pending for ever'}, {scheduler.active_count} run"


@difference(
    before="started: first, second, overtaker, blocked",
    now="started: first, second, blocked, overtaker",
)
async def limit_fifo(aiojobs):
    started = []

    async def starts(name, seconds=1):
        started.append(name)
        await asyncio.sleep(seconds)

    scheduler = aiojobs.Scheduler(limit=1, pending_limit=1)
    first = await scheduler.spawn(starts("first", 0))

    async def overtake():
        while not first.closed:  # noqa: ASYNC110 - to be there in the very pass in which the place falls free
            await asyncio.sleep(0)
        await scheduler.spawn(starts("overtaker"))

    await scheduler.spawn(starts("second"))
    blocked = asyncio.create_task(scheduler.spawn(starts("blocked")))
    overtaking = asyncio.create_task(overtake())
    await asyncio.wait([overtaking, blocked])
    await asyncio.sleep(10)
    return "started: " + ", ".join(started)


# --- Spawning -----------------------------------------------------------------------------------------------


@difference(before="a slot is lost: 0 of 1 jobs run", now="TypeError: 1 of 1 jobs run")
async def spawn_no_coroutine(aiojobs):
    scheduler = aiojobs.Scheduler(limit=1)
    first = await scheduler.spawn(returns())
    error = await answer(scheduler.spawn(42))
    await first.wait()
    await pause()
    ran = []

    async def runs():
        ran.append(True)

    await scheduler.spawn(runs())
    await pause()
    what = error if error == "TypeError" else "a slot is lost"
    return f"{what}: {len(ran)} of 1 jobs run"


@difference(before="admitted, and its job runs", now="RuntimeError")
async def spawn_blocked_over_close(aiojobs):
    ran = []

    async def runs():
        ran.append(True)
        await asyncio.sleep(1)

    scheduler = aiojobs.Scheduler(limit=1, pending_limit=1)
    await scheduler.spawn(sleeps())
    await scheduler.spawn(sleeps())
    blocked = await under_way(scheduler.spawn(runs()))
    await scheduler.close()
    result = await answer(blocked, within=5)
    await asyncio.sleep(5)
    return "admitted, and its job runs" if ran else result


@difference(before="coroutine left open", now="coroutine closed")
async def spawn_refused(aiojobs):
    scheduler = aiojobs.Scheduler()
    await scheduler.close()
    coro = returns()
    await answer(scheduler.spawn(coro))
    closed = coro.cr_frame is None
    coro.close()
    return "coroutine closed" if closed else "coroutine left open"


@difference(before="RuntimeError", now="TypeError")
async def spawn_check_order(aiojobs):
    scheduler = aiojobs.Scheduler()
    await scheduler.close()
    return await answer(scheduler.spawn(42))


@difference(before="a job: Job processing failed", now="RuntimeError: nothing reported")
async def spawn_started_coroutine(aiojobs):
    reports = Reports()
    scheduler = aiojobs.Scheduler(exception_handler=reports)
    coro = returns()
    await coro
    result = await answer(scheduler.spawn(coro))
    await pause()
    return f"{result if result == 'RuntimeError' else 'a job'}: {reports}"


@difference(before="a second job", now="RuntimeError")
async def spawn_same_coroutine_twice(aiojobs):
    scheduler = aiojobs.Scheduler(limit=1)
    coro = sleeps()
    await scheduler.spawn(coro)
    result = await answer(scheduler.spawn(coro))
    return result if result == "RuntimeError" else "a second job"


@difference(before="in the context of the job before", now="in the context of its caller")
async def spawn_context(aiojobs):
    request = contextvars.ContextVar("request")
    seen = []

    async def sees():
        seen.append(request.get())

    scheduler = aiojobs.Scheduler(limit=1)
    request.set("the job before")
    await scheduler.spawn(sleeps(1))
    request.set("its caller")
    await scheduler.spawn(sees())
    await asyncio.sleep(2)
    return f"in the context of {seen[0]}"


@difference(before="accepted", now="TypeError")
async def spawn_name(aiojobs):
    scheduler = aiojobs.Scheduler()
    result = await answer(scheduler.spawn(returns(), name=7))
    return "TypeError" if result == "TypeError" else "accepted"


# --- Arguments ----------------------------------------------------------------------------------------------


@difference(
    before="0: accepted, -1: accepted, True: accepted, 1.5: accepted",
    now="0: ValueError, -1: ValueError, True: TypeError, 1.5: TypeError",
)
async def argument_limit(aiojobs):
    return ", ".join(f"{n}: {called(aiojobs.Scheduler, limit=n)}" for n in (0, -1, True, 1.5))


@difference(
    before="-1: accepted, True: accepted, 1.5: accepted, None: accepted",
    now="-1: ValueError, True: TypeError, 1.5: TypeError, None: TypeError",
)
async def argument_pending_limit(aiojobs):
    values = (-1, True, 1.5, None)
    return ", ".join(f"{n}: {called(aiojobs.Scheduler, pending_limit=n)}" for n in values)


@difference(
    before="-1: accepted, nan: accepted, True: accepted, '1': accepted",
    now="-1: ValueError, nan: ValueError, True: TypeError, '1': TypeError",
)
async def argument_timeouts(aiojobs):
    values = (-1, float("nan"), True, "1")
    return ", ".join(f"{n!r}: {called(aiojobs.Scheduler, close_timeout=n)}" for n in values)


@difference(before="accepted", now="TypeError")
async def argument_async_handler(aiojobs):
    async def handler(_scheduler, _context):
        pass

    return called(aiojobs.Scheduler, exception_handler=handler)


@difference(before="-1: TimeoutError, job closed", now="-1: ValueError, job active")
async def argument_wait(aiojobs):
    job = await aiojobs.Scheduler().spawn(sleeps())
    result = await answer(job.wait(timeout=-1))
    return f"-1: {result}, job {'active' if job.active else 'closed'}"


# --- Starting -----------------------------------------------------------------------------------------------


@difference(before="nothing of it ran", now="its first step ran")
async def start_then_close(aiojobs):
    log = []

    async def notes():
        log.append("its first step ran")
        await asyncio.sleep(1000)

    job = await aiojobs.Scheduler().spawn(notes())
    await job.close()
    return log[0] if log else "nothing of it ran"


@difference(before="looks", now="_run")
async def task_coroutine(aiojobs):
    async def looks():
        return asyncio.current_task().get_coro().cr_code.co_name

    job = await aiojobs.Scheduler().spawn(looks())
    return await job.wait()


@difference(before="differences.py", now="_run.py")
async def task_location(aiojobs):
    async def looks():
        return repr(asyncio.current_task())

    shown = await (await aiojobs.Scheduler().spawn(looks())).wait()
    return next(file for file in ("_run.py", "differences.py") if f"{file}:" in shown)


@difference(before="looks of its caller, result 42", now="looks of the library, result 42")
async def task_factory(aiojobs):
    given = []

    def wrap(loop, coro, **options):
        async def traced():
            return await coro

        given.append(coro)
        return asyncio.Task(traced(), loop=loop, **options)

    async def looks():
        return 42

    loop = asyncio.get_running_loop()
    scheduler = aiojobs.Scheduler()
    loop.set_task_factory(wrap)
    job = await scheduler.spawn(looks())
    loop.set_task_factory(None)
    result = await job.wait()
    coro = next(coro for coro in given if coro.__name__ == "looks")
    whose = "its caller" if coro.cr_code is looks.__code__ else "the library"
    return f"looks of {whose}, result {result}"


# --- Waiting ------------------------------------------------------------------------------------------------


@difference(before="InvalidStateError, and the job runs", now="TimeoutError, and the job never runs")
async def wait_timeout_pending(aiojobs):
    ran = []

    async def runs():
        ran.append(True)

    scheduler = aiojobs.Scheduler(limit=1)
    await scheduler.spawn(sleeps(100))
    job = await scheduler.spawn(runs())
    result = await caught(job.wait(timeout=1))
    await asyncio.sleep(200)
    return f"{result}, and the job {'runs' if ran else 'never runs'}"


@difference(before="ValueError; nothing reported", now="TimeoutError; Job processing failed")
async def wait_timeout_exception(aiojobs):
    reports = Reports()

    async def fails_when_stopped():
        try:
            await asyncio.sleep(1000)
        finally:
            raise ValueError

    job = await aiojobs.Scheduler(exception_handler=reports).spawn(fails_when_stopped())
    result = await caught(job.wait(timeout=1))
    await pause()
    return f"{result}; {reports}"


@difference(before="CancelledError", now="JobClosed")
async def wait_stopped(aiojobs):
    job = await aiojobs.Scheduler().spawn(sleeps())
    waiting = await under_way(caught(job.wait()))
    await job.close()
    return await waiting


@difference(before="CancelledError", now="JobClosed")
async def wait_closed(aiojobs):
    job = await aiojobs.Scheduler().spawn(sleeps())
    await job.close()
    return await caught(job.wait())


@difference(
    before="CancelledError",
    now="BaseExceptionGroup" if sys.version_info < (3, 13) else "JobClosed",
)
async def wait_closed_in_task_group(aiojobs):
    job = await aiojobs.Scheduler().spawn(sleeps())
    await job.close()

    async def body():
        async with asyncio.TaskGroup():
            await job.wait()

    return await caught(body())


@difference(before="wait: AttributeError, gather: TypeError", now="wait: a job, gather: [42]")
async def wait_by_asyncio(aiojobs):
    job = await aiojobs.Scheduler().spawn(returns(42))

    async def wait():
        done, _ = await asyncio.wait([job])
        return "a job" if done == {job} else "something else"

    async def gather():
        return await asyncio.gather(job)

    seen = []
    for function in (wait, gather):
        try:
            seen.append(f"{function.__name__}: {await function()}")
        except (AttributeError, TypeError) as exc:
            seen.append(f"{function.__name__}: {type(exc).__name__}")
    return ", ".join(seen)


@difference(before="cleanup interrupted", now="cleanup complete")
async def wait_cancelled_while_closing(aiojobs):
    job, log = await takes_time_to_stop(aiojobs.Scheduler(close_timeout=10))
    closing = await under_way(job.close())
    await abandoned(job.wait())
    await asyncio.wait([closing])
    return log[0]


@difference(before="waits: no answer, closes: RuntimeError", now="waits: RuntimeError, closes: RuntimeError")
async def wait_for_itself(aiojobs):
    scheduler = aiojobs.Scheduler()
    jobs = {}

    async def waits():
        return await caught(jobs["waits"].wait())

    async def closes():
        return await caught(jobs["closes"].close())

    seen = []
    for function in (waits, closes):
        jobs[function.__name__] = job = await scheduler.spawn(function())
        seen.append(f"{function.__name__}: {(await answer(job.wait(), within=5)).strip(chr(39))}")
    return ", ".join(seen)


@difference(before="no answer", now="RuntimeError")
async def close_own_scheduler(aiojobs):
    scheduler = aiojobs.Scheduler()

    async def closes():
        seen.append(await caught(scheduler.close()))

    seen = []
    await scheduler.spawn(closes())
    await asyncio.sleep(5)
    return seen[0] if seen else "no answer"


@difference(before="closed after 60 s", now="RuntimeError, still open")
async def drain_own_scheduler(aiojobs):
    scheduler = aiojobs.Scheduler()
    loop = asyncio.get_running_loop()
    seen = []

    async def drains():
        try:
            await scheduler.wait_and_close()
        except RuntimeError:
            seen.append("RuntimeError, still open")

    await scheduler.spawn(drains())
    for _ in range(100):
        if not scheduler.closed:
            await asyncio.sleep(1)
    return seen[0] if seen else f"closed after {loop.time():.0f} s"


# --- Closing a job ------------------------------------------------------------------------------------------


@difference(before="TimeoutError, cleanup interrupted", now="TimeoutError, cleanup complete")
async def close_deadline(aiojobs):
    job, log = await takes_time_to_stop(aiojobs.Scheduler())
    result = await caught(job.close(timeout=1))
    await asyncio.sleep(5)
    return f"{result}, {log[0]}"


@difference(before="no answer", now="TimeoutError")
async def close_swallowing(aiojobs):
    job = await aiojobs.Scheduler().spawn(swallows(3))
    await pause()
    return await answer(job.close(timeout=1))


@difference(before="returns at once", now="waits for the end")
async def close_again(aiojobs):
    job, log = await takes_time_to_stop(aiojobs.Scheduler(close_timeout=10))
    closing = await under_way(job.close())
    await job.close()
    seen = "waits for the end" if log else "returns at once"
    await closing
    return seen


@difference(before="swallowed, cleanup interrupted", now="propagates, cleanup complete")
async def close_caller_cancelled(aiojobs):
    job, log = await takes_time_to_stop(aiojobs.Scheduler(close_timeout=10))
    closing = await abandoned(job.close())
    await asyncio.sleep(5)
    return f"{'propagates' if closing.cancelled() else 'swallowed'}, {log[0]}"


# --- Shutdown -----------------------------------------------------------------------------------------------


@difference(before="no answer", now="returns")
async def shutdown_swallowing(aiojobs):
    scheduler = aiojobs.Scheduler(close_timeout=1, exception_handler=Reports())
    await scheduler.spawn(swallows(5))
    await pause()
    seen = await answer(scheduler.close())
    return seen if seen == "no answer" else "returns"


@difference(before="returns at once", now="waits for the end")
async def shutdown_again(aiojobs):
    scheduler = aiojobs.Scheduler(close_timeout=10)
    _, log = await takes_time_to_stop(scheduler)
    closing = await under_way(scheduler.close())
    await scheduler.close()
    seen = "waits for the end" if log else "returns at once"
    await closing
    return seen


@difference(before="cleanup interrupted", now="cleanup complete")
async def shutdown_cancelled(aiojobs):
    scheduler = aiojobs.Scheduler(close_timeout=10)
    _, log = await takes_time_to_stop(scheduler)
    await abandoned(scheduler.close())
    await scheduler.close()
    await asyncio.sleep(5)
    return log[0]


@difference(before="0 in the books", now="1 in the books")
async def shutdown_late_job(aiojobs):
    scheduler = aiojobs.Scheduler(close_timeout=1, exception_handler=Reports())

    async def is_slow_to_stop():
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            await asyncio.shield(asyncio.create_task(sleeps(50)))

    await scheduler.spawn(is_slow_to_stop())
    await pause()
    task = asyncio.create_task(scheduler.close())
    await asyncio.wait([task], timeout=10)
    return f"{len(scheduler)} in the books"


@difference(before="nothing reported", now="Job closing timed out")
async def shutdown_late_job_once_waited_for(aiojobs):
    reports = Reports()
    scheduler = aiojobs.Scheduler(close_timeout=1, exception_handler=reports)
    job = await scheduler.spawn(cleans_up([], 100))
    await abandoned(job.wait())
    await scheduler.close()
    return str(reports)


@difference(before="nothing reported", now="Shielded awaitable closing timed out")
async def shutdown_late_shield(aiojobs):
    reports = Reports()
    scheduler = aiojobs.Scheduler(close_timeout=1, exception_handler=reports)
    outer = scheduler.shield(cleans_up([], 100))
    await pause()
    await scheduler.close()
    outer.cancel()
    return str(reports)


@difference(before="CancelledError", now="nothing")
async def shutdown_after_all_tasks_cancelled(aiojobs):
    scheduler = aiojobs.Scheduler()
    await scheduler.spawn(sleeps())
    await pause()
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    await pause()
    return await caught(scheduler.close())


@difference(before="closes after 60 s", now="closes after 0 s")
async def shutdown_body_cancelled(aiojobs):
    loop = asyncio.get_running_loop()

    async def body():
        async with aiojobs.Scheduler() as scheduler:
            await scheduler.spawn(sleeps())
            await asyncio.sleep(1000)

    await abandoned(body())
    return f"closes after {loop.time():.0f} s"


@difference(before="scheduler left open", now="scheduler closed")
async def shutdown_exit_cancelled(aiojobs):
    scheduler = aiojobs.Scheduler()

    async def body():
        async with scheduler:
            await scheduler.spawn(sleeps())

    await abandoned(body())
    return "scheduler closed" if scheduler.closed else "scheduler left open"


@difference(before="NoneType, NoneType", now="ShutdownReport, ShutdownReport")
async def shutdown_report(aiojobs):
    first, second = aiojobs.Scheduler(), aiojobs.Scheduler()
    returned = (await first.close(), await second.wait_and_close())
    return ", ".join(type(value).__name__ for value in returned)


@difference(before="nothing is said", now="WARNING of aiojobs, about 2 jobs")
async def shutdown_warning(aiojobs):
    said = []

    class Log(logging.Handler):
        def emit(self, record):
            dropped = record.shutdown_report.dropped
            said.append(f"{record.levelname} of {record.name}, about {dropped} jobs")

    log, root = Log(), logging.getLogger()
    root.addHandler(log)
    try:
        scheduler = aiojobs.Scheduler(limit=1)
        for _ in range(2):
            await scheduler.spawn(sleeps())
        await pause()
        await scheduler.close()
    finally:
        root.removeHandler(log)
    return ", ".join(said) or "nothing is said"


@difference(before="shielded", now="RuntimeError")
async def shield_after_close(aiojobs):
    scheduler = aiojobs.Scheduler()
    await scheduler.close()
    coro = returns()
    try:
        await scheduler.shield(coro)
    except RuntimeError:
        return "RuntimeError"
    return "shielded"


def elsewhere(function, *args):
    """Call a function in another thread, where it may run another loop, and wait for its end."""
    thread = threading.Thread(target=function, args=args)
    thread.start()
    thread.join()


@difference(before="CancelledError", now="nothing")
async def close_other_loop(aiojobs):
    scheduler = aiojobs.Scheduler()

    async def use():
        await scheduler.spawn(returns())

    elsewhere(lambda: asyncio.run(use()))
    return await caught(scheduler.close())


@difference(before="RuntimeError, 0 jobs left", now="RuntimeError, 1 jobs left")
async def close_other_loop_with_job(aiojobs):
    scheduler = aiojobs.Scheduler()
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda _loop, _context: None)
    elsewhere(lambda: loop.run_until_complete(scheduler.spawn(sleeps())))
    seen = f"{await answer(scheduler.close(), within=5)}, {len(scheduler)} jobs left"
    elsewhere(discard, loop)
    return seen


# --- Exceptions ---------------------------------------------------------------------------------------------


@difference(before="nothing reported", now="Job processing failed")
async def exception_after_waiter_left(aiojobs):
    reports = Reports()
    job = await aiojobs.Scheduler(exception_handler=reports).spawn(raises(ValueError(), after=1))
    await abandoned(job.wait())
    await asyncio.sleep(5)
    return str(reports)


@difference(before="job active for ever", now="job closed")
async def exception_handler_raises(aiojobs):
    def handler(_scheduler, _context):
        raise ZeroDivisionError

    scheduler = aiojobs.Scheduler(limit=1, exception_handler=handler)
    job = await scheduler.spawn(raises(ValueError()))
    await asyncio.sleep(5)
    return "job closed" if job.closed else "job active for ever"


@difference(before="nothing reported", now="Shielded awaitable failed")
async def exception_of_shielded(aiojobs):
    reports = Reports()
    outer = aiojobs.Scheduler(exception_handler=reports).shield(raises(ValueError(), after=1))
    outer.cancel()
    await asyncio.sleep(5)
    return str(reports)


@difference(before="Interrupt", now="nothing")
async def exception_base_at_close(aiojobs):
    class Interrupt(BaseException):
        pass

    async def interrupts():
        try:
            await asyncio.sleep(1000)
        finally:
            raise Interrupt

    scheduler = aiojobs.Scheduler(exception_handler=Reports())
    await scheduler.spawn(interrupts())
    await pause()
    return await caught(scheduler.close())


# --- Books --------------------------------------------------------------------------------------------------


@difference(before="RuntimeError", now="nothing")
async def books_iterate_and_close(aiojobs):
    scheduler = aiojobs.Scheduler()
    for _ in range(3):
        await scheduler.spawn(sleeps())

    async def close_each():
        for job in scheduler:
            await job.close()

    return await caught(close_each())


@difference(before="keeps its coroutine", now="keeps its result only")
async def books_finished_job(aiojobs):
    job = await aiojobs.Scheduler().spawn(returns())
    await job.wait()
    await pause()
    kept = [getattr(job, name, None) for name in ("coro", "_coro")]
    return "keeps its coroutine" if any(map(asyncio.iscoroutine, kept)) else "keeps its result only"


@difference(
    before="<Job closed coro=<<coroutine object returns at …>>>",
    now="<Job done name='first' coro=<returns>>",
)
async def repr_of_job(aiojobs):
    job = await aiojobs.Scheduler().spawn(returns(), name="first")
    await job.wait()
    await pause()
    head, _, tail = repr(job).partition(" at 0x")
    return head + (" at …" + tail[tail.index(">") :] if tail else "")


@difference(
    before="returned: Task, raised: Task, dropped: Task",
    now="returned: None, raised: Task, dropped: None",
)
async def name_of_unnamed_job(aiojobs):
    scheduler = aiojobs.Scheduler(limit=1, exception_handler=Reports())
    returned = await scheduler.spawn(returns())
    await answer(returned.wait())
    raised = await scheduler.spawn(raises(ValueError()))
    await answer(raised.wait())
    await scheduler.spawn(sleeps())
    dropped = await scheduler.spawn(sleeps())
    await dropped.close()
    await pause()
    jobs = {"returned": returned, "raised": raised, "dropped": dropped}
    return ", ".join(f"{end}: {(job.get_name() or 'None').partition('-')[0]}" for end, job in jobs.items())


@difference(before="accepted", now="AttributeError")
async def attributes_of_job(aiojobs):
    job = await aiojobs.Scheduler().spawn(returns())
    return called(setattr, job, "mine", 1)


@difference(before="_jobs, _pending, _shields, _failed_task", now="none")
async def private_attributes(aiojobs):
    names = ("_jobs", "_pending", "_shields", "_failed_task")
    scheduler = aiojobs.Scheduler()
    return ", ".join(name for name in names if hasattr(scheduler, name)) or "none"


# --- aiohttp ------------------------------------------------------------------------------------------------


def integration(aiojobs):
    """The module for aiohttp of this very package."""
    return importlib.import_module(f"{aiojobs.__name__}.aiohttp")


async def started(app):
    """An application that has been started, without a server."""
    app.freeze()
    await app.startup()
    return app


@difference(before="lacks get_scheduler_from_request, shield", now="lacks nothing")
async def aiohttp_exports(aiojobs):
    getters = ("get_scheduler", "get_scheduler_from_app", "get_scheduler_from_request")
    names = (*getters, "atomic", "setup", "shield", "spawn")
    missing = [name for name in names if name not in integration(aiojobs).__all__]
    return "lacks " + (", ".join(missing) or "nothing")


@difference(before="none", now="that of the application above")
async def aiohttp_scheduler_of_parent(aiojobs):
    from aiohttp import web

    module, app, inner = integration(aiojobs), web.Application(), web.Application()
    module.setup(app)
    app.add_subapp("/inner", inner)
    await started(app)
    found = module.get_scheduler_from_app(inner)
    assert found is None or found is module.get_scheduler_from_app(app)
    return "none" if found is None else "that of the application above"


@difference(before="accepted", now="ValueError")
async def aiohttp_setup_arguments(aiojobs):
    from aiohttp import web

    return called(integration(aiojobs).setup, web.Application(), limit=0)


@difference(before="accepted", now="RuntimeError")
async def aiohttp_setup_twice(aiojobs):
    from aiohttp import web

    module, app = integration(aiojobs), web.Application()
    module.setup(app)
    return called(module.setup, app)


@difference(before="TypeError", now="200")
async def aiohttp_atomic_method(aiojobs):
    from aiohttp import web
    from aiohttp.test_utils import make_mocked_request

    module, app = integration(aiojobs), web.Application()
    module.setup(app)
    await started(app)

    class Orders:
        @module.atomic
        async def get(self, request):
            return web.Response()

    request = make_mocked_request("GET", "/", app=app)
    try:
        return str((await Orders().get(request)).status)
    except TypeError:
        return "TypeError"


def main(path):
    """Run every situation on the package in a folder; return how many went otherwise than written."""
    sys.path.insert(0, path)
    logging.getLogger("aiojobs").addHandler(logging.NullHandler())  # most situations drop work
    package = importlib.import_module("aiojobs")
    column = 0 if package.__version__ == "1.4.0" else 1
    wrong = 0
    for name, (probe, *expected) in PROBES.items():
        seen = observe(probe, package)
        wrong += seen != expected[column]
        sys.stdout.write(f"{'as written' if seen == expected[column] else 'NOT SO    '}  {name}: {seen}\n")
    sys.stdout.write(f"aiojobs {package.__version__}: {len(PROBES)} situations, {wrong} not as written\n")
    return wrong


if __name__ == "__main__":
    sys.exit(bool(main(sys.argv[1] if len(sys.argv) > 1 else str(ROOT / "src"))))
