"""What a faulty library leaves behind goes with its test."""

import gc

import pytest

from aiojobs_verification.simulation.world.world import watching


@pytest.fixture(autouse=True)
def nothing_is_left_for_later():
    """Coroutines that it never awaited are collected here, where nobody takes offence, and not in another test."""
    yield
    with watching():
        gc.collect()
