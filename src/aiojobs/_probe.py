"""Whether a coroutine of Python's own is untouched: by sending it what it can't take yet.

Of a coroutine that neither runs nor is suspended, the frame would tell whether it is untouched or over; but to ask for
the frame creates an object that lives as long as the coroutine. Sending it something other than None tells as well:
what has not started refuses that with a TypeError and stays as it was.

The compiled build has ``_probe.pyx`` in place of this file: there the answer is read where Python has put it, and
nothing need be raised, which is most of what claiming a coroutine costs.
"""

from __future__ import annotations

from typing import Any

__all__ = ("is_untouched",)

_PROBE = object()


def is_untouched(coro: Any) -> bool:
    """Whether nothing of a coroutine that is not suspended has run, nor will by this question."""
    try:
        coro.send(_PROBE)
    except TypeError:
        return True
    except (RuntimeError, ValueError):
        pass
    return False
