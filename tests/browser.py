"""A headless Chromium for tests, driven over its DevTools pipe: real keys, real pointer, no driver to install."""

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
import time

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
    "--no-default-browser-check", "--hide-scrollbars", "--remote-debugging-pipe",
)  # fmt: skip

# Chromium reads commands from descriptor 3 and writes answers to 4: a small Python puts them there and becomes it.
PIPES = """
import fcntl, os, sys
commands, answers = (fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3])
os.dup2(commands, 3)
os.dup2(answers, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


def find():
    """The path of a Chromium, or None."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


class BrowserError(RuntimeError):
    """The browser refused a command, went away, or did not answer in time."""


class Page:
    """One tab. `complaints` are uncaught exceptions, console errors and warnings, and blocked loads; `loads` its URLs."""

    def __init__(self, program, folder, size=(1280, 900), patience=60):
        self.patience, self.number, self.buffer = patience, 0, b""
        self.complaints, self.loads = [], []
        commands, self.commands = os.pipe()
        self.answers, answers = os.pipe()

        arguments = [program, *FLAGS, f"--user-data-dir={folder}", f"--window-size={size[0]},{size[1]}", "about:blank"]
        arguments = [sys.executable, "-IS", "-c", PIPES, str(commands), str(answers), *arguments]
        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen(
            arguments, stdin=quiet, stdout=quiet, stderr=quiet, pass_fds=(commands, answers)
        )
        os.close(commands)
        os.close(answers)
        (target,) = [t for t in self("Target.getTargets")["targetInfos"] if t["type"] == "page"]
        self.session = self("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self(f"{domain}.enable")
        self("Emulation.setFocusEmulationEnabled", enabled=True)

    session = None

    def __call__(self, method, **params):
        """Sends a DevTools command and returns its result."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        message |= {"sessionId": self.session} if self.session else {}
        os.write(self.commands, json.dumps(message).encode() + b"\0")
        limit = time.monotonic() + self.patience
        while True:
            answer = self._message(limit)
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise BrowserError(f"{method}: {answer['error']}")
                return answer["result"]
            self._notice(answer)

    def _message(self, limit):
        while b"\0" not in self.buffer:
            ready, _, _ = select.select([self.answers], [], [], max(limit - time.monotonic(), 0))
            piece = os.read(self.answers, 1 << 16) if ready else b""
            if not piece:
                raise BrowserError("no answer" if not ready else "the browser has ended")
            self.buffer += piece
        message, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(message)

    def _notice(self, event):
        method, params = event.get("method"), event.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(params["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.complaints.append(json.dumps(params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.complaints.append(json.dumps(params["entry"]))
        elif method == "Network.requestWillBeSent":
            self.loads.append(params["request"]["url"][:200])

    def evaluate(self, expression):
        """The value of a JavaScript expression; a promise is awaited."""
        answer = self("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise BrowserError(json.dumps(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def wait(self, expression):
        """Waits until the expression is true."""
        limit = time.monotonic() + self.patience
        while not self.evaluate(expression):
            if time.monotonic() > limit:
                raise BrowserError(f"never true: {expression}; complaints: {self.complaints}")
            time.sleep(0.02)

    def open(self, url):
        self("Page.navigate", url=url)
        self.wait(
            f"location.href.startsWith({json.dumps(url.partition('#')[0])}) && document.readyState === 'complete'"
        )

    def press(self, key, code=0):
        """A real key press on what has the focus. code: the Windows key code, which arrows need to have an effect."""
        code = {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Enter": 13, "Escape": 27}.get(
            key, code
        )
        letters = "\r" if key == "Enter" else key if len(key) == 1 else ""
        text = {"text": letters} if letters else {}
        for kind in ("keyDown", "keyUp"):
            self("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **text)

    def mouse(self, kind, x, y, **more):
        self("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def size(self, width, height, scale=1):
        self("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=False)

    def screenshot(self, path, whole=True):
        picture = self("Page.captureScreenshot", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(picture))

    def close(self):
        with contextlib.suppress(OSError, BrowserError):
            self("Browser.close")
        for pipe in (self.commands, self.answers):
            os.close(pipe)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
