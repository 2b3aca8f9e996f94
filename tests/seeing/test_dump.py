"""What `aiojobs.inspect` says of all schedulers of a process, in words and as JSON, and on a signal."""

import asyncio
import gc
import io
import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress

import pytest

from aiojobs import Scheduler, State
from aiojobs.inspect import dump, dump_on_signal, schedulers, snapshot, stuck
from aiojobs.testing import settle
from docs import pages
from unit.bodies import forever

pytestmark = pytest.mark.requirement("SEE-2")


@pytest.fixture(autouse=True)
def no_others(monkeypatch):
    """Schedulers of other tests, which somebody may still refer to, are not looked at."""
    before = dict.fromkeys(map(id, schedulers()))

    def of_this_test():
        return tuple(scheduler for scheduler in schedulers() if id(scheduler) not in before)

    monkeypatch.setattr("aiojobs.inspect.schedulers", of_this_test)
    return of_this_test


async def ended(*tasks):
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def deadlock():
    """A scheduler whose jobs hold all slots and wait for a pending one, directly and by a task."""
    scheduler = Scheduler(limit=2, pending_limit=1, observer=lambda _: None)
    box = []

    async def waits():
        await asyncio.sleep(1)
        await box[0]

    async def waits_by_a_task():
        await asyncio.sleep(1)
        await asyncio.create_task(box[0].wait(), name="between")

    await scheduler.spawn(waits(), "first", timeout=9)
    await scheduler.spawn(waits_by_a_task(), "second", drain=False)
    box.append(await scheduler.spawn(forever()))
    await asyncio.sleep(2)
    return scheduler


def test_a_scheduler_is_known_as_long_as_somebody_refers_to_it(no_others):
    first, second = Scheduler(), Scheduler()
    assert no_others() == (first, second)
    del first
    gc.collect()
    assert no_others() == (second,)
    third = Scheduler()
    assert no_others() == (second, third)


def test_an_observer_finds_its_scheduler_there(no_others):
    class Attached:
        def attach(self, scheduler):
            self.found = scheduler in no_others()

        def __call__(self, _record):
            """Not called."""

    observer = Attached()
    Scheduler(observer=observer)
    assert observer.found


async def test_all_of_them_in_words():
    scheduler, other = await deadlock(), Scheduler(limit=None, pending_limit=0)
    caller = asyncio.create_task(scheduler.spawn(forever(), "third"), name="caller")
    drainer = asyncio.create_task(other.wait_and_close(), name="drainer")
    await other.spawn(forever())
    await settle()
    lines = [line.partition(" at /")[0] for line in dump().splitlines() if " at /" not in line]
    first, second, pending = (job.id for job in scheduler.snapshot().jobs)
    tasks = {task.name: task.id for task in scheduler.snapshot().tasks}
    between, calling = tasks["between"], tasks["caller"]
    assert lines[:9] == [
        "scheduler 1: open, 2 of 2 slots, 1 of 1 pending, 1 blocked, 0 shielded",
        f"  {first} active first (deadlock.<locals>.waits), age 2.0 s, running 2.0 s, time left 7.0 s",
        f"      waits for {pending} (forever)",
        f"  {second} active second (deadlock.<locals>.waits_by_a_task), age 2.0 s, running 2.0 s, not drained",
        f"      waits for {between} between (Job.wait)",
        f"  {pending} pending (forever), place 1, age 2.0 s",
        f"  {calling} task caller (Scheduler.spawn)",
        "      waits for a slot",
        f"  {between} task between (Job.wait)",
    ]
    assert "scheduler 2: open, 1 slots, 0 pending, 0 blocked, 0 shielded" in lines
    assert "      waits until everything has ended" in lines
    assert lines[-1] == (
        f"stuck: {first} first (deadlock.<locals>.waits), {second} second (deadlock.<locals>.waits_by_a_task)"
    )
    assert f"      at {__file__}:" in dump()
    await ended(caller, drainer)
    await scheduler.close()
    await other.close()


async def test_a_choice_is_told_as_one():
    scheduler = Scheduler()
    job = await scheduler.spawn(forever())

    async def chooses():
        await asyncio.wait([job], return_when=asyncio.FIRST_COMPLETED)

    await scheduler.spawn(chooses())
    await settle()
    assert f"waits for {scheduler.snapshot().jobs[0].id} {job.get_name()} (forever) or another\n" in dump()
    await scheduler.close()


async def test_as_an_object_for_programs():
    scheduler = await deadlock()
    told = json.loads(dump("json"))
    [seen] = told["schedulers"]
    assert seen["phase"] == "open"
    assert [job["name"] for job in seen["jobs"]] == ["first", "second", None]
    assert [job["state"] for job in seen["jobs"]] == [State.ACTIVE, State.ACTIVE, State.PENDING]
    assert seen["jobs"][0]["stack"][0]["function"] == "deadlock.<locals>.waits"
    assert told["stuck"] == [job["id"] for job in seen["jobs"][:2]]
    await scheduler.close()


