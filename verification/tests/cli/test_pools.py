"""Processes of this machine, and what is said of a cluster where there is none.

What a cluster does is tested on one: tests/compat/many_machines.
"""

import contextlib
import os
import signal
import sys
import time
from types import SimpleNamespace

import pytest

from aiojobs_verification.cli import fuzz, pools
from aiojobs_verification.cli.commands import NO_TOOL, PASSED, main

HERE = {"commit": "c0ffee", "specification": "5bec", "code": "c0de", "Python": "3.11.7"}


def test_portions_are_done_in_other_processes():
    with pools.open_pool(2, None) as pool:
        assert pool.room() == 2
        done = [pool.submit(pow, 2, number) for number in range(10)]
        assert [future.result() for future in done] == [2**number for number in range(10)]
        assert pool.submit(os.getpid).result() != os.getpid()


def test_a_pool_that_is_abandoned_ends_what_has_begun():
    with pools.open_pool(1, None) as pool:
        futures = [pool.submit(time.sleep, 3600) for _ in range(3)]
        pool.abandon()
    assert all(future.cancelled() or future.exception() for future in futures)


def test_ctrl_c_in_a_pool_ends_what_has_begun():
    with pytest.raises(KeyboardInterrupt), pools.open_pool(1, None) as pool:
        future = pool.submit(time.sleep, 3600)
        raise KeyboardInterrupt
    assert future.cancelled() or future.exception()


def test_only_the_parent_hears_ctrl_c():
    with pools.open_pool(1, None) as pool:
        assert pool.submit(signal.getsignal, signal.SIGINT).result() == signal.SIG_IGN


class Interrupted:
    """A pool whose user presses Ctrl-C as soon as there is something to do."""

    def __init__(self):
        self.abandoned = 0

    def room(self):
        return 1

    def submit(self, *_):
        raise KeyboardInterrupt

    def abandon(self):
        self.abandoned += 1


def test_fuzzing_that_is_interrupted_waits_for_nobody_and_tells_what_it_has_done(monkeypatch, capsys):
    pool = Interrupted()
    monkeypatch.setattr(fuzz, "open_pool", lambda *_: contextlib.nullcontext(pool))
    assert main(["fuzz", "--seed", "1"]) == PASSED
    assert pool.abandoned == 1
    assert "stopped\n0 worlds, 0 steps" in capsys.readouterr().out


@pytest.mark.parametrize("name", HERE)
def test_what_differs_is_named(name):
    assert pools.differences(HERE, HERE) == []
    assert pools.differences(HERE, {**HERE, name: "another"}) == [f"{name} another, not {HERE[name]}"]
    older = {key: value for key, value in HERE.items() if key != name}
    assert pools.differences(HERE, older) == [f"{name} unknown, not {HERE[name]}"]


def test_the_identity_is_that_of_the_files(tmp_path, monkeypatch):
    def identity():
        pools.identity.cache_clear()
        return pools.identity()

    (tmp_path / "job.toml").write_text("1")
    monkeypatch.setattr(pools, "find_spec", lambda: tmp_path)
    first = identity()
    (tmp_path / "job.toml").write_text("2")
    second = identity()
    (tmp_path / "job.toml").rename(tmp_path / "jobs.toml")
    assert [word.split()[0] for word in pools.differences(first, second)] == ["specification"]
    assert [word.split()[0] for word in pools.differences(second, identity())] == ["specification"]
    assert first["commit"] != "unknown"
    monkeypatch.setattr(pools, "find_repository", lambda: None)
    assert identity()["commit"] == "unknown"
    pools.identity.cache_clear()


@pytest.mark.parametrize("file", ["_run.py", "_run.pyx", "_run.pxd"])
def test_the_identity_knows_what_either_build_is_made_from(file, tmp_path, monkeypatch):
    library = SimpleNamespace(__file__=str(tmp_path / "__init__.py"), __build__="pure")
    monkeypatch.setattr(pools, "aiojobs", library)
    pools.identity.cache_clear()
    before = pools.identity()
    (tmp_path / file).write_text("changed")
    pools.identity.cache_clear()
    assert [word.split()[0] for word in pools.differences(before, pools.identity())] == ["code"]
    pools.identity.cache_clear()


@pytest.mark.parametrize("command", [["fuzz"], ["explore", "--scope", "queue-1-2"]])
def test_a_cluster_without_dask_says_what_to_install(monkeypatch, capsys, command):
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert main([*command, "--cluster", "tcp://127.0.0.1:1"]) == NO_TOOL
    assert "pip install 'aiojobs-verification[cluster]'" in capsys.readouterr().err
