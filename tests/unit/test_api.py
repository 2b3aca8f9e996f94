"""The names, signatures, defaults, properties, reprs and types that users and their tools see."""

import asyncio
import importlib
import inspect
import subprocess
import sys
import textwrap
import typing
import weakref
from collections.abc import Awaitable, Collection, Coroutine
from pathlib import Path

import pytest

import aiojobs
from aiojobs import (
    Event,
    IllegalTransition,
    Job,
    JobClosed,
    Outcome,
    PendingQueueFull,
    Phase,
    Scheduler,
    State,
)
from aiojobs.testing import settle
from support.observing import Recorder
from unit.bodies import Body, fails, forever, returns

# Names and signatures.


def test_the_public_names_are_these_and_each_exists():
    assert set(aiojobs.__all__) == {
        "BlockedSpawn",
        "Event",
        "ExceptionContext",
        "ExceptionHandler",
        "IllegalTransition",
        "Job",
        "JobClosed",
        "JobSnapshot",
        "Location",
        "Observer",
        "Outcome",
        "PendingQueueFull",
        "Phase",
        "PhaseEvent",
        "Record",
        "Scheduler",
        "ShutdownReport",
        "Snapshot",
        "State",
        "Tally",
        "TaskSnapshot",
        "Wait",
        "create_scheduler",
    }
    assert all(hasattr(aiojobs, name) for name in aiojobs.__all__)
    assert list(aiojobs.__all__) == sorted(aiojobs.__all__)
    assert aiojobs.__version__ == "2.0.0"


@pytest.mark.parametrize(
    "module", sorted(path.stem for path in Path(aiojobs.__file__).parent.glob("_[a-z]*.py"))
)
def test_private_modules_export_what_exists(module):
    found = importlib.import_module(f"aiojobs.{module}")
    assert found.__all__
    assert all(hasattr(found, name) for name in found.__all__)


def parameters(function):
    signature = inspect.signature(function)
    return [(p.name, p.kind.name, p.default) for p in signature.parameters.values() if p.name != "self"]


NONE = inspect.Parameter.empty


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (
            Scheduler,
            [
                ("close_timeout", "KEYWORD_ONLY", 0.1),
                ("wait_timeout", "KEYWORD_ONLY", 60.0),
                ("limit", "KEYWORD_ONLY", 100),
                ("pending_limit", "KEYWORD_ONLY", 10000),
                ("exception_handler", "KEYWORD_ONLY", None),
                ("observer", "KEYWORD_ONLY", None),
            ],
        ),
        (
            aiojobs.create_scheduler,
            [
                ("close_timeout", "KEYWORD_ONLY", 0.1),
                ("limit", "KEYWORD_ONLY", 100),
                ("pending_limit", "KEYWORD_ONLY", 10000),
                ("exception_handler", "KEYWORD_ONLY", None),
            ],
        ),
        (
            Scheduler.spawn,
            [
                ("coro", "POSITIONAL_OR_KEYWORD", NONE),
                ("name", "POSITIONAL_OR_KEYWORD", None),
                ("context", "KEYWORD_ONLY", None),
                ("timeout", "KEYWORD_ONLY", None),
                ("drain", "KEYWORD_ONLY", True),
            ],
        ),
        (
            Scheduler.spawn_nowait,
            [
                ("coro", "POSITIONAL_OR_KEYWORD", NONE),
                ("name", "POSITIONAL_OR_KEYWORD", None),
                ("context", "KEYWORD_ONLY", None),
                ("timeout", "KEYWORD_ONLY", None),
                ("drain", "KEYWORD_ONLY", True),
            ],
        ),
        (Scheduler.shield, [("arg", "POSITIONAL_OR_KEYWORD", NONE)]),
        (
            Scheduler.spawn_threadsafe,
            [("coro", "POSITIONAL_OR_KEYWORD", NONE), ("name", "POSITIONAL_OR_KEYWORD", None)],
        ),
        (Scheduler.set_limit, [("limit", "POSITIONAL_OR_KEYWORD", NONE)]),
        (Scheduler.idle, []),
        (Scheduler.close, []),
        (Scheduler.wait_and_close, [("timeout", "POSITIONAL_OR_KEYWORD", None)]),
        (Scheduler.call_exception_handler, [("context", "POSITIONAL_OR_KEYWORD", NONE)]),
        (Job.wait, [("timeout", "KEYWORD_ONLY", None)]),
        (Job.close, [("timeout", "KEYWORD_ONLY", None)]),
        (Job.add_done_callback, [("fn", "POSITIONAL_OR_KEYWORD", NONE)]),
        (Job.set_name, [("name", "POSITIONAL_OR_KEYWORD", NONE)]),
        (Job.get_name, []),
        (Job.done, []),
        (Job.result, []),
        (Job.exception, []),
    ],
    ids=lambda value: getattr(value, "__qualname__", ""),
)
def test_every_signature_is_as_designed(function, expected):
    assert parameters(function) == expected


