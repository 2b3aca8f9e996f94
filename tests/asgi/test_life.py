"""From `lifespan.startup` to `lifespan.shutdown`: when there is a scheduler, and what the shutdown waits for."""

import asyncio
import logging
import math

import pytest
from starlette.applications import Starlette

from aiojobs.asgi import Jobs, get_scheduler, lifespan
from aiojobs.starlette import setup
from aiojobs.testing import StrictLoop, settle
from asgi.conftest import Application, Client, Server
from support.observing import Recorder


async def started(app):
    server = Server(app)
    server.asks("startup")
    await settle()
    return server


@pytest.mark.requirement("SHUT-4")
async def test_the_shutdown_is_held_back_until_the_jobs_have_ended(jobs, application):
    server = await started(jobs)
    scheduler = jobs.scheduler
    job = await scheduler.spawn(asyncio.sleep(10, "done"))
    server.asks("shutdown")
    await asyncio.sleep(9)
    assert (application.log, server.answers) == (["startup"], ["startup.complete"])
    more = await scheduler.spawn(asyncio.sleep(5, "too"))
    await asyncio.sleep(5)
    assert application.log == ["startup"]
    await server.life
    assert (job.result(), more.result(), scheduler.phase) == ("done", "too", "closed")
    assert server.answers == ["startup.complete", "shutdown.complete"]


@pytest.mark.requirement("SHUT-2", "SHUT-4")
async def test_what_does_not_end_in_time_is_stopped_and_the_shutdown_goes_on(jobs):
    server = await started(jobs)
    endless = [await jobs.scheduler.spawn(asyncio.sleep(math.inf)) for _ in range(3)]
    server.asks("shutdown")
    await server.life
    assert [job.outcome for job in endless] == ["cancelled", "cancelled", "never_started"]
    assert asyncio.get_running_loop().time() == 20
    assert server.answers == ["startup.complete", "shutdown.complete"]


async def test_how_much_there_is_to_do_at_shutdown_is_logged(jobs, caplog):
    caplog.set_level(logging.INFO, "aiojobs.asgi")
    server = await started(jobs)
    for _ in range(3):
        await jobs.scheduler.spawn(asyncio.sleep(1))
    server.asks("shutdown")
    await server.life
    assert "shutdown: jobs to finish: 3" in caplog.messages


@pytest.mark.requirement("SHUT-7")
async def test_what_the_shutdown_did_to_jobs_is_logged(jobs, caplog):
    caplog.set_level(logging.INFO, "aiojobs")
    server = await started(jobs)
    for seconds in (1, 100, 100, 100):
        await jobs.scheduler.spawn(asyncio.sleep(seconds))
    server.asks("shutdown")
    await server.life
    told = [record for record in caplog.records if "2 cancelled, 1 never started" in record.getMessage()]
    assert [(record.name, record.levelname) for record in told] == [
        ("aiojobs", "WARNING"),
        ("aiojobs.asgi", "INFO"),
    ]


async def test_an_application_that_is_started_again_gets_a_new_scheduler(jobs):
    met = []
    for _ in range(2):
        async with lifespan(jobs):
            met.append(jobs.scheduler)
    assert met[0] is not met[1]
    with pytest.raises(RuntimeError, match="lifespan of the application was not run"):
        jobs.scheduler  # noqa: B018


async def test_the_lifespan_itself_finds_the_scheduler_in_its_scope():
    found = []

    async def app(scope, receive, send):
        found.append(get_scheduler(scope))
        await Application()(scope, receive, send)

    jobs = Jobs(app)
    async with lifespan(jobs):
        assert found == [jobs.scheduler]


@pytest.mark.requirement("SHUT-6")
async def test_a_life_that_is_cancelled_closes_at_once(jobs):
    server = await started(jobs)
    job = await jobs.scheduler.spawn(asyncio.sleep(math.inf))
    await settle()
    server.life.cancel()
    await asyncio.wait([server.life])
    assert (server.life.cancelled(), job.outcome) == (True, "cancelled")
    assert asyncio.get_running_loop().time() == 0
    with pytest.raises(RuntimeError, match="lifespan"):
        jobs.scheduler  # noqa: B018


@pytest.mark.requirement("SHUT-6")
async def test_a_shutdown_that_is_cancelled_while_it_drains_closes_before_the_lifespan_is_left():
    log = []

    async def work():
        try:
            await asyncio.sleep(math.inf)
        finally:
            await asyncio.sleep(0.5)
            log.append("job stopped")

    async def app(scope, receive, send):
        try:
            await Application()(scope, receive, send)
        finally:
            log.append("lifespan left")

    jobs = Jobs(app, close_timeout=1)
    server = await started(jobs)
    await jobs.scheduler.spawn(work())
    server.asks("shutdown")
    await asyncio.sleep(1)
    server.life.cancel()
    await asyncio.wait([server.life])
    assert (server.life.cancelled(), log) == (True, ["job stopped", "lifespan left"])
    assert asyncio.get_running_loop().time() == 1.5


