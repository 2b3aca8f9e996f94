"""How a program under some package is set up: what the stories need to know of it."""

import asyncio

from compat import bodies


class Tool:
    """Nothing but asyncio; each file of this folder overrides what its package changes."""

    bodies = bodies
    """What its jobs run."""
    reports_failures = False
    """Whether the tool reports a job that fails by itself: then `failures` answers."""
    renames_tasks = False
    """Whether it gives a task another name than it was created with."""
    patience = 10
    """Seconds of its loop's clock after which a story hangs. All of them are done in milliseconds."""

    def loop_factory(self):
        """The loop that its programs run on."""
        return asyncio.SelectorEventLoop()

    def run(self, main):
        """Run a program as under this tool it is run."""
        with asyncio.Runner(loop_factory=self.loop_factory) as runner:
            runner.run(self.program(main))

    async def program(self, main):
        """The program: what the tool asks for inside the running loop, and then `main`."""
        await main()

    async def failures(self):
        """The jobs that it knows to have failed since the program began: the texts of their exceptions."""
        raise NotImplementedError

    def coroutine(self, task):
        """What it shows as the coroutine of a task."""
        return task.get_coro()
