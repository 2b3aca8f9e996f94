"""The pure core, for every small limit, queue and set of counters at once."""

import itertools

import pytest

from aiojobs._admission import Admission, Next, Verdict
from aiojobs._lifecycle import PHASES, Phase, PhaseEvent

LIMITS = (None, 1, 2, 3)
PENDING_LIMITS = (0, 1, 2)


def admission(limit, pending_limit, phase, running=0, pending=0, blocked=0):  # noqa: PLR0917
    made = Admission(limit, pending_limit)
    made.phase, made.running, made.pending, made.blocked = phase, running, pending, blocked
    return made


def numbers(core):
    return core.running, core.pending, core.blocked


def grid():
    """Every combination of parameters, phases and small counters, whether it makes sense or not."""
    return itertools.product(LIMITS, PENDING_LIMITS, Phase, range(5), range(4), range(3))


def sound():
    """Those of the grid that break no rule."""
    for values in grid():
        core = admission(*values)
        if not core.violations():
            yield core


def open_states():
    return (core for core in sound() if core.phase is Phase.OPEN)


def test_the_grid_has_sound_states_of_every_kind():
    cores = list(sound())
    assert len(cores) > 100
    assert {core.phase for core in cores} == set(Phase)
    assert any(core.blocked for core in cores)
    assert any(core.pending and core.pending_limit == 0 for core in cores)


@pytest.mark.requirement("BOOK-1")
def test_it_begins_open_and_empty():
    core = Admission(7, 3)
    assert (core.limit, core.pending_limit, core.phase) == (7, 3, Phase.OPEN)
    assert numbers(core) == (0, 0, 0)
    assert core.violations() == []


@pytest.mark.requirement("LIMIT-1", "LIMIT-2", "LIMIT-3", "LIMIT-4", "SPAWN-2", "SPAWN-5")
@pytest.mark.parametrize("may_block", [True, False])
def test_an_offer_is_answered_by_what_is_free_and_counted_accordingly(may_block):
    for core in sound():
        before = numbers(core)
        verdict = core.offer(may_block=may_block)
        added = tuple(after - was for after, was in zip(numbers(core), before, strict=True))
        has_slot = core.limit is None or before[0] < core.limit
        has_place = core.pending_limit == 0 or before[1] < core.pending_limit
        if core.phase is not Phase.OPEN:
            expected = Verdict.REFUSE, (0, 0, 0)
        elif has_slot:
            expected = Verdict.START, (1, 0, 0)
        elif has_place:
            expected = Verdict.QUEUE, (0, 1, 0)
        elif may_block:
            expected = Verdict.BLOCK, (0, 0, 1)
        else:
            expected = Verdict.FULL, (0, 0, 0)
        assert (verdict, added) == expected
        assert core.violations() == []


@pytest.mark.requirement("SPAWN-5")
def test_a_caller_that_cannot_wait_is_told_full_exactly_where_another_would_block():
    for core in sound():
        values = (core.limit, core.pending_limit, core.phase, *numbers(core))
        patient = admission(*values).offer(may_block=True)
        hasty = admission(*values).offer(may_block=False)
        assert hasty is (Verdict.FULL if patient is Verdict.BLOCK else patient)


@pytest.mark.requirement("SPAWN-7")
def test_a_call_would_block_exactly_where_it_does():
    for core in sound():
        answer = core.would_block()
        assert answer is (core.offer(may_block=True) is Verdict.BLOCK)


@pytest.mark.requirement("LIMIT-1", "LIMIT-2", "LIMIT-4", "LIMIT-7")
@pytest.mark.parametrize("limit", LIMITS)
def test_another_limit_lets_in_as_many_as_it_has_room_for_and_stops_nobody(limit):
    for core in open_states():
        running, pending, blocked = numbers(core)
        core.set_limit(limit)
        assert (core.limit, numbers(core)) == (limit, (running, pending, blocked))
        assert core.surplus == (0 if limit is None else max(0, running - limit))
        answers = list(iter(core.resume, Next.NOTHING))
        room = pending + blocked if limit is None else max(0, min(pending + blocked, limit - running))
        admits = min(room, blocked)
        assert answers == [Next.START_AND_ADMIT] * admits + [Next.START] * (room - admits)
        assert sum(numbers(core)) == running + pending + blocked
        assert (core.running, core.blocked) == (running + room, blocked - admits)
        assert core.violations() == []


