"""What the runner of the chain makes of steps that break, hang, are missing or say nothing."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest

from aiojobs_verification.cli import verify
from aiojobs_verification.cli.commands import FAILED, NOT_HERE, main
from aiojobs_verification.evidence import evidence, findings, pool
from aiojobs_verification.evidence.chain import BUILDS, CHAIN, ORDER, PYTHON, WRITTEN, Step
from aiojobs_verification.evidence.evidence import Findings, Status
from aiojobs_verification.evidence.progress import Now, Progress, figures
from planted.chain import ROOT, SKIPPED, a_step, evidence_of, passed, ran


def test_each_step_leaves_its_evidence_and_a_failure_stops_nothing(tmp_path, capsys):
    found = ran(tmp_path, a_step("bad", code="raise SystemExit('it broke')"), a_step("good"))
    assert (found["bad"].status, found["bad"].reason.splitlines()[0]) == (
        Status.FAIL, "exit code 1: it broke",
    )  # fmt: skip
    assert found["good"].status is Status.PASS
    assert re.search(r"\[1/2\] bad +FAIL +\d+ s  exit code 1: it broke", capsys.readouterr().out)


def test_a_step_whose_tool_is_missing_is_skipped_and_says_which(tmp_path):
    found = ran(tmp_path, a_step("tool", needs=("json", "no_such_module")))
    assert found["tool"] == Findings(Status.SKIPPED, "not installed: no_such_module")


def test_a_step_that_can_not_be_started_has_failed(tmp_path):
    lost = Step("lost", 0, "title", (str(tmp_path / "no such program"),), findings.exit_code)
    assert ran(tmp_path, lost)["lost"].reason.startswith("it could not be started")


SLEEPER = (
    # The child says who it is and then waits longer than any test.
    "import subprocess, sys; "
    "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
    "open('child', 'w').write(str(p.pid)); p.wait()"
)


def test_a_step_beyond_its_time_budget_is_not_finished_and_its_children_are_ended(tmp_path):
    found = ran(tmp_path, a_step("slow", code=SLEEPER, seconds=2))
    assert found["slow"] == Findings(Status.SKIPPED, "not finished: its time budget of 2 s ran out")
    assert gone(int((tmp_path / "child").read_text()))


def test_what_a_step_leaves_running_is_ended_with_it(tmp_path):
    found = ran(tmp_path, a_step("short", code=SLEEPER.replace("; p.wait()", "")))
    assert found["short"].status is Status.PASS
    assert gone(int((tmp_path / "child").read_text()))


def gone(process):
    """Killed, and either reaped or waiting for its new parent to notice."""
    for _ in range(100):
        try:
            os.kill(process, 0)
            state = Path(f"/proc/{process}/stat")
            if state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


# Side by side


def test_steps_run_side_by_side_when_there_are_cores(tmp_path):
    """Each waits for the other to have begun: one after the other, neither would end."""
    code = (
        "import pathlib, sys, time; me, other = sys.argv[1:]; pathlib.Path(me).touch()\n"
        "while not pathlib.Path(other).exists(): time.sleep(0.01)"
    )
    pair = [
        a_step(me, code=code, seconds=60, extra={"smoke": (me, other)})
        for me, other in (("one", "two"), ("two", "one"))
    ]
    found = {one.step: one.findings.status for one in verify.run(tmp_path, pair, "smoke", cores=2)}
    assert found == {"one": Status.PASS, "two": Status.PASS}


def test_a_step_begins_when_those_before_it_have_ended_whatever_the_order(tmp_path):
    late = a_step("late", code="open('early')", after=("early",))
    early = a_step("early", code="import time; time.sleep(0.3); open('early', 'w')")
    found = verify.run(tmp_path, [late, early], "smoke", cores=2)
    assert [(one.step, one.findings.status) for one in found] == [
        ("late", Status.PASS), ("early", Status.PASS),
    ]  # fmt: skip


def test_a_step_that_can_use_more_cores_is_told_how_many_there_are(tmp_path):
    wide = a_step("wide", code="import sys; raise SystemExit(sys.argv[1])", spread=("--workers={cores}",))
    (found,) = verify.run(tmp_path, [wide], "smoke", cores=3)
    assert found.findings.reason.splitlines()[0] == "exit code 1: --workers=3"
    assert "workers" not in found.repeat


@pytest.mark.parametrize(
    ("files", "granted"),
    [
        ({}, 10**6),
        ({"cpu.max": "max 100000"}, 10**6),
        ({"cpu.max": "150000 100000"}, 2),
        ({"cpu.max": "10000 100000"}, 1),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 10**6),
        ({"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"}, 1),
    ],
)
def test_a_container_that_grants_fewer_cores_is_believed(tmp_path, files, granted):
    for name, text in files.items():
        path = tmp_path / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert pool.cores(tmp_path) == min(granted, pool.cores(Path("/nowhere")))


# The first failure

STORY = """\
A scheduler with limit=1.
  1. Somebody spawns job 0.
  => LIMIT-5 is broken: job 1 moves up."""


def test_the_first_failure_is_told_with_promise_story_and_command_and_ends_the_run(tmp_path, capsys):
    shutil.copytree(ROOT / "spec", tmp_path / "spec")
    said = f"{STORY}\n\nkept as build/findings/LIMIT-5-1.json (.txt the story)\n"
    bad = a_step("bad", code=f"raise SystemExit({said!r})")
    found = {
        one.step: one.findings
        for one in verify.run(
            tmp_path,
            [bad, a_step("slow", code=SLEEPER), a_step("later")],
            "smoke",
            failfast=True,
            cores=2,
        )
    }
    assert found["slow"] == Findings(Status.SKIPPED, "not run: stopped, since step bad failed")
    assert found["later"] == Findings(Status.SKIPPED, "not run: step bad failed before")
    out = capsys.readouterr().out
    assert re.search(r"^FAIL  bad, \d+ s after the start$", out, re.MULTILINE)
    assert "\nPromise LIMIT-5: FIFO: jobs start in the order" in out
    assert STORY in out
    assert (
        "\nRepeat it: sh .ci/env python -m aiojobs_verification fuzz --replay build/findings/LIMIT-5-1.json\n"
        in out
    )


def test_a_step_is_asked_to_stop_at_its_first_failure_unless_the_run_is_to_go_on(tmp_path):
    code = "import sys; raise SystemExit(' '.join(sys.argv[1:]) or 'all')"
    step = a_step("step", code=code, failfast=("--maxfail=1",))
    for failfast, said in ((True, "--maxfail=1"), (False, "all")):
        (found,) = verify.run(tmp_path, [step], "smoke", failfast=failfast)
        assert found.findings.reason.splitlines()[0] == f"exit code 1: {said}"


@pytest.fixture
def command(tmp_path, monkeypatch):
    """The command line, for a chain of two steps below a folder of the test's."""
    shutil.copytree(ROOT / "spec", tmp_path / "spec")
    monkeypatch.setattr(verify, "find_repository", lambda: tmp_path)
    monkeypatch.setattr(verify, "STEPS", (a_step("bad", code="raise SystemExit('it broke')"), a_step("good")))
    monkeypatch.setattr(verify.signal, "signal", lambda *_: None)
    return lambda *arguments: main(["verify", "--cores", "1", *arguments])


