"""`explore`: which events happen and when, what counts as a failure, what is refused, and what is told."""

import asyncio
import contextvars
import enum
import gc
import logging
import random
import re
import sys
import threading
import time

import pytest

import aiojobs
from aiojobs.testing import CannotExplore, Counterexample, NotExhausted, VirtualLoop, _run, _search, explore
from aiojobs.testing._search import Search


def outcomes(test, hasty=1):
    """What the test returns in all its stories; it must not fail."""
    seen = []

    class Noting(Search):
        def _run(self, guide):
            def choose(run, *, busy, ask=guide.choose):
                choice = ask(run, busy=busy)
                seen.append(run)
                return choice

            guide.choose = choose
            return super()._run(guide)

    search = Noting(test, hasty)
    found = search.look(60, None)
    assert found is None, found
    assert search.exhausted
    return {run.loop.main.result() for run in seen if run.ended}


def failing(test, **options):
    """What is told of a test that fails."""
    with pytest.raises(Counterexample) as caught:
        explore(**options)(test)()
    return caught.value


# What can happen, and when.


def test_a_call_is_answered_or_fails_in_every_way_there_is():
    async def test(story):
        try:
            return await story.io("call", answers=["tea", "milk"], fails=[OSError, KeyError("key")])
        except (OSError, KeyError) as error:
            return f"{type(error).__name__}: {error}"

    assert outcomes(test) == {"tea", "milk", "OSError: call 1 fails", "KeyError: 'key'"}


def test_calls_are_answered_in_every_order():
    async def test(story):
        log = []

        async def client(name):
            await story.io(name)
            log.append(name)

        for name in "abc":
            story.task(name, client(name))
        await story.rest()
        return "".join(log)

    assert len(outcomes(test)) == 6


def test_a_task_that_is_a_function_comes_at_any_moment_and_one_that_is_a_coroutine_now():
    async def test(story):
        log = []

        async def come(name):
            log.append(name)

        story.task("now", come("now"))
        story.task("later", lambda: come("later"))
        story.task("other", lambda: come("other"))
        await story.rest()
        return "-".join(log)

    assert outcomes(test) == {"now-later-other", "now-other-later"}


def test_what_may_happen_happens_at_any_moment_or_never():
    async def test(story):
        log = []
        story.may("it happens", lambda: log.append("happened"))
        await story.io("call")
        log.append("answered")
        await story.rest()
        return "-".join(log)

    assert outcomes(test, 0) == {"answered", "happened-answered", "answered-happened"}


def test_what_may_happen_can_be_a_coroutine_and_must_then_end():
    async def test(story):
        log = []

        async def closes():
            await story.io("closing")
            log.append("closed")

        story.may("it closes", closes)
        await story.rest()
        return "-".join(log)

    assert outcomes(test) == {"", "closed"}


def test_a_cancellation_comes_at_any_moment_once_or_never():
    async def test(story):
        log = []

        async def client():
            for number in range(2):
                try:
                    await story.io("call")
                    log.append(str(number))
                except asyncio.CancelledError:
                    log.append("cancelled")

        story.task("client", client(), cancel=True)
        await story.rest()
        return "-".join(log)

    # Cancelled before its first step it never begins, as in asyncio.
    assert outcomes(test) == {"", "0-1", "cancelled-1", "0-cancelled"}


def test_time_passes_to_the_next_timer_before_or_after_anything_else():
    async def test(story):
        try:
            async with asyncio.timeout(5):
                await story.io("call")
        except TimeoutError:
            return f"late at {asyncio.get_running_loop().time():g}"
        return "in time"

    assert outcomes(test, 0) == {"in time", "late at 5"}


def test_rest_can_be_waited_for_again():
    async def test(story):
        log = []
        for part in ("first", "second"):
            story.task(part, lambda part=part: story.io(part))
            story.may(f"{part} may", lambda part=part: log.append(part))
            await story.rest()
        return "-".join(log)

    assert outcomes(test) == {"", "first", "second", "first-second"}


def test_a_check_is_made_after_every_event_and_every_turn():
    async def test(story):
        count = 0

        async def work():
            nonlocal count
            await story.io("call")
            count += 1
            await asyncio.sleep(0)
            count -= 1

        story.check(lambda: count == 0)
        story.task("work", work())
        await story.rest()

    told = failing(test)
    assert re.match(r"a check is False \(line \d+ of .*test_explore.py\)\n", str(told))
    assert "  1. call 1 answers\n       at line" in str(told)


