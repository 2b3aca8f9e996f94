"""The live page's answers: who may see it, what it is made of, and that it serves under aiohttp and ASGI."""

import asyncio
import json
import re
import types

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from aiojobs import Scheduler
from aiojobs.aiohttp import add_live_page, get_scheduler_from_app, setup
from aiojobs.asgi import Jobs, get_scheduler, lifespan
from aiojobs.inspect import LivePage
from aiojobs.testing import settle
from docs import pages
from support.observing import Recorder
from unit.bodies import fails, forever

pytestmark = pytest.mark.requirement("SEE-2")


def anyone(_request):
    return True


def watched(**options):
    page = LivePage(allow=anyone)
    return page, Scheduler(observer=page, exception_handler=Recorder(), **options)


async def state_of(page):
    answer = await page.answer(None, "GET", "state")
    assert answer.status == 200
    return json.loads(answer.body)


# Who may see it.


def test_who_may_see_it_has_no_default():
    with pytest.raises(TypeError, match="allow"):
        LivePage()
    with pytest.raises(TypeError, match="allow must be a function of the request, got True"):
        LivePage(allow=True)
    with pytest.raises(TypeError, match="name must be a str"):
        LivePage(allow=anyone, title=1)
    assert repr(LivePage(allow=anyone, title="orders")) == "<LivePage 'orders'>"


@pytest.mark.parametrize("method", ["POST", "HEAD", "PUT", "DELETE", "OPTIONS"])
async def test_only_get_is_answered(method):
    asked = []
    answer = await LivePage(allow=asked.append).answer(None, method, "")
    assert (answer.status, answer.body, asked) == (405, b"only GET\n", [])
    assert ("allow", "GET") in answer.headers


async def later(value):
    await asyncio.sleep(1)
    return value


@pytest.mark.parametrize("query", ["", "state"])
@pytest.mark.parametrize("refuse", [lambda _: False, lambda _: None, lambda _: later(False)])
async def test_whoever_is_not_allowed_sees_nothing(query, refuse):
    answer = await LivePage(allow=refuse).answer(object(), "GET", query)
    assert (answer.status, answer.body) == (403, b"not allowed\n")


@pytest.mark.parametrize("allow", [lambda request: request == "it", lambda request: later(request == "it")])
async def test_it_is_asked_about_the_request(allow):
    page = LivePage(allow=allow)
    assert (await page.answer("it", "GET", "")).status == 200
    assert (await page.answer("another", "GET", "")).status == 403


async def test_what_it_raises_is_the_servers():
    def raises(_):
        raise LookupError

    with pytest.raises(LookupError):
        await LivePage(allow=raises).answer(None, "GET", "")


# What it is made of.


async def test_the_document_runs_nothing_but_what_bears_its_number():
    page = LivePage(allow=anyone, title="<script>")
    answers = [await page.answer(None, "GET", "") for _ in range(2)]
    nonces = []
    for answer in answers:
        headers = dict(answer.headers)
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; ")
        assert "unsafe" not in policy
        nonces += {*re.findall(r"'nonce-([^']+)'", policy)}
        text = answer.body.decode()
        assert re.findall(r"<(?:script|style)[^>]*>", text) == [
            f'<style nonce="{nonces[-1]}">',
            f'<script nonce="{nonces[-1]}">',
        ]
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-type"] == "text/html; charset=utf-8"
    assert len({*nonces}) == len(nonces) == 2


