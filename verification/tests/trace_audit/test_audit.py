"""Traces: the writer tells the truth, the monitor finds what is planted, and its judges agree."""

import asyncio
import gc
import io
import json
import re
from collections import OrderedDict
from contextlib import suppress

import pytest

from aiojobs import Phase, Scheduler
from aiojobs import tracing as trace
from aiojobs._admission import Admission, Next, Verdict
from aiojobs._queue import Queue
from aiojobs._shutdown import Shutdown
from aiojobs.testing import VirtualLoop, settle
from aiojobs.tracing import BrokenTraceError, Header, TraceWriter
from aiojobs_verification.cli import audit as command
from aiojobs_verification.cli.commands import main
from aiojobs_verification.specification.load import load
from aiojobs_verification.trace_audit import recordings
from aiojobs_verification.trace_audit.agreement import SCOPES, Scope, agreement
from aiojobs_verification.trace_audit.callers import Callers
from aiojobs_verification.trace_audit.corrupt import corrupted, headers
from aiojobs_verification.trace_audit.judgement import judge
from aiojobs_verification.trace_audit.monitor import Monitor
from aiojobs_verification.trace_audit.rehearsal import Rehearsal
from aiojobs_verification.trace_audit.replay import audit
from aiojobs_verification.trace_audit.specimen import SPECIMENS, Specimen, record

SPEC = load()
SMALL = Specimen(1, 1, True, seed=7, clients=4, orders=2, seconds=1.5)
SILENT = Specimen(1, 1, False, seed=4, clients=4, orders=3, seconds=1.5)


def parsed(text):
    """Header and lines of a trace."""
    header, *lines = map(json.loads, text.splitlines())
    return Header.from_line(header), lines


def written(header, lines):
    return "".join(json.dumps(line) + "\n" for line in (header.as_line(), *lines)).encode()


def audited(text):
    return audit(text.encode().splitlines(keepends=True), SPEC)


class Trace:
    """Lines by hand: `job` and `call` add some, `finding` audits them with a last line that is right."""

    def __init__(self, limit=1, pending_limit=1, calls=False):
        self.header = Header(limit, pending_limit, calls, "sha256:")
        self.lines = []
        self.time = 0.0

    def job(self, number, *steps):
        rows = {
            "accept": ("accept", None, "pending"),
            "start": ("start", "pending", "active"),
            "return": ("finish", "active", "done"),
            "cancelled": ("cancel", "active", "closed"),
            "asked": ("close", "active", "closing"),
            "stop": ("cancel", "closing", "closed"),
            "drop": ("close", "pending", "closed"),
            "close": ("close", "open", "closing"),
            "settle": ("settled", "closing", "closed"),
        }
        for step in steps:
            event, source, dest = rows[step]
            line = {"job": number, "event": event, "source": source, "dest": dest, "time": self.time}
            self.lines.append(line | ({"name": f"call {number}"} if step == "accept" else {}))
        return self

    def scheduler(self, *steps):
        return self.job(None, *steps)

    def call(self, number, event, **more):
        self.lines.append({"call": f"call {number}", "event": event, **more, "time": self.time})
        return self

    def spawn(self, number, *steps):
        return self.call(number, "call").job(number, "accept", *steps).call(number, "return")

    def text(self, jobs=(), calls=()):
        end = {"end": len(self.lines), "jobs": list(jobs), "calls": [f"call {number}" for number in calls]}
        return written(self.header, [*self.lines, end])

    def finding(self, jobs=(), calls=()):
        return audit(self.text(jobs, calls).splitlines(keepends=True), SPEC).finding


# --- The writer -----------------------------------------------------------------------------------


async def test_a_trace_tells_every_record_and_keeps_nothing_of_jobs_that_have_ended():
    file = io.StringIO()
    writer = TraceWriter(file, limit=1, pending_limit=2)
    async with Scheduler(limit=1, pending_limit=2, observer=writer) as scheduler:
        jobs = [await scheduler.spawn(settle(2), name) for name in ("one", None, "three")]
        await jobs[2].close()
        assert [*writer._numbers] == jobs[:2]
    assert writer._numbers == {}
    writer.end()
    header, lines = parsed(file.getvalue())
    assert header == Header(1, 2, calls=False, spec=trace.SPEC_DIGEST)
    assert [line.get("name", "-") for line in lines if line.get("event") == "accept"] == ["one", "-", "three"]
    assert lines[-1] == {"end": 10, "jobs": [], "calls": []}
    assert audited(file.getvalue()).finding is None