@pytest.mark.parametrize("wrong", ["xml", None, 1])
async def test_another_format_is_refused(wrong):
    with pytest.raises(ValueError, match="must be 'text' or 'json'"):
        dump(wrong)
    with pytest.raises(ValueError, match="must be 'text' or 'json'"):
        dump_on_signal(format=wrong)


async def test_schedulers_that_wait_for_each_other_are_stuck_together():
    one, other = Scheduler(limit=1), Scheduler(limit=1)
    pending = {}

    async def waits(name):
        await asyncio.sleep(1)
        await pending[name]

    await one.spawn(waits("other"), "one's")
    await other.spawn(waits("one"), "other's")
    pending["one"], pending["other"] = await one.spawn(forever()), await other.spawn(forever())
    await asyncio.sleep(2)
    assert one.snapshot().stuck == other.snapshot().stuck == ()
    assert [job.name for job in stuck()] == ["one's", "other's"]
    assert len(snapshot()) == 2
    await one.close()
    await other.close()


@pytest.mark.loops("stock")
async def test_one_whose_loop_runs_in_another_thread_is_named_and_not_looked_into():
    ready, over = threading.Event(), threading.Event()
    kept = []

    async def elsewhere():
        async with Scheduler() as scheduler:
            kept.append(scheduler)
            await scheduler.spawn(asyncio.sleep(0))
            ready.set()
            await asyncio.to_thread(over.wait)

    thread = threading.Thread(target=asyncio.run, args=[elsewhere()])
    thread.start()
    ready.wait()
    own = Scheduler()
    await own.spawn(asyncio.sleep(0))
    assert "its loop runs in another thread" in dump()
    assert "1 of 100 slots" in dump()
    assert None in json.loads(dump("json"))["schedulers"]
    assert len(snapshot()) == 1
    over.set()
    thread.join()
    await own.close()


def test_a_stack_without_room_is_not_another_thread(monkeypatch):
    class Deep(Scheduler):
        def snapshot(self):
            raise RecursionError

    deep = Deep()
    with pytest.raises(RecursionError):
        snapshot()
    del deep


async def test_a_name_steers_no_terminal():
    scheduler = Scheduler(limit=1)
    await scheduler.spawn(forever(), "a\x1b[2J\nscheduler 7: \u202egnp")
    assert r"a\x1b[2J\nscheduler 7: \u202egnp (forever)" in dump()
    assert "\x1b" not in dump()
    await scheduler.close()


# On a signal.


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="this operating system has no such signals")
@pytest.mark.loops("stock")
@pytest.mark.parametrize("signum", [None, "SIGUSR2"])
async def test_a_signal_has_it_written(signum, monkeypatch):
    number = signal.SIGUSR1 if signum is None else getattr(signal, signum)
    scheduler = Scheduler()
    await scheduler.spawn(forever(), "first")
    out = io.StringIO()
    if signum is None:
        monkeypatch.setattr(sys, "stderr", out)
        dump_on_signal()
    else:
        dump_on_signal(number, file=out, format="json")
    os.kill(os.getpid(), number)
    while not out.getvalue():  # noqa: ASYNC110 - a signal comes when it comes
        await asyncio.sleep(0.001)
    assert "first" in out.getvalue()
    assert out.getvalue().startswith("{" if signum else "scheduler 1: open")
    assert asyncio.get_running_loop().remove_signal_handler(number)
    await scheduler.close()


async def test_a_loop_without_signals_says_what_to_do_instead(monkeypatch):
    def refuses(*_):
        raise NotImplementedError

    monkeypatch.setattr(asyncio.get_running_loop(), "add_signal_handler", refuses)
    with pytest.raises(RuntimeError, match="call aiojobs.inspect.dump"):
        dump_on_signal()


def test_without_a_loop_there_is_nobody_to_write_it():
    with pytest.raises(RuntimeError, match="no running event loop"):
        dump_on_signal()


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="this operating system has no such signals")
def test_the_service_of_the_page_says_where_it_is(tmp_path):
    page = pages.files("docs/howto/see-inside.md")
    [file] = [file for file in page if file.name == "service.py"]
    (tmp_path / "service.py").write_text(file.source, encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "service.py"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGUSR1)
        (shown,) = pages.texts("docs/howto/see-inside.md")
        said = "".join(process.stderr.readline() for _ in shown.splitlines())
        process.kill()
    assert pages.Example("docs/howto/see-inside.md", 0, "", shown).says(said), said
