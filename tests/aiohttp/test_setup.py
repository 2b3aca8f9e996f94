"""`setup`: what it refuses, what it creates and when."""

import importlib.util
import sys
import typing

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

import aiojobs.aiohttp
from aiojobs import Scheduler
from aiojobs._settings import Settings
from aiojobs.aiohttp import AIOJOBS_SCHEDULER, get_scheduler_from_app, setup


@pytest.mark.requirement("SPAWN-3")
@pytest.mark.parametrize(
    ("settings", "error", "names"),
    [
        ({"limit": 0}, ValueError, "limit"),
        ({"limit": True}, TypeError, "limit"),
        ({"pending_limit": -1}, ValueError, "pending_limit"),
        ({"close_timeout": float("nan")}, ValueError, "close_timeout"),
        ({"wait_timeout": "1"}, TypeError, "wait_timeout"),
        ({"exception_handler": 7}, TypeError, "exception_handler"),
        ({"observer": 7}, TypeError, "observer"),
        ({"limits": 7}, TypeError, "limits"),
    ],
)
def test_settings_that_make_no_sense_are_refused_at_once_and_change_nothing(settings, error, names):
    app = web.Application()
    with pytest.raises(error, match=names):
        setup(app, **settings)
    assert len(app) == 0
    assert len(app.cleanup_ctx) == 0


def test_a_type_checker_is_told_of_the_arguments_of_a_scheduler_and_of_no_others():
    hints = typing.get_type_hints(Scheduler.__init__)
    del hints["return"]
    assert typing.get_type_hints(Settings, localns={"Scheduler": Scheduler}) == hints


@pytest.mark.requirement("SPAWN-3")
@pytest.mark.parametrize("call", [setup, get_scheduler_from_app])
def test_something_other_than_an_application_is_refused(call):
    with pytest.raises(TypeError, match=r"app must be an aiohttp\.web\.Application, got \{\}"):
        call({})


@pytest.mark.requirement("SPAWN-3")
def test_a_second_setup_is_refused_and_the_first_stays():
    app = web.Application()
    setup(app, limit=1)
    with pytest.raises(RuntimeError, match="already"):
        setup(app, limit=2)
    assert len(app.cleanup_ctx) == 1


@pytest.mark.requirement("SPAWN-3")
def test_setup_of_an_application_that_was_added_to_another_is_refused():
    child = web.Application()
    web.Application().add_subapp("/child", child)
    with pytest.raises(RuntimeError, match="before it is added"):
        setup(child)
    assert len(child) == 0


@pytest.mark.requirement("SPAWN-3")
async def test_setup_of_an_application_that_runs_is_refused():
    app = web.Application()
    async with TestServer(app):
        with pytest.raises(RuntimeError, match="before the application is started"):
            setup(app)


@pytest.mark.requirement("SHUT-4")
async def test_the_scheduler_lives_from_start_up_to_clean_up():
    app = web.Application()
    setup(app)
    assert get_scheduler_from_app(app) is None
    async with TestServer(app):
        scheduler = get_scheduler_from_app(app)
        assert isinstance(scheduler, Scheduler)
        assert app[AIOJOBS_SCHEDULER] is scheduler
        assert not scheduler.closed
    assert scheduler.phase == "closed"


@pytest.mark.requirement("BOOK-1")
async def test_a_scheduler_without_jobs_is_found_although_it_is_false():
    app = web.Application()
    setup(app)
    async with TestServer(app):
        assert not get_scheduler_from_app(app)
        assert get_scheduler_from_app(app) is not None


async def test_the_settings_are_those_of_the_scheduler():
    def handler(scheduler, context):
        raise AssertionError(context)

    app = web.Application()
    setup(app, limit=3, pending_limit=5, close_timeout=7, wait_timeout=11, exception_handler=handler)
    async with TestServer(app):
        scheduler = get_scheduler_from_app(app)
        assert (scheduler.limit, scheduler.pending_limit) == (3, 5)
        assert (scheduler.close_timeout, scheduler.wait_timeout) == (7, 11)
        assert scheduler.exception_handler is handler


@pytest.mark.requirement("SHUT-5")
async def test_a_start_up_that_fails_later_leaves_no_scheduler_open():
    async def broken(app):
        seen.append(get_scheduler_from_app(app))
        raise OSError("no database")
        yield

    seen = []
    app = web.Application()
    setup(app)
    app.cleanup_ctx.append(broken)
    server = TestServer(app)
    with pytest.raises(OSError, match="no database"):
        await server.start_server()
    await server.close()
    assert seen[0].phase == "closed"


def test_every_public_name_is_listed_and_exists():
    listed = set(aiojobs.aiohttp.__all__)
    public = {
        name
        for name, value in vars(aiojobs.aiohttp).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == "aiojobs.aiohttp"
    }
    assert public | {"AIOJOBS_SCHEDULER"} == listed


@pytest.mark.parametrize("missing", ["aiohttp", "aiohttp.web"])
def test_without_aiohttp_the_import_error_says_what_to_install(monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    if missing == "aiohttp":
        monkeypatch.delitem(sys.modules, "aiohttp.abc")
    spec = importlib.util.spec_from_file_location("aiojobs.aiohttp", aiojobs.aiohttp.__file__)
    with pytest.raises(ImportError, match="pip install 'aiohttp>=3.9'") as caught:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    assert caught.value.name.startswith("aiohttp")
    assert isinstance(caught.value.__cause__, ImportError)
