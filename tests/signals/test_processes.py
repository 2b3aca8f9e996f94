"""Real processes that get real signals. Nothing here sleeps: each side waits for what the other one writes.

The program takes three jobs that wait for a line on its standard input; so the test says when they end.
"""

import contextlib
import importlib.util
import os
import signal
import subprocess
import sys

import pytest

from docs import pages
from support.library import SOURCES

PAGE = "docs/howto/shut-down-on-signals.md"
SIGNALS = pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])

START = """
import asyncio, logging, signal, sys, time
import aiojobs

# Whatever the run of the tests was started with: a shell's `&` would have SIGINT ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
logging.getLogger("asyncio").setLevel(logging.ERROR)  # in debug mode it remarks on a slow machine

def say(text):
    print(text, flush=True)

async def work(number, go):
    await go.wait()
    say(f"job {number} done")

async def spawn_three(scheduler):
    go = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, go.set)
    for number in range(3):
        await scheduler.spawn(work(number, go), f"job {number}")
    say("accepted")

def run(main):
    with asyncio.Runner(loop_factory=LOOP) as runner:
        return runner.run(main())
"""

LOOPS = {
    "stock": "import asyncio\nLOOP = asyncio.SelectorEventLoop\n",
    "uvloop": "import uvloop\nLOOP = uvloop.new_event_loop\n",
}
HERE = [name for name in LOOPS if name == "stock" or importlib.util.find_spec(name)]

WITHOUT = """
async def main():
    async with aiojobs.Scheduler(limit=2) as scheduler:
        await spawn_three(scheduler)
        await asyncio.Event().wait()
    say("closed")

run(main)
"""

WITH = """
from aiojobs.signals import stop_on_signals

async def main():
    scheduler = aiojobs.Scheduler(limit=2, close_timeout=CLOSE)
    async with stop_on_signals(scheduler, grace=GRACE, reserve=0) as stop:
        await spawn_three(scheduler)
        await asyncio.Event().wait()
    say("closed")
    return stop.exit_status

sys.exit(run(main))
"""

STUBBORN = """
async def work(number, go):
    while True:
        try:
            await go.wait()
        except asyncio.CancelledError:
            say(f"job {number} goes on")
"""

BUSY = """
async def work(number, go):
    say("busy")
    while True:
        pass
"""


class Program:
    """A program that runs by itself, to be asked and listened to."""

    def __init__(self, source, *, loop="stock", grace=1000, close=0.1):
        settings = f"GRACE, CLOSE = {grace}, {close}\n"
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", LOOPS[loop] + settings + source],
            env={**os.environ, "PYTHONPATH": SOURCES},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def until(self, beginning):
        """Read what it writes, up to a line that begins like this."""
        while not (line := self.process.stdout.readline()).startswith(beginning):
            assert line, f"it ended before it said {beginning!r}: {self.process.stderr.read()}"

    def send(self, signum):
        self.process.send_signal(signum)

    def is_running(self):
        """Whether it still is after a moment; so that it has time to handle each signal by itself."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(0.1)
        return self.process.returncode is None

    def let_the_jobs_end(self):
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def end(self):
        """Its exit status, negative for a signal; what it wrote last; and its errors."""
        # Not `communicate`: it closes the input, which is news to the jobs, and misses what was read ahead.
        output, errors = self.process.stdout.read(), self.process.stderr.read()
        return self.process.wait(), output.splitlines(), errors

    def dispose(self):
        with self.process:
            self.process.kill()


@pytest.fixture
def start():
    started = []

    def start(*arguments, **options):
        started.append(Program(*arguments, **options))
        return started[-1]

    yield start
    for program in started:
        program.dispose()


def test_without_it_a_signal_loses_what_was_accepted(start):
    program = start(START + WITHOUT)
    program.until("accepted")
    program.send(signal.SIGTERM)
    assert program.end() == (-signal.SIGTERM, [], "")


@pytest.mark.requirement("SHUT-4")
@pytest.mark.parametrize("loop", HERE)
@SIGNALS
def test_what_was_accepted_is_done_and_the_process_ends_well(start, loop, signum):
    program = start(START + WITH, loop=loop)
    program.until("accepted")
    program.send(signum)
    program.until(f"{signum.name}: no more work is taken; jobs to finish: 3")
    program.let_the_jobs_end()
    assert program.end() == (0, ["job 0 done", "job 1 done", "job 2 done", "closed"], "")


@pytest.mark.requirement("SHUT-2")
@pytest.mark.parametrize("loop", HERE)
@SIGNALS
def test_what_is_not_done_in_time_is_told_and_the_process_ends_by_itself(start, loop, signum):
    program = start(START + WITH, loop=loop, grace=0.15)
    program.until("accepted")
    program.send(signum)
    status, output, errors = program.end()
    assert (status, output[-1], errors) == (128 + signum, "closed", "")
    (told,) = [line for line in output if line.startswith("Closing dropped accepted work: ")]
    assert "2 cancelled, 1 never started in 0" in told


@pytest.mark.requirement("SHUT-2")
@pytest.mark.parametrize("loop", HERE)
@SIGNALS
def test_a_second_signal_ends_it_at_once(start, loop, signum):
    program = start(START + WITH, loop=loop)
    program.until("accepted")
    program.send(signum)
    program.until(f"{signum.name}: no more work is taken")
    program.send(signum)
    program.until(f"{signum.name}, again: closing; jobs to stop: 3")
    status, output, errors = program.end()
    assert (status, output[-1], errors) == (128 + signum, "closed", "")


@pytest.mark.parametrize("loop", HERE)
def test_a_third_signal_kills_it_whatever_the_jobs_do(start, loop):
    program = start(START + STUBBORN + WITH, loop=loop, close=500)
    program.until("accepted")
    program.send(signal.SIGTERM)
    program.until("SIGTERM: no more work is taken")
    program.send(signal.SIGTERM)
    program.until("job 0 goes on")
    program.send(signal.SIGTERM)
    assert program.end()[0] == -signal.SIGTERM


def test_a_third_ctrl_c_is_a_keyboard_interrupt_again(start):
    once = STUBBORN.replace("while True", "for _ in range(2)")
    program = start(START + once + WITH, close=500)
    program.until("accepted")
    program.send(signal.SIGINT)
    program.until("SIGINT: no more work is taken")
    program.send(signal.SIGINT)
    program.until("job 0 goes on")
    program.send(signal.SIGINT)
    status, _, errors = program.end()
    assert (status, errors.splitlines()[-1]) == (-signal.SIGINT, "KeyboardInterrupt")


@pytest.mark.parametrize("loop", HERE)
def test_signals_end_a_program_whose_loop_is_held_by_a_job(start, loop):
    program = start(START + BUSY + WITH, loop=loop)
    program.until("busy")
    while program.is_running():
        program.send(signal.SIGTERM)
    assert program.process.returncode == -signal.SIGTERM


@pytest.mark.requirement("SHUT-4")
def test_the_program_of_the_how_to_does_in_real_time_what_the_page_says():
    example = pages.examples(PAGE)[0]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", example.source],
        env={**os.environ, "PYTHONPATH": SOURCES},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, example.output), done.stderr
