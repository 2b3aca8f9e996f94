"""Trace audit: real runs obey, what is planted in a scheduler or in a trace is named, and the step can fail."""

import asyncio
import gc
import io
import json
import re
from collections import Counter, OrderedDict
from contextlib import suppress

import pytest

from aiojobs import Phase, Scheduler
from aiojobs._admission import Admission, Next, Verdict
from aiojobs._closing import Closing
from aiojobs._queue import Queue
from aiojobs.testing import VirtualLoop, settle
from aiojobs.tracing import TraceWriter
from aiojobs_verification.cli import audit as command
from aiojobs_verification.cli.commands import main
from aiojobs_verification.follower import RULES, Violation, calls, follower, jobs, rules
from aiojobs_verification.specification.load import load
from aiojobs_verification.trace_audit import demonstration
from aiojobs_verification.trace_audit.corrupt import CORRUPTIONS, TracePlace, verdict
from aiojobs_verification.trace_audit.demonstration import Refusals, corrupt_all
from aiojobs_verification.trace_audit.reading import Header, TraceReader
from aiojobs_verification.trace_audit.replay import audit
from aiojobs_verification.trace_audit.runs import RUNS, RecordedRun, record
from support.inside import core, shields

SPEC = load()
SMALL = RecordedRun(1, 1, True, seed=7, clients=4, orders=2, seconds=1.5)
SILENT = RecordedRun(1, 1, False, seed=4, clients=4, orders=3, seconds=1.5)


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


# --- The header and the lines ---------------------------------------------------------------------


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
        {"version": 1},
        {"format": "another"},
        {"colour": "red"},
    ],
)
def test_a_header_that_makes_no_sense_is_refused(wrong):
    header = Header(1, 1, calls=False, spec="")
    found = audit([json.dumps(header.as_line() | wrong).encode() + b"\n"], SPEC).finding
    assert (found.line, found.rule, found.requirements) == (1, "trace: header", ())


# --- Real runs --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RUNS)
def test_the_recorded_runs_obey_and_are_the_same_every_time(name):
    text = record(RUNS[name])
    assert text == record(RUNS[name])
    found = audited(text)
    assert found.finding is None
    assert found.reader.follower.told.total() > 40


def test_the_recorded_runs_come_by_every_action_and_every_requirement_that_traces_speak_for():
    followers = [audited(record(run)).reader.follower for run in RUNS.values()]
    assert {action for one in followers for action in one.counters.actions} == set(SPEC.scheduler.actions)
    needed = {id_ for id_, one in SPEC.requirements.by_id.items() if "trace" in one.checks}
    assert needed <= {id_ for one in followers for id_, times in one.exercised().items() if times}


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
    assert audited(text).finding is None


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
        job = self.before
        self.leave(job)
        return job


class Lifo(OrderedDict):
    """Calls outside, of which the last comes first."""

    def popitem(self, last=True):
        return super().popitem(last=True)


def last_first(scheduler):
    core(scheduler).queue = LastFirst()


def last_outside_first(scheduler):
    core(scheduler).places = Lifo()


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
        core(scheduler).admission = admission(scheduler.limit, scheduler.pending_limit)

    return tweak


class KeepsTheQueue(Closing):
    def _begin(self):
        queue, self._core.queue = self._core.queue, Queue()
        super()._begin()
        self._core.queue = queue


class AsksNobody(Closing):
    def _begin(self):
        running, self._core.slots = self._core.slots, {}
        super()._begin()
        self._core.slots = running


def closed_by(closing):
    def tweak(scheduler):
        scheduler._Scheduler__closing = closing(core(scheduler), shields(scheduler))

    return tweak


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
        pytest.param(
            last_first, crowd, "LIMIT-5", "which came earlier", id="the queue is last in, first out"
        ),
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
            decided_by(ForgetsCallers),
            crowd,
            "LIMIT-4",
            "a place in the queue falls free",
            id="a caller is forgotten",
        ),
        pytest.param(decided_by(BlocksEarly), crowd, "LIMIT-4", "at once", id="a caller waits for nothing"),
        pytest.param(decided_by(SaysFull), hurry, "SPAWN-5", "there is room", id="full beside a free slot"),
        pytest.param(
            decided_by(LetsInLate), crowd, "SPAWN-2", "closing has begun", id="a job is let in late"
        ),
        pytest.param(
            closed_by(KeepsTheQueue), crowd, "SHUT-1", "dropped or asked", id="the queue survives closing"
        ),
        pytest.param(closed_by(AsksNobody), crowd, "SHUT-1", "asked to stop first", id="closing asks nobody"),
    ],
)
def test_the_trace_of_a_scheduler_that_breaks_a_promise_gives_it_away(tweak, program, requirement, expected):
    text = recorded(program, tweak)
    found = audited(text).finding
    assert found is not None
    assert requirement in found.requirements, found.told()
    assert expected in found.broken