async def test_a_trace_that_ends_early_says_what_is_left(tmp_path):
    path = tmp_path / "trace.jsonl"
    with TraceWriter.to_file(path, limit=1, pending_limit=1, calls=True) as writer:
        scheduler = Scheduler(limit=1, pending_limit=1, observer=writer)
        for name in ("runs", "waits"):
            with writer.call(name):
                await scheduler.spawn(asyncio.sleep(9), name)

        async def blocked():
            with writer.call("blocked"):
                await scheduler.spawn(asyncio.sleep(9), "blocked")

        task = asyncio.create_task(blocked())
        await settle()
    text = path.read_text("utf-8")
    assert json.loads(text.splitlines()[-1]) == {"end": 8, "jobs": [1, 2], "calls": ["blocked"]}
    assert audited(text).finding is None
    with pytest.raises(ValueError, match="closed file"):
        writer.end()
    # The scheduler goes on without its trace: that the file is closed is reported, and does no harm.
    scheduler._observer = None
    await scheduler.close()
    with pytest.raises((RuntimeError, ValueError)):
        await task


def test_the_time_is_that_since_the_first_line_and_calls_have_names_of_their_own():
    async def program(writer):
        with writer.call("a"), pytest.raises(ValueError, match="is under way"), writer.call("a"):
            raise AssertionError("not reached")
        with pytest.raises(KeyError), writer.call("a"):
            raise KeyError

    file = io.StringIO()
    asyncio.run(program(TraceWriter(file, limit=None, pending_limit=0, calls=True)))
    header, lines = parsed(file.getvalue())
    assert header.calls
    assert lines[0] == {"call": "a", "event": "call", "time": 0.0}
    assert lines[-1]["error"] == "KeyError"
    with pytest.raises(ValueError, match="calls=True"), TraceWriter(file, limit=1, pending_limit=1).call("a"):
        raise AssertionError("not reached")


def test_the_page_of_the_format_and_the_writer_agree():
    example = re.findall(r"^    (\{.*?\})$", trace.__doc__.replace("\n     ", " "), re.MULTILINE)
    keys = [list(json.loads(line)) for line in example]
    assert keys[0] == [*Header(1, 0, calls=True, spec="").as_line()]
    _, lines = parsed(record(SPECIMENS["limit 2, pending limit 2, calls announced"]))
    real = {tuple(line) for line in lines}
    assert len(keys) == 8
    assert {tuple(line) for line in keys[1:]} == real


@pytest.mark.parametrize(
    "wrong",
    [
        {"limit": 0},
        {"limit": True},
        {"limit": "1"},
        {"pending_limit": -1},
        {"pending_limit": None},
        {"calls": 1},
        {"spec": None},
        {"version": 2},
        {"format": "another"},
        {"colour": "red"},
    ],
)
def test_a_header_that_makes_no_sense_is_refused(wrong):
    header = Header(1, 1, calls=False, spec="")
    found = audit([json.dumps(header.as_line() | wrong).encode() + b"\n"], SPEC).finding
    assert (found.line, found.rule) == (1, "trace: header")


# --- Real runs --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SPECIMENS)
def test_the_specimens_obey_in_both_opinions_and_are_the_same_every_time(name):
    text = record(SPECIMENS[name])
    assert text == record(SPECIMENS[name])
    found = audited(text)
    assert found.finding is None
    assert found.monitor.told.total() > 40
    header, lines = parsed(text)
    assert Rehearsal(header).explains(lines)


def test_the_specimens_come_by_every_action_and_every_requirement_that_traces_speak_for():
    monitors = [audited(record(specimen)).monitor for specimen in SPECIMENS.values()]
    assert {action for monitor in monitors for action in monitor.counting.actions} == set(
        SPEC.scheduler.actions
    )
    needed = {id_ for id_, one in SPEC.requirements.by_id.items() if "trace" in one.checks}
    assert needed <= {id_ for monitor in monitors for id_, times in monitor.exercised().items() if times}


async def fail():
    raise ValueError


