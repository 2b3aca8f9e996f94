"""The virtual loop: deterministic, never asleep, and an error where a real program would hang."""

import asyncio
import contextvars
import gc
import random
import sys
import threading
import time
from collections.abc import Coroutine

import pytest

from aiojobs.testing import Deadlock, Livelock, VirtualLoop, settle
from support.loops import StrictLoop, available_loops
from support.observing import Complaints, Recorder


@pytest.fixture
def loop():
    loop = VirtualLoop()
    yield loop
    loop.close()


def run(loop, coro):
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(coro)


# Time.


def test_time_jumps_instead_of_passing(loop):
    started = time.monotonic()
    loop.run_until_complete(asyncio.sleep(1_000_000))
    assert loop.time() == 1_000_000
    assert time.monotonic() - started < 5


def test_timers_fire_by_deadline_and_then_in_the_order_they_were_set(loop):
    fired = []
    for name, delay in [("c", 2), ("a", 1), ("d", 2), ("b", 1)]:
        loop.call_later(delay, fired.append, name)
    loop.call_later(3, loop.stop)
    loop.run_forever()
    assert fired == ["a", "b", "c", "d"]


def test_a_withdrawn_timer_neither_fires_nor_moves_the_clock(loop):
    loop.call_later(5, pytest.fail).cancel()
    loop.run_until_complete(asyncio.sleep(1))
    assert loop.time() == 1
    assert not loop.timers()


async def test_timeouts_of_asyncio_work_on_virtual_time():
    loop = asyncio.get_running_loop()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(60):
            await asyncio.sleep(61)
    assert loop.time() == 60
    done, pending = await asyncio.wait([asyncio.create_task(asyncio.sleep(1)), *_sleepers(5)], timeout=2)
    assert (len(done), len(pending), loop.time()) == (1, 5, 62)
    for task in pending:
        task.cancel()


def _sleepers(count):
    return [asyncio.create_task(asyncio.sleep(100)) for _ in range(count)]


# Order.


def test_a_turn_runs_what_was_ready_and_nothing_that_became_ready_in_it(loop):
    ran = []
    loop.call_soon(lambda: (ran.append("first"), loop.call_soon(ran.append, "of the next turn")))
    loop.call_soon(ran.append, "second")
    with loop.entered():
        assert loop.turn() == 2
        assert ran == ["first", "second"]
        assert loop.turn() == 1
        assert ran == ["first", "second", "of the next turn"]
        assert loop.turn() == 0
        assert loop.turns == 3


def test_due_timers_come_after_what_is_ready(loop):
    ran = []
    loop.call_later(1, ran.append, "timer")
    with loop.entered():
        loop.call_soon(ran.append, "ready")
        assert loop.advance()
        assert [handle.args for handle in loop.ready()] == [("ready",), ("timer",)]
        loop.turn()
    assert ran == ["ready", "timer"]


def test_due_timers_can_fire_before_what_an_event_from_outside_has_made_ready(loop):
    ran = []
    with loop.entered():
        loop.call_later(2, ran.append, "later")
        second = loop.call_later(1, ran.append, "withdrawn by the first")
        first = loop.call_later(
            0.5, lambda: (ran.append("first"), second.cancel(), loop.call_later(0, ran.append, "set"))
        )
        loop.advance(1)
        loop.call_soon(ran.append, "ready")
        assert loop.due() == (first, second)
        assert loop.fire() == 1
        assert ran == ["first"]
        assert [timer.args for timer in loop.due()] == [("set",)]
        loop.turn()
        assert ran == ["first", "ready", "set"]
        assert loop.fire() == 0
    assert loop.due() == ()


def test_turns_are_as_many_as_on_the_stock_loop(loop):
    """`sleep(0)`, a wake-up, a done callback, `gather`: each takes as many passes as on the stock loop."""

    async def story(log):
        def mark(name):
            log.append(name)
            return name

        async def child(name, passes):
            for number in range(passes):
                mark(f"{name}{number}")
                await asyncio.sleep(0)
            return name

        gathered = asyncio.ensure_future(asyncio.gather(child("a", 3), child("b", 1), child("c", 2)))
        gathered.add_done_callback(lambda _: mark("gathered"))
        for number in range(8):
            mark(f"main{number}")
            await asyncio.sleep(0)
        return log

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as stock:
        assert stock.run(story([])) == loop.run_until_complete(story([]))


