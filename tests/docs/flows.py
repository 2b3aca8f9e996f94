"""Who calls whom inside the library while something happens, as arrows from module to module."""

import asyncio
import sys
from pathlib import Path

import aiojobs
from aiojobs.testing import VirtualLoop

PACKAGE = Path(aiojobs.__file__).parent
QUIET = {"_bound_loop", "_calling", "_callgraph", "_probe", "_tasks", "_validate", "_exceptions"}
"""Modules without a part in any flow: they are asked all the time, and ask nobody."""


def module(frame):
    """The module of the library that a frame is in; else the loop, the log, or the program that uses all."""
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if path.parent == PACKAGE and path.stem not in QUIET:
            return path.stem.removeprefix("_")
        if path.parent == PACKAGE / "testing" or path.parent.name == "asyncio":
            return "loop"
        if path.parent.name == "logging":
            return "logging"
        if path.parent != PACKAGE:
            return "program"
        frame = frame.f_back
    return "loop"


class Arrows:
    """Inside a `with`: each call that goes from one module to another, in order."""

    def __init__(self):
        self.found = []

    def __enter__(self):
        sys.setprofile(self._note)
        return self

    def __exit__(self, *_):
        sys.setprofile(None)

    def _note(self, frame, event, _argument):
        code = frame.f_code
        if event != "call" or code.co_name.startswith("<") or Path(code.co_filename).parent != PACKAGE:
            return
        target = Path(code.co_filename).stem
        if target in QUIET:
            return
        source, name = module(frame.f_back), target.removeprefix("_")
        arrow = f"{source}->>{name}: {code.co_name.removesuffix('__').removeprefix('__')}"
        if source != name and self.found[-1:] != [arrow]:
            self.found.append(arrow)


def drawn(page, title):
    """The arrows of the picture that follows a heading."""
    picture = page.split(f"### {title}\n", 1)[1].split("```mermaid\n", 1)[1].split("```", 1)[0]
    lines = (line.strip() for line in picture.splitlines())
    return [line for line in lines if "->>" in line]


def run(main):
    """Run a flow on a loop of its own."""
    arrows = Arrows()
    loop = VirtualLoop()
    loop.set_debug(False)
    try:
        loop.run_until_complete(main(arrows))
    finally:
        loop.close()
    return arrows.found


async def spawn_to_wait(arrows):
    async with aiojobs.Scheduler() as scheduler:
        await (await scheduler.spawn(asyncio.sleep(0))).wait()
        with arrows:
            job = await scheduler.spawn(asyncio.sleep(0))
            await job.wait()


async def blocked_spawn(arrows):
    gate = asyncio.Event()
    async with aiojobs.Scheduler(limit=1, pending_limit=1) as scheduler:
        for _ in range(2):
            await scheduler.spawn(gate.wait())
        with arrows:
            third = asyncio.create_task(scheduler.spawn(asyncio.sleep(0)))
            await asyncio.sleep(0)
            gate.set()
            await third


async def close_with_a_straggler(arrows):
    async def stubborn():
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(60)

    scheduler = aiojobs.Scheduler(close_timeout=1, exception_handler=lambda *_: None)
    await scheduler.spawn(stubborn())
    await asyncio.sleep(0)
    with arrows:
        await scheduler.close()
    await asyncio.sleep(120)


FLOWS = {
    "From spawn to wait": spawn_to_wait,
    "A spawn that is blocked": blocked_spawn,
    "A close with a straggler": close_with_a_straggler,
}