async def traced(program, *, limit=1, pending_limit=1, calls=True, tweak=lambda scheduler: None):
    """The trace of a program on a scheduler that was tampered with by `tweak`."""
    file = io.StringIO()
    writer = TraceWriter(file, limit=limit, pending_limit=pending_limit, calls=calls)
    scheduler = Scheduler(
        limit=limit, pending_limit=pending_limit, observer=writer, exception_handler=lambda *_: None
    )
    tweak(scheduler)
    await program(scheduler, writer)
    writer.end()
    return file.getvalue()


async def spawned(scheduler, writer, name, coro=None):
    with writer.call(name):
        return await scheduler.spawn(coro or asyncio.sleep(1), name)


@pytest.mark.loops("virtual", "eager", "stock")
@pytest.mark.requirement("CLOSE-3", "SHUT-1")
async def test_a_failure_that_nobody_has_seen_when_closing_begins_is_in_order():
    async def program(scheduler, writer):
        await spawned(scheduler, writer, "fails", fail())
        await spawned(scheduler, writer, "waits")
        await asyncio.sleep(0)
        await scheduler.close()

    text = await traced(program, pending_limit=2)
    header, lines = parsed(text)
    assert audited(text).finding is None
    assert Rehearsal(header).explains(lines)


@pytest.mark.loops("virtual", "eager")
async def test_callers_that_are_cancelled_while_a_place_falls_free_are_passed_over():
    async def program(scheduler, writer):
        first = await spawned(scheduler, writer, "runs")
        await spawned(scheduler, writer, "waits")
        blocked = [
            asyncio.create_task(spawned(scheduler, writer, f"blocked {number}")) for number in range(3)
        ]
        await settle()
        blocked[0].cancel()
        await first.close()
        await asyncio.gather(*blocked, return_exceptions=True)
        await asyncio.sleep(9)
        await scheduler.close()

    text = await traced(program)
    assert audited(text).finding is None
    assert '"CancelledError"' in text


# --- Planted faults: schedulers that break a promise ---------------------------------------------------


class LastFirst(Queue):
    """A queue whose last one comes first."""

    def pop(self):
        job = self._before
        self.leave(job)
        return job


class Lifo(OrderedDict):
    """Calls outside, of which the last comes first."""

    def popitem(self, last=True):
        return super().popitem(last=True)

    def move_to_end(self, key, last=True):
        """Who was looked at stays where it was put."""


def last_first(scheduler):
    scheduler._queue = LastFirst()


def last_outside_first(scheduler):
    scheduler._blocked = Lifo()


class OneTooMany(Admission):
    def offer(self, may_block):
        if self.phase is Phase.OPEN and self.running == self.limit:
            self.running += 1
            return Verdict.START
        return super().offer(may_block)


class NoQueueLimit(Admission):
    def offer(self, may_block):
        if self.phase is Phase.OPEN and self.running == self.limit:
            self.pending += 1
            return Verdict.QUEUE
        return super().offer(may_block)


class QueuesFirst(Admission):
    def offer(self, may_block):
        if self.phase is Phase.OPEN and self.pending < self.pending_limit:
            self.pending += 1
            return Verdict.QUEUE
        return super().offer(may_block)


class Sleepy(Admission):
    def ended(self):
        self.running -= 1
        return Next.NOTHING


class ForgetsCallers(Admission):
    def withdrawn(self):
        self.pending -= 1
        return Next.NOTHING


class BlocksEarly(Admission):
    def offer(self, may_block):
        if self.phase is Phase.OPEN and self.running == self.limit:
            self.blocked += may_block
            return Verdict.BLOCK if may_block else Verdict.FULL
        return super().offer(may_block)


class SaysFull(Admission):
    def offer(self, may_block):
        return super().offer(may_block) if may_block else Verdict.FULL


class LetsInLate(Admission):
    def offer(self, may_block):
        if self.phase is not Phase.OPEN:
            self.running += 1
            return Verdict.START
        return super().offer(may_block)


def decided_by(admission):
    def tweak(scheduler):
        scheduler._admission = admission(scheduler.limit, scheduler.pending_limit)

    return tweak


class KeepsTheQueue(Shutdown):
    def _begin(self):
        queue, self._scheduler._queue = self._scheduler._queue, Queue()
        super()._begin()
        self._scheduler._queue = queue


def keeps_the_queue(scheduler):
    scheduler._shutdown = KeepsTheQueue(scheduler)


