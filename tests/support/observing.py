"""Look at a scheduler and its loop from outside: record what is reported."""

import asyncio


class Recorder:
    """An exception handler or observer that keeps what it is called with.

    As `exception_handler=recorder` it keeps contexts, as `observer=recorder` records; `calls` has whatever
    came last in the argument list, oldest first. With `raises` it raises that after keeping it.
    """

    def __init__(self, raises=None):
        self.calls = []
        self.raises = raises

    def __call__(self, *arguments):
        self.calls.append(arguments[-1])
        if self.raises is not None:
            raise self.raises

    @property
    def messages(self):
        """The messages of the contexts."""
        return [context["message"] for context in self.calls]

    @property
    def exceptions(self):
        """The exceptions of the contexts."""
        return [context.get("exception") for context in self.calls]

    def edges(self, job):
        """What happened to one job, as `event: source -> dest`, with `-` for what there was not."""
        mine = [record for record in self.calls if record.job is job]
        return [f"{record.event}: {record.source or '-'} -> {record.dest}" for record in mine]


class Complaints:
    """Keeps in `calls` what the running loop's exception handler is called with inside a `with`."""

    def __init__(self):
        self.calls = []

    def __enter__(self):
        self._loop = asyncio.get_running_loop()
        self._before = self._loop.get_exception_handler()
        self._loop.set_exception_handler(lambda _loop, context: self.calls.append(context))
        return self

    def __exit__(self, *_):
        self._loop.set_exception_handler(self._before)
        taken = getattr(self._loop, "complaints", [])
        taken[:] = [complaint for complaint in taken if complaint not in self.calls]

    @property
    def messages(self):
        """The messages of the contexts."""
        return [context["message"] for context in self.calls]
