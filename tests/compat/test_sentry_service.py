"""An aiohttp service under Sentry: handlers that are jobs, real sockets, the SDK's own integrations."""

import asyncio
import time

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from sentry_sdk.integrations.aiohttp import AioHttpIntegration
from sentry_sdk.integrations.asyncio import AsyncioIntegration

import aiojobs.aiohttp
from compat.bodies import Failure
from compat.sentry import Sentry
from compat.stories import tell

pytestmark = pytest.mark.loops("stock")


class Service:
    """Orders: one that is taken, one that fails, one whose client hangs up, and mail behind the answer."""

    def __init__(self):
        self.stored, self.mailed = [], []
        self.began, self.go_on = asyncio.Event(), asyncio.Event()
        self.app = web.Application()
        self.app.router.add_post("/orders", self.order)
        self.app.router.add_post("/broken", self.broken)
        self.app.router.add_post("/slow", self.slow)
        self.app.router.add_post("/mail", self.mail)
        aiojobs.aiohttp.setup(self.app, limit=2, exception_handler=lambda *_: None)

    @aiojobs.aiohttp.atomic
    async def order(self, request):
        self.stored.append(await request.text())
        return web.Response(text="stored")

    @aiojobs.aiohttp.atomic
    async def broken(self, request):
        raise Failure("a broken order")

    @aiojobs.aiohttp.atomic
    async def slow(self, request):
        self.began.set()
        await self.go_on.wait()
        self.stored.append("slow")
        return web.Response(text="nobody reads this")

    async def mail(self, request):
        await aiojobs.aiohttp.spawn(request, self.send(await request.text()), name="mail")
        return web.Response(status=202)

    async def send(self, text):
        await asyncio.sleep(0)
        if text == "nowhere":
            raise Failure("no such address")
        self.mailed.append(text)


def serve(story):
    """Tell a story about a served service, and give what Sentry has heard."""
    tool = Sentry(AioHttpIntegration(), AsyncioIntegration())

    async def main(_):
        service = Service()
        server = TestServer(service.app)
        await server.start_server()
        async with TestClient(server) as client:
            await story(service, client)
            before = time.monotonic()
        assert time.monotonic() - before < 5, "cleaning up is quick"

    tell(main, tool)
    return tool.kept


@pytest.mark.requirement("START-3", "WAIT-5")
def test_the_client_of_an_atomic_handler_gets_its_answer_and_the_handler_is_in_the_trace():
    async def story(service, client):
        for order in ("tea", "cake", "more tea"):
            async with asyncio.timeout(5), client.post("/orders", data=order) as response:
                assert (response.status, await response.text()) == (200, "stored")
        assert service.stored == ["tea", "cake", "more tea"]

    kept = serve(story)
    assert kept.errors == []
    assert len(kept.payloads("transaction")) >= 3
    [(transaction, spans)] = kept.spans.items()
    assert transaction.endswith("order")
    assert "Service.order" in spans


@pytest.mark.requirement("EXC-1", "EXC-5")
def test_an_atomic_handler_that_fails_is_an_answer_and_is_noticed_in_its_task_and_in_the_request():
    async def story(service, client):
        async with asyncio.timeout(5), client.post("/broken") as response:
            assert response.status == 500
        async with asyncio.timeout(5), client.post("/orders", data="tea") as response:
            assert response.status == 200

    kept = serve(story)
    assert kept.errors == [("a broken order", "asyncio"), ("a broken order", "aiohttp")]


@pytest.mark.requirement("WAIT-1", "SHUT-4")
def test_the_order_of_a_client_that_hangs_up_is_stored_all_the_same():
    async def story(service, client):
        request = asyncio.create_task(client.post("/slow"))
        await service.began.wait()
        request.cancel()
        await asyncio.wait([request])
        await asyncio.sleep(0.05)  # until the server has seen that the connection is gone
        service.go_on.set()
        while service.stored != ["slow"]:
            await asyncio.sleep(0.001)

    assert serve(story).errors == []


@pytest.mark.requirement("START-3", "SHUT-4", "EXC-1")
def test_what_is_spawned_behind_an_answer_is_done_before_the_service_ends_and_its_failure_is_reported():
    services = []

    async def story(service, client):
        services.append(service)
        for address in ("a", "nowhere", "b", "c"):
            async with asyncio.timeout(5), client.post("/mail", data=address) as response:
                assert response.status == 202

    kept = serve(story)
    assert services[0].mailed == ["a", "b", "c"]
    assert kept.errors == [("no such address", "asyncio")]
