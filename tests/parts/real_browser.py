"""A real browser."""

from __future__ import annotations

import base64
import json
import subprocess
import time
from pathlib import Path
from typing import Any

from websockets.sync.client import connect


class Browser:
    """Headless Chromium with one tab, driven over its DevTools protocol.

    Attributes:
        complaints: What the console, the page's errors and the browser's log have said since the page was opened.
    """

    def __init__(self, folder: Path) -> None:
        options = "--headless --no-sandbox --disable-gpu --hide-scrollbars --no-first-run --remote-debugging-port=0"
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                ["chromium", *options.split(), f"--user-data-dir={folder}", "about:blank"], stdout=log, stderr=log
            )
        self._socket = connect(f"ws://127.0.0.1:{_content(folder / 'DevToolsActivePort')}", max_size=None)
        self._count = 0
        self._session: str | None = None
        self.complaints: list[str] = []
        self._loaded = False
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def close(self) -> None:
        self._session = None
        self.call("Browser.close")
        self._process.wait(30)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        self._socket.send(json.dumps(message | ({"sessionId": self._session} if self._session else {})))
        while (answer := self._next()).get("id") != self._count:
            pass
        assert "error" not in answer, answer
        return dict(answer["result"])

    def open(self, page: Path | str, *, width: int = 1280, dark: bool = False, scripts: bool = True) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", features=scheme)
        self.call("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.complaints.clear()
        self._loaded = False
        self.call("Page.navigate", url=page if isinstance(page, str) else page.as_uri())
        while not self._loaded:
            self._next()
        if scripts:
            self.settle()

    def settle(self) -> None:
        """Wait until two frames have been drawn and the pictures asked for are decoded."""
        frames = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 50))))"
        self.ask(frames)

    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def text(self, selector: str) -> str:
        return str(self.ask(f"document.querySelector({json.dumps(selector)}).innerText"))

    def click(self, selector: str, x: float | None = None, y: float | None = None) -> None:
        """Click into the middle of an element, or at a point of it, with a mouse."""
        box = self.ask(
            f"(() => {{ const found = document.querySelector({json.dumps(selector)}); "
            "found.scrollIntoView({block: 'center', behavior: 'instant'}); const box = found.getBoundingClientRect(); "
            "return [box.left, box.top, box.width, box.height] })()"
        )
        at = {
            "x": box[0] + (box[2] / 2 if x is None else x),
            "y": box[1] + (box[3] / 2 if y is None else y),
            "button": "left",
            "clickCount": 1,
        }
        self.call("Input.dispatchMouseEvent", type="mouseMoved", **at)
        self.call("Input.dispatchMouseEvent", type="mousePressed", **at)
        self.call("Input.dispatchMouseEvent", type="mouseReleased", **at)
        self.settle()

    def press(self, *keys: str) -> None:
        """Press keys one after the other; a single character is typed."""
        for key in keys:
            typed = {"text": "\r"} if key == "Enter" else {"text": key} if len(key) == 1 else {}
            code = {"Tab": 9, "Enter": 13, " ": 32}.get(key, 0)
            self.call("Input.dispatchKeyEvent", type="keyDown", key=key, windowsVirtualKeyCode=code, **typed)
            self.call("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)
        self.settle()

    def screenshot(self, path: Path) -> None:
        """The whole page as PNG."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        picture = self.call("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)["data"]
        path.write_bytes(base64.b64decode(picture))

    def _next(self) -> dict[str, Any]:
        message = dict(json.loads(self._socket.recv(timeout=60)))
        event = message.get("method")
        if event == "Page.loadEventFired":
            self._loaded = True
        elif event in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"):
            self.complaints.append(json.dumps(message["params"]))
        return message


def _content(note: Path) -> str:
    """The port and the path at which the browser listens, once it has written them."""
    deadline = time.monotonic() + 60
    while not (note.exists() and len(lines := note.read_text(encoding="utf-8").split()) == 2):
        if time.monotonic() > deadline:
            raise TimeoutError(f"no browser has written {note}")
        time.sleep(0.05)
    return "".join(lines)