class AsksNobody(Shutdown):
    def _begin(self):
        running, self._scheduler._running = self._scheduler._running, {}
        super()._begin()
        self._scheduler._running = running


def asks_nobody(scheduler):
    scheduler._shutdown = AsksNobody(scheduler)


async def crowd(scheduler, writer):
    """Five callers for one slot and two places; one job is closed while it waits; closing in the middle."""
    await spawned(scheduler, writer, "first")
    second = await spawned(scheduler, writer, "second")
    others = [asyncio.create_task(spawned(scheduler, writer, name)) for name in ("third", "fourth", "fifth")]
    await settle()
    await second.close()
    await asyncio.sleep(1.5)
    closing = asyncio.create_task(scheduler.close())
    await asyncio.sleep(0)
    with suppress(RuntimeError):
        await spawned(scheduler, writer, "late")
    await closing
    await asyncio.gather(*others, return_exceptions=True)


async def hurry(scheduler, writer):
    with suppress(asyncio.QueueFull), writer.call("hurried"):
        scheduler.spawn_nowait(settle(1), "hurried")
    await scheduler.close()


def recorded(program, tweak):
    """The trace of a program that may come to grief; what it has told until then is judged."""
    file = io.StringIO()
    writer = TraceWriter(file, limit=1, pending_limit=2, calls=True)

    async def run():
        scheduler = Scheduler(limit=1, pending_limit=2, observer=writer)
        tweak(scheduler)
        async with asyncio.timeout(60):
            await program(scheduler, writer)

    loop = VirtualLoop()
    try:
        with suppress(TimeoutError, KeyError, StopIteration, AssertionError):
            loop.run_until_complete(run())
        writer.end()
    finally:
        loop.close()
        gc.collect()  # what is left over complains here, and not in the next test
    return file.getvalue()


@pytest.mark.parametrize("program", [crowd, hurry])
def test_a_scheduler_that_nobody_tampered_with_obeys(program):
    assert audited(recorded(program, lambda scheduler: None)).finding is None


@pytest.mark.filterwarnings("ignore")  # coroutines that nobody awaits, futures that nobody asks
@pytest.mark.parametrize(
    ("tweak", "program", "requirement", "expected"),
    [
        pytest.param(last_first, crowd, "LIMIT-5", "which came before", id="the queue is last in, first out"),
        pytest.param(
            last_outside_first, crowd, "LIMIT-5", "is cancelled", id="callers are last in, first out"
        ),
        pytest.param(decided_by(OneTooMany), crowd, "LIMIT-1", "waits", id="one too many runs"),
        pytest.param(
            decided_by(NoQueueLimit), crowd, "LIMIT-3", "as many pending", id="the queue is endless"
        ),
        pytest.param(
            decided_by(QueuesFirst), crowd, "LIMIT-2", "start of job 1", id="a job waits beside a slot"
        ),
        pytest.param(decided_by(Sleepy), crowd, "LIMIT-2", "the start of job", id="a wake-up is lost"),
        pytest.param(
            decided_by(ForgetsCallers), crowd, "LIMIT-4", "a place fell free", id="a caller is forgotten"
        ),
        pytest.param(decided_by(BlocksEarly), crowd, "LIMIT-4", "at once", id="a caller waits for nothing"),
        pytest.param(decided_by(SaysFull), hurry, "SPAWN-5", "there is room", id="full beside a free slot"),
        pytest.param(
            decided_by(LetsInLate), crowd, "SPAWN-2", "closing has begun", id="a job is let in late"
        ),
        pytest.param(keeps_the_queue, crowd, "SHUT-1", "dropped or asked", id="the queue survives closing"),
        pytest.param(asks_nobody, crowd, "SHUT-1", "asked to stop first", id="closing asks nobody"),
    ],
)
def test_the_trace_of_a_scheduler_that_breaks_a_promise_gives_it_away(tweak, program, requirement, expected):
    text = recorded(program, tweak)
    found = audited(text).finding
    assert found is not None
    assert requirement in found.requirements, found.told()
    assert expected in found.told()
    header, lines = parsed(text)
    assert not Rehearsal(header).explains(lines)


# --- Planted faults: traces by hand -------------------------------------------------------------------