def test_after_the_first_failure_its_story_is_read_last_and_the_verdict(command, capsys):
    assert command() == FAILED
    out = capsys.readouterr().out
    story, _, rest = out.partition("All that it said:")
    assert "it broke" in story
    assert "Not run, since bad failed: good. FAILFAST=0 goes on." in rest
    assert "open:" not in rest
    left_out = r"Left out by this tier: 8 steps \(all\)\.\n"
    assert re.search(rf"\n\nFAIL, tier smoke: .*\n{left_out}Report: build/report\.html.*\n$", out)


def test_a_run_that_goes_on_ends_with_the_figures_and_with_all_that_is_open(command, capsys):
    assert command("--keep-going") == FAILED
    out = capsys.readouterr().out
    assert re.search(r"^step  result  seconds", out, re.MULTILINE)
    assert re.search(r"^good  pass", out, re.MULTILINE)
    assert "\n  failed: " in out


def test_a_step_can_be_run_alone_and_what_is_no_step_of_the_tier_is_refused(
    command, tmp_path, monkeypatch, capsys
):
    command("--step", "good")
    assert [path.name for path in (tmp_path / evidence.EVIDENCE).iterdir()] == ["good.json"]
    monkeypatch.setattr(verify, "STEPS", (a_step("deep", tiers=("full",)),))
    assert command("--step", "deep") == NOT_HERE
    assert capsys.readouterr().err == "not a step of tier smoke: deep\n"


@pytest.mark.parametrize(
    ("arguments", "run"),
    [
        ((), ["a", "c"]),
        (("--build", "compiled"), ["b", "c"]),
        (("--tier", "full"), ["a", "b", "c"]),
        (("--step", "b"), ["b"]),
    ],
)
def test_a_lesser_tier_checks_the_build_that_is_asked_for_and_the_full_one_both(
    command, tmp_path, monkeypatch, arguments, run
):
    steps = (a_step("a", build="pure"), a_step("b", build="compiled"), a_step("c"))
    monkeypatch.setattr(verify, "STEPS", steps)
    (tmp_path / "hatch_compile.py").write_text("")
    command(*arguments)
    assert sorted(path.stem for path in (tmp_path / evidence.EVIDENCE).iterdir()) == run