def test_a_check_may_raise_and_may_be_anything_that_can_be_called():
    async def test(story):
        story.check(lambda: 1 / 0)
        await story.rest()

    told = failing(test)
    assert str(told).startswith("a check raised ZeroDivisionError: division by zero\n\nNo event is needed.")
    assert isinstance(told.__cause__, ZeroDivisionError)

    class Never:
        def __call__(self):
            return False

    async def other(story):
        story.check(Never())
        await story.rest()

    assert str(failing(other)).startswith("a check is False\n")


# What counts as a failure.


def test_a_client_may_fail_by_what_was_injected_and_by_what_it_is_told_to():
    async def client(story):
        try:
            await story.io("call", fails=OSError)
        except OSError as error:
            raise LookupError("no answer") from error
        raise KeyError

    async def group(story):
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(story.io("a", fails=OSError))
            tasks.create_task(story.io("b", fails=OSError))

    async def test(story):
        story.task("client", client(story), raises=KeyError)
        story.task("group", group(story))
        await story.rest()

    explore(hasty=0)(test)()


def test_any_other_failure_of_a_client_fails_the_test():
    async def client(story):
        try:
            await story.io("call", fails=OSError)
        except OSError:
            raise AssertionError("whatever it was because of") from None

    async def test(story):
        story.task("client", client(story))
        await story.rest()

    assert str(failing(test)).startswith("'client' raised AssertionError: whatever it was because of")


def test_an_exception_that_reaches_nobody_fails_the_test_unless_it_was_injected():
    async def job(story, error):
        await story.io("call", fails=OSError)
        raise error

    def story_with(handler):
        async def test(story):
            if handler:
                asyncio.get_running_loop().set_exception_handler(lambda _, context: None)
            async with aiojobs.Scheduler() as scheduler:
                await scheduler.spawn(job(story, KeyError("lost")))
                await story.rest()

        return test

    assert "the loop was told: Job raised an unhandled exception KeyError: 'lost'" in str(
        failing(story_with(handler=False))
    ) or "KeyError: 'lost'" in str(failing(story_with(handler=False)))
    explore()(story_with(handler=True))()


def test_a_complaint_without_an_exception_fails_the_test_too():
    async def test(story):
        asyncio.get_running_loop().call_exception_handler({"message": "odd"})
        await story.rest()

    assert str(failing(test)).startswith("the loop was told: odd\n")


def test_a_function_that_raises_fails_the_test():
    async def test(story):
        story.may("it breaks", lambda: 1 / 0)
        await story.rest()

    assert str(failing(test)).startswith("'it breaks' raised ZeroDivisionError: division by zero")


def test_who_waits_for_ever_is_told_with_the_place():
    async def test(story):
        async def client():
            await asyncio.get_running_loop().create_future()

        story.task("client", client())
        await story.rest()

    assert re.match(
        r"nothing is left to happen, and these wait for ever:\n    client: line \d+ of .*test_explore.py, in",
        str(failing(test)),
    )


def test_the_test_itself_may_wait_for_ever():
    async def test(story):
        await asyncio.Event().wait()

    assert re.match(
        r"nothing is left.*\n    the test: line \d+ of .*test_explore.py, in .*test\n", str(failing(test))
    )


def test_a_test_that_is_cancelled_fails():
    async def test(story):
        raise asyncio.CancelledError

    assert str(failing(test)).startswith("the test raised CancelledError")


def test_a_loop_that_spins_is_found_although_its_states_are_one(monkeypatch):
    async def test(story):
        async def spins():
            while True:  # noqa: ASYNC110  to wait like this is the fault
                await asyncio.sleep(0)

        story.task("spins", spins())
        await story.rest()

    monkeypatch.setattr(_search, "_WALKS", 0)
    for hasty in (0, 1):
        assert re.match(
            r"the loop spins: turn after turn, and nothing changes(.|\n)*spins: line \d+ of .*test_explore.py",
            str(failing(test, hasty=hasty)),
        )


def test_an_exit_is_let_through():
    async def test(story):
        story.may("the program ends", sys.exit)
        await story.rest()

    with pytest.raises(SystemExit):
        explore()(test)()


