"""The command that runs this folder: it finds every group, and no group can fail, or vanish, in silence."""

from pathlib import Path

import pytest

from compat import __main__ as command

pytestmark = pytest.mark.requirement("START-3")


def test_a_group_is_a_file_or_a_folder():
    groups = command.groups()
    assert {"sentry", "sentry_service", "plain", "running"} <= groups.keys()
    alone = [path for path in Path(__file__).parent.rglob("test_*.py") if path not in groups.values()]
    assert [path for path in alone if path.parent not in groups.values()] == []


@pytest.mark.parametrize(
    ("ended", "exit_code", "last"),
    [
        ((0, "3 passed in 0.10s"), 0, "3 passed"),
        ((0, "== 3 passed, 2 deselected in 61.02s (0:01:01) =="), 0, "3 passed, 2 deselected"),
        ((1, "1 failed, 3 passed in 0.10s"), 1, "3 passed, 1 failed"),
        ((0, "3 passed, 1 skipped in 0.10s"), 1, "3 passed, 1 skipped"),
        ((1, "3 passed in 0.10s"), 1, "3 passed"),
        ((5, "no tests ran in 0.01s"), 1, "0 passed"),
        ((-11, ""), 1, "0 passed"),
    ],
)
def test_only_tests_that_passed_are_a_success(monkeypatch, capsys, ended, exit_code, last):
    monkeypatch.setattr(command, "run", lambda *_: (*ended, 1.0))
    assert command.main(["plain"]) == exit_code
    assert capsys.readouterr().out.splitlines()[-1] == last


def test_what_is_no_group_is_an_option_of_pytest(monkeypatch):
    asked = []
    monkeypatch.setattr(
        command, "run", lambda place, options: (asked.append((place.name, options)) or 0, "", 1.0)
    )
    command.main(["plain", "-k", "close"])
    assert asked == [("test_plain.py", ["-k", "close"])]


def test_a_package_is_left_out_aloud_where_it_does_not_work(monkeypatch, capsys):
    monkeypatch.setattr(command, "run", lambda *_: (0, "3 passed in 0.10s", 1.0))
    monkeypatch.setitem(command.UNUSABLE, "plain", ((3, 0), "it is too old"))
    assert command.main(["plain"]) == 1
    assert "left out from Python 3.0 on: it is too old" in capsys.readouterr().out
    assert command.main(["plain", "running"]) == 0
