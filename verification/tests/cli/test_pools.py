"""Processes of this machine, and what is said of a cluster where there is none.

What a cluster does is tested on one: tests/compat/dask_cluster.
"""

import os
import sys
import time

import pytest

from aiojobs_verification.cli import pools
from aiojobs_verification.cli.commands import NO_TOOL, main

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


@pytest.mark.parametrize("command", [["fuzz"], ["explore", "--scope", "queue-1-2"]])
def test_a_cluster_without_dask_says_what_to_install(monkeypatch, capsys, command):
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert main([*command, "--cluster", "tcp://127.0.0.1:1"]) == NO_TOOL
    assert "pip install 'aiojobs-verification[cluster]'" in capsys.readouterr().err
