"""A second opinion on traces: is there a run of a scheduler that would have been told in these lines?

Rules of this file: it knows neither the monitor nor the counters of `scheduler.toml`. It is the design once
more, in the other direction. The monitor takes lines apart; here things happen, and each says which lines
it leaves. A trace is legal if some sequence of happenings leaves exactly its lines. Where the monitor
follows one state, this searches: all `Scene`s that the lines so far can have led to are kept.

How it works: `_happenings` yields everything that can happen in a scene and whose first line might be the
given one, with all its lines and the scene afterwards. Lines that are still to come are `owed`. If calls
are not announced, some may be waiting outside unseen whenever the queue is full, and then both is possible:
that one moves up, and that none does.

Deliberately not here: speed, and any explanation. It judges copies of traces that were corrupted on purpose.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from aiojobs.tracing import Header

__all__ = ["Rehearsal", "Scene"]

Told: TypeAlias = "tuple[Any, ...]"
"""What a line says, without the time: ("job", number, event, source, dest, name), ("phase", event, source,
dest), ("call", name, event) or ("raise", name, the error if it is `_CANCEL` or `_FULL`)."""

_CANCEL: Final = "CancelledError"
_FULL: Final = "PendingQueueFull"
_REFUSED: Final = 0
_CANCELLED: Final = -1


class Scene(NamedTuple):
    """A scheduler, and what it will have told of next."""

    phase: str = "open"
    running: tuple[tuple[int, bool], ...] = ()
    """Jobs that hold a slot, and whether they were asked to stop."""
    queue: tuple[int, ...] = ()
    outside: tuple[str, ...] = ()
    """Calls that are blocked."""
    answers: tuple[tuple[str, int], ...] = ()
    """Calls that will be answered: with the number of their job, or as one of `_REFUSED`, `_CANCELLED`."""
    leaving: frozenset[int] = frozenset()
    """Jobs that the shutdown has still to drop or to ask."""
    born: int = 0
    owed: tuple[Told, ...] = ()

    def alive(self) -> list[int]:
        """The jobs that have not ended."""
        return sorted([*self.queue, *(job for job, _ in self.running)])


class Rehearsal:
    """All scenes that the lines so far can have led to; `then` gives another one for one more line."""

    def __init__(
        self,
        header: Header,
        scenes: frozenset[Scene] = frozenset({Scene()}),
        lines: int = 0,
        clock: float = 0.0,
        *,
        over: bool = False,
    ) -> None:
        self.header = header
        self.scenes = scenes
        self.lines = lines
        self.clock = clock
        self.over = over

    @property
    def possible(self) -> bool:
        """Whether some run explains the lines so far."""
        return bool(self.scenes)

    def then(self, line: Mapping[str, Any]) -> Rehearsal:
        """After one more line."""
        if "end" in line:
            left = {scene for scene in self.scenes if self._ends(scene, line)}
            return Rehearsal(self.header, frozenset(left), self.lines, self.clock, over=True)
        told = _told(line, self.header)
        time: Any = line.get("time")
        if told is None or self.over or type(time) not in {int, float}:
            return Rehearsal(self.header, frozenset())
        if not self.clock <= time < math.inf:
            return Rehearsal(self.header, frozenset())
        scenes = {after for scene in self.scenes for after in self._after(scene, told)}
        return Rehearsal(self.header, frozenset(scenes), self.lines + 1, time)

    def explains(self, lines: Iterable[Mapping[str, Any]]) -> bool:
        """Whether some run explains what there is and these lines, to the last."""
        now = self
        for line in lines:
            now = now.then(line)
            if not now.possible:
                return False
        return now.over

    def _ends(self, scene: Scene, line: Mapping[str, Any]) -> bool:
        unanswered = [*scene.outside, *(name for name, _ in scene.answers)]
        return (
            not self.over
            and not scene.owed
            and not scene.leaving
            and not (scene.phase == "closed" and unanswered)
            and set(line) == {"end", "jobs", "calls"}
            and line["end"] == self.lines
            and line["jobs"] == scene.alive()
            and sorted(line["calls"]) == sorted(unanswered)
        )

    def _after(self, scene: Scene, told: Told) -> Iterator[Scene]:
        if scene.owed:
            if scene.owed[0] == told:
                yield scene._replace(owed=scene.owed[1:])
            return
        for lines, after in self._happenings(scene, told):
            if lines[0] == told:
                yield after._replace(owed=(*after.owed, *lines[1:]))

    # --- What can happen -----------------------------------------------------------------------------

    def _happenings(self, scene: Scene, told: Told) -> Iterator[tuple[Sequence[Told], Scene]]:
        match told:
            case ("call", str(name), "call"):
                yield from self._called(scene, name)
            case ("call" | "raise", str(name), *_):
                yield from self._answered(scene, name, told)
            case ("phase", *_):
                yield from _phase(scene)
            case ("job", _, "accept", *_) if not self.header.calls:
                yield from self._let_in(scene, "")
            case ("job", int(job), *_) if job in scene.queue:
                yield from self._dropped(scene, job)
            case ("job", int(job), *_):
                yield from self._ran(scene, job)
            case _:
                return

    def _called(self, scene: Scene, name: str) -> Iterator[tuple[Sequence[Told], Scene]]:
        if name in scene.outside or name in dict(scene.answers):
            return
        said = ("call", name, "call")
        yield (said, ("raise", name, "")), scene
        yield (said, ("raise", name, _CANCEL)), scene
        if scene.phase == "open" and self._is_full(scene) and not self._has_room(scene):
            yield (said, ("raise", name, _FULL)), scene
            yield (said,), scene._replace(outside=(*scene.outside, name))
        for lines, after in self._let_in(scene, name):
            yield (said, *lines), after._replace(answers=(*scene.answers, (name, after.born)))

    def _answered(self, scene: Scene, name: str, told: Told) -> Iterator[tuple[Sequence[Told], Scene]]:
        raises = told[0] == "raise"
        if name in scene.outside and raises:
            yield (told,), scene._replace(outside=tuple(n for n in scene.outside if n != name))
        answer = dict(scene.answers).get(name)
        if answer is None:
            return
        if answer == _CANCELLED:
            possible = told == ("raise", name, _CANCEL)
        elif raises:
            possible = answer not in scene.alive()
        else:
            possible = answer != _REFUSED
        if possible:
            yield (told,), scene._replace(answers=tuple(a for a in scene.answers if a[0] != name))

    def _let_in(self, scene: Scene, name: str) -> Iterator[tuple[Sequence[Told], Scene]]:
        job = scene.born + 1
        if scene.phase != "open":
            return
        if not self._is_full(scene):
            after = scene._replace(born=job, running=(*scene.running, (job, False)))
            yield (_accepted(job, name), _started(job)), after
        elif self._has_room(scene):
            yield (_accepted(job, name),), scene._replace(born=job, queue=(*scene.queue, job))

    def _ran(self, scene: Scene, job: int) -> Iterator[tuple[Sequence[Told], Scene]]:
        asked = dict(scene.running).get(job)
        if asked is None:
            return
        rest = tuple(entry for entry in scene.running if entry[0] != job)
        leaving = scene.leaving - {job}
        source = "closing" if asked else "active"
        if not asked:
            stopping = tuple((other, was or other == job) for other, was in scene.running)
            line = ("job", job, "close", "active", "closing", None)
            yield (line,), scene._replace(running=stopping, leaving=leaving)
        if job not in scene.leaving:
            line = ("job", job, "cancel", source, "closed", None)
            yield from self._handed_on(line, scene._replace(running=rest))
        line = ("job", job, "finish", source, "closed" if asked else "done", None)
        yield from self._handed_on(line, scene._replace(running=rest, leaving=leaving))

    def _handed_on(self, line: Told, scene: Scene) -> Iterator[tuple[Sequence[Told], Scene]]:
        """A slot is free: whoever is first gets it."""
        if scene.phase != "open" or not scene.queue:
            yield (line,), scene
            return
        head, *others = scene.queue
        after = scene._replace(running=(*scene.running, (head, False)), queue=tuple(others))
        for lines, later in self._moved_up(after, was=len(scene.queue)):
            yield (line, _started(head), *lines), later

    def _dropped(self, scene: Scene, job: int) -> Iterator[tuple[Sequence[Told], Scene]]:
        line = ("job", job, "close", "pending", "closed", None)
        queue = tuple(other for other in scene.queue if other != job)
        after = scene._replace(queue=queue, leaving=scene.leaving - {job})
        if scene.phase == "open":
            for lines, later in self._moved_up(after, was=len(scene.queue)):
                yield (line, *lines), later
        else:
            yield (line,), after

    def _moved_up(self, scene: Scene, was: int) -> Iterator[tuple[Sequence[Told], Scene]]:
        """A place in the queue is free: the first outside gets it that was not cancelled. The queue had `was`
        jobs.
        """
        job = scene.born + 1
        after = scene._replace(born=job, queue=(*scene.queue, job))
        for gone in range(len(scene.outside) + 1):
            cancelled = tuple((name, _CANCELLED) for name in scene.outside[:gone])
            answers = (*scene.answers, *cancelled)
            if gone == len(scene.outside):
                yield (), scene._replace(outside=(), answers=answers)
            else:
                name, *others = scene.outside[gone:]
                answers = (*answers, (name, job))
                yield (_accepted(job, name),), after._replace(outside=tuple(others), answers=answers)
        if not self.header.calls and self.header.pending_limit == was:
            yield (_accepted(job, ""),), after

    def _is_full(self, scene: Scene) -> bool:
        return self.header.limit is not None and len(scene.running) >= self.header.limit

    def _has_room(self, scene: Scene) -> bool:
        return self.header.pending_limit == 0 or len(scene.queue) < self.header.pending_limit


def _phase(scene: Scene) -> Iterator[tuple[Sequence[Told], Scene]]:
    if scene.phase == "open":
        active = {job for job, asked in scene.running if not asked}
        refused = tuple((name, _REFUSED) for name in scene.outside)
        yield (
            (("phase", "close", "open", "closing"),),
            scene._replace(
                phase="closing",
                outside=(),
                answers=(*scene.answers, *refused),
                leaving=frozenset(active.union(scene.queue)),
            ),
        )
    elif scene.phase == "closing" and not scene.leaving:
        yield (("phase", "settled", "closing", "closed"),), scene._replace(phase="closed")


def _accepted(job: int, name: str) -> Told:
    return ("job", job, "accept", None, "pending", name)


def _started(job: int) -> Told:
    return ("job", job, "start", "pending", "active", None)


def _told(line: Mapping[str, Any], header: Header) -> Told | None:
    """What a line says, or None if it is none."""
    match line:
        case {"call": str(name), "event": "raise", "error": str(error), "time": _, **more} if not more:
            return ("raise", name, error if error in {_CANCEL, _FULL} else "") if header.calls else None
        case {"call": str(name), "event": "call" | "return" as event, "time": _, **more} if not more:
            return ("call", name, event) if header.calls else None
        case {"job": None, "event": event, "source": source, "dest": dest, "time": _, **more} if not more:
            return ("phase", event, source, dest)
        case {"job": int(job), "event": "accept", "source": None, "dest": dest, "time": _, **more}:
            name = more.pop("name", None)
            return None if more else ("job", job, "accept", None, dest, name if header.calls else "")
        case {"job": int(job), "event": event, "source": source, "dest": dest, "time": _, **more} if not more:
            return ("job", job, event, source, dest, None)
        case _:
            return None
