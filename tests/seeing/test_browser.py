"""The live page in a real Chromium: what it shows, how it fits, that hostile names do nothing, and a shutdown.

Time is real here, since a browser's is. The pictures are in build/pictures, to be looked at.
"""

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvicorn
from aiohttp import web

from aiojobs.aiohttp import add_live_page, get_scheduler_from_app, setup
from aiojobs.asgi import Jobs
from aiojobs.inspect import LivePage
from support.chromium import chromium, find
from support.observing import Recorder
from unit.bodies import fails, forever

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.loops("stock"),
    pytest.mark.requirement("SEE-2"),
    pytest.mark.skipif(find() is None, reason="there is no Chromium here, nor does CHROMIUM name one"),
]
PICTURES = Path(__file__).parents[2] / "build/pictures"


@asynccontextmanager
async def service(**options):
    """An application with the page at /jobs: its scheduler, its address, and what ends it."""
    app = web.Application()
    page = LivePage(allow=lambda _: True, title="orders")
    setup(app, observer=page, exception_handler=Recorder(), wait_timeout=0, **options)
    add_live_page(app, "/jobs", page)
    runner = web.AppRunner(app, shutdown_timeout=5)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        yield get_scheduler_from_app(app), f"http://127.0.0.1:{port}/jobs", runner.cleanup
    finally:
        await runner.cleanup()


async def charge(_order):
    await asyncio.sleep(99)


async def of_a_deadlock(scheduler):
    """Two reports that hold both slots and wait for their parts."""

    async def report(number):
        parts = [await scheduler.spawn(charge(part), f"part {number}.{part}") for part in range(3)]
        await asyncio.gather(*parts)

    for number in range(2):
        await scheduler.spawn(report(number), f"report {number}")
    await asyncio.sleep(0.1)


TEXT = "document.body.innerText"
SHOWN = "state && document.querySelector('#chart svg')"


async def test_it_shows_jobs_waits_failures_and_arrows():
    async with service(limit=2) as (scheduler, url, _), chromium(find()) as tab:
        await scheduler.spawn(fails(ConnectionResetError("the gateway is gone")), "charge 7")
        await asyncio.sleep(0.05)
        await of_a_deadlock(scheduler)
        await tab.open(url)
        await tab.until(SHOWN)
        text = await tab.value(TEXT)
        assert "2 jobs can’t go on: all slots are held" in text
        assert "report 0 (" in text
        assert (
            "Ways out: scheduler.set_limit(3) or more lets start what they wait for; job.close() of one"
            in text
        )
        for name in ("part 0.0", "part 1.2", "charge 7", "ConnectionResetError: the gateway is gone"):
            assert name in text
        assert await tab.value("document.title") == "orders"
        assert await tab.value("document.querySelector('#running').textContent") == "2 of 2"
        assert await tab.value("document.querySelector('#pending').textContent") == "6 of 10,000"
        arrows = await tab.value(
            "[...document.querySelectorAll('#life .arrow')].map((each) => each.textContent)"
        )
        assert arrows[:3] == ["accepted 9", "start 3", "finish 1"]
        first = "document.querySelector('#jobs tbody tr')"
        assert "report" in await tab.value(f"{first}.querySelector('.where').innerText")
        assert await tab.value(f"{first}.querySelector('.waits').innerText") == "part 0.0, part 0.1, part 0.2"
        await tab.value("document.querySelector('#failures summary').click()")
        assert "raise error" in await tab.value("document.querySelector('#failures pre').textContent")
        assert tab.complaints == []


async def test_it_goes_on_by_itself_and_stops_when_it_is_told():
    async with service(limit=5) as (scheduler, url, _), chromium(find()) as tab:
        await tab.open(url)
        await tab.until(SHOWN)
        assert "Nothing runs, and nothing waits." in await tab.value(TEXT)
        await scheduler.spawn(charge(1), "charge 1")
        await tab.until(f"{TEXT}.includes('charge 1')")
        await tab.value("document.querySelector('#pause').click()")
        assert await tab.value("document.querySelector('#fresh').textContent") == "paused"
        await scheduler.spawn(charge(2), "charge 2")
        await asyncio.sleep(2.5)
        assert "charge 2" not in await tab.value(TEXT)
        await tab.value("document.querySelector('#pause').click()")
        await tab.until(f"{TEXT}.includes('charge 2')")


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_it_fits_and_can_be_read(width, dark):
    async with service(limit=2) as (scheduler, url, _), chromium(find()) as tab:
        await of_a_deadlock(scheduler)
        await scheduler.spawn(charge(0), "a very long name that goes on and on " * 5)
        await tab.open(url, width=width, dark=dark)
        await tab.until(SHOWN)
        assert await tab.value("document.documentElement.scrollWidth") == width
        wide = (
            f"[...document.querySelectorAll('body *')].filter((each) => each.getBoundingClientRect().right > {width})"
            ".map((each) => each.outerHTML.slice(0, 80))"
        )
        assert await tab.value(wide) == []
        assert await tab.value(CONTRAST) == []
        if width < 600:
            assert await tab.value(SMALLEST) >= 11
        PICTURES.mkdir(parents=True, exist_ok=True)
        picture = PICTURES / f"live-page-{width}-{'dark' if dark else 'light'}.png"
        await tab.picture(picture)
        assert picture.stat().st_size > 20_000
        assert tab.complaints == []