def test_the_command_that_repeats_a_failure_is_about_the_build_that_failed(
    command, monkeypatch, tmp_path, capsys
):
    monkeypatch.setattr(verify, "STEPS", (a_step("bad", build="compiled"),))
    (tmp_path / "hatch_compile.py").write_text("raise SystemExit('it does not compile')")
    assert command("--build", "compiled") == FAILED
    out = capsys.readouterr().out
    assert "it does not compile" in out
    assert "Repeat it: BUILD=compiled sh .ci/env python -c pass" in out


def test_without_a_source_tree_there_is_nothing_to_verify(monkeypatch, capsys):
    monkeypatch.setattr(verify, "find_repository", lambda: None)
    assert main(["verify"]) == NOT_HERE
    assert "not on an installed package" in capsys.readouterr().err


def test_an_interrupted_run_leaves_no_verdict_and_nothing_running_and_says_what_is_incomplete(tmp_path):
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "report.md").write_text("# PASS")
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from pathlib import Path; from aiojobs_verification.cli import verify; "
        "from planted.chain import a_step; from cli.test_runner import SLEEPER; "
        f"steps = [a_step('slow', code=SLEEPER), a_step('later', after=('slow',)), a_step('quick')]; "
        f"verify.run(Path({str(tmp_path)!r}), steps, 'smoke', cores=2)"
    )
    command = [sys.executable, "-c", program]
    path = os.pathsep.join([str(ROOT / "verification/tests"), *filter(None, sys.path)])
    process = subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    while not ((tmp_path / "child").exists() and (tmp_path / evidence.EVIDENCE / "quick.json").exists()):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert re.search(r"^Interrupted after \d+ s\. There is no verdict", err, re.MULTILINE)
    assert "  finished:   quick\n  incomplete: slow, later\n" in err
    assert list((tmp_path / "build").glob("report.*")) == []
    assert gone(int((tmp_path / "child").read_text()))


# What a person sees


class Terminal(StringIO):
    def isatty(self):
        return True


def test_on_a_terminal_one_line_is_rewritten_for_all_that_run():
    screen = Terminal()
    progress = Progress(screen, ["unit", "proofs"])
    progress.begin("unit", "what unit checks")
    progress.begin("proofs", "what proofs checks")
    progress.tick([Now("unit", 1.0, "half of it"), Now("proofs", 0.5, "a third")])
    assert "[0/2] unit 1 s half of it; proofs 0 s a third" in screen.getvalue()
    progress.end(evidence_of("unit", passed("A-1")))
    assert screen.getvalue().count("\n") == 1
    last = screen.getvalue().rpartition("\r")[2]
    assert "half of it" not in last
    assert re.search(r"\[1/2\] unit .*pass.* what unit checks\n$", last)


