"""Headless Chromium, driven by the keyboard over its debugging pipe: no driver, no port."""

import base64
import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
)
SECONDS = 20


class Page:
    """A tab. Its methods wait until the browser has done what they say."""

    def __init__(self, send: Any, receive: Any) -> None:
        self._send, self._receive = send, receive
        self._number = 0
        self._session = ""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        self.call("Page.enable")
        self.call("Runtime.enable")
        self.errors: list[str] = []

    def call(self, method: str, **params: Any) -> Any:
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        self._send.write(json.dumps(message).encode() + b"\0")
        self._send.flush()
        while True:
            found = self._next()
            if found.get("id") == self._number:
                assert "error" not in found, found
                return found["result"]

    def go(self, url: str) -> None:
        self.call("Page.navigate", url=url)
        self.until("document.readyState === 'complete'")

    def js(self, expression: str) -> Any:
        found = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def until(self, condition: str) -> None:
        """Wait in the page until a condition holds."""
        held = self.js(
            f"new Promise((resolve) => {{ const stop = performance.now() + {SECONDS * 1000};"
            f"const look = () => {{ try {{ if ({condition}) return resolve(true); }} catch {{}}"
            "if (performance.now() > stop) return resolve(false); setTimeout(look, 5); }; look(); })"
        )
        assert held, f"never: {condition}; the page says {self.text!r}"

    def press(self, *keys: str) -> None:
        for key in keys:
            typed = (
                {"text": "\r" if key == "Enter" else key} if len(key) == 1 or key == "Enter" else {}
            )
            code = {"Enter": 13, "Escape": 27, "Tab": 9}.get(key)
            extra = {} if code is None else {"windowsVirtualKeyCode": code}
            self.call("Input.dispatchKeyEvent", type="keyDown", key=key, **typed, **extra)
            self.call("Input.dispatchKeyEvent", type="keyUp", key=key, **extra)

    def type(self, text: str) -> None:
        self.call("Input.insertText", text=text)

    @property
    def text(self) -> str:
        return str(self.js("document.body.innerText"))

    def look(self, path: Path, width: int, height: int, dark: bool = False) -> None:
        """Write a picture of the page."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.size(width, height)
        shot = self.call("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(shot["data"]))

    def size(self, width: int, height: int) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )

    def _next(self) -> Any:
        part = bytearray()
        while (byte := self._receive.read(1)) != b"\0":
            assert byte, "Chromium has ended"
            part += byte
        return json.loads(part)


@contextmanager
def chromium(profile: Path) -> Generator[Page]:
    """Start a browser; skip the test where none is installed."""
    names = ("chromium", "google-chrome", "chromium-browser")
    browser = next(filter(None, map(shutil.which, names)), None)
    if browser is None:
        pytest.skip("Chromium is not installed")
    read, send = os.pipe()
    receive, write = os.pipe()
    # Out of the way of 3 and 4, where Chromium looks for its ends.
    ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (read, write)]
    os.close(read)
    os.close(write)

    def place() -> None:
        os.dup2(ends[0], 3)
        os.dup2(ends[1], 4)

    process = subprocess.Popen(
        [browser, *FLAGS, f"--user-data-dir={profile}"],
        preexec_fn=place,
        pass_fds=(3, 4),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    for end in ends:
        os.close(end)
    try:
        with os.fdopen(send, "wb") as to, os.fdopen(receive, "rb") as back:
            yield Page(to, back)
    finally:
        process.terminate()
        process.wait(timeout=SECONDS)