@pytest.mark.requirement("SPAWN-5")
def test_both_ways_to_spawn_take_the_same_arguments():
    assert parameters(Scheduler.spawn) == parameters(Scheduler.spawn_nowait)


@pytest.mark.parametrize("owner", [Scheduler, Job])
def test_everything_public_is_documented(owner):
    public = [name for name in vars(owner) if not name.startswith("_")]
    assert owner.__doc__
    assert [name for name in public if not inspect.getdoc(getattr(owner, name))] == []


# Subclasses.


async def test_a_subclass_of_the_scheduler_meets_no_name_of_its_parts():
    class Own(Scheduler):
        def __init__(self):
            super().__init__(limit=1)
            self._queue = self._loop = self._core = self._running = self._jobs = self._closing = "mine"
            self.queue = self.loop = self.core = self.running = "mine"

        def _enter(self):
            raise AssertionError("nobody else calls it")

        _launch = _spawn = _ended = _bind = _report = _call_out = _enter

    async with Own() as scheduler:
        first, second = await scheduler.spawn(returns("first")), await scheduler.spawn(returns("second"))
        assert (await first, await second) == ("first", "second")
        assert await scheduler.shield(returns("shielded")) == "shielded"
    assert (scheduler.phase, scheduler._core, scheduler.core) == ("closed", "mine", "mine")


def test_a_scheduler_has_few_names_of_its_own():
    names = {*vars(Scheduler()), *vars(Scheduler)}
    assert len({name for name in names if name.startswith("_") and not name.startswith("__")}) <= 6


# The scheduler's properties.


def test_a_new_scheduler_has_the_documented_defaults():
    scheduler = Scheduler()
    assert (scheduler.limit, scheduler.pending_limit) == (100, 10000)
    assert (scheduler.close_timeout, scheduler.wait_timeout) == (0.1, 60.0)
    assert (scheduler.exception_handler, scheduler.closed, scheduler.phase) == (None, False, "open")
    assert (scheduler.active_count, scheduler.pending_count, len(scheduler), list(scheduler)) == (0, 0, 0, [])


def test_a_scheduler_shows_what_it_was_given():
    handler = Recorder()
    scheduler = Scheduler(
        close_timeout=1, wait_timeout=None, limit=2, pending_limit=3, exception_handler=handler
    )
    assert (scheduler.close_timeout, scheduler.wait_timeout) == (1, None)
    assert (scheduler.limit, scheduler.pending_limit, scheduler.exception_handler) == (2, 3, handler)


@pytest.mark.parametrize(
    "name",
    [
        "limit",
        "pending_limit",
        "close_timeout",
        "wait_timeout",
        "active_count",
        "pending_count",
        "closed",
        "phase",
        "exception_handler",
    ],
)
def test_properties_of_a_scheduler_are_read_only(name):
    with pytest.raises(AttributeError):
        setattr(Scheduler(), name, 1)


