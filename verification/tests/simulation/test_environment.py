"""What a scheduler lives among: every kind of stranger can be met, and a fault that needs one is found."""

import inspect
import random
import sys

import pytest

from aiojobs_verification.cli import explore as command
from aiojobs_verification.cli.commands import main
from aiojobs_verification.simulation.search.counterexample import paste, replay, tell
from aiojobs_verification.simulation.search.ending import wind_up
from aiojobs_verification.simulation.search.explorer import explore
from aiojobs_verification.simulation.search.scopes import Case
from aiojobs_verification.simulation.search.walk import (
    among_strangers,
    choose,
    random_scope,
    walk,
    with_stranger,
)
from aiojobs_verification.simulation.world.environment import COROUTINES, FACTORIES
from aiojobs_verification.simulation.world.packages import own
from aiojobs_verification.simulation.world.parties import DEEDS, PARTIES, PLACES, PartyFailure, strangers
from aiojobs_verification.simulation.world.scope import PLAIN
from aiojobs_verification.simulation.world.world import Scope, World, watching
from planted.faults import STRANGE_FAULTS, among, fresh, planted

ONE_JOB = {
    "jobs": 1,
    "callers": 1,
    "cancels": 0,
    "ends": ("return", "raise"),
    "spawns": ("spawn",),
    "tempers": ("obedient",),
    "calls": ("close", "shut"),
}


def test_every_argument_of_spawn_is_given_to_some_job_of_a_random_world(monkeypatch):
    given, options = set(), World.options

    def noted(world, body):
        given.update(said := options(world, body))
        return said

    monkeypatch.setattr(World, "options", noted)
    for seed in range(12):
        walk(own(), seed, random_scope(random.Random(seed)))
    parameters = inspect.signature(own().module.Scheduler.spawn).parameters
    assert parameters.keys() - {"self", "coro"} - given == set()


def is_met(scope):
    """Whether the stranger does what it is strange for, in one of some walks."""
    for seed in range(60):
        chance = random.Random(seed)
        with World(scope, own()) as world:
            for _ in range(40):
                possible = world.enabled()
                if not possible:
                    break
                world.apply(choose(chance, possible))
                if world.environment.met:
                    return True
    return False


@pytest.mark.parametrize("stranger", sorted(strangers()))
def test_every_stranger_is_explored_and_can_be_met(stranger):
    with watching():
        assert is_met(among(stranger))


def test_every_deed_has_its_places_and_every_place_its_deeds():
    assert {party.place for party in PARTIES.values()} - {""} == set(PLACES)
    assert {party.deed for party in PARTIES.values()} - {""} == set(DEEDS)
    assert {*FACTORIES, *COROUTINES, *PARTIES} >= PLAIN
    assert len(strangers()) >= len(FACTORIES) + len(COROUTINES) + len(PARTIES) - 4


def test_a_stranger_that_never_comes_about_is_a_failure(monkeypatch, capsys):
    scope = Scope(**{**ONE_JOB, "ends": ("return",)}, factories=("wraps", "lingers"))
    monkeypatch.setattr(command, "read_cases", lambda: [Case("tiny", "smoke", scope, {})])
    assert main(["explore", "--workers", "1"]) == 1
    out = capsys.readouterr().out
    assert "the stranger 'observer raises' never came about" in out
    assert "the stranger 'lingers' never came about" not in out


def test_the_kinds_of_a_scope_are_explored_each_by_itself():
    kinds = ("stock", "wraps", "fails-before")
    apart = [explore(Scope(**ONE_JOB, factories=(kind,)), own()) for kind in kinds]
    together = explore(Scope(**ONE_JOB, factories=kinds), own())
    assert together.states == 1 + sum(found.states for found in apart)
    assert together.depth == 1 + max(found.depth for found in apart)
    assert together.met == {"wraps", "fails-before"}


@pytest.mark.slow
def test_two_explorations_among_strangers_are_the_same():
    bounds = {**ONE_JOB, "jobs": 2}
    scope = Scope(**bounds, factories=("lingers",), parties=("handler spawns", "cancel raises"))
    assert explore(scope, own()).figures() == explore(scope, fresh()).figures()


