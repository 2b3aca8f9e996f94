"""Which scheduler a connection has, and what happens to it on its way through the application."""

import asyncio
import gc
import weakref

import pytest

from aiojobs.asgi import ClientDisconnected, Jobs, get_scheduler, lifespan
from asgi.conftest import Application, Client, answer


class Request:
    """As frameworks have it: an object with a scope."""

    def __init__(self, scope):
        self.scope = scope


@pytest.mark.parametrize("kind", ["http", "websocket", "something else"])
@pytest.mark.parametrize("of", [lambda scope: scope, Request])
async def test_a_connection_has_the_scheduler_of_its_application(kind, of):
    found = []

    async def handler(scope, receive, send):
        found.append(get_scheduler(of(scope)))

    jobs = Jobs(Application(handler))
    async with lifespan(jobs) as running:
        await Client(running, kind).call()
        assert found == [jobs.scheduler]


async def test_without_the_middleware_the_error_names_it():
    async def handler(scope, receive, send):
        get_scheduler(scope)

    with pytest.raises(RuntimeError, match=r"put aiojobs.asgi.Jobs around the outermost application"):
        await Client(Application(handler)).call()


@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_without_a_lifespan_the_error_says_who_runs_one(kind):
    async def handler(scope, receive, send):
        get_scheduler(scope)

    with pytest.raises(RuntimeError, match=r"lifespan .* was not run .* TestClient .* httpx.ASGITransport"):
        await Client(Jobs(Application(handler)), kind).call()


@pytest.mark.requirement("SPAWN-3")
@pytest.mark.parametrize("wrong", [None, 5, {}, {"app": 1}, Request(None), Request({})])
def test_what_has_no_scope_is_refused(wrong):
    with pytest.raises(TypeError, match="connection must be a request, a websocket, or an ASGI scope"):
        get_scheduler(wrong)


async def test_an_application_that_is_mounted_uses_the_scheduler_of_the_outer_one():
    found = []

    async def handler(scope, receive, send):
        found.append(get_scheduler(scope))

    mounted = Jobs(Application(handler))
    jobs = Jobs(Application(mounted))
    async with lifespan(jobs) as running:
        await Client(running).call()
        assert found == [jobs.scheduler]


async def test_the_nearest_application_that_lives_wins():
    found = []

    async def handler(scope, receive, send):
        found.append(get_scheduler(scope))

    inner = Jobs(Application(handler))
    outer = Jobs(Application(inner))
    async with lifespan(inner), lifespan(outer) as running:
        await Client(running).call()
        assert found == [inner.scheduler]


async def test_what_the_application_notes_in_the_scope_is_seen_outside():
    async def handler(scope, receive, send):
        scope["route"] = "/orders/{number}"

    async with lifespan(Jobs(Application(handler))) as running:
        client = Client(running)
        await client.call()
    assert client.scope["route"] == "/orders/{number}"


async def test_messages_pass_in_both_directions():
    async def handler(scope, receive, send):
        parts = [await receive() for _ in range(4)]
        assert [part.get("body") for part in parts] == [b"a", b"b", None, None]
        await answer(send, 201)

    async with lifespan(Jobs(Application(handler))) as running:
        client = Client(running)
        client.says(b"a", more=True)
        client.says(b"b")
        client.leaves()
        await client.call()
    assert [message["type"] for message in client.sent] == ["http.response.start", "http.response.body"]
    assert client.status == 201


async def test_an_error_of_the_application_passes():
    async def handler(scope, receive, send):
        raise LookupError("no such order")

    async with lifespan(Jobs(Application(handler))) as running:
        with pytest.raises(LookupError, match="no such order"):
            await Client(running).call()


async def test_a_client_that_has_left_gets_an_answer_that_nobody_reads():
    async def handler(scope, receive, send):
        raise ClientDisconnected

    async with lifespan(Jobs(Application(handler))) as running:
        client = Client(running)
        await client.call()
    assert client.sent == [
        {"type": "http.response.start", "status": 499, "headers": []},
        {"type": "http.response.body"},
    ]


async def test_an_answer_that_has_begun_is_left_alone():
    async def handler(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ClientDisconnected

    async with lifespan(Jobs(Application(handler))) as running:
        client = Client(running)
        await client.call()
    assert [message.get("status") for message in client.sent] == [200]


@pytest.mark.requirement("BOOK-3")
async def test_a_request_is_freed_without_the_cycle_collector():
    async def handler(scope, receive, send):
        await get_scheduler(scope).spawn(asyncio.sleep(0))
        await answer(send)

    async with lifespan(Jobs(Application(handler))) as running:
        client = Client(running)
        await client.call()
        gone = weakref.ref(client)
        gc.disable()
        try:
            del client
            assert gone() is None
        finally:
            gc.enable()