# What is no result.


def test_a_periodic_timer_keeps_the_story_from_its_end_and_is_told():
    async def test(story):
        async def beat():
            while True:  # noqa: ASYNC110  a heart that beats
                await asyncio.sleep(1)

        heart = asyncio.create_task(beat())
        await story.rest()
        heart.cancel()

    with pytest.raises(NotExhausted, match="all of the runs have no end: .* sets one again and again"):
        explore()(test)()


def test_a_run_that_changes_for_ever_is_broken_off_and_told(monkeypatch):
    """No state comes again, so nothing but their number ends such runs."""
    monkeypatch.setattr(_run, "_LONGEST", 20)

    async def test(story):
        async def beat():
            while True:
                await asyncio.sleep(1)
                beats.append(1)

        beats = []
        heart = asyncio.create_task(beat())
        story.may("it stops", heart.cancel)
        await story.rest()

    with pytest.raises(NotExhausted, match=r"\d+ of the runs have no end: .* sets one again and again"):
        explore()(test)()


def test_a_periodic_timer_that_is_stopped_is_fine():
    async def test(story):
        async def beat():
            while True:  # noqa: ASYNC110  a heart that beats
                await asyncio.sleep(1)

        heart = asyncio.create_task(beat())
        await story.io("call")
        heart.cancel()
        await story.rest()
        return "ended"

    assert outcomes(test) == {"ended"}


def test_time_can_be_over_before_all_was_tried(monkeypatch):
    async def test(story):
        for name in "abcdef":
            story.task(name, lambda name=name: story.io(name))
        await story.rest()

    with pytest.raises(NotExhausted, match="nothing failed in 1 runs"):
        explore(seconds=1e-9)(test)()


def test_what_can_t_be_seen_into_is_named_where_the_search_was_not_exhausted():
    async def test(story):
        opened = open(__file__)  # noqa: ASYNC230, PTH123, SIM115  what can't be copied
        try:
            story.task("a", lambda: story.io("a"))
            story.task("b", lambda: story.io("b"))
            await story.rest()
        finally:
            opened.close()

    with pytest.raises(NotExhausted, match=r"because of what can't be seen into: _io\.TextIOWrapper"):
        explore(runs=13)(test)()
    explore()(test)()


def test_chance_is_the_same_in_every_run_and_another_test_s_is_untouched():
    before = random.getstate()

    async def test(story):
        await story.io("call")
        return random.random()

    assert len(outcomes(test)) == 1
    assert random.getstate() == before


def test_the_clock_and_what_a_run_leaves_behind_are_noticed():
    left = []

    async def test(story):
        left.append(1)
        for number in range(2 + len(left) % 3):
            story.task(f"{number} of {len(left)}", lambda: story.io("call"))
        await story.rest()

    with pytest.raises(CannotExplore, match="the same steps led elsewhere: .*what an earlier run has left"):
        explore()(test)()


def test_what_an_event_sets_in_its_context_is_nobody_else_s():
    variable = contextvars.ContextVar("variable", default="nothing")

    async def test(story):
        story.may("it is set", lambda: variable.set("something"))
        story.task("client", lambda: story.io(variable.get()))
        await story.rest()
        return variable.get()

    assert outcomes(test) == {"nothing"}
    assert variable.get() == "nothing"


def test_names_of_tasks_are_the_same_in_every_run():
    async def test(story):
        story.task("a", lambda: story.io("a"))
        task = asyncio.create_task(story.io("b"))
        await task
        await story.rest()
        return task.get_name()

    assert outcomes(test) == {"Task-1"}


async def called_from_a_thread():
    loop = asyncio.get_running_loop()
    refused = []

    def calls():
        try:
            loop.call_soon_threadsafe(print)
        except RuntimeError as error:
            refused.append(error)

    thread = threading.Thread(target=calls)
    thread.start()
    thread.join()
    raise refused[0]


@pytest.mark.parametrize(
    ("ask", "what"),
    [
        (lambda: asyncio.to_thread(time.time), "a thread"),
        (called_from_a_thread, "a call from another thread"),
        (lambda: asyncio.open_connection("localhost", 1), "a connection"),
        (lambda: asyncio.get_running_loop().getaddrinfo("localhost", 1), "a look-up of an address"),
    ],
)
def test_threads_and_the_network_are_refused_even_if_the_program_goes_on(ask, what):
    async def test(story):
        try:
            await ask()
        except RuntimeError:
            await story.rest()

    with pytest.raises(CannotExplore, match=f"the test asks for {what} .*story.io"):
        explore()(test)()


