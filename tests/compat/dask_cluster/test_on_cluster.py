"""What survives what, when a scheduler governs work on a Dask cluster: workers are killed, jobs closed, clients lost.

Time is real, since the processes are. No figure of it decides anything.
"""

import asyncio
import signal

import distributed
import pytest
from examples.dask_cluster.on_cluster import on_cluster

import aiojobs
from compat.dask_cluster import far
from compat.dask_cluster.processes import PATIENCE, dask, kill, start, until

pytestmark = pytest.mark.loops("stock")


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Of a cluster with two workers."""
    with dask(tmp_path_factory.mktemp("dask")) as (address, _, _):
        yield address


@pytest.fixture
async def client(address):
    async with distributed.Client(address, asynchronous=True) as client:
        await client.wait_for_workers(2)
        yield client


def words(file):
    """What the calls that share a file have said."""
    return [line.split()[0] for line in file.read_text().splitlines()] if file.exists() else []


async def known_to_dask(client):
    """How many tasks and events Dask's scheduler keeps."""
    return await client.run_on_scheduler(_count_tasks_and_events)


async def until_dask_knows(client, tasks, events):
    """Wait until it keeps so many. It hears a moment later that a client has let go of something."""
    async with asyncio.timeout(PATIENCE):
        while await known_to_dask(client) != (tasks, events):
            await asyncio.sleep(0.01)


def _count_tasks_and_events(dask_scheduler):
    return len(dask_scheduler.tasks), len(dask_scheduler.extensions["events"]._events)


@pytest.mark.requirement("LIMIT-1")
async def test_the_limit_is_that_of_the_cluster_and_the_queue_is_here(client, tmp_path):
    async with aiojobs.Scheduler(limit=2) as scheduler:
        files = [tmp_path / str(number) for number in range(6)]
        jobs = [await scheduler.spawn(on_cluster(client, far.work, file, 20)) for file in files]
        await until(lambda: words(files[0]) and words(files[1]))
        assert await known_to_dask(client) == (2, 0)
        assert scheduler.pending_count == 4
        while not all(job.done() for job in jobs):
            assert sum(words(file) == ["begun"] for file in files) <= 2
            await asyncio.sleep(0.01)
        assert [job.result() for job in jobs] == [20] * 6


@pytest.mark.requirement("EXC-1")
async def test_what_the_function_raises_is_the_failure_of_the_job(client):
    async with aiojobs.Scheduler() as scheduler:
        job = await scheduler.spawn(on_cluster(client, far.fails))
        with pytest.raises(LookupError, match="no such page"):
            await job


@pytest.mark.requirement("LIMIT-6")
async def test_what_a_killed_worker_had_in_hand_is_run_again_and_the_job_keeps_its_slot(client, tmp_path):
    async with aiojobs.Scheduler(limit=1) as scheduler:
        job = await scheduler.spawn(on_cluster(client, far.dies_once, tmp_path / "call"))
        await until(lambda: words(tmp_path / "call"))
        assert scheduler.active_count == 1
        assert await job == "all"
    assert words(tmp_path / "call") == ["begun", "begun", "ended"]


async def test_a_call_that_kills_every_worker_fails_after_the_fourth(client, tmp_path):
    async with aiojobs.Scheduler() as scheduler:
        job = await scheduler.spawn(on_cluster(client, far.dies, tmp_path / "call"))
        with pytest.raises(distributed.KilledWorker, match="4 different workers"):
            await job
    assert words(tmp_path / "call") == ["begun"] * 4


@pytest.mark.requirement("CLOSE-1", "LIMIT-6")
async def test_a_closed_job_keeps_its_slot_until_the_call_has_ended(client, tmp_path):
    async with aiojobs.Scheduler(limit=1, close_timeout=60) as scheduler:
        job = await scheduler.spawn(on_cluster(client, far.work, tmp_path / "first", 100, 0.5))
        await until(lambda: words(tmp_path / "first"))
        second = await scheduler.spawn(on_cluster(client, far.work, tmp_path / "second", 1))
        await job.close()
        assert words(tmp_path / "first") == ["begun", "stopped"]
        assert job.outcome == aiojobs.Outcome.CANCELLED
        assert await second == 1
        await until_dask_knows(client, tasks=0, events=0)


