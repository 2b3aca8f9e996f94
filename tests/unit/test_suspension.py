"""Where a coroutine is suspended, and who waits for a future: read from objects of Python's own (SEE-2)."""

import asyncio
import gc
import sys
import types
from contextlib import suppress

import pytest

from aiojobs._suspension import stack_of, waiting_for
from aiojobs.testing import settle
from unit.bodies import Exotic

pytestmark = pytest.mark.requirement("SEE-2")

EVERYWHERE = pytest.mark.loops("virtual", "stock", "uvloop", "eager")


def functions(coro):
    return [place.function.rpartition(".")[2] for place in stack_of(coro)]


async def ended(*tasks):
    for task in tasks:
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError, BaseExceptionGroup):
            await task


# Where.


async def waits(future):
    return await future


@types.coroutine
def from_a_generator(future):
    return (yield from future)


async def through(future):
    return await from_a_generator(future)


async def numbers(future):
    yield await future


async def walks(future):
    async for _ in numbers(future):
        pass


async def steps(future):
    await anext(numbers(future), None)


async def by_an_object(future):
    await Awaits(future)


class Awaits:
    def __init__(self, future):
        self.future = future

    def __await__(self):
        return waits(self.future).__await__()


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (waits, ["waits"]),
        (through, ["through", "from_a_generator"]),
        (walks, ["walks", "numbers"]),
        (steps, ["steps", "numbers"]),
        (by_an_object, ["by_an_object", "waits"]),
    ],
)
async def test_the_stack_of_a_coroutine_that_is_suspended(function, expected):
    task = asyncio.ensure_future(function(asyncio.get_running_loop().create_future()))
    await settle()
    assert functions(task.get_coro()) == expected
    await ended(task)


async def test_the_end_of_a_generator_that_is_closed_by_throwing_is_on_the_stack_too():
    future = asyncio.get_running_loop().create_future()

    async def guarded():
        try:
            yield
        finally:
            await future

    async def leaves():
        generator = guarded()
        await anext(generator)
        await generator.aclose()

    task = asyncio.ensure_future(leaves())
    await settle()
    assert functions(task.get_coro()) == ["leaves", "guarded"]
    future.set_result(None)
    await task


async def test_a_place_has_file_line_and_function():
    async def sits():
        await asyncio.sleep(1)

    task = asyncio.ensure_future(sits())
    await settle()
    outer, inner = stack_of(task.get_coro())
    assert (outer.file, outer.line) == (__file__, sits.__code__.co_firstlineno + 1)
    assert str(outer) == f"{__file__}:{outer.line} in {sits.__qualname__}"
    assert inner.function == "sleep"
    await ended(task)


async def test_what_is_not_suspended_is_nowhere():
    async def looks():
        return stack_of(task.get_coro())

    task = asyncio.ensure_future(looks())
    if task.get_coro() is not None and not task.done():
        assert stack_of(task.get_coro()) == ()  # has not begun
    assert await task == ()
    assert stack_of(task.get_coro()) == ()


async def test_what_is_no_coroutine_of_pythons_own_is_nowhere():
    future = asyncio.get_running_loop().create_future()
    inner = waits(future)
    inner.send(None)
    assert stack_of(Exotic(inner)) == ()
    assert stack_of(None) == stack_of(inner.send) == ()
    assert functions(inner) == ["waits"]
    inner.close()


async def test_a_generator_that_runs_as_a_coroutine_has_a_stack():
    inner = from_a_generator(asyncio.get_running_loop().create_future())
    assert stack_of(inner) == ()
    inner.send(None)
    assert functions(inner) == ["from_a_generator"]
    inner.close()


async def test_a_stack_without_end_is_cut_off(monkeypatch):
    monkeypatch.setattr("aiojobs._suspension._MOST", 3)
    future = asyncio.get_running_loop().create_future()

    async def deep(left):
        await (deep(left - 1) if left else future)

    task = asyncio.ensure_future(deep(5))
    await settle()
    assert functions(task.get_coro()) == ["deep"] * 3
    await ended(task)


# Who waits.


def names(*futures, callbacks=()):
    return sorted((task.get_name(), is_choice) for task, is_choice in waiting_for(futures, callbacks))


async def gathers(future):
    await asyncio.gather(future, asyncio.sleep(99))


async def waits_for_all(future):
    await asyncio.wait([future, asyncio.ensure_future(asyncio.sleep(99))])


async def shields(future):
    await asyncio.shield(future)


async def shields_twice(future):
    await asyncio.shield(asyncio.shield(future))


async def waits_a_while(future):
    await asyncio.wait_for(future, 99)


async def waits_below_a_timeout(future):
    async with asyncio.timeout(99):
        await future


async def nests(future):
    await asyncio.gather(asyncio.gather(asyncio.shield(future)))


@EVERYWHERE
@pytest.mark.parametrize(
    "function",
    [waits, gathers, waits_for_all, shields, shields_twice, waits_a_while, waits_below_a_timeout, nests],
)
@pytest.mark.parametrize("kind", ["future", "task"])
async def test_whoever_waits_by_a_function_of_asyncio_is_found(function, kind):
    future = asyncio.get_running_loop().create_future()
    awaited = asyncio.ensure_future(waits(future)) if kind == "task" else future
    task = asyncio.create_task(function(awaited), name="waiter")
    await settle()
    assert names(awaited) == [("waiter", False)]
    future.set_result(None)
    await settle()
    await ended(task)