def _chaos(seed):
    """A program of many tasks that sleep, cancel and time out by seeded chance; returns its log."""
    chance, log = random.Random(seed), []

    async def worker(name):
        try:
            async with asyncio.timeout(chance.choice([0, 1, 2, 5])):
                for _ in range(chance.randrange(6)):
                    await asyncio.sleep(chance.choice([0, 0, 0.5, 1]))
                    log.append((name, asyncio.get_running_loop().time()))
        except (TimeoutError, asyncio.CancelledError) as error:
            log.append((name, type(error).__name__))

    async def main():
        tasks = [asyncio.create_task(worker(number)) for number in range(30)]
        for task in chance.sample(tasks, 10):
            await asyncio.sleep(chance.choice([0, 0.25]))
            task.cancel()
        await asyncio.wait(tasks)

    loop = VirtualLoop()
    run(loop, main())
    return log, loop.turns, loop.time()


@pytest.mark.parametrize("seed", range(5))
def test_the_same_program_takes_the_same_steps(seed):
    first = _chaos(seed)
    litter = [object() for _ in range(1000)]  # other addresses, other hashes by address
    assert _chaos(seed) == first
    assert len(first[0]) > 10
    del litter


# Hanging is an error.


def test_a_deadlock_is_reported_with_who_waits_where(loop):
    async def main():
        waiting = asyncio.create_task(asyncio.Event().wait(), name="the-one-that-waits")
        await waiting

    with pytest.raises(
        Deadlock, match=r"time 0;(.|\n)*the-one-that-waits: line \d+ of .*locks.py, in Event.wait"
    ):
        run(loop, main())


def test_a_deadlock_without_any_task_says_so(loop):
    with pytest.raises(Deadlock, match="no task"):
        loop.run_forever()


def test_spinning_is_reported():
    loop = VirtualLoop(spin_limit=50)

    async def spin():
        while True:  # noqa: ASYNC110  to wait like this is the fault
            await asyncio.sleep(0)

    with pytest.raises(Livelock, match="51 turns at time 0"):
        run(loop, spin())


def test_waiting_in_steps_is_not_spinning():
    loop = VirtualLoop(spin_limit=50)

    async def patient():
        for _ in range(200):
            await asyncio.sleep(0.01)

    run(loop, patient())
    assert loop.time() == pytest.approx(2)


# Stepping.


def test_a_task_is_led_step_by_step(loop):
    steps = []

    async def walk():
        for number in range(3):
            steps.append(number)
            await asyncio.sleep(0)

    with loop.entered():
        assert asyncio.get_running_loop() is loop
        assert loop.is_running()
        task = loop.create_task(walk())
        for expected in ([0], [0, 1], [0, 1, 2]):
            assert not loop.quiet()
            loop.turn()
            assert steps == expected
        loop.turn()
        assert task.done()
        assert loop.quiet()
    assert not loop.is_running()


def test_time_passes_only_when_told(loop):
    with loop.entered():
        task = loop.create_task(asyncio.sleep(1))
        loop.turn()
        assert loop.quiet()
        assert [timer.when() for timer in loop.timers()] == [1]
        loop.advance(0.5)
        assert loop.quiet()
        assert loop.advance()
        assert loop.time() == 1
        assert not loop.quiet()
        while not loop.quiet():
            loop.turn()
        assert task.done()
        assert not loop.advance()


def test_what_asyncio_lets_through_leaves_the_rest_of_the_turn_queued(loop):
    async def leave():
        raise KeyboardInterrupt

    ran = []
    with loop.entered():
        task = loop.create_task(leave())
        loop.call_soon(ran.append, "rest")
        with pytest.raises(KeyboardInterrupt):
            loop.turn()
        assert ran == []
        loop.turn()
    assert ran == ["rest"]
    assert isinstance(task.exception(), KeyboardInterrupt)


def test_a_loop_is_entered_once_and_not_inside_another(loop):
    other = VirtualLoop()
    with loop.entered():
        for inner in (loop, other):
            with pytest.raises(RuntimeError, match="already running"), inner.entered():
                pytest.fail("entered")
    other.close()


# Errors.


def test_complaints_are_collected_and_handled(loop):
    seen = []
    loop.set_exception_handler(lambda _, context: seen.append(context))
    loop.call_soon(lambda: 1 / 0)
    loop.call_later(1, loop.stop)
    loop.run_forever()
    assert seen == loop.complaints
    assert isinstance(seen[0]["exception"], ZeroDivisionError)
    assert "Exception in callback" in seen[0]["message"]


