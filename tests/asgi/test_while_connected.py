"""Work for one client, which is stopped when the client leaves: however the messages come, whoever else reads."""

import asyncio
import logging
import math

import pytest

import aiojobs
from aiojobs.asgi import ClientDisconnected, Jobs, get_scheduler, lifespan, while_connected
from aiojobs.testing import settle
from asgi.conftest import Application, Client, answer
from support.observing import Recorder


class Service:
    """An application whose handler does one thing for its client; what came of it is kept."""

    def __init__(self, work, *, around=lambda app: app, inside=lambda app: app, read=False, **settings):
        self._work = work
        self._read = read
        self.jobs = Jobs(inside(Application(self._handle)), **settings)
        self.app = around(self.jobs)
        self.outcome = None

    async def _handle(self, scope, receive, send):
        if self._read:
            assert (await receive())["type"] == "http.request"
        try:
            self.outcome = await while_connected(scope, self._work())
        except BaseException as exc:
            self.outcome = exc
            raise
        await answer(send)


async def ten_seconds():
    await asyncio.sleep(10)
    return "done"


async def begun(service, running, *, says=True):
    """A client whose request is being worked on for a second."""
    client = Client(running)
    if says:
        client.says()
    task = client.start()
    await asyncio.sleep(1)
    return client, task


@pytest.mark.parametrize("read", [True, False])
async def test_the_client_that_stays_gets_its_answer(read):
    service = Service(ten_seconds, read=read)
    async with lifespan(service.app) as running:
        client, task = await begun(service, running)
        await task
    assert (client.status, service.outcome) == (200, "done")
    assert asyncio.get_running_loop().time() == 10


@pytest.mark.requirement("CLOSE-1")
@pytest.mark.parametrize("read", [True, False])
async def test_the_job_is_stopped_when_the_client_leaves(read):
    service = Service(ten_seconds, read=read)
    async with lifespan(service.app) as running:
        client, task = await begun(service, running)
        (job,) = service.jobs.scheduler
        client.leaves()
        await task
        assert (job.outcome, len(service.jobs.scheduler)) == ("cancelled", 0)
    assert isinstance(service.outcome, ClientDisconnected)
    assert (client.status, asyncio.get_running_loop().time()) == (499, 1)


async def test_what_was_read_to_see_the_client_leave_is_kept_for_the_application():
    parts = []

    async def handler(scope, receive, send):
        await while_connected(scope, asyncio.sleep(2))
        parts.extend([await receive(), await receive()])
        await answer(send)

    async with lifespan(Jobs(Application(handler))) as running:
        client = Client(running)
        client.says(b"all of it")
        task = client.start()
        await asyncio.sleep(3)
        client.leaves()
        await task
    assert [part.get("body") for part in parts] == [b"all of it", None]
    assert parts[-1] == {"type": "http.disconnect"}


async def test_of_an_unread_body_one_piece_is_held_and_no_more():
    taken = []

    async def body():
        taken.append(None)
        return {"type": "http.request", "body": b"x", "more_body": True}

    service = Service(ten_seconds)
    async with lifespan(service.app) as running:
        await Client(running).call(body)
    assert (len(taken), service.outcome) == (1, "done")


async def test_of_an_unread_body_two_watchers_hold_one_piece_as_well():
    async def handler(scope, receive, send):
        await asyncio.gather(*(while_connected(scope, ten_seconds()) for _ in range(2)))
        await answer(send)

    async with lifespan(Jobs(Application(handler))) as running:
        client = Client(running)
        task = client.start()
        await asyncio.sleep(1)
        client.says(b"a", more=True)
        client.says(b"b", more=True)
        await task
    assert client.unread == 1


async def test_a_disconnect_behind_an_unread_body_is_seen_when_the_application_reads_it():
    async def handler(scope, receive, send):
        async def reads():
            await asyncio.sleep(1)
            while (await receive()).get("more_body"):
                pass
            await asyncio.sleep(10)

        await while_connected(scope, reads())

    jobs = Jobs(Application(handler))
    async with lifespan(jobs) as running:
        client = Client(running)
        client.says(b"a", more=True)
        client.says(b"b", more=True)
        client.says(b"c")
        client.leaves()
        await client.call()
    assert (client.status, asyncio.get_running_loop().time()) == (499, 1)