def test_a_walk_among_strangers_is_a_function_of_its_seed():
    def chosen(seed):
        scope = random_scope(random.Random(seed))
        return among_strangers(scope, random.Random(f"strangers {seed}"))

    scopes = [chosen(seed) for seed in range(400)]
    assert scopes == [chosen(seed) for seed in range(400)]
    strange = [
        scope for scope in scopes if any(set(kinds) - PLAIN for kinds in scope.surroundings().values())
    ]
    assert 100 < len(strange) < 300


@pytest.mark.parametrize("fault", STRANGE_FAULTS.values(), ids=STRANGE_FAULTS)
def test_a_planted_fault_is_found_among_strangers_and_only_there(fault):
    scope, package = fault.scope, planted(fault)
    found = explore(scope, package)
    (finding,) = found.findings.values()
    assert fault.is_told_by(finding), finding
    assert len(finding.events) <= 16
    with watching():
        again = replay(scope, package, finding.events)
        assert (again.requirement, again.events) == (finding.requirement, finding.events)
        assert replay(scope, own(), finding.events) is None
    assert not explore(Scope(**ONE_JOB), package).findings


@pytest.mark.parametrize("fault", STRANGE_FAULTS.values(), ids=STRANGE_FAULTS)
def test_a_planted_fault_is_found_at_random_among_strangers(fault):
    (stranger,) = set().union(*fault.scope.surroundings().values()) - PLAIN
    package = planted(fault)
    with watching():
        for seed in range(400):
            scope = with_stranger(random_scope(random.Random(seed), eager=False), stranger)
            if any(fault.is_told_by(finding) for finding in walk(package, seed, scope).findings.values()):
                return
    raise AssertionError(f"{fault.name} was not found")


def test_a_story_among_strangers_is_told_in_plain_words_and_can_be_pasted():
    fault = STRANGE_FAULTS["wrapped_job_never_ends"]
    package = planted(fault)
    (finding,) = explore(fault.scope, package).findings.values()
    with watching():
        story = tell(finding, package)
    assert FACTORIES["wraps"].words in story
    namespace = {}
    exec(paste(finding), namespace)  # it is meant to be run
    with watching():
        namespace["test_found_by_search"]()  # the library itself has no such fault


def test_what_a_stranger_raises_twice_is_two_things_and_told_once_each():
    scope = Scope(**ONE_JOB, parties=("observer raises",))
    with watching(), World(scope, own()) as world:
        for event in [("spawn", "obedient"), ("turn",)]:
            world.apply(event)
        thrown = world.environment.thrown
        assert len(thrown) > 1
        assert all(isinstance(each.error, PartyFailure) and each.told == 1 for each in thrown)
        assert world.environment.untold() == 0


@pytest.mark.parametrize("end", ["raise", "base", "exit"])
def test_what_a_job_came_to_is_the_answer_of_foreign_code_that_closes_it(end):
    scope = Scope(limit=2, spawns=("nowait",), ends=(end,), parties=("create-task closes",), calls=())
    with watching(), World(scope, own()) as world:
        for event in [("nowait", "obedient"), ("turn",), (end, 0), ("turn",), ("nowait", "obedient")]:
            world.apply(event)
        assert world.bodies[0].receivers == 1
        wind_up(world)


@pytest.mark.parametrize("deed", ["raises", "exits"])
def test_the_text_tells_what_the_repr_of_a_late_shielded_task_raised(deed):
    """The repr of a task is in C, where no frame bears its name."""
    scope = Scope(jobs=1, calls=("shield", "shut"), shields=("stubborn",), parties=(f"get-name {deed}",))
    story = [("shield", "stubborn"), ("turn",), ("shut",), ("turn",), ("turn",), ("turn",), ("tick",)]
    assert replay(scope, own(), story) is None


def test_a_failure_of_the_library_itself_speaks_for_no_promise():
    package = fresh("crashes")
    core = sys.modules[f"{package.module.__name__}._core"]

    def spawn_nowait(self, coro, name=None, *, context=None):
        coro.close()
        return core.Core.enter(None, coro, name, context, False)

    package.module.Scheduler.spawn_nowait = spawn_nowait
    for bounds in ({"spawns": ("nowait",)}, {"parties": ("handler spawns",)}):
        scope = Scope(**{**ONE_JOB, "jobs": 2, **bounds})
        assert explore(scope, package, wanted=99).findings.keys() <= {"CRASH"}
