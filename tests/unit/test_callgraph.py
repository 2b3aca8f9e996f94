"""Whoever waits for a job is seen to, in asyncio's call graph, which CPython has from 3.14 on (WAIT-6)."""

import asyncio
import gc
import os
import re
import subprocess
import sys
import weakref
from contextlib import contextmanager

import pytest

from aiojobs import Scheduler, _callgraph, _closing, _core, _following, _job, _launching, _shields
from aiojobs.testing import settle
from docs import pages
from support.builds import IS_COMPILED, reads_frames_from_outside, replaces_what_is_compiled
from support.observing import Complaints, Recorder
from unit.bodies import Body, returns

pytestmark = pytest.mark.requirement("WAIT-6")

HERE = hasattr(asyncio, "capture_call_graph")
needs_asyncios_own = pytest.mark.skipif(not HERE, reason="CPython has a call graph from 3.14 on")
MODULES = (_callgraph, _closing, _core, _following, _job, _launching, _shields)


class Graph:
    """A call graph after the model of CPython's, for versions that have none."""

    def __init__(self):
        self.awaited_by = weakref.WeakKeyDictionary()

    def link(self, awaited, caller, /):
        if isinstance(awaited, asyncio.Future) and isinstance(caller, asyncio.Future):
            self.awaited_by.setdefault(awaited, set()).add(caller)

    def unlink(self, awaited, caller, /):
        if isinstance(awaited, asyncio.Future) and isinstance(caller, asyncio.Future):
            self.awaited_by.get(awaited, set()).discard(caller)

    def names(self, awaited):
        for caller in self.awaited_by.get(awaited, ()):
            yield caller.get_name()
            yield from self.names(caller)


def _names(graph):
    for parent in graph.awaited_by:
        yield parent.future.get_name() if isinstance(parent.future, asyncio.Task) else "a future"
        yield from _names(parent)


@pytest.fixture
def everywhere(monkeypatch):
    """Have the library use some other thing wherever it uses that name of `_callgraph`."""

    if IS_COMPILED:
        pytest.skip("the names of what is compiled are fixed")

    def replace(**others):
        for module in MODULES:
            for name in others.keys() & vars(module).keys():
                monkeypatch.setattr(module, name, others[name])

    return replace


@pytest.fixture
def seen_waiting_for(everywhere):
    """The names of the tasks that are seen to wait for something, those that wait for these, and so on.

    By asyncio's own call graph if there is one, and if not, by one that takes its place.
    """
    if HERE:
        return lambda awaited: sorted(_names(asyncio.capture_call_graph(awaited)))
    graph = Graph()
    everywhere(CALL_GRAPH=True, link=graph.link, unlink=graph.unlink)
    return lambda awaited: sorted(graph.names(awaited))


def test_the_functions_are_asyncios_where_it_has_them():
    assert _callgraph.CALL_GRAPH is HERE
    assert (_callgraph.link is getattr(asyncio, "future_add_to_awaited_by", None)) is HERE
    assert (_callgraph.unlink is getattr(asyncio, "future_discard_from_awaited_by", None)) is HERE


async def test_what_is_no_task_is_passed_over_on_every_version():
    me = asyncio.current_task()
    for awaited, caller in ((None, me), (me, None), (object(), me), (me, object())):
        _callgraph.link_each([awaited], [caller])
        _callgraph.unlink_each([awaited], [caller])


async def test_without_a_call_graph_nobody_is_linked_and_nothing_else_is_different(everywhere):
    linked = []
    everywhere(
        CALL_GRAPH=False, link=lambda *pair: linked.append(pair), unlink=lambda *pair: linked.append(pair)
    )
    scheduler = Scheduler(limit=1)
    bodies = [Body(), Body()]
    jobs = [await scheduler.spawn(body.run()) for body in bodies]
    callers = [await started(way(job)) for job in jobs for way in (WAYS["await"], WAYS["asyncio.wait"])]
    for way in ("wait", "asyncio.wait"):
        await gone(await started(WAYS[way](jobs[0])))
    gate = asyncio.get_running_loop().create_future()
    callers.append(await started(awaits(scheduler.shield(gate))))
    callers.append(await started(drains(scheduler)))
    with wrapping():
        for end in (bodies[0].finish, bodies[1].finish, lambda: gate.set_result(None)):
            end()
            await settle()
    await asyncio.wait(callers)
    assert linked == []


@contextmanager
def wrapping():
    """As under a tracing tool: each task runs a coroutine of somebody else's, which awaits the one that was given."""

    async def wrapper(coro):
        return await coro

    loop = asyncio.get_running_loop()
    loop.set_task_factory(lambda loop, coro, **options: asyncio.Task(wrapper(coro), loop=loop, **options))
    yield
    loop.set_task_factory(None)


