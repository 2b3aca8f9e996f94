"""Which scheduler a request or an application has: its own, the nearest one above, or none."""

import itertools

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from aiojobs.aiohttp import (
    get_scheduler,
    get_scheduler_from_app,
    get_scheduler_from_request,
    setup,
    shield,
    spawn,
)


def remembering(app, seen):
    """A route of `app` that keeps the scheduler which its request finds."""

    async def handler(request):
        seen.append(get_scheduler_from_request(request))
        return web.Response()

    app.router.add_get("/", handler)
    return app


async def test_own_scheduler(serve):
    seen = []
    app = remembering(web.Application(), seen)
    setup(app)
    client = await serve(app)
    await client.get("/")
    assert seen == [get_scheduler_from_app(app)]
    assert seen[0] is not None


async def test_a_sub_application_without_one_has_that_of_its_parent(serve):
    seen = []
    parent, child = web.Application(), remembering(web.Application(), seen)
    setup(parent)
    parent.add_subapp("/child", child)
    client = await serve(parent)
    await client.get("/child/")
    assert seen[0] is not None
    assert seen[0] is get_scheduler_from_app(parent)
    assert seen[0] is get_scheduler_from_app(child)


async def test_a_sub_application_with_its_own_keeps_it(serve):
    seen = []
    parent, child = web.Application(), remembering(web.Application(), seen)
    setup(parent)
    setup(child)
    parent.add_subapp("/child", child)
    client = await serve(parent)
    await client.get("/child/")
    assert seen[0] is get_scheduler_from_app(child)
    assert seen[0] is not get_scheduler_from_app(parent)


async def test_through_several_levels_the_nearest_one_wins(serve):
    apps = [web.Application() for _ in range(5)]
    seen = []
    remembering(apps[-1], seen)
    setup(apps[0])
    setup(apps[2])
    for outer, inner in reversed(list(itertools.pairwise(apps))):
        outer.add_subapp("/x", inner)
    client = await serve(apps[0])
    await client.get("/x/x/x/x/")
    found = [get_scheduler_from_app(app) for app in apps]
    assert found == [found[0], found[0], found[2], found[2], found[2]]
    assert found[0] is not found[2]
    assert seen == [found[2]]


async def test_an_application_of_a_domain_has_that_of_its_parent(serve):
    seen = []
    parent, child = web.Application(), remembering(web.Application(), seen)
    setup(parent)
    parent.add_domain("jobs.example.org", child)
    client = await serve(parent)
    response = await client.get("/", headers={"Host": "jobs.example.org"})
    assert response.status == 200
    assert seen == [get_scheduler_from_app(parent)]
    assert get_scheduler_from_app(child) is get_scheduler_from_app(parent)


async def test_siblings_do_not_share(serve):
    parent, with_own, without = web.Application(), web.Application(), web.Application()
    setup(with_own)
    parent.add_subapp("/a", with_own)
    parent.add_subapp("/b", without)
    parent.router.add_static("/static", "/")
    await serve(parent)
    assert get_scheduler_from_app(with_own) is not None
    assert get_scheduler_from_app(without) is None
    assert get_scheduler_from_app(parent) is None


async def test_a_child_finds_what_it_inherits_when_it_starts(serve):
    seen = []

    async def remember(app):
        seen.append(get_scheduler_from_app(app))

    parent, child = web.Application(), web.Application()
    setup(parent)
    child.on_startup.append(remember)
    parent.add_subapp("/child", child)
    await serve(parent)
    assert seen == [get_scheduler_from_app(parent)]
    assert seen[0] is not None


async def test_a_child_with_its_own_does_not_see_its_parents_before_it_has_it(serve):
    async def remember(app):
        seen.append(get_scheduler_from_app(app))
        yield

    seen = []
    parent, child = web.Application(), web.Application()
    setup(parent)
    child.cleanup_ctx.append(remember)
    setup(child)
    parent.add_subapp("/child", child)
    await serve(parent)
    assert seen == [None]


async def test_a_middleware_of_the_parent_finds_that_of_the_child(serve):
    @web.middleware
    async def remember(request, handler):
        seen.append(get_scheduler(request))
        return await handler(request)

    seen = []
    parent, child = web.Application(middlewares=[remember]), remembering(web.Application(), [])
    setup(parent)
    setup(child)
    parent.add_subapp("/child", child)
    client = await serve(parent)
    await client.get("/child/")
    assert seen == [get_scheduler_from_app(child)]


async def never():
    raise AssertionError("must not run")


@pytest.mark.requirement("SPAWN-3")
async def test_without_a_scheduler_the_error_says_what_to_do_and_the_coroutine_stays_the_callers():
    request = make_mocked_request("GET", "/", app=web.Application())
    assert get_scheduler_from_request(request) is None
    with pytest.raises(RuntimeError, match=r"call aiojobs\.aiohttp\.setup\(app\)"):
        get_scheduler(request)
    coro = never()
    with pytest.raises(RuntimeError, match="setup"):
        await spawn(request, coro)
    with pytest.raises(RuntimeError, match="setup"):
        shield(request, coro)
    # Still fresh: closing it is the caller's, and -W error would tell if it had been dropped.
    assert coro.cr_frame is not None
    coro.close()


@pytest.mark.requirement("SPAWN-3")
async def test_something_other_than_a_request_is_refused_with_a_hint():
    coro = never()
    view = web.View(make_mocked_request("GET", "/"))
    with pytest.raises(TypeError, match=r"request must be an aiohttp\.web\.Request, got None"):
        get_scheduler_from_request(None)
    with pytest.raises(TypeError, match=r"in a view: self\.request"):
        await spawn(view, coro)
    with pytest.raises(TypeError, match="got 7"):
        shield(7, coro)
    assert coro.cr_frame is not None
    coro.close()
