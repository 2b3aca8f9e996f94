"""Webhooks: each customer gets their events in order, all customers side by side, and again what did not arrive.

    python -m examples.webhooks

Ada's endpoint takes its time, Alan's fails at first, Kurt's is gone. Grace does not notice. It prints

    Grace has order 1
    Alan, order 1: refused, again in 0.4 s
    Kurt, order 1: refused, again in 0.4 s
    Ada has order 1
    Grace has order 2
    Alan has order 1
    Kurt, order 1: refused, again in 0.8 s
    Alan has order 2
    Ada has order 2
    Kurt, order 1: refused, given up
    Kurt has order 2
    all events are dealt with

What it shows: a lane for each customer, whose limit of one keeps their events in order; the limit of the scheduler,
which all of them share; the retry *inside* the job, so that no later event overtakes an earlier one; and that an event
which is given up is told once (EXC-1), and holds up nothing behind it.
"""

import asyncio
from collections import Counter

import aiojobs
from aiojobs.lanes import Lanes

ATTEMPTS = 3
SECONDS = {"Ada": 1.0, "Alan": 0.5, "Grace": 0.2, "Kurt": 0.5}
FAILURES = {"Ada": 0, "Alan": 1, "Grace": 0, "Kurt": ATTEMPTS}
"""How many requests to an endpoint fail before one succeeds."""


async def post(customer: str, event: str, requests: Counter[str]) -> None:
    """Stands for an HTTP request to the customer's endpoint."""
    requests[customer] += 1
    await asyncio.sleep(SECONDS[customer])
    if requests[customer] <= FAILURES[customer]:
        raise ConnectionError(f"{customer}, {event}: refused")
    print(f"{customer} has {event}")


async def deliver(customer: str, event: str, requests: Counter[str]) -> None:
    """The job: an event, tried again with longer and longer pauses. A close stops it wherever it is."""
    for attempt in range(1, ATTEMPTS):
        try:
            return await post(customer, event, requests)
        except ConnectionError as error:
            pause = 0.2 * 2**attempt
            print(f"{error}, again in {pause:.1f} s")
            await asyncio.sleep(pause)
    return await post(customer, event, requests)


def give_up(_scheduler: aiojobs.Scheduler, context: aiojobs.ExceptionContext) -> None:
    """Nobody waits for these jobs, so their failures come here. In earnest: write it down, and tell the customer."""
    print(f"{context['exception']}, given up")


async def main() -> None:
    """Two events for each of four customers, three deliveries at a time."""
    requests = Counter[str]()
    async with aiojobs.Scheduler(limit=3, exception_handler=give_up) as scheduler:
        lanes = Lanes(scheduler, limit=1)
        for event in ("order 1", "order 2"):
            for customer in SECONDS:
                await lanes.spawn(customer, deliver(customer, event, requests))
    print("all events are dealt with")


if __name__ == "__main__":
    asyncio.run(main())