def task_called(name):
    """The task of the job of that name, found as tools find it."""
    return next(task for task in asyncio.all_tasks() if task.get_name() == name)


async def started(coro, name="caller"):
    """A task that has gone as far as it can."""
    task = asyncio.create_task(coro, name=name)
    await settle()
    return task


async def gone(task):
    task.cancel()
    await asyncio.wait([task])
    await settle()


async def awaits(job):
    return await job


async def gathers(job):
    return await asyncio.gather(job, returns())


async def takes_as_completed(job):
    return [await first for first in asyncio.as_completed([job])]


async def shields(job):
    return await asyncio.shield(job)


WAYS = {
    "await": awaits,
    "wait": lambda job: job.wait(),
    "wait for a time": lambda job: job.wait(timeout=50),
    "close": lambda job: job.close(timeout=50),
    "asyncio.wait": lambda job: asyncio.wait([job]),
    "wait_for": lambda job: asyncio.wait_for(job, 50),
    "gather": gathers,
    "as_completed": takes_as_completed,
    "shield": shields,
}
# Here a task of asyncio's may wait on behalf of the caller, so that the one is ours to name, the other asyncio's.
BETWEEN = {"wait_for", "gather", "as_completed", "shield"}
# And here that task goes on when the caller has gone.
DETACHED = {"as_completed", "shield"}


def each(ways):
    marked = [pytest.param(way, marks=needs_asyncios_own if way in BETWEEN else ()) for way in ways]
    return pytest.mark.parametrize("way", marked)


@pytest.mark.loops("virtual", "stock", "uvloop", "eager")
@each(WAYS)
async def test_whoever_waits_for_a_running_job_is_seen_until_it_leaves(seen_waiting_for, way):
    scheduler, body = Scheduler(close_timeout=0), Body(swallows=1)
    job = await scheduler.spawn(body.run(), "job")
    await settle()
    task = task_called("job")
    assert seen_waiting_for(task) == []
    caller = await started(WAYS[way](job))
    seen = seen_waiting_for(task)
    assert "caller" in seen
    assert "a future" not in seen
    await gone(caller)
    left = seen_waiting_for(task)
    body.finish()
    await asyncio.wait([task])
    assert left == [] or way in DETACHED


@each(way for way in WAYS if way != "close")
@pytest.mark.loops("virtual", "stock", "uvloop", "eager")
async def test_whoever_waits_for_a_pending_job_is_seen_once_it_runs(seen_waiting_for, way):
    scheduler, first, second = Scheduler(limit=1), Body(), Body()
    await scheduler.spawn(first.run())
    job = await scheduler.spawn(second.run(), "job")
    callers = [await started(WAYS[way](job), f"caller {number}") for number in (1, 2)]
    await gone(await started(WAYS[way](job), "leaver"))
    first.finish()
    await settle()
    task = task_called("job")
    seen = seen_waiting_for(task)
    assert {"caller 1", "caller 2"} <= set(seen)
    assert "a future" not in seen
    assert "leaver" not in seen or way in DETACHED
    second.finish()
    await asyncio.wait(callers)
    assert seen_waiting_for(task) == []


async def test_whoever_waits_is_seen_to_wait_for_the_task_that_a_tracing_tool_makes_of_a_job(
    seen_waiting_for,
):
    scheduler, first, second = Scheduler(limit=1), Body(), Body()
    await scheduler.spawn(first.run())
    job = await scheduler.spawn(second.run(), "job")
    caller = await started(awaits(job))
    with wrapping():
        first.finish()
        await settle()
    assert seen_waiting_for(task_called("job")) == ["caller"]
    late = await started(awaits(job), "late")
    assert seen_waiting_for(task_called("job")) == ["caller", "late"]
    second.finish("done")
    assert [await caller, await late] == ["done", "done"]


async def test_of_several_who_wait_by_asyncio_only_those_that_still_do_are_seen(seen_waiting_for):
    scheduler, body = Scheduler(), Body()
    job = await scheduler.spawn(body.run(), "job")
    await settle()
    task, told = task_called("job"), []
    job.add_done_callback(told.append)
    callers = [await started(WAYS["asyncio.wait"](job), f"caller {number}") for number in (1, 2)]
    assert seen_waiting_for(task) == ["caller 1", "caller 2"]
    await gone(callers[0])
    assert seen_waiting_for(task) == ["caller 2"]
    assert job.remove_done_callback(told.append) == 1
    assert seen_waiting_for(task) == ["caller 2"]
    body.finish()
    await callers[1]
    assert (seen_waiting_for(task), told) == ([], [])