async def test_the_document_has_nothing_from_elsewhere_and_puts_text_where_text_belongs():
    text = (await LivePage(allow=anyone).answer(None, "GET", "")).body.decode()
    assert "{nonce}" not in text
    assert not re.search(r"\b(src|href|style|on\w+)=", text)
    assert re.findall(r"https?://[^\"]+", text) == ["http://www.w3.org/2000/svg"]
    forbidden = ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(")
    assert [word for word in forbidden if word in text] == []


async def test_before_there_is_a_scheduler_there_is_nothing_to_show():
    state = await state_of(LivePage(allow=anyone, title="orders"))
    assert state["scheduler"] is None
    assert (state["title"], state["points"], state["failures"], state["arrows"]) == ("orders", [], [], {})


async def test_the_state_has_counts_jobs_waits_failures_and_arrows():
    page, scheduler = watched(limit=2, pending_limit=1)
    await scheduler.spawn(fails(ValueError("broken")), "broken")
    await settle()
    box = []

    async def waits():
        await asyncio.sleep(1)
        await asyncio.create_task(box[0].wait(), name="between")

    await scheduler.spawn(waits(), "first")
    await scheduler.spawn(waits(), "second", drain=False)
    box.append(await scheduler.spawn(forever(), "pending"))
    await asyncio.sleep(2)
    state = await state_of(page)
    seen = state["scheduler"]
    assert (seen["phase"], seen["limit"], seen["pending_limit"]) == ("open", 2, 1)
    assert (seen["active_count"], seen["pending_count"], seen["blocked_count"]) == (2, 1, 0)
    assert [job["name"] for job in seen["jobs"]] == ["first", "second", "pending"]
    assert seen["jobs"][0]["running"] == 2
    assert [place["function"].rpartition(".")[2] for place in seen["jobs"][0]["stack"]] == ["waits"]
    assert seen["stuck"] == [job["id"] for job in seen["jobs"][:2]]
    assert len(seen["waits"]) == 4
    assert {called["name"] for called in seen["called"].values()} == {"first", "second", "pending", "between"}
    assert seen["job_ids"] == [job["id"] for job in seen["jobs"]]
    assert state["arrows"][">pending"] == 4
    assert [failure["text"] for failure in state["failures"]] == ["ValueError: broken"]
    assert state["points"][-1] == [2, 1, 0, 2, 0, 0]
    assert state["step"] == 2
    await scheduler.close()


async def test_the_state_is_bounded_and_what_matters_comes_first():
    page, scheduler = watched(limit=200)

    async def deep(left):
        await (deep(left - 1) if left else forever())

    for number in range(250):
        await scheduler.spawn(deep(30), f"job {number}")
    await asyncio.sleep(0)
    last = list(scheduler)[-1]
    pending = asyncio.create_task(last.wait())
    own = await scheduler.spawn(forever(), "closing")

    async def waits_for_itself():
        await asyncio.create_task(box[0].wait())

    await settle()
    box = []
    await next(iter(scheduler)).close()
    box.append(await scheduler.spawn(waits_for_itself(), "circle"))
    for job in list(scheduler)[:60]:
        await job.close()
    await settle()
    state = await state_of(page)
    seen = state["scheduler"]
    assert len(seen["jobs"]) == 100
    assert seen["jobs"][0]["name"] == "circle"
    assert all(len(job["stack"]) <= 12 for job in seen["jobs"])
    assert seen["active_count"] + seen["pending_count"] == len(scheduler) > 100
    assert own in scheduler
    pending.cancel()
    await scheduler.close()


async def test_a_state_is_computed_once_a_second_however_many_look(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(
        "aiojobs._live_page.time", types.SimpleNamespace(monotonic=lambda: clock[0], time=lambda: 0)
    )
    page, scheduler = watched()
    assert (await state_of(page))["scheduler"]["active_count"] == 0
    await scheduler.spawn(forever())
    clock[0] += 0.9
    assert (await state_of(page))["scheduler"]["active_count"] == 0
    clock[0] += 0.1
    assert (await state_of(page))["scheduler"]["active_count"] == 1
    ticks = iter([200.0, 200.5, 210.4, 210.5, 210.6])
    monkeypatch.setattr(
        "aiojobs._live_page.time", types.SimpleNamespace(monotonic=lambda: next(ticks), time=lambda: 0)
    )
    assert (await state_of(page))["scheduler"]["active_count"] == 1  # which took half a second
    await scheduler.spawn(forever())
    assert (await state_of(page))["scheduler"]["active_count"] == 1
    assert (await state_of(page))["scheduler"]["active_count"] == 2
    clock[0] = 300
    monkeypatch.setattr(
        "aiojobs._live_page.time", types.SimpleNamespace(monotonic=lambda: clock[0], time=lambda: 0)
    )
    other = Scheduler(observer=page)
    assert (await state_of(page))["scheduler"]["active_count"] == 0
    await other.close()
    await scheduler.close()


# aiohttp.


@pytest.mark.loops("stock")
async def test_an_application_of_aiohttp():
    allowed = []

    def allow(request):
        allowed.append(request)
        return "let-me" in request.headers

    page = LivePage(allow=allow, title="orders")
    app = web.Application()
    setup(app, observer=page)
    add_live_page(app, "/jobs", page)
    async with TestClient(TestServer(app)) as client:
        await get_scheduler_from_app(app).spawn(forever(), "first")
        assert (await client.get("/jobs")).status == 403
        document = await client.get("/jobs", headers={"let-me": "in"})
        assert (document.status, document.content_type, document.charset) == (200, "text/html", "utf-8")
        assert "content-security-policy" in document.headers
        state = await (await client.get("/jobs?state", headers={"let-me": "in"})).json()
        assert [job["name"] for job in state["scheduler"]["jobs"]] == ["first"]
        assert (await client.post("/jobs", headers={"let-me": "in"})).status == 405
        assert (await client.head("/jobs", headers={"let-me": "in"})).status == 405
        assert all(isinstance(request, web.Request) for request in allowed)
        await get_scheduler_from_app(app).close()


def test_what_is_no_application_is_refused():
    with pytest.raises(TypeError, match=r"must be an aiohttp\.web\.Application"):
        add_live_page(None, "/jobs", LivePage(allow=anyone))


# ASGI.


async def ask(app, path, *, method="GET", query=b"", root="", headers=(), kind="http"):
    """One request; what was sent."""
    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        raise AssertionError("nothing is read")

    scope = {"type": kind, "path": path, "query_string": query, "root_path": root, "headers": [*headers]}
    await app(scope | ({"method": method} if kind == "http" else {}), receive, send)
    return sent


async def inner(scope, _receive, send):
    await send({"inner": scope["type"], "path": scope["path"]})


async def test_an_application_of_asgi():
    page, scheduler = watched()
    await scheduler.spawn(forever(), "first")
    app = page.serve(inner, "/jobs")
    start, body = await ask(app, "/jobs")
    assert (start["type"], start["status"]) == ("http.response.start", 200)
    assert (b"content-type", b"text/html; charset=utf-8") in start["headers"]
    assert body["body"].startswith(b"<!doctype html>")
    _, body = await ask(app, "/jobs", query=b"state")
    assert [job["name"] for job in json.loads(body["body"])["scheduler"]["jobs"]] == ["first"]
    start, _ = await ask(app, "/jobs", method="POST")
    assert start["status"] == 405
    await scheduler.close()


@pytest.mark.parametrize("path", ["/", "/jobs/", "/jobs/x", "/other/jobs", "/JOBS"])
async def test_everything_else_is_the_inner_applications(path):
    app = LivePage(allow=anyone).serve(inner, "/jobs")
    assert await ask(app, path) == [{"inner": "http", "path": path}]


@pytest.mark.parametrize("kind", ["websocket", "lifespan"])
async def test_what_is_no_request_is_the_inner_applications(kind):
    app = LivePage(allow=anyone).serve(inner, "/jobs")
    assert await ask(app, "/jobs", kind=kind) == [{"inner": kind, "path": "/jobs"}]


async def test_below_a_root_path_it_is_where_it_was_put():
    app = LivePage(allow=anyone).serve(inner, "/jobs")
    assert (await ask(app, "/api/jobs", root="/api"))[0]["status"] == 200
    assert (await ask(app, "/jobs", root="/api"))[0]["status"] == 200
    assert await ask(app, "/x/jobs", root="/api") == [{"inner": "http", "path": "/x/jobs"}]


@pytest.mark.parametrize(
    ("path", "error"), [(None, TypeError), (b"/jobs", TypeError), ("jobs", ValueError), ("", ValueError)]
)
def test_a_path_that_makes_no_sense_is_refused(path, error):
    with pytest.raises(error, match="path must"):
        LivePage(allow=anyone).serve(inner, path)


# The page of the documentation.


def from_the_page(name):
    """What a file of the page defines."""
    assert {file.name for file in pages.files("docs/howto/live-page.md")} == {
        "page_aiohttp.py",
        "page_asgi.py",
    }
    [file] = [file for file in pages.files("docs/howto/live-page.md") if file.name == name]
    content = {"__name__": "example"}
    exec(compile(file.source, name, "exec"), content)
    return content


@pytest.mark.loops("stock")
async def test_the_application_for_aiohttp_of_the_page():
    app = from_the_page("page_aiohttp.py")["make_app"]()
    async with TestClient(TestServer(app)) as client:
        assert (await client.post("/orders/7")).status == 202
        state = await (await client.get("/internal/jobs?state")).json()
        assert [job["name"] for job in state["scheduler"]["jobs"]] == ["order 7"]
        await get_scheduler_from_app(app).close()


async def test_the_application_for_asgi_of_the_page():
    app = from_the_page("page_asgi.py")["app"]
    async with lifespan(app):
        assert (await ask(app, "/orders", method="POST"))[0]["status"] == 202
        assert (await ask(app, "/internal/jobs"))[0]["status"] == 403
        token = [(b"authorization", b"Bearer of-the-operators")]
        _, body = await ask(app, "/internal/jobs", query=b"state", headers=token)
        assert [job["name"] for job in json.loads(body["body"])["scheduler"]["jobs"]] == ["order"]


async def test_the_middlewares_of_starlette():
    async def order(request):
        await get_scheduler(request).spawn(asyncio.sleep(5), "order")
        return Response(status_code=202)

    page = LivePage(allow=anyone)
    app = Starlette(routes=[Route("/orders", order, methods=["POST"])])
    app.add_middleware(Jobs, observer=page)
    app.add_middleware(page.serve, path="/internal/jobs")
    async with lifespan(app):
        assert (await ask(app, "/orders", method="POST"))[0]["status"] == 202
        _, body = await ask(app, "/internal/jobs", query=b"state")
        assert [job["name"] for job in json.loads(body["body"])["scheduler"]["jobs"]] == ["order"]