def test_a_test_must_wait_for_its_clients():
    async def test(story):
        story.task("client", lambda: story.io("call"))

    with pytest.raises(CannotExplore, match="the test ended before these had come and ended: client"):
        explore()(test)()


def test_rest_is_waited_for_by_one():
    async def test(story):
        story.task("other", story.rest(), raises=RuntimeError)
        await story.rest()

    explore()(test)()


@pytest.mark.parametrize(
    "say",
    [
        lambda story: story.task("a", asyncio.sleep),
        lambda story: story.tasks("a", 1, asyncio.sleep) or story.task("a 1", asyncio.sleep),
        lambda story: story.may("m", print),
    ],
)
def test_a_name_is_given_once(say):
    async def test(story):
        story.task("a", lambda: asyncio.sleep(0))
        story.may("m", print)
        say(story)

    assert "there is a" in str(failing(test))


# What is left behind.


def test_what_a_run_leaves_suspended_is_let_go_in_silence():
    async def test(story):
        async def numbers():
            try:
                yield 1
            finally:
                await asyncio.sleep(1)

        async def stubborn():
            while True:
                try:
                    await asyncio.sleep(1)
                except asyncio.CancelledError:
                    pass
                except GeneratorExit:
                    await asyncio.sleep(0)

        async with aiojobs.Scheduler(limit=1) as scheduler:
            await scheduler.spawn(story.io("call"))
            await scheduler.spawn(story.io("call"))
            asyncio.create_task(stubborn())  # noqa: RUF006
            async for _ in numbers():
                story.task("a", lambda: story.io("call"), cancel=True)
                story.check(lambda: len(scheduler) > 1)
                await story.rest()

    assert "a check is False" in str(failing(test))


def test_what_was_not_begun_when_the_test_failed_does_not_complain_later():
    async def test(story):
        scheduler = aiojobs.Scheduler(limit=1)
        await scheduler.spawn(story.io("call"))
        await scheduler.spawn(story.io("call"))
        raise LookupError

    failing(test)
    gc.collect()


def test_an_asynchronous_generator_that_is_dropped_is_closed_in_the_story():
    async def test(story):
        log = []

        async def numbers():
            try:
                yield 1
            finally:
                await story.io("closing")
                log.append("closed")

        async for _ in numbers():
            break
        await story.rest()
        return "-".join(log)

    assert outcomes(test) == {"closed"}


def test_what_will_not_end_is_left_alone_after_a_while():
    class Stubborn:
        asked = 0

        def close(self):
            self.asked += 1
            raise RuntimeError("coroutine ignored GeneratorExit")

    stubborn = Stubborn()
    _run._close(stubborn)
    assert stubborn.asked == 20


def test_a_task_that_has_not_begun_stands_nowhere():
    async def test(story):
        log = []

        async def client():
            log.append("began")
            await asyncio.sleep(1)

        story.task("client", client, cancel=True)
        await story.rest()
        assert log

    assert "  2. client is cancelled, at once, before the program has come to rest\n  3." in str(
        failing(test)
    )


def test_a_failure_that_does_not_come_again_is_no_counterexample():
    left = []

    async def test(story):
        left.append(1)
        assert len(left) != 5

    with pytest.raises(CannotExplore, match="AssertionError: but not when the same steps are done again"):
        explore()(test)()


def test_the_collector_is_left_as_it_was():
    async def test(story):
        assert not gc.isenabled()

    explore()(test)()
    assert gc.isenabled()
    gc.disable()
    try:
        explore()(test)()
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_story_is_made_shorter_only_so_long(monkeypatch):
    async def test(story):
        for name in "ab":
            story.task(name, lambda name=name: story.io(name))
        story.may("it turns", lambda: None)
        await story.rest()
        raise LookupError

    found = Search(test, 1).look(60, None)
    monkeypatch.setattr(_search, "_MINIMISING", 0)
    long = Search(test, 1).look(60, None)
    assert found.cost() < long.cost()


