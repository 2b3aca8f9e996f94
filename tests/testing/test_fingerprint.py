"""Two states are the same only if nothing in them differs that has a future; what can't be seen into is the same as
nothing."""

import asyncio
import collections
import contextvars
import dataclasses
import enum
import functools
import itertools
import operator
import random
import re
import sys
import threading
import types
import weakref
from typing import NamedTuple

import pytest

from aiojobs import Scheduler
from aiojobs.testing import VirtualLoop, run, settle
from aiojobs.testing import _fingerprint as subject
from aiojobs.testing._fingerprint import Fingerprints, Unseen
from aiojobs.testing._run import StoryLoop
from aiojobs.testing._search import Search
from aiojobs.testing._story import Scenario


class Prints:
    """The fingerprints of one test: no other test meets the variables that its code names."""

    of_this_test = Fingerprints()


@pytest.fixture(autouse=True)
def of_this_test(monkeypatch):
    monkeypatch.setattr(Prints, "of_this_test", Fingerprints())


def content(*roots):
    """What the walk makes of some objects."""
    prints = Prints.of_this_test
    walk = subject._Walk(prints._takers)
    walk.take([*roots])
    walk.take(prints._lasting_values())
    walk.finish()
    return walk.tokens


class Plain:
    shared = 1

    def __init__(self, value):
        self.value = value

    @classmethod
    def made(cls):
        return cls(1)

    @property
    def twice(self):
        return 2 * self.value


class Slotted:
    __slots__ = ("other", "value")

    def __init__(self, value):
        self.value = value


class Both(Slotted):
    def __init__(self, value):
        super().__init__(1)
        self.more = value


class MyDict(dict):
    def __init__(self, value):
        super().__init__(a=1)
        self.value = value


class MyError(Exception):
    pass


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


@dataclasses.dataclass(frozen=True)
class Data:
    value: object


class Pair(NamedTuple):
    a: object
    b: object


_VARIABLE = contextvars.ContextVar("variable", default=None)


async def waits(value):
    await asyncio.Event().wait()


def generates(value):
    yield value


def begun(coroutine):
    coroutine.send(None)
    return coroutine


def begun_with(value):
    loop_free = types.coroutine(generates)(value)
    loop_free.send(None)
    return loop_free


def iterator_at(place):
    iterator = iter([1, 2, 3])
    for _ in range(place):
        next(iterator)
    return iterator


def closure_over(value):
    return lambda: value


def with_default(value):
    def function(argument=value, *, other=None):
        return argument

    return function


def raised_from(cause):
    error = MyError("a")
    error.__cause__ = cause
    return error


def context_with(value):
    context = contextvars.copy_context()
    context.run(_VARIABLE.set, value)
    return context


def cycle(value):
    items = [value]
    items.append(items)
    return items


def shared(same):
    first, second = [], []
    return [first, first if same else second]


def lock(locked):
    made = threading.Lock()
    if locked:
        made.acquire()
    return made


def memo(*asked):
    @functools.lru_cache
    def function(number):
        return number

    for number in asked:
        function(number)
    return function


def defaultdict(factory):
    return collections.defaultdict(factory, a=1)


def seeded(seed):
    return random.Random(seed)


# Pairs of a function and two arguments for it: made with different ones the content differs, with equal ones not.
DIFFERING = [
    (Plain, 1, 2),
    (Plain, 1.0, 2.0),
    (Plain, "a", b"a"),
    (Plain, ..., None),
    (Slotted, 1, 2),
    (Both, 1, 2),
    (MyDict, 1, 2),
    (Data, (1, 2), (2, 1)),
    (list, (1, 2), (1, 3)),
    (dict, {"a": 1}, {"a": 2}),
    (set, "ab", "ac"),
    (frozenset, [(1, 2)], [(1, 3)]),
    (collections.deque, [1], [2]),
    (functools.partial(collections.deque, [1]), 1, 2),
    (collections.OrderedDict, {"a": 1}, {"a": 2}),
    (defaultdict, list, dict),
    (Colour, 1, 2),
    (MyError, "a", "b"),
    (raised_from, KeyError(1), KeyError(2)),
    (functools.partial(Pair, 1), 1, 2),
    (itertools.count, 1, 2),
    (seeded, 1, 2),
    (iterator_at, 1, 2),
    (closure_over, 1, 2),
    (with_default, 1, 2),
    (functools.partial(functools.partial, print), 1, 2),
    (operator.itemgetter, 1, 2),
    (lambda value: Plain(value).made if value == 1 else Plain(value).__init__, 1, 2),
    (lambda value: [value].append, 1, 2),
    (lambda value: {value: 1}.keys(), 1, 2),
    (lambda value: types.MappingProxyType({value: 1}), 1, 2),
    (lambda value: types.SimpleNamespace(a=value), 1, 2),
    (waits, 1, 2),
    (generates, 1, 2),
    (begun_with, 1, 2),
    (context_with, 1, 2),
    (cycle, 1, 2),
    (shared, True, False),
    (lock, True, False),
    (lambda asked: memo(*asked), (1,), (1, 2)),
    (bytearray, b"a", b"b"),
    (slice, 1, 2),
    (complex, 1, 2),
    (type("Text", (str,), {}), "a", "b"),
    (type("Number", (int,), {}), 1, 2),
    (type("Real", (float,), {}), 1, 2),
    (lambda value: type("Local", (), {"variable": value}), 1, 2),
    (lambda value: type("Local", (), {"variable": value})(), 1, 2),
]