def test_without_a_handler_complaints_are_logged_as_asyncio_does(loop, caplog):
    loop.call_exception_handler({"message": "something odd", "exception": ValueError("why")})
    assert [record.getMessage() for record in caplog.records] == ["something odd"]
    assert caplog.records[0].name == "asyncio"


def test_a_handler_that_raises_does_not_stop_the_loop(loop, caplog):
    def handler(_, context):
        raise ValueError

    loop.set_exception_handler(handler)
    loop.call_soon(lambda: 1 / 0)
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert len(loop.complaints) == 1
    assert "handler of the loop raised" in caplog.text


def test_a_lost_exception_of_a_task_is_a_complaint(loop):
    async def main():
        task = asyncio.create_task(_fail())
        await asyncio.sleep(0)
        del task
        gc.collect()

    loop.set_exception_handler(lambda *_: None)
    run(loop, main())
    assert "never retrieved" in loop.complaints[0]["message"]


async def _fail():
    raise ValueError


def test_a_strict_loop_fails_whom_it_complained_to():
    loop = StrictLoop()
    loop.set_exception_handler(lambda *_: None)
    loop.call_exception_handler({"message": "lost"})
    with pytest.raises(AssertionError, match="lost"):
        loop.close()


async def test_expected_complaints_are_taken_by_the_helper():
    loop = asyncio.get_running_loop()
    with Complaints() as complaints:
        loop.call_soon(lambda: 1 / 0)
        await settle()
    assert len(complaints.calls) == 1
    assert "Exception in callback" in complaints.messages[0]
    assert loop.complaints == []


# Refusals.


def test_calls_from_other_threads_are_refused(loop):
    refused = []

    def call():
        try:
            loop.call_soon_threadsafe(print)
        except RuntimeError as error:
            refused.append(str(error))

    async def main():
        thread = threading.Thread(target=call)
        thread.start()
        thread.join()
        loop.call_soon_threadsafe(refused.append, "own thread")
        await asyncio.sleep(0)

    run(loop, main())
    assert refused[1:] == ["own thread"]
    assert "other threads" in refused[0]


def test_executors_are_refused(loop):
    with pytest.raises(RuntimeError, match="no executor"):
        loop.run_in_executor(None, print)


@pytest.mark.parametrize("call", ["call_soon", "call_soon_threadsafe"])
def test_a_closed_loop_takes_nothing(loop, call):
    loop.close()
    assert loop.is_closed()
    with pytest.raises(RuntimeError, match="closed"):
        getattr(loop, call)(print)
    with pytest.raises(RuntimeError, match="closed"):
        loop.call_later(1, print)


async def test_a_running_loop_is_not_closed():
    with pytest.raises(RuntimeError, match="running"):
        asyncio.get_running_loop().close()


def test_a_loop_stopped_early_says_so(loop):
    loop.call_soon(loop.stop)
    task = loop.create_task(asyncio.sleep(5))
    with pytest.raises(RuntimeError, match="stopped before"):
        loop.run_until_complete(task)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)


# What programs use of a loop besides.


def test_the_runner_of_asyncio_accepts_it(loop):
    ended = []

    async def generate():
        try:
            yield 1
        finally:
            ended.append(True)

    async def main():
        generator = generate()
        await anext(generator)
        asyncio.create_task(asyncio.sleep(100))  # noqa: RUF006  the runner has to cancel it
        return generator

    run(loop, main())
    assert ended == [True]


def test_an_abandoned_generator_is_closed_by_the_loop(loop):
    ended = []

    async def generate():
        try:
            yield 1
        finally:
            ended.append(True)

    async def main():
        async for _ in generate():
            break
        await settle()
        return list(ended)

    assert run(loop, main()) == [True]


def test_contexts_and_names_reach_tasks(loop):
    variable = contextvars.ContextVar("variable", default="outer")
    context = contextvars.copy_context()
    context.run(variable.set, "given")

    async def read():
        return variable.get()

    task = loop.create_task(read(), name="reader", context=context)
    assert task.get_name() == "reader"
    assert loop.run_until_complete(task) == "given"


def test_task_factories_are_used(loop):
    made = []

    def factory(loop, coro, **options):
        made.append(options)
        return asyncio.Task(coro, loop=loop, **options)

    loop.set_task_factory(factory)
    assert loop.get_task_factory() is factory
    context = contextvars.copy_context()
    task = loop.create_task(asyncio.sleep(0), name="named", context=context)
    loop.run_until_complete(task)
    assert (task.get_name(), made[0]["context"]) == ("named", context)


