"""Shared by all tests, and therefore nearly empty: a fixture belongs beside the tests that need it."""

import gc
import sys
from pathlib import Path

pytest_plugins = ["pytester", "support.loops", "support.specification"]


def pytest_report_header() -> str:
    """Which build of the library is tested, as imported."""
    import aiojobs  # noqa: PLC0415 - not before coverage is measured

    return f"aiojobs: the {aiojobs.__build__} build in {Path(aiojobs.__file__).parent}"


def pytest_collection_finish() -> None:
    """What was imported stays: tests that collect garbage, some of them often, need not look through it."""
    gc.collect()
    # From 3.14 on Hypothesis asks the collector who refers to an object, and it does not look at what is frozen.
    if sys.version_info < (3, 14):
        gc.freeze()