@pytest.mark.parametrize("name", ["state", "outcome", "pending", "active", "closed"])
async def test_properties_of_a_job_are_read_only(name):
    job = await Scheduler().spawn(returns())
    with pytest.raises(AttributeError):
        setattr(job, name, 1)
    await job


@pytest.mark.requirement("BOOK-1", "BOOK-2")
async def test_a_scheduler_is_a_collection_of_its_jobs():
    scheduler = Scheduler(limit=1)
    assert isinstance(scheduler, Collection)
    assert not scheduler
    jobs = [await scheduler.spawn(forever()) for _ in range(3)]
    assert scheduler
    assert list(scheduler) == jobs
    assert jobs[0] in scheduler
    assert "no job" not in scheduler
    assert (scheduler.active_count, scheduler.pending_count, len(scheduler)) == (1, 2, 3)
    await scheduler.close()
    assert jobs[0] not in scheduler


async def test_the_repr_of_a_scheduler_tells_its_jobs_its_limits_and_whether_it_is_closed():
    scheduler = Scheduler(limit=1, pending_limit=2)
    limits = "limit=1 pending={} pending_limit=2"
    assert repr(scheduler) == f"<Scheduler active=0 {limits.format(0)}>"
    for _ in range(2):
        await scheduler.spawn(forever())
    assert repr(scheduler) == f"<Scheduler active=1 {limits.format(1)}>"
    await scheduler.close()
    assert repr(scheduler) == f"<Scheduler closed active=0 {limits.format(0)}>"


async def test_schedulers_and_jobs_can_be_referred_to_weakly_hashed_and_compared_by_identity():
    scheduler = Scheduler()
    one, other = await scheduler.spawn(returns()), await scheduler.spawn(returns())
    assert weakref.ref(scheduler)() is scheduler
    assert weakref.ref(one)() is one
    assert one == one  # noqa: PLR0124  identity is what is tested
    assert one != other
    assert len({one, other, one}) == 2
    assert scheduler != Scheduler()
    await scheduler.wait_and_close()


def test_a_scheduler_is_made_without_a_loop_and_bound_to_that_of_its_first_use():
    scheduler = Scheduler()

    async def use(coro):
        return await (await scheduler.spawn(coro))

    assert asyncio.run(use(returns("used"))) == "used"
    untouched = returns()
    with pytest.raises(RuntimeError, match="is bound to a different event loop"):
        asyncio.run(use(untouched))
    untouched.close()


async def test_a_scheduler_can_be_subclassed():
    class Named(Scheduler):
        def __init__(self, title, **options):
            super().__init__(**options)
            self.title = title

        async def spawn(self, coro, name=None, **options):
            return await super().spawn(coro, f"{self.title}: {name}", **options)

    async with Named("mine", limit=1) as scheduler:
        job = await scheduler.spawn(returns(), "job")
        assert job.get_name() == "mine: job"
        assert repr(scheduler) == "<Scheduler active=1 limit=1 pending=0 pending_limit=10000>"


# The job's properties.


async def jobs_in_every_state(scheduler):
    """One job per state, in the order of `State`."""
    active, closing = Body(), Body(swallows=1)
    made = {
        State.ACTIVE: await scheduler.spawn(active.run(), "active"),
        State.CLOSING: await scheduler.spawn(closing.run(), "closing"),
    }
    await settle()
    closer = asyncio.create_task(made[State.CLOSING].close())
    made[State.DONE] = await scheduler.spawn(returns(), "done")
    await made[State.DONE]
    made[State.CLOSED] = await scheduler.spawn(forever(), "closed")
    await made[State.CLOSED].close()
    await scheduler.spawn(forever(), "filler")
    made[State.PENDING] = await scheduler.spawn(forever(), "pending")
    closer.cancel()
    await settle()
    return {state: made[state] for state in State}


