"""Exploration and fuzzing on the workers of a cluster: the same figures as in local processes, whoever is killed.

Time is real, since the processes are. No figure of it decides anything.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from functools import partial

import distributed
import pytest
from dask import config

from aiojobs_verification.cli import explore, fuzz, pools
from aiojobs_verification.cli.commands import NOT_HERE, main
from aiojobs_verification.simulation.search.scopes import read_cases
from compat.dask_cluster.processes import NO_PROFILER, PATIENCE, ROOT, dask, environment_of
from compat.many_machines import portions

pytestmark = pytest.mark.loops("stock")

SCOPES = ("endless-inside", "endless-with", "handler-raises")
PORTIONS = [range(first, first + 5) for first in range(fuzz.SEED, fuzz.SEED + 30, 5)]


@pytest.fixture(scope="module")
def address():
    """Of a cluster with two workers of one thread."""
    with (
        config.set({"distributed.worker.profile.enabled": False}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0"
        ) as cluster,
    ):
        yield cluster.scheduler_address


def explored(pool):
    """What comes of some small scopes, all that is known of each."""
    cases = [case for case in read_cases() if case.name in SCOPES]
    one = partial(explore.explore_case, folder=None, wanted={})
    return {case.name: found for case, found in explore.explore_side_by_side(cases, one, pool)}


def walked(pool):
    """What comes of some walks."""
    return fuzz.walk_portions(PORTIONS, pool, time.monotonic())


@pytest.fixture(scope="module")
def in_processes():
    """What comes of both in processes of this machine."""
    with pools.open_pool(2, None) as pool:
        return explored(pool), walked(pool)


@pytest.mark.requirement("LIMIT-1")
def test_a_cluster_finds_what_local_processes_find(address, in_processes):
    with pools.open_pool(0, address) as pool:
        assert pool.room() == 4
        assert (explored(pool), walked(pool)) == in_processes
    scopes, walks = in_processes
    assert {name: found.figures() for name, found in scopes.items()} == {
        case.name: case.expect for case in read_cases() if case.name in SCOPES
    }
    assert walks.worlds == 30
    assert walks.steps > 300


def busy(client):
    """The process of a worker that has a portion in hand."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        for worker, keys in client.processing().items():
            if keys:
                return client.run(os.getpid, workers=[worker])[worker]
        time.sleep(0.01)
    raise AssertionError("nobody has anything to do")


@pytest.mark.requirement("LIMIT-1")
def test_what_a_killed_worker_had_in_hand_is_done_again(address, in_processes):
    with distributed.Client(address) as client, pools.open_pool(0, address) as pool:
        killed = []

        class Killing:
            """Kills a worker when all has been submitted."""

            def submit(self, *portion):
                future = pool.submit(*portion)
                if len(killed) < 1:
                    killed.append(busy(client))
                    os.kill(killed[0], signal.SIGKILL)
                return future

        assert explored(Killing()) == in_processes[0]
        assert killed[0] not in client.run(os.getpid).values()


# Who is refused.

