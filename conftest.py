"""Shared by all tests, and therefore nearly empty: a fixture belongs beside the tests that need it."""

import gc
import sys

pytest_plugins = ["pytester", "support.loops", "support.specification"]


def pytest_collection_finish() -> None:
    """What was imported stays: tests that collect garbage, some of them often, need not look through it."""
    gc.collect()
    # From 3.14 on Hypothesis asks the collector who refers to an object, and it does not look at what is frozen.
    if sys.version_info < (3, 14):
        gc.freeze()