def test_eager_tasks_begin_at_once(loop):
    if sys.version_info < (3, 12):
        assert not [name for name in available_loops() if "eager" in name]
        return
    loop.set_task_factory(asyncio.eager_task_factory)
    began = []

    async def begin():
        began.append(True)

    with loop.entered():
        assert loop.create_task(begin()).done()
    assert began == [True]


@pytest.mark.parametrize("wanted", [True, False])
def test_debug_mode_keeps_the_origin_of_coroutines(loop, wanted):
    loop.set_debug(wanted)

    async def main():
        coro = asyncio.sleep(0)
        origin = coro.cr_origin
        await coro
        return origin

    assert bool(loop.run_until_complete(main())) is wanted
    assert sys.get_coroutine_origin_tracking_depth() == 0


# The plugin.


@pytest.mark.loops(*available_loops())
async def test_a_test_runs_on_each_loop_it_names(request):
    loop = asyncio.get_running_loop()
    name = request.node.callspec.id
    assert isinstance(loop, VirtualLoop) is (name in {"virtual", "eager"})
    assert type(loop).__module__.startswith("uvloop") is (name == "uvloop")
    assert (loop.get_task_factory() is not None) is ("eager" in name)


async def test_without_a_marker_a_test_runs_on_the_virtual_loop():
    assert isinstance(asyncio.get_running_loop(), StrictLoop)


def test_a_recorder_keeps_and_raises():
    recorder = Recorder(raises=ValueError("as told"))
    with pytest.raises(ValueError, match="as told"):
        recorder("scheduler", {"message": "kept"})
    assert recorder.messages == ["kept"]
    assert recorder.exceptions == [None]


# What a handle, and the loop, say of themselves.


def test_a_handle_has_a_context_a_word_for_itself_and_can_be_withdrawn(loop):
    context = contextvars.copy_context()
    handle = loop.call_soon(print, context=context)
    assert handle.get_context() is context
    assert (handle.cancelled(), repr(handle)) == (False, "<TurnHandle print>")
    handle.cancel()
    assert (handle.cancelled(), repr(handle)) == (True, "<TurnHandle withdrawn>")


def test_timers_are_ordered_among_themselves_and_equal_to_themselves_alone(loop):
    late, soon, also_soon = (loop.call_later(delay, pytest.fail) for delay in (2, 1, 1))
    assert sorted([late, also_soon, soon]) == [soon, also_soon, late]
    assert soon != also_soon
    assert {soon, also_soon, soon} == {also_soon, soon}
    with pytest.raises(TypeError, match="not supported between"):
        soon < 1  # noqa: B015 - to compare is the point


def test_the_loop_tells_its_time_and_what_is_queued(loop):
    loop.call_soon(pytest.fail)
    loop.call_later(1, pytest.fail)
    assert repr(loop) == "<VirtualLoop time=0 ready=1 timers=1>"


# Ends that are seldom.


def test_an_interrupt_goes_through_and_is_told_once(loop):
    async def interrupted():
        raise KeyboardInterrupt

    task = loop.create_task(interrupted())
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(task)
    loop.run_until_complete(asyncio.sleep(1))  # what was queued by then does not stop the loop
    del task
    gc.collect()
    assert loop.complaints == []


def test_a_loop_that_was_told_to_stop_takes_one_turn(loop):
    loop.stop()
    loop.run_forever()  # there is nothing to do, and that is no deadlock
    assert loop.turns == 1


def test_a_generator_that_outlives_its_loop_is_warned_of(loop):
    async def generate():
        yield 1

    async def begin():
        generator = generate()
        await anext(generator)
        kept.append(generator)

    kept = []
    loop.run_until_complete(begin())
    loop.close()
    with pytest.warns(ResourceWarning, match="outlived its loop"):
        kept.clear()


def test_a_deadlock_of_a_coroutine_without_a_frame_names_the_coroutine(loop):
    class Odd(Coroutine):
        def __init__(self, waited):
            self.waited = waited.__await__()

        def send(self, value):
            return self.waited.send(value)

        def throw(self, *error):
            return self.waited.throw(*error)

        def close(self):
            self.waited.close()

        def __await__(self):
            return self.waited

        def __repr__(self):
            return "an odd one"

    task = loop.create_task(Odd(loop.create_future()), name="odd")
    with pytest.raises(Deadlock, match="odd: an odd one"):
        loop.run_until_complete(task)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)