@pytest.mark.requirement("WAIT-5")
async def test_a_job_shows_its_state_as_the_table_of_the_design_says():
    scheduler = Scheduler(limit=3, exception_handler=Recorder())
    made = await jobs_in_every_state(scheduler)
    assert {state: job.state for state, job in made.items()} == {state: state for state in State}
    assert {str(job.state): (job.pending, job.active, job.closed, job.done()) for job in made.values()} == {
        "pending": (True, False, False, False),
        "active": (False, True, False, False),
        "closing": (False, False, True, False),
        "done": (False, False, True, True),
        "closed": (False, False, True, True),
    }
    assert scheduler.active_count == 3
    await scheduler.close()


@pytest.mark.requirement("WAIT-5")
async def test_a_job_tells_its_outcome_and_nobody_has_to_wait_for_it():
    scheduler = Scheduler(limit=1, exception_handler=Recorder())
    error = ValueError("mine")
    returned = await scheduler.spawn(returns(1))
    raised = await scheduler.spawn(fails(error))
    await settle()
    cancelled = await scheduler.spawn(forever())
    dropped = await scheduler.spawn(forever())
    running = cancelled.outcome, dropped.outcome
    await dropped.close()
    await cancelled.close()
    timed_out = await scheduler.spawn(forever(), timeout=1)
    with pytest.raises(TimeoutError):
        await timed_out
    assert running == (None, None)
    assert [job.outcome for job in (returned, raised, cancelled, timed_out, dropped)] == list(Outcome)
    assert (returned.result(), returned.exception()) == (1, None)
    assert raised.exception() is error
    with pytest.raises(ValueError, match="mine"):
        raised.result()
    for stopped, how in ((cancelled, "was stopped"), (dropped, "was closed before it ran")):
        for ask in (stopped.result, stopped.exception):
            with pytest.raises(JobClosed, match=how):
                ask()


@pytest.mark.requirement("WAIT-5")
async def test_before_its_end_a_job_has_neither_result_nor_exception():
    scheduler = Scheduler(limit=1)
    jobs = [await scheduler.spawn(forever(), "mine") for _ in range(2)]
    for job in jobs:
        for ask in (job.result, job.exception):
            with pytest.raises(asyncio.InvalidStateError, match="'mine'.* has not ended: wait for it first"):
                ask()
    await scheduler.close()


async def test_the_repr_of_a_job_shows_state_name_and_coroutine():
    scheduler = Scheduler(limit=3, exception_handler=Recorder())
    made = await jobs_in_every_state(scheduler)
    shown = {str(state): repr(job) for state, job in made.items()}
    coro = "coro=<coroutine object"
    assert shown["pending"].startswith(f"<Job pending name='pending' {coro} forever at 0x")
    assert shown["active"].startswith(f"<Job active name='active' {coro} Body.run at 0x")
    assert shown["closing"].startswith(f"<Job closing name='closing' {coro} Body.run at 0x")
    assert shown["done"] == "<Job done name='done' coro=<returns>>"
    assert shown["closed"] == "<Job closed name='closed' coro=<forever>>"
    await scheduler.close()


@pytest.mark.parametrize("given", [0, 1, 2])
def test_a_job_that_is_made_by_hand_says_who_makes_jobs(given):
    coro = returns()
    with pytest.raises(TypeError, match=r"await scheduler\.spawn\(coro\)"):
        Job(*[coro, None][:given])
    coro.close()


async def test_an_attribute_of_somebody_elses_is_kept_beside_a_job_and_not_on_it():
    scheduler = Scheduler()
    job = await scheduler.spawn(forever())
    with pytest.raises(AttributeError, match="progress"):
        job.progress = 1
    progress = weakref.WeakKeyDictionary({job: 1})
    await scheduler.close()
    assert progress[job] == 1
    del job
    assert not progress


async def test_the_repr_of_an_unnamed_pending_job_has_no_name():
    scheduler = Scheduler(limit=1)
    await scheduler.spawn(forever())
    job = await scheduler.spawn(forever())
    assert repr(job).startswith("<Job pending coro=<coroutine object forever at 0x")
    await scheduler.close()
    assert repr(job) == "<Job closed coro=<forever>>"


