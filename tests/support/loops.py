"""Which event loop a test runs on: a pytest plugin, named in conftest.py.

Every async test runs on the virtual loop, where time is a number and a hang is an error, except those
below tests/aiohttp and tests/demo, which need sockets and run on the stock loop. A test may ask for others,
and then runs once on each that exists here:

    @pytest.mark.loops("virtual", "stock", "uvloop", "eager")

The names: `virtual`; `eager`, the virtual loop with eager tasks (Python 3.12 and later); `stock`, asyncio's
own; `stock-eager`; `uvloop`. On the last three time is real, so keep their sleeps in the milliseconds.

A virtual loop that received a complaint (`call_exception_handler`) which the test did not take out of
`loop.complaints` fails the test at its end: a lost exception is a broken promise here (EXC-1). A test that
expects complaints asserts about them and clears the list, or uses `support.observing.Complaints`.
"""

import asyncio
import importlib.util
import sys

import pytest

from aiojobs.testing import StrictLoop

_WITH_SOCKETS = frozenset({"aiohttp", "demo"})


def _eager(factory):
    def make():
        loop = factory()
        loop.set_task_factory(asyncio.eager_task_factory)
        return loop

    return make


def _uvloop():
    import uvloop

    return uvloop.new_event_loop()


def available_loops():
    """Name and factory of every loop that can be had here, in a fixed order."""
    loops = {"virtual": StrictLoop, "stock": asyncio.SelectorEventLoop}
    if importlib.util.find_spec("uvloop"):
        loops["uvloop"] = _uvloop
    if sys.version_info >= (3, 12):
        loops["eager"] = _eager(StrictLoop)
        loops["stock-eager"] = _eager(asyncio.SelectorEventLoop)
    return loops


ALL_NAMES = ("virtual", "stock", "uvloop", "eager", "stock-eager")


def pytest_configure(config):
    names = ", ".join(ALL_NAMES)
    config.addinivalue_line("markers", f"loops(*names): run on each of these that exists here: {names}")


def pytest_asyncio_loop_factories(config, item):
    marker = item.get_closest_marker("loops")
    wanted = marker.args if marker else _default(item)
    unknown = set(wanted) - set(ALL_NAMES)
    if unknown or not wanted:
        names = ", ".join(ALL_NAMES)
        raise pytest.UsageError(f"{item.nodeid}: loops({', '.join(wanted)}): the names are {names}")
    here = available_loops()
    # Where none of the wanted loops exists the test still runs, on the loop that exists everywhere.
    return {name: here[name] for name in wanted if name in here} or {"virtual": here["virtual"]}


def _default(item):
    return ("stock",) if _WITH_SOCKETS.intersection(item.path.parts) else ("virtual",)