@pytest.mark.requirement("LIMIT-7", "LIMIT-2")
def test_while_too_many_run_an_end_starts_nobody_and_then_each_does():
    core = admission(4, 2, Phase.OPEN, 4, 2, 1)
    core.set_limit(2)
    seen = []
    while core.running and len(seen) < 5:
        seen.append((core.ended(), core.surplus, numbers(core)))
        assert core.violations() == []
    assert seen == [
        (Next.NOTHING, 1, (3, 2, 1)),
        (Next.NOTHING, 0, (2, 2, 1)),
        (Next.START_AND_ADMIT, 0, (2, 2, 0)),
        (Next.START, 0, (2, 1, 0)),
        (Next.START, 0, (2, 0, 0)),
    ]


@pytest.mark.requirement("LIMIT-7", "SHUT-1")
@pytest.mark.parametrize("phase", [Phase.CLOSING, Phase.CLOSED])
def test_after_closing_began_another_limit_lets_nobody_in(phase):
    core = admission(1, 0, phase, 1, 0, 0)
    core.set_limit(None)
    assert core.resume() is Next.NOTHING
    assert (core.limit, numbers(core)) == (None, (1, 0, 0))


@pytest.mark.requirement("LIMIT-1", "LIMIT-2", "LIMIT-4", "LIMIT-6")
def test_a_slot_that_falls_free_is_given_on_at_once_or_is_free():
    for core in sound():
        running, pending, blocked = numbers(core)
        if running == 0:
            continue
        next_ = core.ended()
        if pending == 0:
            assert (next_, numbers(core)) == (Next.NOTHING, (running - 1, 0, 0))
        elif blocked == 0:
            assert (next_, numbers(core)) == (Next.START, (running, pending - 1, 0))
        else:
            assert (next_, numbers(core)) == (Next.START_AND_ADMIT, (running, pending, blocked - 1))
        assert core.violations() == []


@pytest.mark.requirement("SHUT-1")
@pytest.mark.parametrize("phase", [Phase.CLOSING, Phase.CLOSED])
def test_a_slot_that_falls_free_after_closing_began_starts_nothing_whatever_the_books_say(phase):
    core = admission(1, 1, phase, running=1, pending=1, blocked=1)
    assert core.ended() is Next.NOTHING
    assert numbers(core) == (0, 1, 1)


@pytest.mark.requirement("LIMIT-2", "LIMIT-3", "LIMIT-4")
def test_a_place_that_falls_free_is_given_on_at_once_or_is_free():
    for core in open_states():
        running, pending, blocked = numbers(core)
        if pending == 0:
            continue
        next_ = core.withdrawn()
        if blocked == 0:
            assert (next_, numbers(core)) == (Next.NOTHING, (running, pending - 1, 0))
        else:
            assert (next_, numbers(core)) == (Next.ADMIT, (running, pending, blocked - 1))
        assert core.violations() == []


@pytest.mark.requirement("LIMIT-4", "SPAWN-1")
def test_a_blocked_call_that_gives_up_leaves_only_its_own_mark():
    for core in open_states():
        running, pending, blocked = numbers(core)
        if blocked:
            core.give_up()
            assert numbers(core) == (running, pending, blocked - 1)
            assert core.violations() == []


@pytest.mark.requirement("SHUT-1", "SPAWN-2")
def test_closing_dismisses_the_queue_and_the_calls_outside_and_leaves_what_runs():
    for core in open_states():
        running = core.running
        core.shutdown()
        assert core.phase is Phase.CLOSING
        assert numbers(core) == (running, 0, 0)
        assert core.violations() == []
        core.settle()
        assert core.phase is Phase.CLOSED
        assert numbers(core) == (running, 0, 0)