@replaces_what_is_compiled
@pytest.mark.requirement("BOOK-4")
async def test_a_task_that_objects_to_being_seen_changes_nothing(monkeypatch):
    class Shy(asyncio.Task):
        def __hash__(self):
            if objects:
                raise OSError("not to be seen")
            return id(self)

    objects = False
    scheduler, first, second = Scheduler(limit=1), Body(), Body()
    await scheduler.spawn(first.run())
    job = await scheduler.spawn(second.run(), "job")
    callers = [Shy(awaits(job), name=f"caller {number}") for number in (1, 2)]
    graph = Graph()
    for name, value in (("CALL_GRAPH", True), ("link", graph.link), ("unlink", graph.unlink)):
        for module in (_core, _job, _launching):
            monkeypatch.setattr(module, name, value, raising=False)
    await settle()
    objects = True
    first.finish()
    with Complaints() as complaints:
        await settle()
        second.finish("all the same")
        await settle()
    objects = False
    assert [caller.result() for caller in callers] == ["all the same"] * 2
    assert {str(call["exception"]) for call in complaints.calls} == {"not to be seen"}
    assert len(scheduler) == 0


async def test_nobody_is_seen_to_wait_for_what_has_ended(seen_waiting_for):
    scheduler, body = Scheduler(exception_handler=Recorder()), Body()
    job = await scheduler.spawn(body.run(), "job")
    await settle()
    task = task_called("job")
    callers = [await started(awaits(job), f"caller {number}") for number in (1, 2)]
    body.fail(KeyError("received"))
    await settle()
    assert seen_waiting_for(task) == []
    assert [type(caller.exception()) for caller in callers] == [KeyError, KeyError]


async def test_a_job_that_waits_for_a_job_is_seen_with_all_who_wait_for_it(seen_waiting_for):
    scheduler, body = Scheduler(), Body()
    inner = await scheduler.spawn(body.run(), "inner")
    outer = await scheduler.spawn(awaits(inner), "outer")
    caller = await started(outer.wait())
    assert seen_waiting_for(task_called("inner")) == ["caller", "outer"]
    body.finish("through both")
    assert await caller == "through both"


async def test_a_job_that_ends_keeps_nobody_who_waited_for_it():
    scheduler, body = Scheduler(), Body()
    job = await scheduler.spawn(body.run(), "job")
    await settle()
    task = task_called("job")
    caller = await started(awaits(job))
    gone_with = weakref.ref(caller)
    body.finish()
    await caller
    del caller
    await settle()
    gc.collect()
    assert gone_with() is None
    assert task.done()


@pytest.mark.requirement("BOOK-3")
@pytest.mark.parametrize("way", ["await", "drain", "shield"])
async def test_who_has_left_is_freed_at_once(seen_waiting_for, way):
    scheduler, body = Scheduler(), Body()
    job = await scheduler.spawn(body.run(), "job")
    gate = asyncio.get_running_loop().create_future()
    waiting = {
        "await": lambda: awaits(job),
        "drain": lambda: drains(scheduler),
        "shield": lambda: awaits(scheduler.shield(gate)),
    }
    caller = await started(waiting[way]())
    left = weakref.ref(caller)
    gc.collect()
    gc.disable()
    try:
        await gone(caller)
        del caller
        assert left() is None
    finally:
        gc.enable()
    gate.set_result(None)
    body.finish()
    await scheduler.wait_and_close()
    assert seen_waiting_for(gate) == []


async def drains(scheduler):
    await scheduler.wait_and_close()


async def leaves(scheduler):
    async with scheduler:
        pass


@pytest.mark.parametrize("how", [drains, leaves])
async def test_whoever_drains_is_seen_to_wait_for_what_runs_and_what_starts_meanwhile(seen_waiting_for, how):
    scheduler = Scheduler(limit=2)
    bodies = [Body() for _ in range(3)]
    for number, body in enumerate(bodies):
        await scheduler.spawn(body.run(), f"job {number}")
    future = asyncio.get_running_loop().create_future()
    scheduler.shield(future)
    await settle()
    caller = await started(how(scheduler))
    assert seen_waiting_for(task_called("job 0")) == seen_waiting_for(task_called("job 1")) == ["caller"]
    assert "caller" in seen_waiting_for(future)
    bodies[0].finish()
    meanwhile = asyncio.get_running_loop().create_future()
    scheduler.shield(meanwhile)
    await settle()
    assert seen_waiting_for(task_called("job 2")) == ["caller"]
    assert "caller" in seen_waiting_for(meanwhile)
    for body in bodies[1:]:
        body.finish()
    future.set_result(None)
    meanwhile.set_result(None)
    await caller
    assert seen_waiting_for(future) == seen_waiting_for(meanwhile) == []


async def test_whoever_has_stopped_draining_is_not_seen_any_more(seen_waiting_for):
    scheduler, body = Scheduler(), Body()
    await scheduler.spawn(body.run(), "job")
    caller = await started(drains(scheduler))
    assert seen_waiting_for(task_called("job")) == ["caller"]
    await gone(caller)
    assert seen_waiting_for(task_called("job")) == []
    await scheduler.close()


