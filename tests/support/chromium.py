"""A real Chromium without a window, told what to do by its own protocol; see https://chromedevtools.github.io.

`find()` says where one is, or None. Its tests are marked `browser`, and skip with that reason where there is none.
"""

import asyncio
import base64
import itertools
import json
import os
import shutil
import tempfile
from contextlib import asynccontextmanager, suppress

import aiohttp

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find():
    """The program, or None."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


class Tab:
    """One tab, and what it has complained about."""

    def __init__(self, socket):
        self._socket = socket
        self._numbers = itertools.count(1)
        self._answers = {}
        self.complaints = []

    async def listen(self):
        """Take what the browser says, until it goes."""
        async for message in self._socket:
            told = json.loads(message.data)
            if "id" in told:
                self._answers.pop(told["id"]).set_result(told)
            elif told["method"] == "Log.entryAdded":
                self.complaints.append(told["params"]["entry"]["text"])
            elif told["method"] == "Runtime.exceptionThrown":
                self.complaints.append(str(told["params"]["exceptionDetails"]))

    async def ask(self, method, **params):
        """One command, and its result."""
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": params})
        told = await answer
        assert "error" not in told, told
        return told["result"]

    async def open(self, url, *, width=1280, height=900, dark=False):
        """Go to a page, in a window of this size."""
        for domain in ("Page", "Log", "Runtime"):
            await self.ask(f"{domain}.enable")
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        await self.ask("Emulation.setEmulatedMedia", features=scheme)
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        await self.ask("Emulation.setDeviceMetricsOverride", **size)
        await self.ask("Page.navigate", url=url)

    async def value(self, expression):
        """What a line of JavaScript is."""
        told = await self.ask(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    async def until(self, expression):
        """Wait until it is true; what has not been loaded yet is not."""
        tried = f"(() => {{ try {{ return Boolean({expression}) }} catch {{ return false }} }})()"
        async with asyncio.timeout(20):
            while not await self.value(tried):  # noqa: ASYNC110 - there is no event for it
                await asyncio.sleep(0.05)

    async def picture(self, path):
        """The whole page as a PNG."""
        told = await self.ask("Page.captureScreenshot", captureBeyondViewport=True, format="png")
        path.write_bytes(base64.b64decode(told["data"]))


@asynccontextmanager
async def chromium(program):
    """A browser with one empty tab; it and all that it wrote are gone afterwards."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        process = await asyncio.create_subprocess_exec(
            program,
            *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage"),
            *("--disable-background-networking", "--disable-component-update", "--hide-scrollbars"),
            *(f"--user-data-dir={folder}", "--remote-debugging-port=0", "about:blank"),
            stderr=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(30):
                address = await _address(process)
            async with aiohttp.ClientSession() as session:
                tabs = await (await session.get(f"http://{address}/json/list")).json()
                url = next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page")
                async with session.ws_connect(url, max_msg_size=0) as socket:
                    tab = Tab(socket)
                    listening = asyncio.ensure_future(tab.listen())
                    yield tab
                    listening.cancel()
                    with suppress(asyncio.CancelledError):
                        await listening
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def _address(process):
    """Where it listens: it says so on its standard error."""
    async for line in process.stderr:
        if b"DevTools listening on ws://" in line:
            return line.split(b"ws://")[1].split(b"/")[0].decode()
    raise AssertionError("Chromium has ended at once")