async def test_a_name_is_given_with_the_job_or_later_and_reaches_the_task():
    scheduler = Scheduler(limit=1)
    seen = []

    async def body():
        seen.append(asyncio.current_task().get_name())
        await asyncio.sleep(0)
        seen.append(asyncio.current_task().get_name())

    active = await scheduler.spawn(body(), "first")
    pending = await scheduler.spawn(body(), name="second")
    assert (active.get_name(), pending.get_name()) == ("first", "second")
    pending.set_name("renamed")
    await settle(1)
    active.set_name("changed")
    await scheduler.wait_and_close()
    assert seen == ["first", "changed", "renamed", "renamed"]
    assert (active.get_name(), pending.get_name()) == ("changed", "renamed")
    active.set_name("after its end")
    assert active.get_name() == "after its end"


async def test_an_unnamed_job_is_called_like_its_task_as_long_as_it_has_one_or_somebody_must_report_it():
    scheduler = Scheduler(limit=1, exception_handler=Recorder())
    active = await scheduler.spawn(forever())
    pending = await scheduler.spawn(returns())
    name = active.get_name()
    assert name.startswith("Task-")
    assert pending.get_name() is None
    await active.close()
    await pending
    assert (active.get_name(), pending.get_name()) == (name, None)


async def test_the_name_that_was_given_stays_whatever_the_task_is_called():
    scheduler = Scheduler(exception_handler=Recorder())

    async def body():
        asyncio.current_task().set_name("something else")
        raise ValueError

    job = await scheduler.spawn(body(), "mine")
    await settle()
    assert (job.outcome, job.get_name()) == ("raised", "mine")


# Done callbacks.


@pytest.mark.requirement("WAIT-5")
async def test_done_callbacks_are_called_once_each_in_order_soon_after_the_end():
    scheduler = Scheduler()
    body = Body()
    job = await scheduler.spawn(body.run())
    calls = []
    for number in range(3):
        job.add_done_callback(lambda job, number=number: calls.append((number, job.state)))
    body.finish()
    await job
    assert calls == []  # soon after, not in the middle of the scheduler's work
    await settle()
    assert calls == [(0, "done"), (1, "done"), (2, "done")]


async def test_a_done_callback_on_a_job_that_has_ended_is_called_soon():
    job = await Scheduler().spawn(returns())
    await job
    calls = []
    job.add_done_callback(calls.append)
    assert calls == []
    await settle(1)
    assert calls == [job]


async def test_done_callbacks_hear_of_jobs_that_were_stopped_or_never_started():
    scheduler = Scheduler(limit=1)
    active, pending = await scheduler.spawn(forever()), await scheduler.spawn(forever())
    calls = []
    for job in (active, pending):
        job.add_done_callback(lambda job: calls.append(job.outcome))
    await scheduler.close()
    await settle()
    assert sorted(calls) == ["cancelled", "never_started"]


async def test_a_done_callback_that_raises_disturbs_nobody_but_the_loop():
    from support.observing import Complaints

    job = await Scheduler().spawn(returns())
    calls = []
    job.add_done_callback(lambda _job: 1 / 0)
    job.add_done_callback(calls.append)
    with Complaints() as complaints:
        await settle()
    assert calls == [job]
    assert [type(call["exception"]) for call in complaints.calls] == [ZeroDivisionError]


# Exceptions and enums.


def test_the_errors_are_what_existing_code_catches():
    assert issubclass(JobClosed, asyncio.CancelledError)
    assert issubclass(PendingQueueFull, asyncio.QueueFull)
    assert issubclass(IllegalTransition, RuntimeError)


@pytest.mark.parametrize(
    ("enum", "members"),
    [
        (State, ["pending", "active", "closing", "done", "closed"]),
        (Event, ["start", "finish", "cancel", "close", "expire"]),
        (Outcome, ["returned", "raised", "cancelled", "timed_out", "never_started"]),
        (Phase, ["open", "closing", "closed"]),
        (aiojobs.PhaseEvent, ["close", "settled"]),
    ],
)
def test_states_events_and_outcomes_are_strings(enum, members):
    assert list(enum) == members
    assert [str(member) for member in enum] == members


