"""A virtual loop that fails for every error that nobody has received."""

from __future__ import annotations

from ._virtual_loop import VirtualLoop

__all__ = ("StrictLoop",)


class StrictLoop(VirtualLoop):
    """A `VirtualLoop` whose `close` raises `AssertionError` if it was told of errors that were not taken.

    A test that expects one takes it: it asserts about `complaints` and empties the list.
    """

    def close(self) -> None:
        """Close the loop, then fail if complaints are left.

        Raises:
            AssertionError: somebody called `call_exception_handler`, and nobody emptied `complaints` since.
        """
        super().close()
        left = [*self.complaints]
        self.complaints.clear()
        if left:
            raise AssertionError(f"complaints that the test did not expect: {left}")
