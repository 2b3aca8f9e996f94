"""z3 may give up. Then nothing has been proved, whatever the rest of the prover makes of it."""

import pytest
import z3

from aiojobs_verification.cli import prove as command
from aiojobs_verification.cli.commands import FAILED, main
from aiojobs_verification.smt import proof, solver
from aiojobs_verification.smt.questions import Questions
from aiojobs_verification.specification.load import load
from aiojobs_verification.specification.locate import find_spec


@pytest.fixture
def z3_gives_up(monkeypatch):
    """z3 itself, not what the prover makes of it, answers one question by `unknown`."""
    monkeypatch.setattr(z3.Solver, "check", lambda *_: z3.unknown)
    monkeypatch.setattr(Questions, "__iter__", lambda self: iter([next(self._kept())]))


def verdicts():
    return {
        answer.verdict
        for answer in command.prove(load(find_spec()).scheduler).answers
        if answer.group != "possible"
    }


def counts_unknown_as_proved(monkeypatch):
    original = solver.Terms.ask

    def ask(self, terms, shown):
        try:
            return original(self, terms, shown)
        except solver.UnknownError:
            return None

    monkeypatch.setattr(solver.Terms, "ask", ask)


@pytest.mark.usefixtures("z3_gives_up")
def test_what_z3_has_given_up_is_not_proved(capsys):
    assert verdicts() == {proof.UNKNOWN}
    assert main(["prove"]) == FAILED
    assert "z3 gave up." in capsys.readouterr().out


@pytest.mark.usefixtures("z3_gives_up")
def test_a_prover_that_counts_it_as_proved_fails_the_test_above(monkeypatch):
    counts_unknown_as_proved(monkeypatch)
    assert verdicts() == {command.PROVED}