def test_in_a_pipe_a_step_that_takes_long_has_a_line_every_quarter_of_a_minute(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    now, log = [0.0], StringIO()
    progress = Progress(log, ["unit"], clock=lambda: now[0])
    progress.begin("unit", "what unit checks")
    for second in range(1, 41):
        now[0] = float(second)
        progress.tick([Now("unit", now[0], f"test {second}" + 80 * "!")])
    progress.end(evidence_of("unit", passed("A-1")))
    lines = log.getvalue().splitlines()
    told = [re.search(r"…\s+(\d+) s  test (\d+)!", line) for line in lines]
    assert [found.groups() for found in told if found] == [("15", "15"), ("30", "30")]
    assert len(lines) == 4
    assert all(len(line) < 60 for line in lines)
    assert "\x1b" not in log.getvalue()


def test_figures_are_a_table_as_wide_as_the_terminal():
    many = replace(passed("A-1"), figures={f"figure {n}": 1000 * n for n in range(12)})
    run = [evidence_of("exploration", many), evidence_of("unit", SKIPPED)]
    lines = list(figures(run, 60))
    assert max(map(len, lines)) < 60
    assert lines[0].split() == ["step", "result", "seconds", "what", "was", "counted"]
    assert re.search(r"^exploration  pass +1\.0  0 figure 0, 1,000 figure 1,", "\n".join(lines), re.MULTILINE)
    assert lines[-1].split(maxsplit=3) == ["unit", "skip", "1.0", "not installed: z3"]


# The rest


def test_the_place_of_the_source_tree_is_not_in_the_evidence(tmp_path):
    found = ran(tmp_path, a_step("bad", code="raise SystemExit(__import__('os').getcwd() + '/src/a.py:1')"))
    assert found["bad"].reason.splitlines()[0] == "exit code 1: src/a.py:1"


def test_a_step_can_write_its_account_to_a_file_and_names_a_command_to_repeat_it(tmp_path):
    account = "{'exit': 0, 'figures': {'passed': 1}, 'seeds': {}, 'skips': [], 'tests': []}"
    code = f"import json, sys; json.dump({account}, open(sys.argv[1], 'w'))"
    writes = Step("writes", 0, "title", (PYTHON, "-c", code, WRITTEN), findings.tests("test"))
    assert ran(tmp_path, writes)["writes"].figures == {"passed": 1}
    assert replace(writes, command=(PYTHON, "-m", "pytest", WRITTEN, "-k", "a b")).repeat("smoke") == (
        "sh .ci/env python -m pytest -k 'a b'"
    )


def test_a_tier_can_ask_for_more(tmp_path):
    code = "import sys; raise SystemExit(' '.join(sys.argv[1:]))"
    deep = a_step("deep", code=code, extra={"smoke": ("--jobs", "2"), "full": ("--jobs", "3")})
    assert ran(tmp_path, deep)["deep"].reason.splitlines()[0] == "exit code 1: --jobs 2"
    assert deep.repeat("full").endswith("--jobs 3")


# The chain of this project


def test_the_table_is_sound():
    names = [each.name for each in CHAIN.steps]
    assert len(set(names)) == len(names)
    assert sorted(ORDER) == sorted(names)
    assert all(set(each.after) <= set(names) for each in CHAIN.steps)
    assert {each.link for each in CHAIN.steps} <= {link.number for link in CHAIN.links}
    declared = tomllib.loads((ROOT / "spec" / "requirements.toml").read_text(encoding="utf-8"))["kind"]
    assert set(CHAIN.kinds()) == set(declared)
    by_number = {link.number: link.kind for link in CHAIN.links}
    assert all(each.kind in {"", "test", by_number[each.link]} for each in CHAIN.steps)


def test_what_runs_the_library_is_there_once_for_each_build():
    by_build = {build: [each for each in CHAIN.steps if each.build == build] for build in BUILDS}
    (coverage,) = {each.name for each in by_build["pure"]} - {
        each.name.removesuffix("-compiled") for each in by_build["compiled"]
    }
    assert coverage == "coverage"
    assert {"unit", "tests", "exploration", "fuzzing", "traces"} <= {each.name for each in by_build["pure"]}
    for each in by_build["compiled"]:
        assert each.arguments("full")[:2] == (PYTHON, "hatch_compile.py")
        assert each.repeat("full").startswith("BUILD=compiled sh .ci/env python ")
        assert "hatch_compile" not in each.repeat("full")
        assert "coverage" not in each.arguments("full")


def test_every_link_has_tests_that_see_a_planted_fault_being_found():
    """What tests/README.md says about it names every link, every command, and tests that exist."""
    page = (ROOT / "tests" / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| (.+) \| (.+) \|$", page, re.MULTILINE)
    assert {link.number for link in CHAIN.links} <= {int(number) for number, _, _ in rows}
    checkers = "".join(what for _, what, _ in rows)
    assert [name for name in sorted(_own_commands()) if f"`{name}" not in checkers] == []
    for _, _, where in rows:
        for test in where.split(", "):
            file, _, name = test.strip("`").partition("::")
            assert f"\ndef {name}(" in (ROOT / file).read_text(encoding="utf-8")


def _own_commands():
    return {each.command[3] for each in CHAIN.steps if each.command[1:3] == ("-m", "aiojobs_verification")}


@pytest.mark.parametrize(("code", "strict", "expected"), [(0, "", 0), (1, "", 1), (3, "", 0), (3, "1", 3)])
def test_incomplete_is_loud_but_lets_a_build_go_on_unless_it_is_strict(tmp_path, code, strict, expected):
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\nexit {code}\n")
    python.chmod(0o755)
    env = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "STRICT": strict}
    done = subprocess.run(
        ["sh", ROOT / ".ci" / "verify", "smoke"], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == expected
    assert ("INCOMPLETE" in done.stdout + done.stderr) is (code == 3)


@pytest.mark.parametrize(("failfast", "asked"), [("", ""), ("1", ""), ("0", "--keep-going")])
def test_a_run_goes_on_after_a_failure_if_failfast_is_0(tmp_path, failfast, asked):
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$@"\n')
    python.chmod(0o755)
    env = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "FAILFAST": failfast}
    done = subprocess.run(
        ["sh", ROOT / ".ci" / "verify", "smoke", "compiled"],
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    told = ["verify", "--tier", "smoke", "--build", "compiled", *asked.split()]
    assert done.stdout.split() == ["-m", "aiojobs_verification", *told]