@pytest.mark.parametrize(("make", "one", "other"), DIFFERING)
def test_what_differs_is_told_apart_and_what_is_equal_is_not(make, one, other):
    first, again, second = make(one), make(one), make(other)
    content(first)  # the functions and classes that it names are noted
    assert content(first) == content(again)
    assert content(first) != content(second)
    for each in (first, again, second):
        getattr(each, "close", int)()


@pytest.mark.parametrize(
    "make",
    [
        object,
        lambda: print,
        lambda: len.__call__,
        lambda: str.join,
        lambda: str.__add__,
        lambda: "a".join,
        lambda: sys,
        lambda: (lambda: 1).__code__,
        asyncio.Lock,
        lambda: _VARIABLE,
        lambda: Plain,
        lambda: dict,
        lambda: weakref.ref(Plain),
        types.CellType,
        lambda: Slotted.__new__(Slotted),
        lambda: weakref.WeakSet([Plain]),
        lambda: weakref.WeakKeyDictionary({Plain: 1}),
    ],
)
def test_what_is_equal_is_equal(make):
    first, second = make(), make()
    content(first)
    assert content(first) == content(second)


def test_a_weak_reference_is_what_it_refers_to():
    plain = Plain(1)
    held = content(weakref.ref(plain))
    plain.value = 2
    changed = content(weakref.ref(plain))
    dead = weakref.ref(plain)
    del plain
    assert held != changed
    assert content(dead) not in (held, changed)


def test_a_set_has_no_order_and_its_members_are_known_by_where_else_they_are():
    plains = [Plain(number) for number in range(5)]
    members = set(plains)
    assert content(plains, members) == content(plains, {*members})
    assert content(plains, members) != content(plains, set(plains[1:]))
    assert content({1, "a"}) == content({"a", 1})
    assert content({(1, 2), (3, 4)}) != content({(1, 2), (3, 5)})
    content({plains[0]})  # one alone needs no order


@pytest.mark.parametrize(
    ("unseen", "said"),
    [
        (lambda: {Plain(1), Plain(2)}, "a set of Plain"),
        (lambda: open(__file__), "TextIOWrapper"),  # noqa: PTH123, SIM115
        (threading.RLock, "RLock"),
        (lambda: memoryview(b"a"), "memoryview"),
        (lambda: type("Odd", (bytearray,), {"__reduce_ex__": lambda *_: 1 / 0})(b"a"), "Odd"),
    ],
)
def test_what_can_t_be_seen_into_is_said(unseen, said):
    made = unseen()
    with pytest.raises(Unseen, match=said):
        content(made)
    getattr(made, "close", int)()


@pytest.mark.parametrize("kind", [asyncio.futures._CFuture, asyncio.futures._PyFuture])
async def test_futures_are_told_apart_by_all_that_they_may_do(kind):
    def future(*, callback=None, result=None, error=None, cancelled=False):
        made = kind()
        if callback is not None:
            made.add_done_callback(callback)
        if result is not None:
            made.set_result(result)
        if error is not None:
            made.set_exception(error)
        if cancelled:
            made.cancel()
        return made

    made = [
        future(),
        future(callback=print),
        future(callback=len),
        future(result=1),
        future(result=2),
        future(error=KeyError(1)),
        future(error=KeyError(2)),
        future(cancelled=True),
    ]
    again = [future(), future(callback=print)]
    contents = [content(each) for each in made]
    assert len({repr(each) for each in contents}) == len(made)
    assert [content(each) for each in again] == contents[:2]
    for each in made[5:7]:
        each.exception()
    assert content(made[5]) != contents[5]  # that nobody has taken it has a future


