"""The explorer: complete in its scope, repeatable, and able to find what is planted."""

import gc
import itertools
import json
import random
import re
import sys
import types
from contextlib import suppress
from multiprocessing import get_start_method

import pytest

from aiojobs_verification.cli.commands import main
from aiojobs_verification.simulation.search import scopes
from aiojobs_verification.simulation.search.counterexample import paste, replay, shrink, tell
from aiojobs_verification.simulation.search.ending import untie
from aiojobs_verification.simulation.search.explorer import ReplayError, _Explorer, explore
from aiojobs_verification.simulation.search.fingerprint import _of_coroutine, fingerprint
from aiojobs_verification.simulation.search.scopes import Case, pin, read_cases
from aiojobs_verification.simulation.search.walk import choose
from aiojobs_verification.simulation.world.packages import own
from aiojobs_verification.simulation.world.probes import CONTEXTS
from aiojobs_verification.simulation.world.world import Scope, World, watching
from planted.faults import FAULTS, fresh, planted

QUEUE = {
    "ends": ("return",),
    "spawns": ("spawn",),
    "tempers": ("obedient",),
    "callers": 1,
    "calls": ("close",),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_planted_fault_is_found_and_its_story_is_short(fault):
    package = planted(fault)
    found = explore(fault.scope, package)
    (finding,) = found.findings.values()
    assert fault.is_told_by(finding), finding
    assert len(finding.events) <= 16
    with watching():
        again = replay(fault.scope, package, finding.events)
        assert (again.requirement, again.events) == (finding.requirement, finding.events)
        assert replay(fault.scope, own(), finding.events) is None


@pytest.mark.parametrize("scope", dict.fromkeys(fault.scope for fault in FAULTS.values()), ids=Scope.describe)
def test_without_the_fault_the_same_scope_is_clean(scope):
    found = explore(scope, own())
    assert not found.findings
    assert found.states > 3
    assert found.events >= found.states - 1


def test_two_explorations_are_the_same():
    scope = FAULTS["lost_wakeup"].scope
    first, litter = explore(scope, own()), [object() for _ in range(5000)]
    assert explore(scope, fresh()).figures() == first.figures()
    del litter


def test_a_smaller_scope_has_fewer_states():
    large = explore(Scope(jobs=1, callers=1, ends=("return",), calls=("wait", "close"), cancels=1), own())
    for smaller in ({"calls": ("wait",)}, {"cancels": 0}, {"callers": 0}, {"tempers": ("obedient",)}):
        bounds = {"jobs": 1, "callers": 1, "ends": ("return",), "calls": ("wait", "close"), "cancels": 1}
        assert explore(Scope(**{**bounds, **smaller}), own()).states < large.states


def test_mistakes_lead_nowhere():
    bounds = {**QUEUE, "calls": ("close", "shut")}
    without, with_ = (explore(Scope(**bounds, misuse=misuse), own()) for misuse in (False, True))
    assert with_.figures() == without.figures()
    assert with_.spoken - without.spoken == {"SPAWN-3"}


@pytest.mark.parametrize("contexts", CONTEXTS)
def test_contexts_make_no_more_states(contexts):
    bounds = {**QUEUE, "spawns": ("spawn", "nowait")}
    plain, found = explore(Scope(**bounds), own()), explore(Scope(**bounds, contexts=contexts), own())
    assert found.figures() == plain.figures()
    assert ("SPAWN-4" in found.spoken) is (contexts != "unwatched")


def test_order_is_spoken_of_where_somebody_could_overtake():
    one_waits = Scope(**{**QUEUE, "callers": 0})
    two_wait = Scope(**{**QUEUE, "callers": 0, "jobs": 3})
    assert "LIMIT-5" not in explore(one_waits, own()).spoken
    assert "LIMIT-5" in explore(two_wait, own()).spoken


def test_the_last_job_of_a_world_has_no_name():
    with watching(), World(Scope(jobs=2), own()) as world:
        for event in [("nowait", "obedient"), ("nowait", "obedient")]:
            world.apply(event)
        named, unnamed = world.scheduler
        assert (named.get_name(), unnamed.get_name()) == ("job 0", None)
        assert [world.body_of(job).number for job in (named, unnamed)] == [0, 1]
        assert world.view().listed == ("job 0", "job 1")


def left_to_the_collector(over):
    """How many objects of ten worlds that are over wait for the collector, after `over` was done to each."""
    gc.collect()
    with watching():
        for _ in range(10):
            with World(Scope(), own()) as world:
                for event in [("spawn", "obedient"), ("turn",), ("turn",), ("close", 0), ("turn",)]:
                    world.apply(event)
            over(world)
    del world
    return gc.collect()


def test_a_world_that_is_over_leaves_the_collector_little():
    # How many objects a world consists of differs from one Python to the next.
    assert left_to_the_collector(untie) < 0.6 * left_to_the_collector(lambda world: None)


def test_no_walk_leaves_what_was_explored():
    scope = Scope(**{**QUEUE, "calls": ("close", "wait-for")})
    explorer = _Explorer(scope, own(), 1, frozenset(), lambda found, states: None)
    explorer.run()
    visited = set()
    with watching():
        for seed in range(40):
            chance = random.Random(seed)
            with World(scope, own()) as world:
                while possible := world.enabled():
                    world.apply(choose(chance, possible))
                    visited.add(fingerprint(world))
    assert len(visited) > 100
    assert visited <= explorer.known.keys()


def test_chance_in_the_library_is_noticed():
    package = fresh("chance")
    throws = itertools.cycle([1, 2])
    admission = sys.modules[f"{package.module.__name__}._admission"].Admission
    original = admission.__init__

    def moody(self, limit, pending_limit):
        original(self, limit if next(throws) == 1 else None, pending_limit)

    admission.__init__ = moody
    with pytest.raises(ReplayError):
        explore(Scope(jobs=2, callers=0, cancels=0), package, wanted=99)


def _mark(scope, events):
    with World(scope, own()) as world:
        for event in events:
            world.apply(event)
        return fingerprint(world)


def test_a_fingerprint_tells_states_apart_and_ways_to_them_not():
    scope = Scope(jobs=2, callers=2)
    spawn, turn = ("spawn", "obedient"), ("turn",)
    with watching():
        running = _mark(scope, [spawn, turn, turn])
        waited = _mark(scope, [spawn, turn, turn, ("wait", 0), turn])
        assert len({running, waited, _mark(scope, [spawn, turn]), _mark(scope, [spawn])}) == 4
        assert waited != _mark(scope, [spawn, turn, turn, ("wait-for", 0), turn])
        assert waited == _mark(scope, [spawn, turn, ("wait", 0), turn])


def test_what_a_function_has_caught_is_no_part_of_the_state_of_its_caller():
    @types.coroutine
    def turn():
        yield

    def look(where):
        with suppress(KeyError):
            where["there"]

    async def caller(where, after):
        look(where)
        await turn()
        return after

    nothing_caught, caught = caller({"there": 1}, None), caller({}, None)
    for coroutine in (nothing_caught, caught):
        coroutine.send(None)
    (head, parts), (other_head, other_parts) = _of_coroutine(nothing_caught), _of_coroutine(caught)
    for coroutine in (nothing_caught, caught):
        coroutine.close()
    assert (head, len(parts)) == (other_head, len(other_parts))
    assert None in parts
    assert None in other_parts


def test_stories_are_told_in_plain_words():
    scope = FAULTS["two_cancellations"].scope
    package = planted(FAULTS["two_cancellations"])
    (finding,) = explore(scope, package).findings.values()
    with watching():
        story = tell(finding, package)
    assert "swallows cancellations" in story
    assert "somebody closes the scheduler" in story
    assert story.endswith("CLOSE-1 is broken: job 0 is cancelled 2 times.")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("raised_limit_starts_nobody", ["Somebody sets the limit to 2.", "set_limit makes"]),
        (
            "withdrawn_thread_stays_in_line",
            ["another thread spawns job 2", "The caller of call 0 is cancelled."],
        ),
        ("job_that_outlives_its_time_is_not_reported", ["and it is given 2 s", "(expire)"]),
        ("draining_waits_for_endless_jobs", ["draining does not wait for it", "wait_and_close()"]),
    ],
)
def test_stories_of_limits_threads_and_terms_are_told_in_plain_words(name, words):
    fault = FAULTS[name]
    package = planted(fault)
    (finding,) = explore(fault.scope, package).findings.values()
    with watching():
        story = tell(shrink(finding, package), package)
    assert all(word in story for word in words), story


