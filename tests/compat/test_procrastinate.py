"""The page about durable work: its four files run as they stand, with a PostgreSQL of their own and real processes.

Each row of its first table has a test. Time is real, because servers and signals are; what is waited for are facts,
and no figure decides anything. Where there is no PostgreSQL, and no way to install one, every test fails and says so.
"""

import asyncio
import importlib
import itertools
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

import aiojobs
from docs import pages
from support.library import SOURCES

PAGE = "docs/howto/durable-work.md"
POSTGRES, ORDERS, WORKER, DEMO = FILES = "postgres.py", "orders.py", "worker.py", "demo.py"
PATIENCE = 25
"""Seconds after which something that should come about has not."""

pytestmark = pytest.mark.loops("stock")


def module(monkeypatch, name):
    """A file of the page, imported anew."""
    monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module(name)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the files of the page, from which they can be imported."""
    pages.write_files(PAGE, tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """The address of a PostgreSQL that the page's own script has installed, if need be, and started."""
    place = tmp_path_factory.mktemp("server")
    pages.write_files(PAGE, place)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(place)
        started = module(patch, "postgres").postgresql()
        try:
            address = started.__enter__()
        except SystemExit as without:
            pytest.fail(f"durable work can't be tried without PostgreSQL: {without}")
        yield address
        started.__exit__(None, None, None)


NUMBERS = itertools.count(1)


@pytest.fixture
def database(server, monkeypatch):
    """An empty database, named by the environment."""
    name = f"shop{next(NUMBERS)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    address = server.rpartition("/")[0] + f"/{name}"
    monkeypatch.setenv("DATABASE", address)
    return address