@pytest.mark.parametrize("kind", [asyncio.tasks._CTask, asyncio.tasks._PyTask])
async def test_tasks_are_told_apart_by_a_cancellation_under_way(kind):
    """The two differ in this: of asyncio's own tasks the names that they get by themselves are left out."""
    loop = asyncio.get_running_loop()

    async def sleeps():
        while "enough" not in heard:
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                heard.append(1)

    heard = []
    task = kind(sleeps(), loop=loop, name="one")
    await asyncio.sleep(0)
    for _ in range(2):  # after the first one only that it is under way makes the difference
        asked = task.cancelling()
        task.cancel()
        under_way = content(task)
        await asyncio.sleep(0)
        assert (heard, task.cancelling()) == ([1], asked + 1)
        heard.clear()
        assert content(task) != under_way  # it stands where it stood, and is cancelled no more
    named = content(task)
    task.set_name("another")
    assert content(task) != named
    task.set_name("Task-5")
    given = content(task)
    task.set_name("Task-6")
    assert (content(task) == given) == (kind is asyncio.Task)
    heard.append("enough")
    await task


def test_what_is_registered_for_pickling_is_what_that_says():
    assert content(re.compile("a")) == content(re.compile("a")) != content(re.compile("b"))


def test_a_future_that_asyncio_makes_for_itself_is_a_future():
    """Those in C have attributes, and no `__dict__` by which one could see them.

    Made outside every task: from Python 3.14 on such a future holds the task that has made it, and a task that runs
    is the test itself, which leads to all of pytest.
    """
    loop = VirtualLoop()
    first, again, other = (asyncio.gather(loop.create_task(asyncio.sleep(0, number))) for number in (1, 1, 2))
    assert type(first) is not asyncio.Future
    assert content(first) == content(again) != content(other)
    assert subject._hides_something(asyncio.Future)
    loop.run_until_complete(asyncio.gather(first, again, other))
    loop.close()


@pytest.mark.parametrize("number", [1, 2])
def test_what_one_test_names_no_other_one_meets(number):
    assert not Prints.of_this_test._lasting
    content(names_them)
    assert Prints.of_this_test._lasting


def test_where_a_task_can_t_be_seen_into_that_is_said(monkeypatch):
    class Closed:
        def done(self):
            return False

        cancelled = cancelling = done

    with pytest.raises(Unseen, match="futures of this Python"):
        subject._of_future(Closed())
    with pytest.raises(Unseen, match="tasks of this Python"):
        subject._of_task(Closed())


async def test_two_places_with_the_same_variables_are_two_places():
    async def twice():
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    task = asyncio.ensure_future(twice())
    await asyncio.sleep(0)
    first = content(task.get_coro())
    await asyncio.sleep(0)
    assert content(task.get_coro()) != first
    await task


@pytest.mark.parametrize("ahead", [0, 1])
def test_of_time_only_the_distance_counts(ahead):
    """The clock itself has no future; how far away a timer is has one."""

    def digest(now, deadline):
        loop = StoryLoop()
        loop.main = None
        loop.advance(now)
        loop.call_at(deadline, print)
        return Prints.of_this_test.digest(loop, Scenario(loop))

    assert digest(ahead, ahead + 2) == digest(5, 7)
    assert digest(ahead, ahead + 2) != digest(ahead, ahead + 3)


remembered = {}


def test_a_variable_of_a_module_keeps_states_apart(monkeypatch):
    """The two orders lead to frames that are the same: only the variable tells them apart."""
    monkeypatch.setattr("aiojobs.testing._search._WALKS", 0)

    async def remembers(story, name):
        await story.io(name)
        remembered["last"] = name

    async def test(story):
        remembered.clear()
        for name in "ab":
            story.task(name, remembers(story, name))
        await story.rest()
        await story.io("once more")
        assert remembered["last"] == "b"  # so it is in the first run

    assert [step.name for step in Search(test, 0).look(60, None).steps] == [
        "b 1 answers",
        "a 1 answers",
        "all is at rest",
        "once more 1 answers",
    ]


