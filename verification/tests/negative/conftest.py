"""What a faulty library leaves behind goes with its test, as with those of the simulation."""

from simulation.conftest import nothing_is_left_for_later

__all__ = ("nothing_is_left_for_later",)