@pytest.mark.requirement("SPAWN-6", "LIMIT-6")
async def test_a_job_whose_time_is_over_keeps_its_slot_until_the_call_has_ended(client, tmp_path):
    async with aiojobs.Scheduler(limit=1) as scheduler:
        coro = on_cluster(client, far.work, tmp_path / "call", 100, 0.5)
        job = await scheduler.spawn(coro, timeout=4.0)
        with pytest.raises(TimeoutError):
            await job
        assert words(tmp_path / "call") == ["begun", "stopped"]
        assert job.outcome == aiojobs.Outcome.TIMED_OUT


@pytest.mark.requirement("SHUT-2", "LIMIT-6")
async def test_a_scheduler_has_closed_when_the_calls_have_ended(client, tmp_path):
    async with aiojobs.Scheduler(limit=1, close_timeout=60) as scheduler:
        job = await scheduler.spawn(on_cluster(client, far.work, tmp_path / "call", 100, 0.5))
        await until(lambda: words(tmp_path / "call"))
        await scheduler.close()
        assert words(tmp_path / "call") == ["begun", "stopped"]
        assert job.outcome == aiojobs.Outcome.CANCELLED


@pytest.mark.requirement("CLOSE-2", "LIMIT-6")
async def test_a_call_that_does_not_look_keeps_its_slot_and_its_outcome_is_the_truth(client, tmp_path):
    async with aiojobs.Scheduler(limit=1, close_timeout=0.1) as scheduler:
        job = await scheduler.spawn(on_cluster(client, far.deaf, tmp_path / "call", 1.0))
        await until(lambda: words(tmp_path / "call"))
        with pytest.raises(TimeoutError):
            await job.close()
        assert scheduler.active_count == 1
        assert await job == "all"
        assert words(tmp_path / "call") == ["begun", "ended"]
        await until_dask_knows(client, tasks=0, events=0)


@pytest.mark.requirement("CLOSE-1")
async def test_a_closed_job_whose_call_waits_at_dask_is_never_called(client, tmp_path):
    async with aiojobs.Scheduler(limit=3, close_timeout=60) as scheduler:
        busy = [tmp_path / "first", tmp_path / "second"]
        jobs = [await scheduler.spawn(on_cluster(client, far.work, file)) for file in busy]
        await until(lambda: all(map(words, busy)))
        third = await scheduler.spawn(on_cluster(client, far.work, tmp_path / "third"))
        await until_dask_knows(client, tasks=3, events=0)
        await third.close()
        assert third.outcome == aiojobs.Outcome.CANCELLED
        assert await asyncio.gather(*jobs) == [100, 100]
    assert words(tmp_path / "third") == []


@pytest.mark.requirement("CLOSE-1")
async def test_what_was_asked_to_stop_is_not_called_again_when_its_worker_dies(client, tmp_path):
    async with aiojobs.Scheduler(limit=1, close_timeout=60) as scheduler:
        call, killed = tmp_path / "call", tmp_path / "killed"
        job = await scheduler.spawn(on_cluster(client, far.waits_and_dies, call, killed))
        await until(lambda: words(call))
        closing = asyncio.create_task(job.close())
        await until_dask_knows(client, tasks=1, events=1)
        killed.touch()
        await closing
        assert job.outcome == aiojobs.Outcome.CANCELLED
    assert words(call) == ["begun"]


async def test_a_local_process_that_is_killed_loses_what_waits_and_what_comes_of_the_rest(
    client, address, tmp_path
):
    local = start("-m", "compat.dask_cluster.local", address, str(tmp_path))
    try:
        await until(lambda: words(tmp_path / "0") and words(tmp_path / "1"))
    finally:
        kill(local)
    await until(lambda: all(words(tmp_path / name)[1:] for name in "01"))
    await until_dask_knows(client, tasks=0, events=0)
    assert [words(tmp_path / str(number)) for number in range(6)] == [["begun", "ended"]] * 2 + [[]] * 4


async def test_a_lost_scheduler_of_dask_is_the_failure_of_the_job(tmp_path):
    with dask(tmp_path, workers=1) as (address, scheduler_of_dask, workers):
        async with distributed.Client(address, asynchronous=True) as client, aiojobs.Scheduler() as scheduler:
            job = await scheduler.spawn(on_cluster(client, far.deaf, tmp_path / "call", 3600.0))
            await until(lambda: words(tmp_path / "call"))
            scheduler_of_dask.send_signal(signal.SIGKILL)
            with pytest.raises(ConnectionError, match="the call with it"):
                await job
            await until(lambda: workers.poll() is not None)
    assert words(tmp_path / "call") == ["begun"]