def test_one_application_may_live_in_several_event_loops_at_once(jobs):
    async def scheduler():
        return jobs.scheduler

    async def shut_down(server):
        server.asks("shutdown")
        await server.life

    with asyncio.Runner(loop_factory=StrictLoop) as one, asyncio.Runner(loop_factory=StrictLoop) as other:
        servers = [runner.run(started(jobs)) for runner in (one, other)]
        first, second = one.run(scheduler()), other.run(scheduler())
        assert first is not second
        with pytest.raises(RuntimeError, match="in this event loop"):
            jobs.scheduler  # noqa: B018 - which one?
        other.run(shut_down(servers[1]))
        assert (first.phase, second.phase) == ("open", "closed")
        assert one.run(scheduler()) is first
        assert jobs.scheduler is first
        one.run(shut_down(servers[0]))


async def test_a_second_life_in_the_same_loop_is_refused_and_the_first_goes_on(jobs):
    first = await started(jobs)
    scheduler = jobs.scheduler
    second = await started(jobs)
    assert second.answers == ["startup.failed"]
    with pytest.raises(RuntimeError, match="is being run already"):
        await second.life
    assert jobs.scheduler is scheduler
    first.asks("shutdown")
    await first.life


# Applications that take no part, or leave early.


async def ignores(scope, receive, send):
    assert scope["type"] == "lifespan"


async def refuses(scope, receive, send):
    raise ValueError("only HTTP here")


async def reads_and_goes(scope, receive, send):
    await receive()


