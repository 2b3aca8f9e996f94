"""`aiojobs.fastapi`: the annotation, in all the places where FastAPI looks at annotations."""

import asyncio
import contextlib
import contextvars
from typing import Annotated

import anyio.from_thread
import pytest
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, HTTPException, Request, WebSocket
from fastapi.testclient import TestClient

import aiojobs
from aiojobs.fastapi import Jobs, atomic, get_scheduler_from_app, setup, while_connected
from asgi.conftest import client_of

USER = contextvars.ContextVar("USER", default="nobody")


@pytest.fixture
def app():
    app = FastAPI()
    setup(app, grace=30, limit=1, pending_limit=1)
    return app


async def test_a_route_gets_the_scheduler_and_the_schema_does_not_show_it(app):
    @app.post("/orders/{number}", status_code=202)
    async def accept(number: int, jobs: Jobs):
        job = await jobs.spawn(asyncio.sleep(1, number), f"order {number}")
        return {"accepted": job.get_name()}

    async with client_of(app) as client:
        response = await client.post("/orders/7")
        assert (response.status_code, response.json()) == (202, {"accepted": "order 7"})
    schema = app.openapi()["paths"]["/orders/{number}"]["post"]
    assert [parameter["name"] for parameter in schema["parameters"]] == ["number"]


@pytest.mark.requirement("SPAWN-5")
async def test_what_is_too_much_is_refused(app):
    @app.post("/", status_code=202)
    async def accept(jobs: Jobs):
        try:
            jobs.spawn_nowait(asyncio.sleep(1))
        except aiojobs.PendingQueueFull:
            raise HTTPException(503, headers={"Retry-After": "1"}) from None

    async with client_of(app) as client:
        assert [(await client.post("/")).status_code for _ in range(3)] == [202, 202, 503]


async def test_a_dependency_and_a_mounted_application_get_the_same_one(app):
    async def charge(jobs: Jobs):
        return jobs

    router, admin, found = APIRouter(), FastAPI(), []

    @router.get("/")
    async def route(jobs: Jobs, same: Annotated[aiojobs.Scheduler, Depends(charge)]):
        found.extend([jobs, same])

    app.include_router(router)
    admin.include_router(router)
    app.mount("/admin", admin)
    async with client_of(app) as client:
        await client.get("/")
        await client.get("/admin/")
        assert found == [get_scheduler_from_app(app)] * 4


@pytest.mark.loops("stock")
@pytest.mark.requirement("SPAWN-4", "SPAWN-7")
@pytest.mark.parametrize(
    "spawn",
    [
        lambda jobs, *args: jobs.spawn_threadsafe(*args).result(10),
        lambda jobs, *args: anyio.from_thread.run(jobs.spawn, *args),
    ],
)
async def test_a_plain_function_spawns_from_its_thread_and_its_context_goes_along(app, spawn):
    seen = []

    async def work():
        seen.append(USER.get())

    @app.get("/")
    def accept(jobs: Jobs):
        USER.set("Ada")
        job = spawn(jobs, work(), "for Ada")
        return {"accepted": job.get_name()}

    async with client_of(app) as client:
        assert (await client.get("/")).json() == {"accepted": "for Ada"}
    assert seen == ["Ada"]


def test_a_websocket_spawns_jobs_that_outlive_it(app):
    done = []

    async def work(number):
        await asyncio.sleep(0.01)
        done.append(number)

    @app.websocket("/feed")
    async def feed(websocket: WebSocket, jobs: Jobs):
        await websocket.accept()
        async for number in websocket.iter_text():
            job = await jobs.spawn(work(number), f"order {number}")
            await websocket.send_json({"accepted": job.get_name()})

    with TestClient(app) as client, client.websocket_connect("/feed") as feed_of_client:
        for number in range(3):
            feed_of_client.send_text(str(number))
            assert feed_of_client.receive_json() == {"accepted": f"order {number}"}
    assert done == ["0", "1", "2"]


@pytest.mark.requirement("SHUT-4")
async def test_the_lifespan_of_a_router_is_left_after_the_drain(app):
    log = []

    @contextlib.asynccontextmanager
    async def ledger(app):
        log.append("opened")
        yield {"ledger": log}
        log.append("closed")

    async def store(ledger):
        await asyncio.sleep(5)
        ledger.append("stored")

    router = APIRouter(lifespan=ledger)

    @router.get("/")
    async def accept(request: Request, jobs: Jobs):
        await jobs.spawn(store(request.state.ledger))

    app.include_router(router)
    async with client_of(app) as client:
        assert (await client.get("/")).status_code == 200
    assert log == ["opened", "stored", "closed"]


@pytest.mark.requirement("WAIT-1")
async def test_an_atomic_route_keeps_its_signature_and_what_it_depends_on(app):
    log = []

    async def session():
        log.append("opened")
        yield "session"
        log.append("closed")

    @app.get("/orders/{number}")
    @atomic
    async def order(number: int, request: Request, session: Annotated[str, Depends(session)]):
        await asyncio.sleep(5)
        log.append(f"{number} with the {session}")
        return {"path": request.url.path}

    async with client_of(app) as client:
        assert (await client.get("/orders/7")).json() == {"path": "/orders/7"}
    assert log == ["opened", "7 with the session", "closed"]


async def test_the_session_of_a_route_is_closed_in_a_job_and_open_while_a_client_waits(app):
    seen = {}

    async def session():
        opened = {"open": True}
        yield opened
        opened["open"] = False

    Session = Annotated[dict, Depends(session)]  # noqa: N806 - it is a type

    async def look(place, session):
        await asyncio.sleep(1)
        seen[place] = session["open"]

    @app.get("/")
    async def route(request: Request, jobs: Jobs, session: Session, tasks: BackgroundTasks):
        await jobs.spawn(look("job", session))
        tasks.add_task(look, "background task", session)

    @app.get("/waits")
    async def waits(request: Request, session: Session):
        await while_connected(request, look("while connected", session))

    async with client_of(app) as client:
        assert (await client.get("/waits")).status_code == 200
        assert (await client.get("/")).status_code == 200
    assert seen == {"while connected": True, "job": False, "background task": True}


def test_without_a_lifespan_the_error_says_so(app):
    @app.get("/")
    async def route(jobs: Jobs):
        return len(jobs)

    with pytest.raises(RuntimeError, match="TestClient only in a `with` block"):
        TestClient(app).get("/")
    with TestClient(app) as client:
        assert client.get("/").json() == 0


async def test_without_a_setup_the_error_says_so():
    app = FastAPI()

    @app.get("/")
    async def route(jobs: Jobs):
        return len(jobs)

    async with client_of(app) as client:
        with pytest.raises(RuntimeError, match="there is no scheduler in the scope"):
            await client.get("/")