async def test_a_task_group_waits_for_its_tasks_once_its_body_has_ended():
    future = asyncio.get_running_loop().create_future()
    made = []

    async def groups():
        async with asyncio.TaskGroup() as group:
            made.append(group.create_task(waits(future)))
            await asyncio.sleep(1)

    task = asyncio.create_task(groups(), name="waiter")
    await settle()
    assert names(*made) == []
    await asyncio.sleep(2)
    assert names(*made) == [("waiter", False)]
    await ended(task)


async def test_a_task_group_of_which_somebody_has_asked_for_its_attributes_is_found_too():
    future = asyncio.get_running_loop().create_future()
    made = []

    async def groups():
        async with asyncio.TaskGroup() as group:
            assert vars(group)
            made.append(group.create_task(waits(future)))

    task = asyncio.create_task(groups(), name="waiter")
    await settle()
    assert names(*made) == [("waiter", False)]
    await ended(task)


async def test_whoever_waits_for_the_first_is_said_to():
    future = asyncio.get_running_loop().create_future()

    async def chooses(**options):
        await asyncio.wait([future], **options)

    task = asyncio.create_task(chooses(return_when=asyncio.FIRST_COMPLETED), name="first")
    other = asyncio.create_task(chooses(return_when=asyncio.FIRST_EXCEPTION, timeout=9), name="all")
    await settle()
    assert names(future) == [("all", False), ("first", True)]
    await ended(task, other)


async def test_all_who_wait_are_found_and_each_once():
    loop = asyncio.get_running_loop()
    one, other = loop.create_future(), loop.create_future()

    async def both():
        await asyncio.gather(one, other, asyncio.shield(one))

    tasks = [asyncio.create_task(both(), name="both"), asyncio.create_task(waits(one), name="one")]
    await settle()
    assert names(one, other, one) == [("both", False), ("one", False)]
    assert names(other) == [("both", False)]
    await ended(*tasks)


async def test_callbacks_that_lead_to_nobody():
    future = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(waits(asyncio.get_running_loop().create_future()), name="bystander")
    await settle()

    class Holder:
        def __init__(self):
            self.future = asyncio.get_running_loop().create_future()

        def method(self, _):
            """Called by nobody here."""

        def __call__(self, _):
            """Likewise."""

    holder = Holder()
    other = holder.future

    def closure(_):
        """Holds a future of the user's, of which nobody knows what it does with it."""
        return other

    def nameless(_):
        """Of a module that has no name."""
        return other

    nameless.__module__ = None
    future.add_done_callback(task.cancel)
    future.add_done_callback(closure)
    future.add_done_callback(nameless)
    future.add_done_callback(holder.method)
    future.add_done_callback(holder)
    future.add_done_callback([].append)
    waiter = asyncio.create_task(waits(other), name="waiter")
    await settle()
    assert names(future) == []
    assert names(other) == [("waiter", False)]
    assert names(callbacks=[print, None, object(), closure]) == []
    await ended(task, waiter)


async def test_a_callback_that_is_no_futures_own_is_followed_too():
    future = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(waits(future), name="waiter")
    await settle()
    step = next(each for each in gc.get_referents(future) if type(each) is types.BuiltinMethodType)
    assert names(callbacks=[step]) == [("waiter", False)]
    await ended(task)


async def test_a_tangle_is_cut_off(monkeypatch):
    monkeypatch.setattr("aiojobs._suspension._MOST", 2)
    future = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(nests(future), name="waiter")
    await settle()
    assert names(future) == []
    await ended(task)


async def test_nothing_that_somebody_has_written_is_run():
    ran = []

    class Nosy(type):
        def __getattribute__(cls, name):
            ran.append(name)
            return super().__getattribute__(name)

    class Hostile(metaclass=Nosy):
        def __getattribute__(self, name):
            ran.append(name)
            raise SystemExit

        def __eq__(self, other):
            raise SystemExit

        __hash__ = None

    hostile = Hostile()

    class Steps:
        def __await__(self):
            yield from [hostile]

    async def sits():
        await Steps()

    coro = sits()
    coro.send(None)
    ran.clear()
    assert functions(coro)[-1] in ("sits", "__await__")
    assert stack_of(hostile) == ()
    assert waiting_for([hostile], [hostile]) == []
    assert ran == []
    coro.close()


def test_the_names_of_what_python_puts_between_two_frames_are_right():
    generator = numbers(None)
    made = [generator.asend(None), generator.athrow(ValueError), anext(numbers(None), None)]
    coro = waits(None)
    made.append(coro.__await__())
    names_of_types = [type(each).__name__ for each in made]
    assert names_of_types == [
        "async_generator_asend",
        "async_generator_athrow",
        "anext_awaitable",
        "coroutine_wrapper",
    ]
    for each in made:
        each.close()
    coro.close()
    assert sys.implementation.name == "cpython"