@pytest.mark.requirement("SHUT-3")
@pytest.mark.parametrize("event", PhaseEvent)
@pytest.mark.parametrize("phase", Phase)
def test_every_cell_of_the_phase_table_is_obeyed(phase, event):
    core = admission(2, 1, phase, running=1)
    dest = PHASES[phase][event]
    if dest is None:
        with pytest.raises(RuntimeError, match=f"'{event}' is illegal in phase '{phase}'"):
            core.move(event)
        assert core.phase is phase
    else:
        core.move(event)
        assert core.phase is dest
    assert numbers(core) == (1, 0, 0)


@pytest.mark.requirement("SHUT-2")
@pytest.mark.parametrize("phase", [Phase.OPEN, Phase.CLOSED])
def test_closing_cannot_be_over_before_it_began_or_twice(phase):
    core = admission(1, 1, phase)
    with pytest.raises(RuntimeError, match="'settled' is illegal"):
        core.settle()
    assert core.phase is phase


@pytest.mark.requirement("BOOK-1", "LIMIT-1", "LIMIT-2", "LIMIT-3", "LIMIT-4", "SHUT-1")
@pytest.mark.parametrize(
    ("requirement", "values"),
    [
        ("LIMIT-1", (1, 0, Phase.OPEN, 2, 0, 0)),
        ("LIMIT-2", (2, 0, Phase.OPEN, 1, 1, 0)),
        ("LIMIT-2", (None, 0, Phase.OPEN, 5, 1, 0)),
        ("LIMIT-3", (1, 1, Phase.OPEN, 1, 2, 0)),
        ("LIMIT-4", (1, 2, Phase.OPEN, 1, 1, 1)),
        ("LIMIT-4", (1, 0, Phase.OPEN, 1, 1, 1)),
        ("SHUT-1", (1, 1, Phase.CLOSING, 1, 1, 0)),
        ("SHUT-1", (1, 1, Phase.CLOSED, 1, 1, 1)),
        ("BOOK-1", (1, 1, Phase.OPEN, -1, 0, 0)),
        ("BOOK-1", (1, 1, Phase.OPEN, 0, -1, 0)),
        ("BOOK-1", (1, 1, Phase.OPEN, 0, 0, -1)),
    ],
)
def test_numbers_that_break_a_rule_are_found_under_its_name(requirement, values):
    assert admission(*values).violations() == [requirement]


def another_limit(core, limit):
    core.set_limit(limit)
    while core.resume() is not Next.NOTHING:
        pass


def moves(core):
    """Every decision that can come next, as a name and a function that makes it."""
    yield "spawn", lambda c: c.offer(may_block=True)
    yield "spawn_nowait", lambda c: c.offer(may_block=False)
    if core.running:
        yield "ended", Admission.ended
    if core.pending:
        yield "withdrawn", Admission.withdrawn
    if core.blocked:
        yield "give_up", Admission.give_up
    for limit in LIMITS:
        yield f"set_limit {limit}", lambda c, limit=limit: another_limit(c, limit)
    if core.phase is Phase.OPEN:
        yield "shutdown", Admission.shutdown
    if core.phase is Phase.CLOSING:
        yield "settle", Admission.settle


def reached(values):
    core = admission(*values[:6])
    core.surplus = values[6]
    return core


@pytest.mark.requirement("BOOK-1", "LIMIT-1", "LIMIT-2", "LIMIT-3", "LIMIT-4", "LIMIT-7", "SHUT-1")
@pytest.mark.parametrize("pending_limit", PENDING_LIMITS)
@pytest.mark.parametrize("limit", LIMITS)
def test_no_sequence_of_decisions_breaks_a_rule(limit, pending_limit):
    seen = set()
    todo = [(limit, pending_limit, Phase.OPEN, 0, 0, 0, 0)]
    while todo:
        values = todo.pop()
        if values in seen or max(values[3:]) > 4:
            continue
        seen.add(values)
        for _name, move in moves(reached(values)):
            core = reached(values)
            move(core)
            assert core.violations() == []
            todo.append((core.limit, pending_limit, core.phase, *numbers(core), core.surplus))
    assert {values[2] for values in seen} == set(Phase)
    assert any(values[4] for values in seen)
    assert any(values[5] for values in seen) is (pending_limit > 0)
    assert any(values[6] for values in seen)