class Shop:
    """The tables, the tasks, and the workers of a shop."""

    def __init__(self, orders, folder, database):
        self.orders = orders
        self.folder = folder
        self.database = database
        self.workers = []

    async def take(self, number, seconds):
        async with await psycopg.AsyncConnection.connect(self.database) as connection:
            await self.orders.accept(connection, number, seconds)

    async def start(self):
        worker = await asyncio.create_subprocess_exec(
            sys.executable, "-W", "error", WORKER, cwd=self.folder, env=environment(),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        self.workers.append(worker)
        return worker

    async def begin(self, seconds, says="attempt 1"):
        """A worker that has begun with order 1, as it says."""
        worker = await self.start()
        await self.take(1, seconds)
        await heard(worker, f"order 1: {says}")
        return worker

    async def stop(self, worker, signum=signal.SIGTERM):
        """Send a signal; what the worker says until its end."""
        worker.send_signal(signum)
        async with asyncio.timeout(PATIENCE):
            said, _ = await worker.communicate()
        return said.decode()

    async def tasks(self):
        """Status and attempts of the task of each order."""
        tasks = await self.orders.app.job_manager.list_jobs_async(task="deliver")
        return {task.task_kwargs["number"]: (task.status, task.attempts) for task in tasks}

    async def until(self, number, status):
        """Wait until the task of an order has this status; how often it was attempted before."""
        deadline = time.monotonic() + PATIENCE
        while (tasks := await self.tasks()).get(number, [None])[0] != status:
            assert time.monotonic() < deadline, f"order {number} is not {status}: {tasks}"
            await asyncio.sleep(0.05)
        return tasks[number][1]

    async def parcels(self):
        async with self.orders.connector.pool.connection() as connection:
            rows = await connection.execute("SELECT number FROM parcels ORDER BY number")
            return [number for (number,) in await rows.fetchall()]


def environment():
    return {**os.environ, "PYTHONPATH": SOURCES}


async def heard(worker, line):
    """Wait until a worker says this."""
    async with asyncio.timeout(PATIENCE):
        while said := (await worker.stdout.readline()).decode():
            if said.rstrip() == line:
                return
    pytest.fail(f"the worker has not said {line!r}")


@pytest.fixture
async def shop(folder, database, monkeypatch):
    orders = module(monkeypatch, "orders")
    shop = Shop(orders, folder, database)
    async with orders.app.open_async():
        await orders.app.schema_manager.apply_schema_async()
        async with orders.connector.pool.connection() as connection:
            await connection.execute(orders.TABLES)
        yield shop
        for worker in shop.workers:
            if worker.returncode is None:
                worker.kill()
                await worker.communicate()


# The page as a whole.


EXAMPLE = pages.ROOT / "examples/durable_work"


@pytest.mark.parametrize("name", FILES)
def test_the_files_of_the_page_are_those_of_the_example(name):
    (file,) = [file for file in pages.files(PAGE) if file.name == name]
    assert file.source == (EXAMPLE / name).read_text(encoding="utf-8")


def test_the_example_asks_for_the_packages_that_are_tried_here():
    asked = set((EXAMPLE / "requirements.txt").read_text(encoding="utf-8").split())
    assert asked <= set(pages.text("requirements/compat.in").split())


def test_the_commands_of_the_page_print_what_it_shows(folder):
    done = subprocess.run(
        [sys.executable, "-W", "error", POSTGRES, sys.executable, "-W", "error", DEMO],
        cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    assert "python postgres.py python demo.py" in pages.text(PAGE)
    shown = re.search(r"<!-- what demo.py prints -->\n```text\n(.*?)```", pages.text(PAGE), re.DOTALL)[1]
    assert done.stdout == shown
    assert done.returncode == 0


def test_the_files_of_the_page_are_typed(folder):
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", folder / "cache", *FILES],
        cwd=folder, env={**os.environ, "MYPYPATH": SOURCES},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == f"Success: no issues found in {len(FILES)} source files\n"


# PostgreSQL.


def test_the_data_and_the_server_are_gone_afterwards(folder):
    ask = "psycopg.connect(os.environ['DATABASE']).execute('SHOW data_directory').fetchone()"
    look = f"import os, psycopg; print(*{ask})"
    done = subprocess.run(
        [sys.executable, POSTGRES, sys.executable, "-c", look],
        cwd=folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    data = done.stdout.strip()
    assert data.endswith("/data")
    assert not Path(data).exists()
    assert (
        data not in subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    )


def test_the_script_ends_as_its_command_does(folder):
    done = subprocess.run([sys.executable, POSTGRES, "sh", "-c", "exit 7"], cwd=folder, check=False)
    assert done.returncode == 7


def test_where_there_is_no_postgresql_it_is_installed(folder, monkeypatch):
    postgres = module(monkeypatch, "postgres")
    commands, there = [], Path("/usr/lib/postgresql/15/bin")
    answers = iter([None, there])
    monkeypatch.setattr(postgres, "programs", lambda: next(answers))
    monkeypatch.setattr(postgres.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(postgres, "run", lambda *words: commands.append(" ".join(words)))
    assert (postgres.programs() or postgres.install()) == there
    assert [re.sub(r"^sudo -n ", "", command) for command in commands] == [
        "apt-get update",
        "env DEBIAN_FRONTEND=noninteractive apt-get install -y postgresql",
    ]


def test_without_postgresql_and_without_a_way_to_install_it_that_is_said_aloud(folder, monkeypatch):
    postgres = module(monkeypatch, "postgres")
    monkeypatch.setattr(postgres, "programs", lambda: None)
    monkeypatch.setattr(postgres.shutil, "which", lambda name: None)
    with pytest.raises(SystemExit, match="no PostgreSQL, and no apt-get"), postgres.postgresql():
        pass


# What survives what.


async def test_a_task_that_was_deferred_in_a_transaction_is_there_when_it_is_committed_and_not_before(shop):
    worker = await shop.start()
    async with await psycopg.AsyncConnection.connect(shop.database) as connection:
        await shop.orders.accept(connection, 1, 0)
        await shop.take(2, 0)
        await shop.until(2, "succeeded")  # the worker works, and does not see the other one
        assert 1 not in await shop.tasks()
    await shop.until(1, "succeeded")
    assert await shop.parcels() == [1, 2]
    assert "order 1: sent" in await shop.stop(worker)


async def test_a_task_that_was_deferred_in_a_transaction_is_never_there_when_it_is_rolled_back(shop):
    async with await psycopg.AsyncConnection.connect(shop.database) as connection:
        await shop.orders.accept(connection, 1, 0)
        await connection.rollback()
    await shop.take(2, 0)
    worker = await shop.start()
    await shop.until(2, "succeeded")
    said = await shop.stop(worker)
    assert ("order 1" in said, await shop.tasks()) == (False, {2: ("succeeded", 1)})


async def test_a_task_that_is_deferred_by_another_connection_is_there_whatever_becomes_of_the_transaction(
    shop,
):
    async with await psycopg.AsyncConnection.connect(shop.database) as connection:
        await connection.execute("INSERT INTO orders VALUES (1)")
        await shop.orders.deliver.defer_async(number=1, seconds=0)
        await connection.rollback()
    assert await shop.tasks() == {1: ("todo", 0)}


@pytest.mark.requirement("SHUT-7", "SHUT-8")
async def test_at_sigterm_tasks_are_finished_or_put_back_and_nothing_was_dropped(shop):
    worker = await shop.start()
    await shop.take(1, 1)
    await shop.take(2, 60)
    await heard(worker, "order 2: attempt 1")
    said = await shop.stop(worker)
    assert (worker.returncode, said) == (0, "order 1: sent\n")
    assert await shop.tasks() == {1: ("succeeded", 1), 2: ("todo", 1)}


async def test_without_retry_a_task_that_a_shutdown_cancels_is_never_tried_again(shop):
    source = (shop.folder / ORDERS).read_text()
    (shop.folder / ORDERS).write_text(source.replace(", retry=ATTEMPTS - 1", ""))
    worker = await shop.begin(60)
    await shop.stop(worker)
    assert await shop.tasks() == {1: ("aborted", 1)}


@pytest.mark.requirement("SHUT-7", "SHUT-8")
async def test_the_worker_is_a_job_that_close_stops_gracefully(shop, monkeypatch):
    worker = module(monkeypatch, "worker")
    scheduler = aiojobs.Scheduler(close_timeout=worker.GRACEFUL + 1)
    job = await scheduler.spawn(worker.work(), drain=False)
    await scheduler.idle()  # it is not waited for
    await shop.take(1, 1)
    await shop.until(1, "doing")
    assert scheduler.active_count == 1
    report = await scheduler.close()
    assert (job.outcome.name, report.dropped, scheduler.active_count) == ("CANCELLED", 0, 0)
    assert await shop.tasks() == {1: ("succeeded", 1)}


@pytest.mark.requirement("SHUT-4", "SHUT-8")
async def test_while_other_jobs_are_drained_the_worker_goes_on(shop, monkeypatch):
    worker = module(monkeypatch, "worker")
    scheduler = aiojobs.Scheduler(close_timeout=worker.GRACEFUL + 1)
    await scheduler.spawn(worker.work(), drain=False)
    other = await scheduler.spawn(shop.until(1, "succeeded"))
    drained = asyncio.create_task(scheduler.wait_and_close())
    await shop.take(1, 0)
    report = await drained
    assert (await other, report.dropped) == (1, 0)


@pytest.mark.requirement("SHUT-2", "LIMIT-6")
async def test_a_close_timeout_that_is_too_short_leaves_the_worker_to_its_tasks(shop, monkeypatch):
    worker = module(monkeypatch, "worker")
    complaints = []
    scheduler = aiojobs.Scheduler(
        close_timeout=0.1, exception_handler=lambda _, what: complaints.append(what)
    )
    job = await scheduler.spawn(worker.work(), drain=False)
    await shop.take(1, 1)
    await shop.until(1, "doing")
    await scheduler.close()
    assert (job.state.name, len(complaints)) == ("CLOSING", 1)
    await asyncio.wait([job])
    assert await shop.tasks() == {1: ("succeeded", 1)}


async def test_after_sigkill_one_of_the_other_workers_begins_the_task_again(shop):
    victim = await shop.begin(1)
    others = [await shop.start(), await shop.start()]
    await shop.stop(victim, signal.SIGKILL)
    assert (await shop.tasks())[1] == ("doing", 0)
    assert await shop.until(1, "succeeded") == 2
    said = "".join([await shop.stop(other) for other in others])
    assert said.splitlines() == ["order 1: attempt 2", "order 1: sent"]
    assert await shop.parcels() == [1]
    looks = [
        task.task_kwargs["timestamp"]
        for task in await shop.orders.app.job_manager.list_jobs_async(task="retry_stalled")
    ]
    assert len(looks) == len(set(looks)) > 0, "each second one of them looked"


async def test_if_nobody_looks_for_stalled_tasks_they_are_never_begun_again(shop):
    source = (shop.folder / ORDERS).read_text()
    (shop.folder / ORDERS).write_text(re.sub(r"^@app.periodic.*\n", "", source, flags=re.MULTILINE))
    victim = await shop.begin(1)
    await shop.stop(victim, signal.SIGKILL)
    other = await shop.start()
    await asyncio.sleep(shop.orders.SILENCE + 1.5)  # that nothing happens takes its time
    assert await shop.tasks() == {1: ("doing", 0)}
    assert await shop.stop(other) == ""


async def test_a_task_that_raises_is_given_up_after_as_many_attempts(shop):
    await shop.orders.deliver.defer_async(number=1, seconds=0)  # there is no such order
    worker = await shop.start()
    assert await shop.until(1, "failed") == shop.orders.ATTEMPTS
    said = await shop.stop(worker)
    assert said.count("order 1: attempt") == shop.orders.ATTEMPTS


async def test_a_worker_that_stands_still_for_too_long_goes_on_beside_the_one_that_has_its_task_now(shop):
    paused = await shop.begin(1)
    paused.send_signal(signal.SIGSTOP)
    other = await shop.start()
    await heard(other, "order 1: sent")
    paused.send_signal(signal.SIGCONT)
    await heard(paused, "order 1: sent")
    assert await shop.parcels() == [1]
    await shop.stop(paused)
    await shop.stop(other)
    assert await shop.until(1, "succeeded") == 2


async def test_a_statement_of_the_pool_leaves_no_transaction_in_which_a_worker_could_stand_still(shop):
    async with shop.orders.connector.pool.connection() as connection:
        await connection.execute("INSERT INTO orders VALUES (1)")
        assert connection.info.transaction_status is psycopg.pq.TransactionStatus.IDLE


async def test_wherever_a_worker_stands_still_between_two_statements_nothing_is_locked(shop):
    paused = await shop.begin(1)
    async with await psycopg.AsyncConnection.connect(shop.database, autocommit=True) as connection:
        for _ in range(100):
            paused.send_signal(signal.SIGSTOP)
            # What it has sent, PostgreSQL ends by itself.
            while await sessions(connection, "active"):
                await asyncio.sleep(0)
            assert await sessions(connection, "idle in transaction") == []
            paused.send_signal(signal.SIGCONT)
            await asyncio.sleep(0.001)


async def sessions(connection, state):
    """The last statements of the other sessions of this database that are in this state."""
    rows = await connection.execute(
        "SELECT query FROM pg_stat_activity"
        " WHERE datname = current_database() AND state = %s AND pid <> pg_backend_pid()",
        [state],
    )
    return [query for (query,) in await rows.fetchall()]


async def test_a_worker_that_stands_still_in_a_transaction_of_a_task_loses_its_locks(shop):
    source = (shop.folder / ORDERS).read_text()
    assert source.count(STATEMENT) == 1
    (shop.folder / ORDERS).write_text(source.replace(STATEMENT, TRANSACTION))
    paused = await shop.begin(1, "locked")
    paused.send_signal(signal.SIGSTOP)
    other = await shop.start()
    await heard(other, "order 1: sent")
    assert await shop.until(1, "succeeded") == 2
    assert await shop.parcels() == [1]


STATEMENT = """    await asyncio.sleep(seconds)
    async with connector.pool.connection() as connection:
"""

TRANSACTION = """    async with connector.pool.connection() as connection, connection.transaction():
        await connection.execute("SELECT FROM orders WHERE number = %s FOR UPDATE", [number])
        print(f"order {number}: locked", flush=True)
        await asyncio.sleep(seconds)
"""


async def test_a_task_that_ends_its_process_each_time_is_given_up(shop):
    await shop.take(1, 60)
    async with shop.orders.connector.pool.connection() as connection:
        await connection.execute("UPDATE procrastinate_jobs SET attempts = %s", [shop.orders.ATTEMPTS - 2])
    for number in (shop.orders.ATTEMPTS - 1, shop.orders.ATTEMPTS):
        worker = await shop.start()
        await heard(worker, f"order 1: attempt {number}")
        await shop.stop(worker, signal.SIGKILL)
    last = await shop.start()
    assert await shop.until(1, "failed") == shop.orders.ATTEMPTS
    assert "attempt" not in await shop.stop(last)


async def test_a_worker_works_again_when_postgresql_was_restarted(shop, database, monkeypatch):
    postgres = module(monkeypatch, "postgres")
    worker = await shop.begin(2)
    with psycopg.connect(database) as connection:
        (data,) = connection.execute("SHOW data_directory").fetchone()
    control = [postgres.programs() / "pg_ctl", "-D", data, "-l", f"{data}/log", "-w"]
    await asyncio.to_thread(postgres.run, *control, "-m", "fast", "restart", user=postgres.OWNER)
    await heard(worker, "ConnectionError: the worker has ended by itself")
    await shop.until(1, "succeeded")
    assert await shop.parcels() == [1]