async def test_whoever_closes_a_scheduler_is_seen_to_wait_for_what_will_not_stop(seen_waiting_for):
    scheduler, body = Scheduler(close_timeout=5, exception_handler=Recorder()), Body(swallows=1)
    await scheduler.spawn(body.run(), "stubborn")
    await settle()
    task = task_called("stubborn")
    callers = [await started(scheduler.close(), f"caller {number}") for number in (1, 2)]
    assert seen_waiting_for(task) == ["caller 1", "caller 2"]
    await asyncio.wait(callers)
    assert seen_waiting_for(task) == []
    body.finish()
    await settle()


async def test_whoever_shields_is_seen_until_it_leaves(seen_waiting_for):
    scheduler = Scheduler()
    gate = asyncio.get_running_loop().create_future()
    inner = await started(awaits(gate), "inner")

    async def polls():
        await scheduler.shield(inner)

    callers = [await started(polls(), f"caller {number}") for number in (1, 2)]
    assert seen_waiting_for(inner) == ["caller 1", "caller 2"]
    await gone(callers[0])
    assert seen_waiting_for(inner) == ["caller 2"]
    gate.set_result("at last")
    await asyncio.wait(callers)
    assert seen_waiting_for(inner) == []
    await scheduler.close()


PROGRAM = """
import asyncio, sys
from aiojobs import Scheduler

async def work(gate):
    await gate

async def outer(job):
    await job

async def gathers(jobs):
    await asyncio.gather(*jobs)

async def shields(scheduler, coro):
    await scheduler.shield(coro)

async def main():
    gate = asyncio.get_running_loop().create_future()
    draining, scheduler = Scheduler(), Scheduler(limit=4, close_timeout=1)
    blockers = [await scheduler.spawn(asyncio.sleep(0), "blocker") for _ in range(2)]
    inner = await scheduler.spawn(work(gate), "inner")
    await scheduler.spawn(outer(inner), "outer")
    pending = await scheduler.spawn(work(gate), "pending")
    callers = [
        asyncio.create_task(inner.wait(), name="waits"),
        asyncio.create_task(pending.wait(), name="waits for the pending"),
        asyncio.create_task(gathers([inner, pending]), name="gathers"),
        asyncio.create_task(shields(scheduler, work(gate)), name="shields"),
    ]
    await draining.spawn(work(gate), "left")
    callers.append(asyncio.create_task(draining.wait_and_close(), name="drains"))
    await asyncio.sleep(0.01)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    gate.set_result(None)
    await asyncio.gather(*callers)
    await scheduler.wait_and_close()

asyncio.run(main())
"""


def parents(tree):
    """Of each task in the drawing of `pstree`, the names of all tasks above it, in every place where it is drawn."""
    found, above = {}, []
    for line in tree.splitlines():
        drawn = re.match(r"(?P<indent>[ │├└─]*)(?P<task>\(T\) )?(?P<name>.*)", line)
        depth = len(drawn["indent"])
        above = [(at, name) for at, name in above if at < depth]
        if drawn["task"]:
            found.setdefault(drawn["name"], set()).update(name for _, name in above)
            above.append((depth, drawn["name"]))
    return found


PAGE = "docs/howto/observe-and-trace.md"


@contextmanager
def running(program, begun):
    """A program in a process of its own, which has printed this line."""
    with subprocess.Popen(
        [sys.executable, "-W", "error", str(program)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    ) as process:  # fmt: skip
        assert process.stdout.readline() == begun
        yield process
        process.kill()


def pstree(process):
    """The tasks of a process, as they are drawn."""
    looked = subprocess.run(
        [sys.executable, "-m", "asyncio", "pstree", str(process.pid)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "permission" in looked.stderr.lower():
        process.kill()
        pytest.skip(f"this user may not look into processes: {looked.stderr.splitlines()[-1]}")
    assert looked.returncode == 0, looked.stderr
    return looked.stdout


@needs_asyncios_own
def test_pstree_shows_who_waits_for_the_jobs_of_another_process(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM, encoding="utf-8")
    with running(program, "ready\n") as process:
        seen = parents(pstree(process))
        process.communicate("go on\n", timeout=10)
    assert process.returncode == 0
    assert {"waits", "gathers", "outer"} <= seen["inner"]
    assert {"waits for the pending", "gathers"} <= seen["pending"]
    assert seen["left"] >= {"drains"}
    assert any("shields" in above for above in seen.values())


@needs_asyncios_own
@reads_frames_from_outside
def test_pstree_draws_what_the_page_shows(tmp_path):
    pages.write_files(PAGE, tmp_path)
    with running(tmp_path / "app.py", "it runs\n") as process:
        drawn = pstree(process)
    (shown,) = pages.texts(PAGE)
    assert pages.Example(PAGE, 0, "", shown).says(drawn), drawn