def test_a_finding_can_be_pasted():
    fault = FAULTS["lost_wakeup"]
    (finding,) = explore(FAULTS["lost_wakeup"].scope, planted(fault)).findings.values()
    namespace = {}
    exec(paste(finding), namespace)  # it is meant to be run
    with watching():
        namespace["test_found_by_search"]()  # the library itself has no such fault


# The manifest and the command.


def test_the_manifest_is_well_formed():
    cases = read_cases()
    assert {case.tier for case in cases} == set(scopes.TIERS)
    assert {2, 3} <= {case.scope.jobs for case in cases if case.tier == "smoke"}
    assert 3 in {case.scope.jobs for case in cases if case.tier == "full"}
    assert all(case.breaks for case in cases if case.tier == "baseline")


@pytest.mark.parametrize(
    "line",
    [
        'tier = "sometimes"',
        'tier = "smoke"\nmaximum = 3',
        'tier = "smoke"\n[[scope]]\nname = "a"\ntier = "smoke"',
    ],
)
def test_a_malformed_manifest_is_refused(tmp_path, line):
    path = tmp_path / "explore.toml"
    path.write_text(f'[[scope]]\nname = "a"\n{line}\n')
    with pytest.raises(ValueError, match=r"explore\.toml"):
        read_cases(path)