# --- Planted faults: traces by hand -------------------------------------------------------------------


def test_a_good_trace_by_hand_is_accepted():
    trace = Trace().job(1, "accept", "start").job(2, "accept").job(1, "return").job(2, "start", "return")
    assert trace.scheduler("close", "settle").finding() is None


STORIES = {
    "a skipped state": (
        Trace().job(1, "accept", "stop"),
        3, ("BOOK-1",), "in state pending",
    ),
    "a job that never starts": (
        Trace().job(1, "accept").job(2, "accept"),
        3, ("LIMIT-2",), "start of job 1",
    ),
    "a trace that ends in the shutdown": (
        Trace().job(1, "accept", "start").scheduler("close"),
        5, ("SHUT-1",), "job 1",
    ),
    "a phase that goes back": (
        Trace().scheduler("close", "settle", "close"),
        4, ("SHUT-1",), "out of the phase closed",
    ),
    "a job that is neither ended nor left": (
        Trace().job(1, "accept", "start"),
        4, ("BOOK-1",), "[1]",
    ),
    "a blocked call that gets a place where none fell free": (
        Trace(calls=True).spawn(1, "start").spawn(2).call(3, "call").call(4, "call").job(3, "accept"),
        11, ("LIMIT-3",), "no place has fallen free",
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
    "a blocked call that is refused by closing and returns": (
        Trace(calls=True).spawn(1, "start").spawn(2).call(3, "call").scheduler("close").job(2, "drop")
        .job(1, "asked").call(3, "return"),
        13, ("SPAWN-2",), "raises: closing has begun",
    ),
    "a blocked call that nobody answers": (
        Trace(calls=True).spawn(1, "start").spawn(2).call(3, "call").scheduler("close").job(2, "drop")
        .job(1, "asked", "stop").scheduler("settle"),
        15, ("SPAWN-2",), "an answer to the call",
    ),
}  # fmt: skip
"""What no corruption of a real run comes by."""


@pytest.mark.parametrize("story", STORIES)
def test_the_first_line_that_breaks_a_rule_is_named_with_the_rule(story):
    trace, line, requirements, expected = STORIES[story]
    found = trace.finding()
    assert found is not None
    assert (found.line, found.requirements) == (line, requirements), found.told()
    assert expected in found.broken


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
    reader = TraceReader(SPEC, Header(1, 1, calls=True, spec=""))
    with pytest.raises(Violation, match=re.escape(expected)):
        reader.feed(line)


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
    assert expected in found.broken


def test_the_memory_is_that_of_the_jobs_that_are_alive():
    reader = TraceReader(SPEC, Header(2, 2, calls=True, spec=""))
    trace = Trace(2, 2, calls=True)
    for number in range(1, 2001):
        trace.lines.clear()
        for line in trace.spawn(number, "start").job(number, "return").lines:
            reader.feed(line)
    told = reader.follower
    parts = [*vars(told).values(), *vars(told.calls).values(), told.jobs.live, told.jobs.queue]
    assert max(len(part) for part in parts if hasattr(part, "__len__")) < 30
    assert told.calls.unanswered == []
    assert (told.jobs.born, told.jobs.most_live) == (2000, 1)


# --- Planted faults: copies of real runs ------------------------------------------------------------------


def lines_of(run):
    """What `corrupt_all` wants of a recorded run."""
    return parsed(record(run))


def test_every_corrupted_copy_is_refused_for_what_it_is():
    found = Refusals()
    for run in RUNS.values():
        corrupt_all(*lines_of(run), SPEC, found)
    assert found.faults == []
    assert found.copies.keys() >= CORRUPTIONS.keys()
    needed = {id_ for id_, one in SPEC.requirements.by_id.items() if "trace" in one.checks}
    assert found.refused_for.keys() >= needed


def test_so_many_lines_are_corrupted_as_were_asked_for():
    found = Refusals()
    corrupt_all(*lines_of(RUNS["no limit"]), SPEC, found, at_most=7)
    assert found.copies["a key too many"] == 7


def test_for_every_rule_but_the_double_entry_there_is_a_corruption():
    corrupted = {corruption.refusal.rule for corruption in CORRUPTIONS.values()} & RULES.keys()
    assert RULES.keys() - corrupted == {"counted"}


SECOND_LINE = {
    "limit": {"counted"},
    "limit raised": {"counted"},
    "pending limit": {"counted"},
    "no overtaking": {"pending limit"},
    "dropped for good": {"limit", "nothing starts"},
    "nothing accepted": {"called", "pending limit"},
}
"""Rules whose copies would not pass without them: what would refuse these then, in less fitting words."""


def test_no_rule_is_superfluous(monkeypatch):
    """Without a rule the copies that break it are accepted, or can't be followed; no other rule speaks for it."""
    others = {name: Counter() for name in RULES}
    for run in RUNS.values():
        header, lines = lines_of(run)
        for rule, other in refusals_without_the_rule(monkeypatch, header, lines):
            others[rule][other] += 1
    assert others.pop("counted") == {}  # has its test beside the follower
    for rule, found in others.items():
        assert "" in found or found.keys() == SECOND_LINE[rule], (rule, found)


def refusals_without_the_rule(monkeypatch, header, lines):
    """For each corrupted copy the rule it breaks, and the name of the one that refuses it if that is switched off."""
    reader = TraceReader(SPEC, header)
    for at, line in enumerate(lines):
        place = TracePlace(lines, at, reader.follower, header.calls)
        for corruption in CORRUPTIONS.values():
            rule = corruption.refusal.rule
            tail = corruption.make(place) if rule in RULES else None
            if isinstance(tail, list):
                with monkeypatch.context() as patched:
                    switch_off(patched, rule)
                    yield rule, refused_by(reader.fork(), tail[:2])
        reader.feed(line)


def switch_off(patched, rule):
    def refuse(name, expected):
        if name != rule:
            raise NotSoError(name, expected)

    for module in (calls, follower, jobs):
        patched.setattr(module, "refuse", refuse)


class NotSoError(Exception):
    """Another rule has spoken: its name."""


def refused_by(reader, lines):
    try:
        for line in lines:
            reader.feed(line)
    except NotSoError as refused:
        return refused.args[0]
    except (Violation, KeyError, ValueError, StopIteration):
        return ""  # there is no action for that, no such job, no such call
    return ""


def test_a_follower_that_is_too_lenient_is_found_out(monkeypatch):
    monkeypatch.setattr(calls.CallRegistry, "_refuse_passed_over", lambda *_: None)
    found = Refusals()
    corrupt_all(*lines_of(RUNS["limit 2, pending limit 2, calls announced"]), SPEC, found)
    assert found.faults
    kind = "the second of the callers is served, and the first returns"
    assert {fault.partition(":")[0] for fault in found.faults} == {kind}


def test_a_copy_that_is_accepted_is_a_fault():
    header, lines = lines_of(SMALL)
    refusal = CORRUPTIONS["a key too many"].refusal
    assert verdict(refusal, TraceReader(SPEC, header), lines) == "accepted"
    assert verdict(refusal, TraceReader(SPEC, header), lines[:-1]).startswith("refused for something else")


def test_a_refusal_in_other_words_is_a_fault(monkeypatch):
    other = RULES["queue order"]._replace(broken="something is wrong")
    monkeypatch.setattr(rules, "RULES", {**RULES, "queue order": other})
    found = Refusals()
    corrupt_all(*lines_of(RUNS["limit 2, pending limit 3"]), SPEC, found)
    assert set(found.faults) == {
        fault
        for fault in found.faults
        if fault.startswith("the second of the queue starts: refused for someth")
    }
    assert found.faults


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
    """The step with `runs`, and a service that `service` says what to do."""

    def gather(service, runs=RUNS):
        monkeypatch.setattr(demonstration, "RUNS", runs)
        monkeypatch.setattr(demonstration, "_LINES", {False: 20})
        monkeypatch.setattr(demonstration, "_DEMO", ("-c", service))
        told = []
        evidence = demonstration.gather(SPEC, tmp_path, full=False, say=told.append)
        assert told
        return evidence

    return gather


def service(tmp_path, text):
    (tmp_path / "recorded").write_text(text, encoding="utf-8")
    return f"import shutil, sys; shutil.copy({str(tmp_path / 'recorded')!r}, sys.argv[1])"


BUSY = RecordedRun(2, 2, True, seed=4)


def test_the_step_covers_what_was_exercised_and_refused(step, tmp_path):
    evidence = step(service(tmp_path, record(BUSY)))
    assert evidence.faults == []
    found = evidence.as_dict()
    assert found["status"] == "pass"
    assert found["covers"]["LIMIT-1"] == sorted(
        ["orders demo", *(name for name in RUNS if name != "no limit")]
    )
    assert found["covers"]["SPAWN-1"] == [
        name for name in sorted(RUNS) if "announced" in name and "no p" not in name
    ]
    assert found["figures"]["kinds of corruption"] >= len(CORRUPTIONS)
    assert found["timing"]["lines a second"] > 0
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


def test_a_kind_of_corruption_that_was_never_made_is_a_fault(step, tmp_path):
    faults = step(service(tmp_path, record(BUSY)), {"small": SMALL, "silent": SILENT}).faults
    assert "no copy could be made of this kind: the second of the queue starts" in faults


def test_a_service_that_breaks_a_promise_is_a_fault(step, tmp_path):
    text = record(BUSY).replace('"start"', '"finish"', 1)
    (fault, *_) = step(service(tmp_path, text)).faults
    assert fault.startswith("orders demo, line 4")