def test_a_good_trace_by_hand_is_accepted():
    trace = Trace().job(1, "accept", "start").job(2, "accept").job(1, "return").job(2, "start", "return")
    assert trace.scheduler("close", "settle").finding() is None


STORIES = {
    "a job that was never accepted": (
        Trace().job(1, "start"),
        2, (), "before it is accepted",
    ),
    "a number left out": (
        Trace(limit=2).job(1, "accept", "start").job(3, "accept", "start"),
        4, (), "the number 2",
    ),
    "a slot released twice": (
        Trace().job(1, "accept", "start", "return", "return"),
        5, ("LIMIT-6",), "which has ended",
    ),
    "a start after being dropped": (
        Trace().job(1, "accept", "start").job(2, "accept", "drop", "start"),
        6, ("START-2",), "job 2, which has ended",
    ),
    "an illegal cell": (
        Trace().job(1, "accept", "start", "start"),
        4, (), "in state active",
    ),
    "a skipped state": (
        Trace().job(1, "accept", "stop"),
        3, (), "in state pending",
    ),
    "a job that never starts": (
        Trace().job(1, "accept").job(2, "accept"),
        3, ("LIMIT-2",), "start of job 1",
    ),
    "a job that starts too early": (
        Trace().job(1, "accept", "start").job(2, "accept", "start"),
        5, ("LIMIT-1",), "no slot",
    ),
    "a queue that is too long": (
        Trace().job(1, "accept", "start").job(2, "accept").job(3, "accept"),
        5, ("LIMIT-3",), "no new job",
    ),
    "a job that jumps the queue": (
        Trace(1, 2).job(1, "accept", "start").job(2, "accept").job(3, "accept").job(1, "return")
        .job(3, "start"),
        7, ("LIMIT-5",), "job 2, which came before job 3",
    ),
    "a slot that is not handed on": (
        Trace().job(1, "accept", "start").job(2, "accept").job(1, "return").scheduler("close"),
        6, ("LIMIT-2",), "start of job 2 at once",
    ),
    "a start in the shutdown": (
        Trace().job(1, "accept", "start").job(2, "accept").scheduler("close").job(2, "start"),
        6, ("SHUT-1", "START-2"), "job 2 is dropped",
    ),
    "a start after closing began": (
        Trace(2).job(1, "accept", "start").scheduler("close").job(1, "asked").job(2, "accept"),
        6, ("SHUT-1", "SPAWN-2"), "once closing has begun",
    ),
    "an end of closing before everybody was asked": (
        Trace().job(1, "accept", "start").scheduler("close", "settle"),
        5, ("SHUT-1",), "job 1 is dropped or asked",
    ),
    "a job that is cancelled by the shutdown before it was asked": (
        Trace().job(1, "accept", "start").scheduler("close").job(1, "cancelled"),
        5, ("SHUT-1",), "asked to stop",
    ),
    "a trace that ends in the shutdown": (
        Trace().job(1, "accept", "start").scheduler("close"),
        5, ("SHUT-1",), "job 1",
    ),
    "a phase that goes back": (
        Trace().scheduler("close", "settle", "close"),
        4, ("SHUT-1",), "out of the phase closed",
    ),
    "an end before closing": (
        Trace().scheduler("settle"),
        2, ("SHUT-1",), "out of the phase open",
    ),
    "a job that is neither ended nor left": (
        Trace().job(1, "accept", "start"),
        4, ("BOOK-1",), "[1]",
    ),
    "a call that was not announced": (
        Trace(calls=True).job(1, "accept", "start"),
        2, ("SPAWN-1",), "a call of spawn before",
    ),
    "a call although none is announced": (
        Trace().call(1, "call"),
        2, (), "no calls",
    ),
    "a call that is made twice": (
        Trace(calls=True).call(1, "call").call(1, "call"),
        3, (), "before another one",
    ),
    "an answer to nobody": (
        Trace(calls=True).call(1, "return"),
        2, (), "was not called",
    ),
    "a call that returns without a job": (
        Trace(calls=True).call(1, "call").call(1, "return"),
        3, ("SPAWN-1",), "it has no job",
    ),
    "a call that raises and leaves its job": (
        Trace(calls=True).call(1, "call").job(1, "accept", "start").call(1, "raise", error="E"),
        5, ("SPAWN-1",), "job 1 of the call",
    ),
    "a call that waits for nothing": (
        Trace(calls=True).call(1, "call").call(2, "call"),
        3, ("LIMIT-4",), "a free slot",
    ),
    "a call that waits after closing began": (
        Trace(calls=True).scheduler("close").call(1, "call").scheduler("settle"),
        4, ("SPAWN-2",), "is refused",
    ),
    "a call that overtakes": (
        Trace(calls=True).spawn(1, "start").spawn(2).call(3, "call").call(4, "call").job(3, "accept"),
        11, ("LIMIT-5",), "overtake",
    ),
    "a call that is passed over and let in later": (
        Trace(calls=True).spawn(1, "start").spawn(2).call(3, "call").job(1, "return")
        .job(2, "start", "return").job(3, "accept"),
        13, ("LIMIT-4", "LIMIT-5"), "is cancelled",
    ),
    "a call that is passed over and raises something else": (
        Trace(calls=True).spawn(1, "start").spawn(2).call(3, "call").job(1, "return")
        .job(2, "start", "return").call(3, "raise", error="RuntimeError"),
        13, ("LIMIT-4", "LIMIT-5"), "is cancelled",
    ),
    "a call that is refused by closing and returns": (
        Trace(calls=True).spawn(1, "start").spawn(2).call(3, "call").scheduler("close").job(2, "drop")
        .job(1, "asked").call(3, "return"),
        13, ("SPAWN-2",), "raises: closing has begun",
    ),
    "a call that nobody answers": (
        Trace(calls=True).spawn(1, "start").spawn(2).call(3, "call").scheduler("close").job(2, "drop")
        .job(1, "asked", "stop").scheduler("settle"),
        15, ("SPAWN-2",), "an answer to the call",
    ),
    "a queue said to be full that is not": (
        Trace(calls=True).call(1, "call").call(1, "raise", error="PendingQueueFull"),
        3, ("SPAWN-5",), "there is room",
    ),
}  # fmt: skip


