"""What is asked of tasks and of whoever makes them, function by function."""

import asyncio
import functools
from types import SimpleNamespace

import pytest

from aiojobs import _calling, _tasks


class Kept:
    """A task to be named: what it was called."""

    def __init__(self, name="its own"):
        self.name = name

    def get_name(self):
        return self.name

    def set_name(self, name):
        self.name = name


@pytest.mark.requirement("START-3", "WAIT-5", "BOOK-4")
def test_a_name_is_text_and_anything_else_is_none():
    assert _calling.name_of(Kept()) == "its own"
    assert _calling.name_of(Kept(3)) is None
    assert _calling.name_of(SimpleNamespace()) is None


@pytest.mark.requirement("START-3", "WAIT-5")
def test_a_task_is_renamed_if_there_is_a_name_and_it_takes_one():
    task = Kept()
    _tasks.rename(task, None)
    assert task.name == "its own"
    _tasks.rename(task, "given")
    assert task.name == "given"
    nameless = SimpleNamespace()
    _tasks.rename(nameless, "given")
    assert vars(nameless) == {}


@pytest.mark.requirement("START-3")
def test_what_is_no_task_is_shown_in_the_error():
    error = _tasks.no_task(17)
    assert isinstance(error, TypeError)
    assert "must return a task, got 17" in str(error)


@pytest.mark.requirement("START-3")
def test_a_refusal_to_which_there_is_nothing_to_leave_out_is_not_repeated():
    calls = []
    loop = SimpleNamespace(create_task=calls.append)
    refusal = TypeError("no")
    with pytest.raises(TypeError) as caught:
        _tasks.create_plainly(loop, None, None, None, refusal, bool)
    assert caught.value is refusal
    assert calls == []


def passing_on(function):
    @functools.wraps(function)
    def create_task(self, coro, **options):
        return function(self, coro, **options)

    return create_task


class Decorated(asyncio.SelectorEventLoop):
    """A loop whose class was written with a wrapped method."""

    @passing_on
    def create_task(self, coro, **options):
        return super().create_task(coro, **options)


@pytest.mark.requirement("START-3", "SPAWN-4")
def test_a_method_that_was_wrapped_where_it_was_written_counts_as_replaced():
    loop = Decorated()
    try:
        assert _calling.is_replaced(loop)
    finally:
        loop.close()


class Outspoken(asyncio.Task):
    """A task that says in its own words what it drives."""

    def get_coro(self):
        return super().get_coro()


@pytest.mark.requirement("START-3")
async def test_a_task_that_speaks_for_itself_is_not_believed():
    async def nothing():
        pass

    coro = nothing()
    task = Outspoken(coro, loop=asyncio.get_running_loop())
    assert not _tasks.drives(task, coro)
    await task
    plain = nothing()
    stock = asyncio.Task(plain, loop=asyncio.get_running_loop())
    assert _tasks.drives(stock, plain)
    await stock


@pytest.mark.requirement("START-1", "CLOSE-1")
async def test_outside_any_task_there_is_nobody_to_ask():
    answers = []
    asyncio.get_running_loop().call_soon(lambda: answers.append(_tasks.cancel_current(())))
    await asyncio.sleep(0)
    assert answers == [None]


@pytest.mark.requirement("EXC-1", "BOOK-3")
def test_frames_of_ones_own_code_are_taken_off_and_those_behind_them_stay():
    ours, theirs = {"__name__": "ours"}, {"__name__": "theirs"}
    exec("def fails(): raise ValueError", theirs)
    exec("def own(call): call()", ours)

    with pytest.raises(ValueError) as caught:
        ours["own"](theirs["fails"])
    exc, traceback = _tasks.without_frames(caught.value, (__name__, "ours"))
    assert exc.__traceback__ is traceback
    assert traceback.tb_frame.f_code is theirs["fails"].__code__


@pytest.mark.requirement("START-3")
def test_a_loop_that_knows_of_no_factories_has_none():
    bound = _calling.BoundLoop("a scheduler")
    bound.loop = SimpleNamespace()
    assert bound.has_task_factory() is False
    bound.loop = SimpleNamespace(get_task_factory=lambda: None)
    assert bound.has_task_factory() is False
    bound.loop = SimpleNamespace(get_task_factory=lambda: print)
    assert bound.has_task_factory() is True