async def starts_and_goes(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.complete"})


async def reads_all_and_goes(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()


@pytest.mark.requirement("SHUT-4")
@pytest.mark.parametrize("app", [ignores, refuses, reads_and_goes, starts_and_goes, reads_all_and_goes])
async def test_where_the_application_says_nothing_its_jobs_are_drained_all_the_same(app):
    jobs = Jobs(app)
    server = await started(jobs)
    assert server.answers == ["startup.complete"]
    job = await jobs.scheduler.spawn(asyncio.sleep(10, "done"))
    server.asks("shutdown")
    await server.life
    assert (job.result(), server.answers) == ("done", ["startup.complete", "shutdown.complete"])


async def test_an_application_that_fails_to_start_is_left_to_the_server():
    async def app(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    server = await started(Jobs(app))
    await server.life
    assert server.answers == ["startup.failed"]


async def test_an_application_that_raises_while_it_starts_is_left_to_the_server():
    async def app(scope, receive, send):
        await receive()
        raise OSError("no database")

    jobs = Jobs(app)
    server = await started(jobs)
    with pytest.raises(OSError, match="no database"):
        await server.life
    assert server.answers == []
    with pytest.raises(RuntimeError, match="lifespan"):
        jobs.scheduler  # noqa: B018


@pytest.mark.requirement("SHUT-6")
async def test_a_lifespan_that_fails_later_drains_before_the_server_hears_of_it():
    async def app(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await asyncio.sleep(1)
        raise OSError("the database is gone")

    jobs = Jobs(app)
    server = await started(jobs)
    job = await jobs.scheduler.spawn(asyncio.sleep(10, "done"))
    with pytest.raises(OSError, match="the database is gone"):
        await server.life
    assert job.result() == "done"


@pytest.mark.requirement("SHUT-5")
async def test_a_life_that_ends_because_every_task_was_cancelled_leaves_nothing_behind(jobs):
    await started(jobs)
    scheduler = jobs.scheduler
    await scheduler.spawn(asyncio.sleep(math.inf))
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    await settle()
    assert (scheduler.phase, len(scheduler), jobs._schedulers) == ("closed", 0, {})


# grace.


@pytest.mark.requirement("SHUT-2", "SHUT-4")
@pytest.mark.parametrize(
    ("settings", "waits"),
    [
        ({"grace": 30}, 28.9),
        ({"grace": 10, "reserve": 3, "close_timeout": 2}, 5),
        ({"grace": 10, "wait_timeout": 4}, 4),
        ({"grace": 10, "wait_timeout": None, "reserve": 0, "close_timeout": 0}, 10),
        ({"grace": 1.5, "reserve": 1, "close_timeout": 0.5}, 0),
        ({"wait_timeout": 7}, 7),
        ({}, 60),
    ],
)
async def test_the_time_for_jobs_is_grace_less_reserve_less_close_timeout(settings, waits):
    jobs = Jobs(Application(), **settings)
    async with lifespan(jobs):
        endless = await jobs.scheduler.spawn(asyncio.sleep(math.inf))
    assert asyncio.get_running_loop().time() == pytest.approx(waits)
    assert endless.outcome == "cancelled"


@pytest.mark.requirement("SHUT-2")
async def test_grace_is_kept_when_a_job_takes_no_notice():
    async def stubborn():
        try:
            await asyncio.sleep(math.inf)
        finally:
            await asyncio.sleep(100)

    reported = Recorder()
    jobs = Jobs(Application(), grace=10, reserve=2, close_timeout=3, exception_handler=reported)
    async with lifespan(jobs):
        job = await jobs.scheduler.spawn(stubborn())
    assert (asyncio.get_running_loop().time(), job.state) == (8, "closing")
    assert reported.messages == ["Job closing timed out"]
    await asyncio.sleep(100)
    assert job.state == "closed"


@pytest.mark.requirement("SPAWN-3")
@pytest.mark.parametrize(
    ("settings", "error", "says"),
    [
        ({"grace": 1}, ValueError, r"grace must be at least .* 1.0 and 0.1 seconds, got 1"),
        ({"grace": 30, "close_timeout": None}, ValueError, r"None seconds, got 30: no time is left"),
        ({"grace": math.nan}, ValueError, "grace must be zero or more seconds"),
        ({"grace": -1}, ValueError, "grace must be zero or more seconds"),
        ({"grace": "30"}, TypeError, "grace must be a number of seconds, got '30'"),
        ({"grace": True}, TypeError, "grace must be a number of seconds"),
        ({"grace": 30, "reserve": -1}, ValueError, "reserve must be zero or more seconds"),
        ({"grace": 30, "limit": 0}, ValueError, "limit"),
        ({"limit": 0}, ValueError, "limit"),
        ({"limt": 1}, TypeError, "limt"),
    ],
)
def test_an_argument_that_makes_no_sense_is_told_at_once(settings, error, says):
    with pytest.raises(error, match=says):
        Jobs(Application(), **settings)


@pytest.mark.requirement("SEE-1")
@pytest.mark.parametrize("app", [Application(), Starlette()])
async def test_an_observer_is_attached_to_the_schedulers_that_live_and_to_no_others(app):
    class Watch(Recorder):
        attached = ()

        def attach(self, scheduler):
            self.attached += (scheduler,)

    observers = [Watch(), Watch()]
    if isinstance(app, Starlette):
        setup(app, observer=iter(observers), grace=30)
    else:
        app = Jobs(app, observer=iter(observers), grace=30)
    for _ in range(2):
        async with lifespan(app):
            pass
    assert [len(observer.attached) for observer in observers] == [2, 2]
    assert [[record.dest for record in observer.calls] for observer in observers] == [
        ["closing", "closed"] * 2
    ] * 2


@pytest.mark.requirement("SPAWN-3")
def test_what_is_no_application_is_refused():
    with pytest.raises(TypeError, match="app must be an ASGI application, got None"):
        Jobs(None)


# lifespan(), for tests.


async def test_state_that_the_lifespan_yields_is_given_to_each_connection():
    seen = []

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            scope["state"]["ledger"] = "open"
            await Application()(scope, receive, send)
        else:
            seen.append(dict(scope["state"]))
            scope["state"]["ledger"] = "changed"

    async with lifespan(Jobs(app)) as running:
        await Client(running).call()
        await Client(running).call()
        await Client(running, state={"own": 1}).call()
    assert seen == [{"ledger": "open"}, {"ledger": "open"}, {"own": 1}]


async def test_lifespan_raises_what_the_application_raises_at_start():
    async def app(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "a traceback"})
        raise OSError("no database")

    with pytest.raises(OSError, match="no database"):
        async with lifespan(app):
            pytest.fail("it has not started")


@pytest.mark.parametrize(
    ("message", "says"), [({"message": "no luck"}, "no luck"), ({}, "without an answer")]
)
async def test_lifespan_raises_when_the_application_only_says_that_it_failed(message, says):
    async def app(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.failed", **message})

    with pytest.raises(RuntimeError, match=f"lifespan.startup failed: .*{says}"):
        async with lifespan(app):
            pytest.fail("it has not started")


async def test_lifespan_raises_what_comes_instead_of_an_answer():
    async def app(scope, receive, send):
        raise OSError("no database")

    with pytest.raises(OSError, match="no database"):
        async with lifespan(app):
            pytest.fail("it has not started")


async def test_lifespan_says_so_when_the_application_does_not_answer_at_all():
    with pytest.raises(RuntimeError, match="lifespan.shutdown failed: it has ended without an answer"):
        async with lifespan(starts_and_goes):
            await settle()


async def test_lifespan_raises_what_comes_after_the_last_answer():
    async def app(scope, receive, send):
        await Application()(scope, receive, send)
        raise OSError("can't close the database")

    with pytest.raises(OSError, match="can't close the database"):
        async with lifespan(app):
            pass


@pytest.mark.requirement("SHUT-4")
async def test_a_block_that_fails_drains_as_well(jobs):
    job = None
    with pytest.raises(LookupError):
        async with lifespan(jobs):
            job = await jobs.scheduler.spawn(asyncio.sleep(5, "done"))
            raise LookupError
    assert job.result() == "done"


@pytest.mark.requirement("SHUT-6")
async def test_a_block_that_is_cancelled_does_not_wait(jobs):
    spawned = []

    async def block():
        async with lifespan(jobs):
            spawned.append(await jobs.scheduler.spawn(asyncio.sleep(math.inf)))
            await asyncio.sleep(math.inf)

    task = asyncio.create_task(block())
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.wait([task])
    assert (task.cancelled(), spawned[0].outcome) == (True, "cancelled")
    assert asyncio.get_running_loop().time() == 1