async def test_the_application_may_go_on_reading_while_the_client_is_watched():
    async def handler(scope, receive, send):
        async def reads():
            return [await receive(), await receive(), (await receive())["type"], (await receive())["type"]]

        with pytest.raises(ClientDisconnected):
            seen.append(await while_connected(scope, reads()))
        seen.append(await reads_again(receive))
        await answer(send)

    async def reads_again(receive):
        return [(await receive())["type"] for _ in range(2)]

    seen = []
    async with lifespan(Jobs(Application(handler))) as running:
        client = Client(running)
        task = client.start()
        for body in (b"a", b"b"):
            await asyncio.sleep(1)
            client.says(body, more=body == b"a")
        await asyncio.sleep(1)
        client.leaves()
        await task
    assert seen[-1] == ["http.disconnect"] * 2


async def test_two_readers_of_the_application_get_a_message_each():
    got = []

    async def handler(scope, receive, send):
        got.extend(await asyncio.gather(receive(), receive()))

    async with lifespan(Jobs(Application(handler))) as running:
        client = Client(running)
        task = client.start()
        await asyncio.sleep(1)
        client.says(b"a", more=True)
        client.says(b"b")
        await task
    assert [message["body"] for message in got] == [b"a", b"b"]


@pytest.mark.requirement("WAIT-6")
async def test_several_jobs_of_one_request_are_stopped_together():
    async def handler(scope, receive, send):
        await asyncio.gather(
            *(while_connected(scope, ten_seconds()) for _ in range(3)), return_exceptions=True
        )
        await answer(send)

    jobs = Jobs(Application(handler))
    async with lifespan(jobs) as running:
        client = Client(running)
        client.says()
        task = client.start()
        await asyncio.sleep(1)
        assert jobs.scheduler.active_count == 3
        client.leaves()
        await task
    assert asyncio.get_running_loop().time() == 1


@pytest.mark.requirement("SPAWN-1")
async def test_a_call_that_waits_for_a_place_is_withdrawn_when_the_client_leaves():
    service = Service(ten_seconds, limit=1, pending_limit=1)
    async with lifespan(service.app) as running:
        for _ in range(2):
            await service.jobs.scheduler.spawn(asyncio.sleep(5))
        client, task = await begun(service, running)
        client.leaves()
        await task
        assert isinstance(service.outcome, ClientDisconnected)
        assert len(service.jobs.scheduler) == 2


@pytest.mark.requirement("CLOSE-1")
async def test_a_caller_that_is_cancelled_stops_its_job():
    service = Service(ten_seconds)
    async with lifespan(service.app) as running:
        _, task = await begun(service, running)
        (job,) = service.jobs.scheduler
        task.cancel()
        await asyncio.wait([task])
        assert (task.cancelled(), job.outcome) == (True, "cancelled")


@pytest.mark.requirement("CLOSE-2")
async def test_a_job_that_does_not_stop_keeps_nobody_for_longer_than_close_timeout():
    async def stubborn():
        try:
            await asyncio.sleep(10)
        finally:
            await asyncio.sleep(100)

    service = Service(stubborn, close_timeout=3, wait_timeout=None)
    async with lifespan(service.app) as running:
        client, task = await begun(service, running)
        (job,) = service.jobs.scheduler
        client.leaves()
        await task
        assert (asyncio.get_running_loop().time(), job.state) == (4, "closing")
    assert isinstance(service.outcome, ClientDisconnected)


class Failure(Exception):  # noqa: N818 - it is what fails in a story, not an error of these tests
    """What a job raises here."""


@pytest.mark.requirement("EXC-1")
@pytest.mark.parametrize("failure", [Failure(), TimeoutError()])
async def test_what_the_job_raises_is_raised(failure):
    async def fails():
        await asyncio.sleep(1)
        raise failure

    handler = Recorder()
    service = Service(fails, exception_handler=handler)
    async with lifespan(service.app) as running:
        with pytest.raises(type(failure)):
            await Client(running).call()
    assert (service.outcome, handler.calls) == (failure, [])


@pytest.mark.requirement("CLOSE-3", "EXC-1")
@pytest.mark.parametrize("failure", [Failure(), TimeoutError()])
async def test_what_the_job_raises_while_it_stops_is_raised(failure):
    async def fails():
        try:
            await asyncio.sleep(10)
        finally:
            raise failure

    handler = Recorder()
    service = Service(fails, exception_handler=handler)
    async with lifespan(service.app) as running:
        client, task = await begun(service, running)
        client.leaves()
        with pytest.raises(type(failure)):
            await task
    assert (service.outcome, handler.calls) == (failure, [])


@pytest.mark.requirement("WAIT-3")
async def test_a_job_that_somebody_else_stops_is_told_apart():
    service = Service(ten_seconds)
    async with lifespan(service.app) as running:
        _, task = await begun(service, running)
        (job,) = service.jobs.scheduler
        await job.close()
        await asyncio.wait([task])
    assert isinstance(service.outcome, aiojobs.JobClosed)