# Text whose contrast with what is behind it is below 4.5, the least that WCAG asks of text of this size.
CONTRAST = """(() => {
  const light = (color) => {
    const [r, g, b] = color.match(/[\\d.]+/g).map((value) => value / 255)
      .map((value) => value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (node) => {
    for (let each = node; each; each = each.parentElement) {
      const color = getComputedStyle(each).backgroundColor;
      if (!/, 0\\)$/.test(color)) return color;
    }
  };
  const poor = [];
  for (const node of document.querySelectorAll("main *")) {
    const says = [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim());
    if (node.closest("svg") || !says) continue;
    const [one, other] = [light(getComputedStyle(node).color), light(behind(node))].sort((a, b) => b - a);
    if ((one + 0.05) / (other + 0.05) < 4.5) poor.push(node.outerHTML.slice(0, 90));
  }
  return poor;
})()"""

# The height in pixels of the smallest text of the diagram.
SMALLEST = """(() => {
  const texts = [...document.querySelectorAll("#life text")];
  const sizes = texts.map((text) => parseFloat(getComputedStyle(text).fontSize));
  return Math.min(...sizes) * document.querySelector("#life svg").getBoundingClientRect().width / 560;
})()"""


HOSTILE = [
    "<script>window.hacked = 1</script>",
    "</td></table><img src=x onerror='window.hacked = 2'>",
    "\u202egpj.exe\u202c \x1b[31m",
    "${window.hacked = 3}",
    "'; window.hacked = 4; '",
    "</script><script>window.hacked = 5</script>",
]


class Hostile(Exception):  # noqa: N818 - a kind of them
    def __str__(self):
        return "<img src=x onerror='window.hacked = 6'>"


async def test_hostile_names_and_exceptions_change_nothing():
    async with service(limit=20) as (scheduler, url, _), chromium(find()) as tab:
        for name in HOSTILE:
            await scheduler.spawn(forever(), name)
            await scheduler.spawn(fails(Hostile()), name)
        hostile_code = compile(
            "async def f():\n    await sleep(99)", "<svg onload='window.hacked = 7'>", "exec"
        )
        made = {"sleep": asyncio.sleep}
        exec(hostile_code, made)
        await scheduler.spawn(made["f"](), "by hostile code")
        await asyncio.sleep(0.1)
        await tab.open(url)
        await tab.until(SHOWN)
        await tab.value("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
        await tab.value("document.querySelectorAll('.more').forEach((each) => each.click())")
        await asyncio.sleep(2.5)
        assert await tab.value("window.hacked") is None
        assert (
            await tab.value("document.querySelectorAll('main img, main script, main table table').length")
            == 0
        )
        text = await tab.value(TEXT)
        assert r"\u{202e}gpj.exe\u{202c} \u{1b}[31m" in text
        assert [name for name in HOSTILE if name not in text and "\x1b" not in name] == []
        assert "Hostile: <img src=x onerror='window.hacked = 6'>" in text
        assert tab.complaints == []


async def test_what_is_forbidden_is_forbidden_by_the_policy():
    async with service() as (_, url, _), chromium(find()) as tab:
        await tab.open(url)
        await tab.until(SHOWN)
        await tab.value(
            "document.body.append(Object.assign(document.createElement('script'), {text: 'window.hacked = 1'}))"
        )
        await tab.value(
            "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.hacked = 2\">')"
        )
        await tab.until("document.querySelector('body > img')")
        assert await tab.value("window.hacked") is None
        async with asyncio.timeout(10):
            while len(tab.complaints) < 2:  # noqa: ASYNC110 - another process says so
                await asyncio.sleep(0.05)
        assert all("Content Security Policy" in complaint for complaint in tab.complaints)


async def test_a_shutdown_ends_while_it_is_open_and_the_page_says_that_nobody_answers():
    async with service(limit=2) as (scheduler, url, cleanup), chromium(find()) as tab:
        await scheduler.spawn(charge(1), "charge 1")
        await tab.open(url)
        await tab.until(SHOWN)
        before = asyncio.get_running_loop().time()
        await cleanup()
        assert asyncio.get_running_loop().time() - before < 4
        assert scheduler.closed
        await tab.until("document.querySelector('#fresh').textContent.startsWith('no answer for')")
        assert await tab.value("document.body.classList.contains('stale')")
        assert "charge 1" in await tab.value(TEXT)


async def test_a_shutdown_of_an_asgi_server_ends_while_it_is_open():
    page = LivePage(allow=lambda _: True, title="orders")
    jobs = Jobs(accepts, observer=page, exception_handler=Recorder(), wait_timeout=0)
    config = uvicorn.Config(page.serve(jobs, "/jobs"), port=0, log_level="warning")
    server = uvicorn.Server(config)
    serving = asyncio.ensure_future(server.serve())
    async with chromium(find()) as tab:
        while not server.started:  # noqa: ASYNC110 - it has no event for that
            await asyncio.sleep(0.01)
        await jobs.scheduler.spawn(charge(1), "charge 1")
        port = server.servers[0].sockets[0].getsockname()[1]
        await tab.open(f"http://127.0.0.1:{port}/jobs")
        await tab.until(f"{TEXT}.includes('charge 1')")
        server.should_exit = True
        async with asyncio.timeout(5):
            await serving
        await tab.until("document.querySelector('#fresh').textContent.startsWith('no answer for')")


async def accepts(_scope, _receive, _send):
    """An application that nobody asks for anything."""
