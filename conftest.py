"""Shared by all tests, and therefore nearly empty: a fixture belongs beside the tests that need it."""

import gc

pytest_plugins = ["support.loops", "support.specification"]


def pytest_collection_finish() -> None:
    """What was imported stays: tests that collect garbage, some of them often, need not look through it."""
    gc.collect()
    gc.freeze()
