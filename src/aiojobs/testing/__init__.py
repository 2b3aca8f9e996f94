"""For tests of programs that use jobs: an event loop with a virtual clock, and a way to let it work.

    loop = aiojobs.testing.VirtualLoop()
    loop.run_until_complete(main())      # an hour of sleeping takes no time at all

`VirtualLoop` makes a hang an error (`Deadlock`, `Livelock`) and runs the same program always in the same order.
`StrictLoop` also fails a program whose loop was told of an error that nobody took: an exception that reached nobody,
a task that was destroyed while pending. `settle` lets the loop go on without letting time pass.

It needs nothing but asyncio, and nothing of the scheduler: it is also there for code that does not know this library.
"""

from ._cancelling import cancel_at_every_await
from ._explore import Counterexample, Explored, NotExhausted, explore
from ._run import CannotExplore
from ._running import run
from ._story import Story
from ._strict import StrictLoop
from ._virtual_loop import Deadlock, Livelock, VirtualLoop
from ._waiting import settle

__all__ = (
    "CannotExplore",
    "Counterexample",
    "Deadlock",
    "Explored",
    "Livelock",
    "NotExhausted",
    "Story",
    "StrictLoop",
    "VirtualLoop",
    "cancel_at_every_await",
    "explore",
    "run",
    "settle",
)
