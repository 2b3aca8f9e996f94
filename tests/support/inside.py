"""The parts of a scheduler, for tests of what can only be seen from inside."""


def core(scheduler):
    """The registries."""
    return scheduler._Scheduler__core


def shields(scheduler):
    """The shielded awaitables."""
    return scheduler._Scheduler__shields


def closing(scheduler):
    """What closes and drains."""
    return scheduler._Scheduler__closing


def following(scheduler):
    """The jobs that end with their tasks."""
    return core(scheduler).starter.following