async def test_coroutines_are_told_apart_by_place_and_by_which_variables_are_bound():
    async def one_of_two(first, value):
        await asyncio.sleep(0)
        if first:
            one = value
        else:
            other = value
        del first
        await asyncio.Event().wait()
        return one, other

    async def agen(value):
        yield value
        await asyncio.sleep(1)

    value = Plain(1)
    tasks = [asyncio.ensure_future(one_of_two(first, value)) for first in (True, False, True)]
    await asyncio.sleep(0)
    at_first = content(tasks[0].get_coro())
    await asyncio.sleep(0)
    contents = [content(task.get_coro()) for task in tasks]
    assert contents[0] == contents[2] != contents[1]
    assert at_first != contents[0]
    generator = agen(1)
    fresh = content(generator)
    await anext(generator)
    assert content(generator) != fresh
    await generator.aclose()
    assert content(generator) not in (fresh, contents[0])
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


def test_looking_keeps_nothing_alive():
    """A copy of the variables of a coroutine would, before 3.13."""

    async def drops(value):
        await bare()
        del value
        await bare()

    @types.coroutine
    def bare():
        yield

    plain = Plain(1)
    reference = weakref.ref(plain)
    coroutine = begun(drops(plain))
    del plain
    content(coroutine)
    assert reference() is not None
    coroutine.send(None)
    assert reference() is None
    coroutine.close()


# Variables that live longer than a run.

counter = itertools.count()
settings = {"limit": 1}
helper = types.ModuleType("helper_of_the_tests")
helper.state = [0]
lazily = None


class Registry:
    made = 0


def takes_default(argument=[]):  # noqa: B006  a default that can change is what is looked at
    return argument


def names_them():
    global lazily, never_before  # noqa: PLW0603  to assign them is what is looked at
    lazily = never_before = None
    return next(counter), settings["limit"], helper.state, Registry.made, takes_default(), random.random()


@pytest.mark.parametrize(
    "change",
    [
        lambda: next(counter),
        lambda: settings.update(limit=settings["limit"] + 1),
        lambda: helper.state.append(1),
        lambda: setattr(Registry, "made", Registry.made + 1),
        lambda: takes_default().append(1),
        lambda: globals().update(lazily=object()),
        lambda: globals().update(never_before=[]),
        random.random,
    ],
)
def test_variables_of_modules_and_classes_that_the_code_names_are_part_of_the_state(change):
    content(names_them)
    before = content(names_them)
    assert content(names_them) == before
    change()
    assert content(names_them) != before


def test_a_module_of_the_program_is_not_trusted_for_its_name(monkeypatch):
    """Only the standard library's own module `queue` is; one of the program may bear its name."""
    assert subject._is_trusted("queue")
    assert subject._is_trusted("sys")
    assert not subject._is_trusted(__name__)
    subject._is_trusted.cache_clear()
    module = types.ModuleType("queue")
    module.__file__ = "/home/me/orders/queue.py"
    monkeypatch.setitem(sys.modules, "queue", module)
    assert not subject._is_trusted("queue")
    subject._is_trusted.cache_clear()


def test_what_changes_from_run_to_run_is_never_merged_away():
    """A counter that goes on: no two runs are the same, so a search can only end where it is small enough."""

    async def test(story):
        number = next(counter)
        for name in "abc":
            story.task(name, lambda name=name: story.io(name))
        await story.rest()
        assert number >= 0

    search = Search(test, 0)
    assert search.look(60, None) is None
    assert search.exhausted

    async def without(story):
        for name in "abc":
            story.task(name, lambda name=name: story.io(name))
        await story.rest()

    other = Search(without, 0)
    assert other.look(60, None) is None
    assert other.runs < search.runs


def test_what_the_task_of_a_job_runs_is_seen_into():
    async def waits(value):
        await asyncio.Event().wait()
        return value

    async def content_of_a_job(value):
        async with Scheduler() as scheduler:
            await scheduler.spawn(waits(value), "the job")
            await settle()
            (task,) = (task for task in asyncio.all_tasks() if task.get_name() == "the job")
            found = content(task.get_coro())
            await scheduler.close()
            return found

    assert run(content_of_a_job(1)) == run(content_of_a_job(1)) != run(content_of_a_job(2))