@pytest.mark.requirement("SPAWN-3")
async def test_a_websocket_is_refused_and_the_coroutine_untouched():
    async def handler(scope, receive, send):
        coro = ten_seconds()
        with pytest.raises(TypeError, match="got a websocket"):
            await while_connected(scope, coro)
        assert coro.cr_frame is not None
        coro.close()

    async with lifespan(Jobs(Application(handler))) as running:
        await Client(running, "websocket").call()


async def test_without_a_scheduler_the_coroutine_is_untouched():
    async def handler(scope, receive, send):
        coro = ten_seconds()
        with pytest.raises(RuntimeError, match="lifespan"):
            await while_connected(scope, coro)
        assert coro.cr_frame is not None
        coro.close()

    await Client(Jobs(Application(handler))).call()


async def test_after_the_request_it_is_too_late():
    async with lifespan(Jobs(Application(lambda *_: asyncio.sleep(0)))) as running:
        client = Client(running)
        await client.call()
        coro = ten_seconds()
        with pytest.raises(RuntimeError, match="the request is over"):
            await while_connected(client.scope, coro)
        coro.close()


@pytest.mark.requirement("SPAWN-4")
async def test_the_job_has_the_name_that_it_was_given():
    names = []

    async def work():
        names.append(asyncio.current_task().get_name())

    async def handler(scope, receive, send):
        await while_connected(scope, work(), "for Ada")
        await while_connected(scope, work(), name="for Alan")
        assert len(get_scheduler(scope)) == 0

    async with lifespan(Jobs(Application(handler))) as running:
        await Client(running).call()
    assert names == ["for Ada", "for Alan"]


@pytest.mark.requirement("SPAWN-6")
async def test_the_job_may_have_a_time_of_its_own():
    async def handler(scope, receive, send):
        with pytest.raises(TimeoutError):
            await while_connected(scope, ten_seconds(), timeout=3)
        await answer(send)

    async with lifespan(Jobs(Application(handler))) as running:
        client = Client(running)
        await client.call()
    assert (client.status, asyncio.get_running_loop().time()) == (200, 3)


# Middlewares that do something to receive.


def replays(app):
    """What logs bodies does this, if it is not careful: the same message again and again."""

    async def middleware(scope, receive, send):
        async def replayed():
            return message

        message = await receive() if scope["type"] == "http" else None
        await app(scope, replayed if message else receive, send)

    return middleware


def swallows(app):
    """Nothing ever comes of its `receive`."""

    async def middleware(scope, receive, send):
        async def never():
            await asyncio.sleep(math.inf)

        await app(scope, never if scope["type"] == "http" else receive, send)

    return middleware


@pytest.mark.parametrize("middleware", [replays, swallows])
async def test_middlewares_inside_hide_nothing(middleware, caplog):
    service = Service(ten_seconds, inside=middleware)
    async with lifespan(service.app) as running:
        client, task = await begun(service, running)
        client.leaves()
        await task
    assert isinstance(service.outcome, ClientDisconnected)
    assert asyncio.get_running_loop().time() == 1
    assert [record for record in caplog.records if record.name == "aiojobs.asgi"] == []


async def test_a_middleware_outside_that_hides_disconnects_is_told_of_once(caplog):
    caplog.set_level(logging.WARNING, "aiojobs.asgi")
    service = Service(ten_seconds, around=replays)
    async with lifespan(service.app) as running:
        for _ in range(2):
            client, task = await begun(service, running)
            client.leaves()
            await task
            assert (client.status, service.outcome) == (200, "done")
    (told,) = caplog.messages
    assert told.startswith("replays.<locals>.middleware.<locals>.replayed hides from aiojobs.asgi.Jobs")
    assert "add Jobs last" in told


async def test_a_receive_without_a_name_is_told_of_by_its_repr(caplog):
    class Replay:
        def __repr__(self):
            return "<a replay>"

        async def __call__(self):
            return {"type": "http.request"}

    service = Service(ten_seconds)
    async with lifespan(service.app) as running:
        await Client(running).call(Replay())
    assert service.outcome == "done"
    assert "<a replay> hides" in caplog.text


@pytest.mark.parametrize("passes", range(8))
async def test_a_client_that_leaves_while_its_answer_is_getting_ready_does_no_harm(passes):
    ready = asyncio.Event()

    async def work():
        await ready.wait()
        return "done"

    service = Service(work)
    async with lifespan(service.app) as running:
        client, task = await begun(service, running)
        ready.set()
        await settle(passes)
        client.leaves()
        await task
    assert (client.status == 200) is (service.outcome == "done")
    assert (client.status == 499) is isinstance(service.outcome, ClientDisconnected)