PROFILER = dict.fromkeys(NO_PROFILER, "True")


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """Another tree, outside of a repository, whose specification says a word more: the path to import it by."""
    root = tmp_path_factory.mktemp("other")
    for name in ("src", "spec", "verification/src"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    with (root / "spec/job.toml").open("a", encoding="utf-8") as file:
        file.write("# more\n")
    return root


@pytest.fixture
def older(tmp_path):
    """A tree of a time when there were no clusters."""
    without = shutil.ignore_patterns("__pycache__", "pools.py")
    shutil.copytree(ROOT / "verification/src", tmp_path / "verification/src", ignore=without)
    return tmp_path


def refusals(error):
    """What is said of each worker that is refused."""
    return [line.partition(" is refused: ")[2] for line in str(error).splitlines()]


@pytest.mark.parametrize(
    ("tree", "options", "says"),
    [
        (
            "other",
            {},
            r"commit unknown, not [0-9a-f]{40}; specification [0-9a-f]{16}, not [0-9a-f]{16}(; .*)?",
        ),
        (None, {"more": ("--preload", "compat.many_machines.portions")}, r"Python 3\.11\.0, not [\d.]+"),
        (None, {"threads": 2}, r"2 threads, not 1 \(dask worker --nthreads 1\)"),
        (None, {"settings": PROFILER}, r"Dask's profiler is on \(.* dask worker\)"),
        ("older", {}, r"it can't say what it is \(.*No module named 'aiojobs_verification.cli.pools'.*\)"),
    ],
    ids=["tree", "python", "threads", "profiler", "older"],
)
def test_a_worker_that_differs_is_refused_by_its_address_before_any_work(
    tmp_path, request, tree, options, says
):
    root = request.getfixturevalue(tree) if tree else ROOT
    path = environment_of(root)["PYTHONPATH"]
    with dask(tmp_path, workers=1, path=path, **options) as (address, _, _):
        with pytest.raises(pools.ClusterError) as caught, pools.open_pool(0, address):
            raise AssertionError("it is used")
        with distributed.Client(address) as client:
            (worker,) = client.nthreads()
    assert str(caught.value).startswith(f"{worker} is refused: ")
    (said,) = refusals(caught.value)
    assert re.fullmatch(says, said)


def test_a_worker_that_comes_later_is_refused_all_the_same(tmp_path, other):
    file = tmp_path / "done"
    with contextlib.ExitStack() as stack:
        address, _, _ = stack.enter_context(dask(tmp_path, workers=1))
        pool = stack.enter_context(pools.open_pool(0, address))
        good = pool.submit(portions.say, file).result()
        stack.enter_context(dask(tmp_path, workers=1, join=True, path=environment_of(other)["PYTHONPATH"]))
        client = stack.enter_context(distributed.Client(address))
        client.wait_for_workers(2)
        futures = [pool.submit(portions.say, file, 0.5) for _ in range(4)]
        with pytest.raises(pools.ClusterError, match="tcp://.* is refused: commit unknown, not"):
            [future.result() for future in futures]
    assert set(file.read_text().split()) == {str(good)}


def test_an_address_without_a_cluster_is_an_error_that_says_so(monkeypatch):
    monkeypatch.setattr(pools, "_PATIENCE", 0.5)
    with (
        pytest.raises(pools.ClusterError, match="there is no cluster at tcp://127.0.0.1:9"),
        pools.open_pool(0, "tcp://127.0.0.1:9"),
    ):
        raise AssertionError("it is used")


# The commands.


def run(command, root):
    """Exit code and output of a command of the verification in a tree."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "aiojobs_verification", *command],
        cwd=root, env=environment_of(root), capture_output=True, text=True, timeout=PATIENCE * 4, check=False,
    )  # fmt: skip
    return done.returncode, re.sub(r"in [\d.]+ s\n|^[\d.]+ s\n", "", done.stdout, flags=re.MULTILINE)


@pytest.fixture(scope="module")
def faulty(other, tmp_path_factory):
    """A tree in which the last of the queue is the first to start, and a cluster of it."""
    queue = other / "src/aiojobs/_queue.py"
    before, _, after = queue.read_text(encoding="utf-8").rpartition("        node = self.after\n")
    assert before.endswith('there must be one."""\n')
    wrong = "        node = self.before\n        self.leave(node)\n        return node\n"
    queue.write_text(f"{before}{wrong}{after}", encoding="utf-8")
    path = environment_of(other)["PYTHONPATH"]
    with dask(tmp_path_factory.mktemp("faulty"), path=path) as (address, _, _):
        yield other, address


@pytest.mark.requirement("LIMIT-5")
@pytest.mark.parametrize(
    "command",
    [("explore", "--scope", "queue-1-2", "--no-model"), ("fuzz", "--tier", "smoke", "--failfast")],
    ids=["explore", "fuzz"],
)
def test_the_commands_tell_the_same_story_of_the_same_fault(faulty, command):
    root, address = faulty
    here = run([*command, "--workers", "2"], root)
    assert run([*command, "--cluster", address], root) == here
    assert here[0] == 1
    assert "LIMIT-5 is broken" in here[1]


@pytest.mark.parametrize("command", [["fuzz"], ["explore", "--scope", "queue-1-2", "--no-model"]])
def test_the_commands_refuse_a_cluster_of_another_tree(faulty, command, capsys):
    _, address = faulty
    assert main([*command, "--cluster", address]) == NOT_HERE
    said = capsys.readouterr().err
    assert len(re.findall(r"^tcp://\S+ is refused: commit unknown, not ", said, re.MULTILINE)) == 2


def test_make_fuzz_takes_the_address_and_the_lock_that_has_dask():
    words = ["make", "--no-print-directory", "--dry-run", "fuzz", "CLUSTER=tcp://there:8786"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("LOCK=compat PYTHON=")
    assert done.stdout.endswith(" fuzz --cluster tcp://there:8786\n")
