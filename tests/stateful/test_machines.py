"""Hypothesis machines around the real scheduler, for a few seconds (`python -m aiojobs_verification fuzz`: longer).

Each machine lets random events happen to a scheduler on the virtual loop, turn by turn; an oracle that knows
only the specification looks after each of them, and settles every account at the end. The events are the same
in each run: what is new every time is the fuzzer's.
"""

import sys

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from aiojobs_verification.simulation.search.machines import ExceptionMachine, LimitMachine, ShutdownMachine
from aiojobs_verification.simulation.world.world import watching

EAGER = (False, True) if sys.version_info >= (3, 12) else (False,)

BRIEFLY = settings(
    max_examples=25,
    stateful_step_count=40,
    deadline=None,
    database=None,
    derandomize=True,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


def run(machine, eager):
    kind = type(machine.__name__, (machine,), {"eager": eager, "walked": type(machine.walked)()})
    with watching():
        run_state_machine_as_test(kind, settings=BRIEFLY)
    return kind.walked


@pytest.mark.requirement(
    "LIMIT-1",
    "LIMIT-2",
    "LIMIT-3",
    "LIMIT-4",
    "LIMIT-5",
    "LIMIT-6",
    "LIMIT-7",
    "SPAWN-1",
    "SPAWN-7",
    "BOOK-1",
)
@pytest.mark.parametrize("eager", EAGER)
def test_limit_and_queue_whatever_is_closed_or_cancelled(eager):
    walked = run(LimitMachine, eager)
    assert {"LIMIT-1", "LIMIT-2", "LIMIT-3", "LIMIT-6", "LIMIT-7"} <= walked.spoken
    assert {"SPAWN-1", "SPAWN-7", "BOOK-1"} <= walked.spoken


@pytest.mark.requirement(
    "SHUT-1", "SHUT-2", "SHUT-3", "SHUT-4", "SHUT-5", "SHUT-6", "SHUT-7", "SHUT-8", "SPAWN-2", "CLOSE-1"
)
@pytest.mark.parametrize("eager", EAGER)
def test_shutdown_in_every_way_at_once(eager):
    walked = run(ShutdownMachine, eager)
    assert {"SHUT-1", "SHUT-2", "SHUT-3", "SHUT-5", "SHUT-7", "SEE-1", "SEE-2"} <= walked.spoken


@pytest.mark.requirement("EXC-1", "EXC-2", "EXC-3", "WAIT-1", "WAIT-3", "CLOSE-3", "BOOK-3", "SPAWN-6")
@pytest.mark.parametrize("eager", EAGER)
def test_every_exception_reaches_somebody_once(eager):
    walked = run(ExceptionMachine, eager)
    assert {"EXC-1", "EXC-2", "WAIT-3", "BOOK-3", "SPAWN-6"} <= walked.spoken
