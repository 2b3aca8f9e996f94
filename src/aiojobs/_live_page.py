"""A page that shows a scheduler while it works: counts, jobs, who waits for whom, failures, the lifecycle.

The rules of this file
----------------------
*Off by default, and closed.* There is a page where somebody has put one, at the path that was given, and for whom
`allow` says so; that has no default. It answers GET alone, and changes nothing.

*It polls.* An open stream would keep a server from exiting. While nobody looks nothing is computed, and however many
look, a state is computed once a second, and less often where that takes long.

*What others have named can do nothing.* The document is the same for all. It gets its data as JSON from its own path,
puts text where text belongs (``textContent``), and its policy (``default-src 'none'``) lets no script and no style run
but its own, which bear a number that nobody can guess.

How it works
------------
`LivePage.answer` is all of it, and knows no server: method and query in, status, headers and body out. ASGI is done
here, since it needs no package; `aiojobs.aiohttp.add_live_page` does the same for aiohttp.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import asdict
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from . import _validate
from ._events import Record
from ._history import STEP, History
from ._lifecycle import State

if TYPE_CHECKING:
    from ._scheduler import Scheduler
    from ._snapshot import JobSnapshot, Snapshot, TaskSnapshot

__all__ = ("Answer", "LivePage")

_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]
_App = Callable[[_Message, _Receive, _Send], Awaitable[None]]

_MOST_JOBS: Final = 100
"""The number of jobs that are shown, those that are stuck or wait for others first; the rest are counted."""
_MOST_FRAMES: Final = 12
_MOST_WAITS: Final = 300
_FRESH: Final = 1.0
"""Seconds for which a state is given to whoever asks, at least."""
_SHARE: Final = 20
"""And this many times as long as it took, so that looking takes a twentieth of the loop's time at most."""
_POLICY: Final = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_ALWAYS: Final = (
    ("cache-control", "no-store"),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
)


