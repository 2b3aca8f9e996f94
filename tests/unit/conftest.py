"""The fixtures of stepping.py, for all tests of this folder."""

from unit.stepping import no_test_hangs, steps

__all__ = ("no_test_hangs", "steps")