def test_figures_are_pinned_for_this_python_and_the_others_are_kept(tmp_path):
    path = tmp_path / "explore.toml"
    path.write_text('[[scope]]\nname = "a"\ntier = "smoke"\nexpect = { "3.1" = [1, 2, 3] }\n')
    case = Case("a", "smoke", Scope(), {})
    pin([(case, {"states": 4, "events": 5, "depth": 6})], path)
    (read,) = read_cases(path)
    assert read.expect == {"states": 4, "events": 5, "depth": 6}
    assert '"3.1" = [1, 2, 3]' in path.read_text()


def test_the_figures_of_a_new_scope_are_not_pinned_on_the_next_one(tmp_path):
    path = tmp_path / "explore.toml"
    old = '[[scope]]\nname = "old"\ntier = "smoke"\nexpect = { "3.1" = [1, 2, 3] }\n'
    path.write_text('[[scope]]\nname = "new"\ntier = "smoke"\n\n' + old)
    pin([(Case("new", "smoke", Scope(), {}), {"states": 4, "events": 5, "depth": 6})], path)
    new, _ = read_cases(path)
    assert new.expect == {"states": 4, "events": 5, "depth": 6}
    assert path.read_text().endswith("\n\n" + old)


def test_the_command_writes_its_account(tmp_path, capsys):
    target = tmp_path / "account.json"
    code = main(["explore", "--scope", "handler-raises", "--workers", "1", "--json", str(target)])
    assert code == 0, capsys.readouterr().out
    account = json.loads(target.read_text())
    assert account["figures"]["states"] > 100
    assert account["left_out"] == {
        "scopes": len([case for case in read_cases() if case.tier != "baseline" and case.applicable]) - 1
    }
    (speaker,) = account["covers"]["EXC-2"]
    assert speaker.startswith("handler-raises: limit 1, pending limit 1, 2 jobs, 1 caller, ")


def test_another_figure_than_the_pinned_one_is_a_failure(monkeypatch, capsys):
    from aiojobs_verification.cli import explore as command

    case = Case("tiny", "smoke", Scope(jobs=1, callers=0, cancels=0, ends=("return",)), {"states": 1})
    monkeypatch.setattr(command, "read_cases", lambda: [case])
    assert main(["explore", "--scope", "tiny", "--workers", "1"]) == 1
    assert "pinned are {'states': 1}" in capsys.readouterr().out


def test_a_part_of_the_specification_that_never_comes_about_is_a_failure(monkeypatch, capsys):
    from aiojobs_verification.cli import explore as command

    case = Case("tiny", "smoke", Scope(jobs=1, callers=0, cancels=0, ends=("return",)), {})
    monkeypatch.setattr(command, "read_cases", lambda: [case])
    assert main(["explore", "--workers", "1"]) == 1
    out = capsys.readouterr().out
    assert "the action spawn_block never came about" in out
    assert "no pending job ever had the event close" in out


@pytest.mark.parametrize("workers", [1, 2])
def test_a_command_that_is_to_stop_at_a_finding_does_not_explore_the_other_scopes(
    workers, monkeypatch, capsys
):
    from aiojobs_verification.cli import explore as command

    if workers > 1 and get_start_method() != "fork":
        pytest.skip("a process that is not forked has the library without the planted fault")
    package = planted(FAULTS["slot_released_twice"])
    monkeypatch.setattr(command.packages, "own", lambda: package)
    small = Case("small", "smoke", FAULTS["slot_released_twice"].scope, {"events": 1})
    endless = Case("endless", "smoke", Scope(jobs=4, callers=4, cancels=4, pending_limit=4), {})
    monkeypatch.setattr(command, "read_cases", lambda: [small, endless])
    assert main(["explore", "--failfast", "--workers", str(workers)]) == 1
    out = capsys.readouterr().out
    assert re.search(r"^FAIL small: \S+ is broken$", out, re.MULTILINE)
    assert "endless" not in out
    assert "never came about" not in out
