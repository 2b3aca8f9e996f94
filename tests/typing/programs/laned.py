"""Lanes as a user writes them."""

import contextvars
from typing import assert_type

import aiojobs
from aiojobs.lanes import LaneJob, Lanes


async def deliver() -> int:
    return 1


async def main(context: contextvars.Context) -> None:
    async with aiojobs.Scheduler(limit=10) as scheduler:
        lanes = Lanes(scheduler, limit=2, pending_limit=100)
        delivery = await lanes.spawn("Ada", deliver(), "delivery", context=context, timeout=1)
        assert_type(delivery, LaneJob[int])
        assert_type(await delivery, int)
        assert_type(await delivery.wait(timeout=1), int)
        assert_type(delivery.job, aiojobs.Job[int] | None)
        assert_type(delivery.outcome, aiojobs.Outcome | None)
        assert_type(lanes.spawn_nowait(7, deliver()), LaneJob[int])
        assert_type(lanes.coalesce(("a", 1), deliver()), LaneJob[int])
        lanes.set_limit(3)

        lanes.set_limit(None)  # error: mypy[arg-type] pyright[reportArgumentType]
        lanes.spawn_nowait([], deliver())  # error: mypy[arg-type] pyright[reportArgumentType]
        lanes.spawn_nowait("Ada", deliver)  # error: mypy[arg-type] pyright[reportArgumentType]
        await lanes.spawn(7)  # error: mypy[call-arg] pyright[reportCallIssue]
