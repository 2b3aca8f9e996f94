"""A walk that never does some kind of event says nothing about it: the step fails and names the kind."""

import pytest

from aiojobs_verification.cli import fuzz
from aiojobs_verification.cli.commands import FAILED, PASSED, main
from aiojobs_verification.simulation.search import walk
from aiojobs_verification.simulation.world.packages import own
from aiojobs_verification.simulation.world.world import EVENT_KINDS

FEW = 400
ENOUGH = 1000
"""For a timer to fire once before what is ready."""


@pytest.fixture
def only_walks(monkeypatch, request):
    """The tier has some walks, in this process, and nothing else."""
    walks = range(fuzz.SEED, fuzz.SEED + getattr(request, "param", FEW))
    monkeypatch.setattr(fuzz, "walk_portions", lambda *_, **__: fuzz.search(own(), walks))
    monkeypatch.setattr(fuzz, "_run_machines", lambda *_: {})
    monkeypatch.setattr(fuzz, "_run_live", lambda *_: {})


@pytest.mark.slow
@pytest.mark.parametrize("only_walks", [ENOUGH], indirect=True)
@pytest.mark.usefixtures("only_walks")
def test_walks_do_every_kind_of_event(capsys):
    assert main(["fuzz", "--tier", "smoke"]) == PASSED
    assert f"{len(EVENT_KINDS)} of {len(EVENT_KINDS)} kinds of events" in capsys.readouterr().out


@pytest.mark.usefixtures("only_walks")
@pytest.mark.parametrize(
    "kind", ["cancel", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("fire", "sweep", "tick"))]
)
def test_walks_that_never_do_one_kind_fail_the_step(kind, monkeypatch, capsys):
    monkeypatch.setitem(walk._WEIGHTS, kind, 0.0)
    # What is left may be nothing but that kind: it has to go altogether.
    choose = walk.choose
    monkeypatch.setattr(
        walk,
        "choose",
        lambda chance, events: choose(chance, [e for e in events if e[0] != kind] or [("misuse",)]),
    )
    assert main(["fuzz", "--tier", "smoke"]) == FAILED
    assert f"FAIL the walks never did an event of the kind {kind}" in capsys.readouterr().out
