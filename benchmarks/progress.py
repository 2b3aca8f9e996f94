"""The progress of a run, on standard error: one line that is rewritten, or a line now and then on a log."""

from __future__ import annotations

import sys
import time
from typing import Final

from .rounds import Sample

__all__ = ["Progress"]

_EVERY: Final = 15.0
"""Seconds between two lines of a log."""


class Progress:
    """Tells of each sample, with the time that is left at the pace so far."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._told = self._began
        self._rewrite = sys.stderr.isatty()

    def __call__(self, done: int, total: int, sample: Sample) -> None:
        """After each sample."""
        now = time.monotonic()
        if not self._rewrite and done < total and now - self._told < _EVERY:
            return
        self._told = now
        left = (now - self._began) / done * (total - done)
        text = f"{done}/{total} · {left:.0f} s left · round {sample.round + 1} · "
        text += f"{sample.workload}, {sample.size:,} · {sample.contender}"
        if self._rewrite:
            sys.stderr.write(f"\r\x1b[2K{text[:110]}" + ("\n" if done == total else ""))
        else:
            sys.stderr.write(text + "\n")
        sys.stderr.flush()
