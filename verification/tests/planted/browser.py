"""A real browser for the tests of the report: Chromium, over its debugging pipe, with the standard library alone."""

import json
import shutil
import subprocess
from itertools import count
from threading import Timer

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find():
    """The path of a Chromium, or None."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """One page in a browser without a window."""

    def __init__(self, path, folder):
        # The browser reads commands from descriptor 3 and answers on 4, each message ended by a zero byte.
        command = ["sh", "-c", 'exec "$0" "$@" 3<&0 4>&1 >/dev/null 2>&1 </dev/null', path]
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars"]
        options += ["--remote-debugging-pipe", f"--user-data-dir={folder}", "about:blank"]
        self._process = subprocess.Popen([*command, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        # A browser that says nothing any more fails the test, it does not hang it.
        self._guard = Timer(120, self._process.kill)
        self._guard.daemon = True
        self._guard.start()
        self._numbers = count(1)
        self._session = {}
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._session = {"sessionId": session}
        self._call("Page.enable")

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self._guard.cancel()
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.kill()
        self._process.wait()

    def show(self, url, width, *, dark=False):
        """Open a page in a window of this width."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._call("Emulation.setEmulatedMedia", features=[scheme])
        self._call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=800,
            deviceScaleFactor=1,
            mobile=width < 500,
        )
        self._call("Page.navigate", url=url)
        self._wait_for("Page.loadEventFired")

    def ask(self, expression):
        """What an expression of the page's script comes to."""
        answer = self._call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def picture(self):
        """What is seen, as PNG in base64."""
        return self._call("Page.captureScreenshot")["data"]

    def _call(self, method, **parameters):
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters, **self._session}
        self._process.stdin.write(json.dumps(message).encode() + b"\0")
        self._process.stdin.flush()
        while (answer := self._read()).get("id") != number:
            pass
        assert "error" not in answer, answer
        return answer["result"]

    def _wait_for(self, event):
        while self._read().get("method") != event:
            pass

    def _read(self):
        text = bytearray()
        while (byte := self._process.stdout.read(1)) != b"\0":
            assert byte, "the browser has gone"
            text += byte
        return json.loads(text)