@pytest.mark.parametrize("story", STORIES)
def test_the_first_line_that_breaks_a_rule_is_named_with_the_rule(story):
    trace, line, requirements, expected = STORIES[story]
    found = trace.finding()
    assert found is not None
    assert (found.line, found.requirements) == (line, requirements), found.told()
    assert expected in found.expected
    assert not Rehearsal(trace.header).explains([*trace.lines, json.loads(trace.text().splitlines()[-1])])


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ({"job": 1}, "the key 'event'"),
        ({"call": "a"}, "the key 'event'"),
        (
            {"job": 1, "event": "accept", "source": None, "dest": "pending", "time": "0"},
            "a number of seconds",
        ),
        (
            {"job": 1, "event": "accept", "source": None, "dest": "pending", "time": True},
            "a number of seconds",
        ),
        (
            {"job": "1", "event": "accept", "source": None, "dest": "pending", "time": 0},
            "the number of a job",
        ),
        ({"job": 1, "event": "accept", "source": None, "dest": "active", "time": 0}, "in state pending"),
        ({"job": 1, "event": "accept", "source": "", "dest": "pending", "time": 0}, "without a source"),
        ({"job": 1, "event": ["start"], "source": None, "dest": "pending", "time": 0}, "an event"),
        ({"job": 1, "event": "start", "source": None, "dest": "a", "time": 0, "name": "a"}, "no others"),
        ({"call": 1, "event": "call", "time": 0}, "a name"),
        ({"call": "a", "event": "shout", "time": 0}, "call, return or raise"),
        ({"call": "a", "event": "call", "time": 0, "error": "E"}, "no others"),
        ({}, "as last line"),
    ],
)
def test_a_line_that_is_none_is_refused(line, expected):
    monitor = Monitor(SPEC, Header(1, 1, calls=True, spec=""))
    with pytest.raises(BrokenTraceError, match=re.escape(expected)):
        monitor.feed(line)
    assert not Rehearsal(monitor.header).then(line).possible


@pytest.mark.parametrize("time", [-0.001, float("nan"), float("inf")])
def test_time_never_goes_back(time):
    trace = Trace().job(1, "accept", "start")
    trace.time = time
    found = trace.job(1, "return").finding()
    assert (found.line, found.rule) == (4, "trace: clock")