def test_logs_are_those_of_the_story_that_failed(caplog):
    async def test(story):
        logging.getLogger("orders").warning("a line")
        assert await story.io("call", answers=[True, True, True, False])

    failing(test)
    assert [record.message for record in caplog.records] == ["a line"]


# What is decorated.


def test_pytest_sees_no_parameter_story_and_other_parameters_as_before():
    @explore()
    async def test(story, limit: int = 1):
        """What it says."""

    assert (test.__name__, test.__doc__) == ("test", "What it says.")
    import inspect

    assert [*inspect.signature(test).parameters] == ["limit"]


@pytest.mark.parametrize(
    ("test", "said"),
    [
        (lambda story: None, "explore is for async functions"),
        (lambda story: (yield), "explore is for async functions"),
        (asyncio.sleep, "has no parameter `story`"),
    ],
)
def test_what_can_t_be_explored_is_refused_at_once(test, said):
    with pytest.raises(TypeError, match=said):
        explore()(test)


@pytest.mark.parametrize("options", [{"hasty": -1}, {"seconds": 0}, {"runs": 0}])
def test_bounds_that_make_no_sense_are_refused(options):
    with pytest.raises(ValueError, match="no run fits into this"):
        explore(**options)


class Colour(enum.Enum):
    RED = 1


def test_arguments_that_can_t_change_are_handed_on_and_others_refused():
    given = []

    @explore()
    async def test(story, *args, **kwargs):
        given.append((args, kwargs))

    test("a", 2, number=(1.5, None, b"", Colour.RED, frozenset()), function=print, kind=dict, f=test_bounds)
    assert given[0][0] == ("a", 2)
    with pytest.raises(CannotExplore, match="'cache', which lives as long as all runs together"):
        test(cache={})
    with pytest.raises(CannotExplore, match="'list'"):
        test(1, [])


def test_bounds():
    """Handed on above: a function can't change."""


def test_a_method_is_explored_if_its_object_carries_nothing_from_run_to_run():
    class Tests:
        @explore()
        async def test(self, story):
            assert await story.io("call", answers=[True, False])

    with pytest.raises(Counterexample) as caught:
        Tests().test()
    tests = Tests()
    with pytest.raises(Counterexample):
        Tests.test.replay(["call 1 answers False"], tests)
    tests.state = []
    with pytest.raises(CannotExplore, match="Tests', which lives"):
        tests.test()
    assert "call 1 answers False" in str(caught.value)


# Replay.


def test_the_told_test_runs_as_it_is_and_fails_in_the_same_way():
    """What a report says is pasted below the test, and fails there by itself."""

    @explore(hasty=1)
    async def test_it(story):
        async def client():
            woken = asyncio.get_running_loop().create_future()
            story.may("it wakes", lambda: woken.done() or woken.set_result(None))
            try:
                await woken
            except asyncio.CancelledError:
                assert woken.cancelled(), "woken and cancelled"
                raise

        story.task("client", client(), cancel=True)
        story.task("other", lambda: story.io("call"))
        story.may("it is cancelled", lambda: None)
        await asyncio.sleep(1)
        await story.rest()

    with pytest.raises(Counterexample) as first:
        test_it()
    names = {"test_it": test_it}
    exec(str(first.value).partition("To see it again:\n\n")[2], names)
    with pytest.raises(Counterexample) as second:
        names["test_it_again"]()
    story = str(second.value).rstrip()
    assert str(first.value).startswith(story)


@explore()
async def replayed(story):
    story.may("it turns", lambda: None)
    assert await story.io("call", answers=[True, False])


def test_a_story_that_does_not_fail_passes_when_it_is_replayed():
    replayed.replay(["it turns", "call 1 answers True"])


def test_after_its_steps_a_story_goes_on_by_itself():
    replayed.replay([])


@pytest.mark.parametrize("step", ["it rains", ("call 1 answers True", 7), ("it turns", 5)])
def test_a_step_that_is_not_possible_is_told_with_those_that_are(step):
    with pytest.raises(CannotExplore, match=r"step 1, '.*', is not possible at this moment. Possible: "):
        replayed.replay([step])


def test_no_loop_is_left_behind_and_none_is_needed():
    explore()(client)()
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()


async def client(story):
    assert isinstance(asyncio.get_running_loop(), VirtualLoop)
    await story.io("call")
