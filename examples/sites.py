"""Two small sites for the crawler: trees of pages, that answer after a moment and count how many ask at once."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from yarl import URL

SECONDS = 0.02
"""What a page takes."""


@dataclass
class Site:
    """Pages 0, 1, 2 …, of which each links to the two below it, and to its root."""

    pages: int
    links: list[str] = field(default_factory=list[str])
    """What the root links to beside that."""
    url: URL = field(default_factory=URL)
    asking: int = 0
    most: int = 0
    """How many asked at once."""

    async def page(self, request: web.Request) -> web.Response:
        """A page, a moment after it was asked for."""
        self.asking += 1
        self.most = max(self.most, self.asking)
        await asyncio.sleep(SECONDS)
        self.asking -= 1
        number = int(request.match_info["number"])
        below = [f"/{n}" for n in (2 * number + 1, 2 * number + 2) if n < self.pages]
        links = [*below, "/0", *(self.links if number == 0 else [])]
        text = "\n".join(f'<a href="{link}">{link}</a>' for link in links)
        return web.Response(text=text, content_type="text/html")


@asynccontextmanager
async def served(*sites: Site) -> AsyncGenerator[None, None]:
    """Serve them on loopback, each on a port of its own."""
    runners: list[web.AppRunner] = []
    for site in sites:
        app = web.Application()
        app.router.add_get(r"/{number:\d+}", site.page)
        runners.append(web.AppRunner(app, access_log=None))
        await runners[-1].setup()
        await web.TCPSite(runners[-1], "127.0.0.1", 0).start()
        host, port = runners[-1].addresses[0]
        site.url = URL(f"http://{host}:{port}/0")
    yield
    for runner in runners:
        await runner.cleanup()