class Answer(NamedTuple):
    """What is answered to a request."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class LivePage:
    """A page about one scheduler, which is given this as an observer: ``Scheduler(observer=page)``.

    If it is given to several, it shows the one that was made last.

    Arguments:
        allow: called with each request (the scope, under ASGI) before anything is looked at; true, or an awaitable of
            that, lets it see the page. It sees names, places in the code and tracebacks: whoever may read the logs.
        title: what the page is called.

    Raises:
        TypeError: an argument is of the wrong kind.
    """

    def __init__(self, *, allow: Callable[[Any], object], title: str = "aiojobs") -> None:
        if not callable(allow):
            raise TypeError(f"allow must be a function of the request, got {allow!r}")
        _validate.check_name(title)
        self._allow = allow
        self._title = str(title)
        self._history = History()
        self._state: tuple[float, bytes] | None = None  # until when it is fresh, and it

    def __repr__(self) -> str:
        return f"<LivePage {self._title!r}>"

    # --- As an observer -------------------------------------------------------------------------------

    def attach(self, scheduler: Scheduler) -> None:
        """Show this scheduler, which calls it when it is built."""
        self._history.attach(scheduler)
        self._state = None

    def __call__(self, record: Record) -> None:
        """Note what happens."""
        self._history(record)

    # --- As a page ------------------------------------------------------------------------------------

    def serve(self, app: _App, path: str) -> _App:
        """An ASGI application that answers at exactly `path`, and passes everything else on to `app`.

        It is an ASGI middleware too: ``app.add_middleware(page.serve, path="/jobs")`` in Starlette and FastAPI.

        Raises:
            TypeError, ValueError: `path` makes no sense.
        """
        check_path(path)

        async def serving(scope: _Message, receive: _Receive, send: _Send) -> None:
            if scope["type"] != "http" or not _is_at(scope, path):
                await app(scope, receive, send)
                return
            answer = await self.answer(
                scope, scope["method"], scope.get("query_string", b"").decode("latin-1")
            )
            headers = [(name.encode(), value.encode()) for name, value in answer.headers]
            await send({"type": "http.response.start", "status": answer.status, "headers": headers})
            await send({"type": "http.response.body", "body": answer.body})

        return serving

    async def answer(self, request: object, method: str, query: str) -> Answer:
        """What is to be answered to a request at the path of the page; for servers that are not known here.

        Arguments:
            request: what `allow` is asked about.
            method: the method; all but GET are refused.
            query: the query string: empty for the document, ``"state"`` for its data.
        """
        if method != "GET":
            return _plain(405, "only GET", ("allow", "GET"))
        allowed = self._allow(request)
        if inspect.isawaitable(allowed):
            allowed = await allowed
        if not allowed:
            return _plain(403, "not allowed")
        if query == "state":
            return Answer(200, (("content-type", "application/json"), *_ALWAYS), self._fresh_state())
        nonce = secrets.token_urlsafe(16)
        document = _document().replace("{nonce}", nonce).encode()
        policy = ("content-security-policy", _POLICY.format(nonce=nonce))
        return Answer(200, (("content-type", "text/html; charset=utf-8"), policy, *_ALWAYS), document)

    def _fresh_state(self) -> bytes:
        began = time.monotonic()
        if self._state is None or began >= self._state[0]:
            state = json.dumps(self._now()).encode()
            ended = time.monotonic()
            self._state = ended + max(_FRESH, (ended - began) * _SHARE), state
        return self._state[1]

    def _now(self) -> dict[str, Any]:
        """All that the document shows."""
        history = self._history
        scheduler = history.scheduler
        return {
            "title": self._title,
            "time": time.time(),
            "step": STEP,
            "points": history.points(asyncio.get_running_loop().time()),
            "arrows": history.arrows,
            "outcomes": history.outcomes,
            "failures": [failure._asdict() for failure in history.failures()],
            "scheduler": None if scheduler is None else _seen(scheduler.snapshot()),
        }


def check_path(path: object) -> None:
    """Where the page is to be.

    Raises:
        TypeError, ValueError: it makes no sense.
    """
    if not isinstance(path, str):
        raise TypeError(f"path must be a str, got {path!r}")
    if not path.startswith("/"):
        raise ValueError(f"path must begin with a slash, got {path!r}")


def _is_at(scope: _Message, path: str) -> bool:
    """Whether a request is for this path, below wherever the application is mounted."""
    here: str = scope["path"]
    root: str = scope.get("root_path", "")
    return here in (path, root + path)


def _plain(status: int, text: str, *headers: tuple[str, str]) -> Answer:
    return Answer(
        status, (("content-type", "text/plain; charset=utf-8"), *headers, *_ALWAYS), f"{text}\n".encode()
    )


@cache
def _document() -> str:
    return files("aiojobs").joinpath("_live_page.html").read_text("utf-8")


def _seen(picture: Snapshot) -> dict[str, Any]:
    """What is shown of a picture: bounded, however much there is."""
    stuck = dict.fromkeys(job.id for job in picture.stuck)
    waits = picture.waits[:_MOST_WAITS]
    waiting = dict.fromkeys(wait.waiter for wait in waits)
    awaited = dict.fromkeys(wait.awaited for wait in waits)
    shown = sorted(
        picture.jobs, key=lambda job: (job.id not in stuck, job.id not in waiting, job.place is not None)
    )
    everybody: list[JobSnapshot | TaskSnapshot] = [*picture.jobs, *picture.tasks]
    named = [each for each in everybody if each.id in waiting or each.id in awaited]
    return {
        "phase": picture.phase,
        "limit": picture.limit,
        "pending_limit": picture.pending_limit,
        "active_count": picture.active_count,
        "pending_count": picture.pending_count,
        "blocked_count": picture.blocked_count,
        "shielded_count": picture.shielded_count,
        "closing_count": sum(job.state is State.CLOSING for job in picture.jobs),
        "jobs": [_seen_job(job) for job in shown[:_MOST_JOBS]],
        "waits": [asdict(wait) for wait in waits],
        "called": {each.id: {"name": each.name, "qualname": each.qualname} for each in named},
        "job_ids": [job.id for job in picture.jobs if job.id in waiting or job.id in awaited],
        "idlers": picture.idlers,
        "stuck": list(stuck),
    }


def _seen_job(job: JobSnapshot) -> dict[str, Any]:
    return {**asdict(job), "stack": [asdict(place) for place in job.stack[-_MOST_FRAMES:]]}
