"""A crawler: every page that can be reached, once, with few requests at a time to each host.

    python -m examples.crawler

makes two small sites on loopback, a shop that links to its blog, crawls them, and prints

    46 pages, 1 broken link, at most 2 requests at a time to one host

On a terminal that line shows meanwhile how far it is. Ctrl-C ends it: no link is followed any more, what was found is
fetched. A second Ctrl-C stops that, too.

What it shows: jobs that spawn jobs; a lane for each host (LANE-3) under one common limit (LANE-4); `idle` as the end
of work whose amount nobody knows before (SHUT-8); a progress line by `every`; a signal that ends all of it.
"""

import asyncio
import re
import sys

import aiohttp
from yarl import URL

import aiojobs
from aiojobs.lanes import Lanes
from aiojobs.loops import every
from aiojobs.signals import Stop, stop_on_signals

from .sites import Site, served


class Crawler:
    """What was found, and what came of it."""

    def __init__(self, client: aiohttp.ClientSession, lanes: Lanes, stop: Stop) -> None:
        self._client, self._lanes, self._stop = client, lanes, stop
        self.found, self.fetched, self.broken = set[URL](), set[URL](), set[URL]()

    def visit(self, url: URL) -> None:
        """Fetch a page when its host has its turn, unless it has been found before."""
        if url not in self.found:
            self.found.add(url)
            self._lanes.spawn_nowait(url.authority, self._fetch(url), name=str(url))

    async def _fetch(self, url: URL) -> None:
        try:
            async with self._client.get(url, raise_for_status=True) as response:
                text = await response.text()
        except (aiohttp.ClientError, TimeoutError):
            self.broken.add(url)
            return
        self.fetched.add(url)
        for link in re.findall('href="([^"#]+)', text):
            if not self._stop.requested:
                self.visit(url.join(URL(link)))

    async def show(self) -> None:
        """How far it is, in the line that the result will take."""
        if sys.stdout.isatty():
            ended, found = len(self.fetched) + len(self.broken), len(self.found)
            print(f"[{'#' * (24 * ended // found):.<24}] {ended} of {found}", end="\r", flush=True)


async def main() -> None:
    """Crawl two sites of its own."""
    shop, blog = Site(pages=31), Site(pages=15)
    scheduler = aiojobs.Scheduler(limit=3)
    # Who finds a link holds a slot, and must not wait for a place: so there is no limit to what may be pending.
    lanes, stop = Lanes(scheduler, limit=2, pending_limit=0), stop_on_signals(scheduler)
    async with served(shop, blog), aiohttp.ClientSession() as client:
        shop.links += ["/gone", str(blog.url)]
        crawler = Crawler(client, lanes, stop)
        async with stop:
            crawler.visit(shop.url)
            await scheduler.spawn(every(0.1, crawler.show), drain=False)
            await scheduler.idle()
    found = f"{len(crawler.fetched)} pages, {len(crawler.broken)} broken link"
    print(f"{found}, at most {max(shop.most, blog.most)} requests at a time to one host")


if __name__ == "__main__":
    asyncio.run(main())