# create_scheduler.


@pytest.mark.parametrize("depth", [0, 1])
async def test_create_scheduler_works_and_warns_where_it_is_awaited(depth):
    async def create():
        return await aiojobs.create_scheduler(limit=2, pending_limit=3, close_timeout=4)

    async def deeper():
        return await create()

    with pytest.warns(
        DeprecationWarning, match=r"create_scheduler\(\) is deprecated: call Scheduler"
    ) as seen:
        scheduler = await (deeper() if depth else create())
    assert seen[0].filename == __file__
    assert (scheduler.limit, scheduler.pending_limit, scheduler.close_timeout) == (2, 3, 4)
    assert scheduler.wait_timeout == 60.0


async def test_create_scheduler_hands_on_the_handler_and_checks_arguments():
    handler = Recorder()
    with pytest.warns(DeprecationWarning):
        scheduler = await aiojobs.create_scheduler(exception_handler=handler)
    assert scheduler.exception_handler is handler
    with pytest.warns(DeprecationWarning), pytest.raises(ValueError, match="limit must be at least 1"):
        await aiojobs.create_scheduler(limit=0)


# Types.


def test_a_job_is_generic_in_its_result():
    hints = typing.get_type_hints(Scheduler.spawn)
    (result,) = typing.get_args(hints["return"])
    assert typing.get_origin(hints["return"]) is Job
    assert hints["coro"] == Coroutine[typing.Any, typing.Any, result]
    assert typing.get_origin(Job[int]) is Job
    shielded = typing.get_type_hints(Scheduler.shield)
    assert shielded["return"] == asyncio.Future[typing.get_args(shielded["arg"])[0]]
    assert typing.get_origin(shielded["arg"]) is Awaitable


async def test_generic_names_work_at_run_time_too():
    job: Job[int] = await Scheduler().spawn(returns(1))
    assert isinstance(job, Job)
    assert await job == 1


@pytest.mark.slow
def test_a_type_checker_follows_results_from_the_coroutine_to_the_caller(tmp_path):
    sample = tmp_path / "sample.py"
    sample.write_text(
        textwrap.dedent(
            """
            import asyncio
            from typing import Any, assert_type

            import aiojobs


            async def number() -> int:
                return 1


            def handler(scheduler: aiojobs.Scheduler, context: aiojobs.ExceptionContext) -> None:
                print(context["message"], context["job"])


            def old_handler(scheduler: aiojobs.Scheduler, context: dict[str, Any]) -> None:
                print(context)


            def observer(record: aiojobs.Record) -> None:
                assert_type(record.job, aiojobs.Job[Any] | None)


            async def main() -> None:
                assert_type(await aiojobs.create_scheduler(), aiojobs.Scheduler)
                aiojobs.Scheduler(exception_handler=old_handler)
                async with aiojobs.Scheduler(exception_handler=handler, observer=observer) as scheduler:
                    job = await scheduler.spawn(number())
                    assert_type(job, aiojobs.Job[int])
                    assert_type(await job, int)
                    assert_type(await job.wait(timeout=1), int)
                    assert_type(job.result(), int)
                    assert_type(scheduler.spawn_nowait(number()), aiojobs.Job[int])
                    assert_type(await scheduler.shield(number()), int)
                    assert_type([job for job in scheduler], list[aiojobs.Job[Any]])
                    wrong: str = await job  # ERROR
                    scheduler.spawn_nowait(number)  # ERROR
                    aiojobs.Scheduler(limit="1")  # ERROR


            asyncio.run(main())
            """
        )
    )
    expected = [number for number, line in enumerate(sample.read_text().splitlines(), 1) if "# ERROR" in line]
    ran = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--config-file=",
            "--cache-dir",
            tmp_path / "cache",
            sample,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [int(line.split(":")[1]) for line in ran.stdout.splitlines() if ": error:" in line]
    assert lines == expected, ran.stdout + ran.stderr