@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        (b"", 1, "one JSON object"),
        (b"{", 1, "one JSON object in UTF-8"),
        (b"[]\n", 1, "one JSON object, and"),
        (b"\xff\n", 1, "in UTF-8"),
        (b"[" * 100_000 + b"\n", 1, "one JSON object"),
        (Trace().text() + b"\n", 3, "one JSON object"),
        (Trace().text()[:-1], 2, "a line feed after it"),
        (Trace().text() + Trace().text(), 3, "nothing after the last line"),
        (Trace().text().splitlines(keepends=True)[0], 2, "this trace was cut off"),
    ],
)
def test_a_file_that_is_no_trace_is_refused_with_the_number_of_the_line(text, line, expected):
    found = audit(text.splitlines(keepends=True), SPEC).finding
    assert found.line == line
    assert expected in found.expected


def test_the_memory_is_that_of_the_jobs_that_are_alive():
    monitor = Monitor(SPEC, Header(2, 2, calls=True, spec=""))
    trace = Trace(2, 2, calls=True)
    for number in range(1, 2001):
        trace.lines.clear()
        for line in trace.spawn(number, "start").job(number, "return").lines:
            monitor.feed(line)
    kept = [value for value in vars(monitor).values() if hasattr(value, "__len__")]
    assert max(map(len, kept)) < 30
    assert len(monitor.callers.unanswered) == 0
    assert (monitor.roster.born, monitor.roster.most_live) == (2000, 1)


# --- The judges ------------------------------------------------------------------------------------------


def test_every_corrupted_copy_is_refused_unless_a_run_explains_it():
    header, lines = parsed(record(SMALL))
    found = judge(header, lines, SPEC)
    assert found.disagreements == []
    assert found.copies.total() > 900
    assert 0 < found.legal.total() < found.copies.total() / 5
    assert found.refused_for.keys() >= {
        "LIMIT-1",
        "LIMIT-2",
        "LIMIT-4",
        "LIMIT-5",
        "LIMIT-6",
        "SHUT-1",
        "BOOK-1",
    }


def test_a_sample_of_the_copies_has_the_size_that_was_asked_for():
    header, lines = parsed(record(SMALL))
    assert judge(header, lines, SPEC, at_most=40).copies.total() == 40 + len([*headers(header)])


def test_a_corrupted_copy_differs_where_it_says_and_is_otherwise_in_order():
    _, lines = parsed(record(SMALL))
    for copy in corrupted(lines, SPEC):
        assert copy.lines != lines
        assert copy.lines[: copy.at] == lines[: copy.at]
        if "end" in copy.lines[-1] and copy.kind not in {"a wrong count at the end", "a wrong key"}:
            assert copy.lines[-1]["end"] == len(copy.lines) - 1


def test_a_monitor_that_is_too_lenient_is_found_out(monkeypatch):
    monkeypatch.setattr(Callers, "_refuse_passed_over", lambda *_: None)
    header, lines = parsed(record(SMALL))
    assert any("accepted, but no run" in story for story in judge(header, lines, SPEC).disagreements)


def test_a_monitor_that_is_too_strict_is_found_out(monkeypatch):
    def strict(self, job, *rest):
        if job > jobs:
            raise BrokenTraceError("planted", "no more jobs than there were")
        accept(self, job, *rest)

    accept = Monitor._accept
    header, lines = parsed(record(Specimen(None, 0, False, seed=1, clients=2, orders=2, seconds=2)))
    jobs = max(line["job"] for line in lines if line.get("job"))
    assert judge(header, lines, SPEC).disagreements == []
    monkeypatch.setattr(Monitor, "_accept", strict)
    stories = judge(header, lines, SPEC).disagreements
    assert stories
    assert all("planted" in story and "but a run explains it" in story for story in stories)


@pytest.mark.parametrize("scope", SCOPES[False], ids=str)
def test_both_opinions_agree_about_every_trace_of_a_few_jobs(scope):
    found = agreement(SPEC, scope)
    assert found.disagreement == ""
    assert found.situations > 60


def test_the_search_for_disagreements_finds_one_and_tells_its_story(monkeypatch):
    monkeypatch.setattr(Monitor, "_refuse_unfinished", lambda _: None)
    found = agreement(SPEC, Scope(1, 1, 2))
    assert found.disagreement.startswith("monitor: accepted")
    assert "'event': 'close'" in found.disagreement


