"""Write down what a scheduler does, one line of JSON for each step, for a program that audits it.

    trace = Trace(file, limit=8, pending_limit=16)
    scheduler = aiojobs.Scheduler(limit=8, pending_limit=16, observer=trace)

The format, version 1
---------------------
UTF-8 text; every line is one JSON object and ends with a line feed. The first line is the header:

    {"format": "aiojobs-trace", "version": 1, "limit": 8, "pending_limit": 16, "spec": "sha256:…"}

`limit` is null if there is none, `pending_limit` is 0 if there is none; `spec` is the digest of the lifecycle
that the scheduler obeyed (`SPEC_DIGEST`). Every other line is one `aiojobs.Record`, in the order of events:

    {"job": 1, "event": "accept", "source": null, "dest": "pending", "time": 0.001234}
    {"job": 1, "event": "start", "source": "pending", "dest": "active", "time": 0.001234}
    {"job": null, "event": "close", "source": "open", "dest": "closing", "time": 0.754321}

`job` numbers the jobs from 1 in the order in which they were accepted; null means the scheduler itself.
`event`, `source` and `dest` are the words of spec/job.toml and spec/scheduler.toml, and "accept" is the event
of a new job, which has no source. `time` is in seconds since the first record, on the loop's clock, rounded
to microseconds, and never decreases.

What a reader may rely on: a number appears first with "accept", new numbers come in order without gaps, and
none appears again after "done" or "closed". So memory for the jobs that are alive is enough to read a trace
of any length. A step that the lifecycle declares a no-op changes nothing and leaves no line.

A trace that a crash cut short ends early, perhaps in the middle of a line; a complete one has a line with the
phase "closed". Lines of jobs that stopped after the deadline of the shutdown may follow it.
"""

import json
from typing import Any, Final, TextIO

import aiojobs

# The digest is for tools such as this one, and not for programs that use the package.
from aiojobs._lifecycle import SPEC_DIGEST  # pyright: ignore[reportPrivateUsage]

VERSION: Final = 1


class Trace:
    """An observer that writes to `file`; opening and closing the file is the caller's."""

    def __init__(self, file: TextIO, *, limit: int | None, pending_limit: int) -> None:
        self._file = file
        # The numbers of the jobs that have not ended.
        self._numbers: dict[aiojobs.Job[Any], int] = {}
        self._accepted = 0
        self._begin: float | None = None
        self._write(
            format="aiojobs-trace",
            version=VERSION,
            limit=limit,
            pending_limit=pending_limit,
            spec=SPEC_DIGEST,
        )

    def __call__(self, record: aiojobs.Record) -> None:
        """Write one record."""
        if self._begin is None:
            self._begin = record.time
        self._write(
            job=self._number(record),
            event=record.event,
            source=record.source,
            dest=record.dest,
            time=round(record.time - self._begin, 6),
        )

    def _number(self, record: aiojobs.Record) -> int | None:
        if record.job is None:
            return None
        if record.event == "accept":
            self._accepted += 1
            self._numbers[record.job] = self._accepted
            return self._accepted
        if record.dest in {aiojobs.State.DONE, aiojobs.State.CLOSED}:
            return self._numbers.pop(record.job)
        return self._numbers[record.job]

    def _write(self, **fields: object) -> None:
        self._file.write(json.dumps(fields) + "\n")