# --- The command and the step ------------------------------------------------------------------------------


def test_the_command_audits_a_file(tmp_path, capsys):
    path = tmp_path / "trace.jsonl"
    path.write_bytes(Trace().job(1, "accept", "start", "return").text())
    assert main(["audit", str(path)]) == 0
    assert "OBEYS" in capsys.readouterr().out
    path.write_bytes(Trace().job(1, "accept", "start", "return", "return").text())
    assert main(["audit", str(path), "--json", str(tmp_path / "found.json")]) == 1
    assert "line 5: LIMIT-6" in capsys.readouterr().out
    found = json.loads((tmp_path / "found.json").read_text("utf-8"))
    assert (found["status"], found["finding"]["line"]) == ("fail", 5)
    assert found["finding"]["requirements"] == ["LIMIT-6"]


@pytest.mark.parametrize("arguments", [[], ["--demo", "trace.jsonl"], ["nowhere.jsonl"]])
def test_the_command_says_what_it_wants(arguments, capsys):
    assert main(["audit", *arguments]) == 2
    assert capsys.readouterr().err


def test_without_aiohttp_the_step_is_skipped(monkeypatch, capsys):
    monkeypatch.setattr(command, "find_module", lambda _name: None)
    assert main(["audit", "--demo"]) == 77
    assert "aiohttp" in capsys.readouterr().err


@pytest.fixture
def step(monkeypatch, tmp_path):
    """The step with one small specimen, and a service that `service` says what to do."""

    def gather(service, enough=1000):
        monkeypatch.setattr(recordings, "SPECIMENS", {"small": SMALL, "silent": SILENT})
        monkeypatch.setattr(recordings, "SCOPES", {False: SCOPES[False][:1]})
        monkeypatch.setattr(recordings, "ENOUGH", enough)
        monkeypatch.setattr(recordings, "_COPIES", {False: 20})
        monkeypatch.setattr(recordings, "_DEMO", ("-c", service))
        told = []
        evidence = recordings.gather(SPEC, tmp_path, full=False, say=told.append)
        assert told
        return evidence

    return gather


def service(tmp_path, text):
    (tmp_path / "recorded").write_text(text, encoding="utf-8")
    return f"import shutil, sys; shutil.copy({str(tmp_path / 'recorded')!r}, sys.argv[1])"


BUSY = Specimen(2, 2, True, seed=4)


def test_the_step_covers_what_was_exercised_and_refused(step, tmp_path):
    evidence = step(service(tmp_path, record(BUSY)))
    assert evidence.faults == []
    found = evidence.as_dict()
    assert found["status"] == "pass"
    assert found["covers"]["LIMIT-1"] == ["orders demo", "silent", "small"]
    assert found["covers"]["LIMIT-4"] == ["orders demo", "small"]
    assert found["figures"]["corrupted copies of the service's trace"] == 20 + len(
        [*headers(Header(2, 2, calls=True, spec=""))]
    )
    assert "timing" in found
    assert "AS IT SHOULD BE" in evidence.told()


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("raise SystemExit('it broke')", "ended with 1: it broke"),
        ("pass", "line 1: (trace: line)"),
    ],
)
def test_a_service_that_breaks_or_leaves_no_trace_is_a_fault(step, code, fault):
    evidence = step(code)
    assert any(fault in one for one in evidence.faults), evidence.faults
    assert evidence.as_dict()["covers"] == {}
    assert "NOT AS IT SHOULD BE" in evidence.told()


def test_a_service_that_nothing_was_asked_of_is_a_fault(step, tmp_path):
    quiet = Trace().job(1, "accept", "start", "return").text().decode()
    assert step(service(tmp_path, quiet)).faults == [
        "the example service came nowhere near LIMIT-1, LIMIT-2, LIMIT-3, LIMIT-4, LIMIT-5"
    ]


def test_a_monitor_that_is_too_slow_is_a_fault(step, tmp_path):
    (fault,) = step(service(tmp_path, record(BUSY)), enough=10**9).faults
    assert "1000000000 are wanted" in fault


def test_a_service_that_breaks_a_promise_is_a_fault(step, tmp_path):
    text = record(BUSY).replace('"start"', '"finish"', 1)
    (fault, *_) = step(service(tmp_path, text)).faults
    assert fault.startswith("orders demo, line 4")
