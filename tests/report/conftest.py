from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from websockets.sync.client import connect

from sarpipe.cubes import CubeSet
from sarpipe.quarantine import with_help
from sarpipe.report import Report

DATES = [np.datetime64(day) for day in ("2020-02-21", "2020-05-27", "2020-08-19", "2020-11-27")]
PASSES = ["descending", "ascending", "descending", "descending"]


@pytest.fixture(scope="session")
def make_places() -> Callable[..., CubeSet]:
    def make(count: int, *, truth: bool = True) -> CubeSet:
        rng = np.random.default_rng(count)
        ids = tuple(f"{place:07d}" for place in range(count))
        # Many places share one array, so that a test of many costs little.
        few = rng.normal(-12, 3, (min(count, 8), 12, 64, 64)).astype(np.float32)
        cubes = few if count <= 8 else np.broadcast_to(few[0], (count, 12, 64, 64))
        index = pd.DataFrame({"id": ids, "store": "store_000001"})
        index["latitude"] = rng.uniform(-60, 70, count)
        index["longitude"] = rng.uniform(-180, 180, count)
        index["dates"] = [DATES] * count
        index["orbit_passes"] = [PASSES] * count
        index["relative_orbits"] = [[7, 80, 7, 7 + place % 3] for place in range(count)]
        index["valid_fraction"], index["valid_fractions"] = 0.875, [[0.5, 1.0, 1.0, 1.0]] * count
        index["flags"] = [["mixed_passes", "partly_valid"]] * count
        known = pd.DataFrame(rng.dirichlet(np.ones(3), count), columns=["fraction_water", "fraction_built_up", "x"])
        known.insert(0, "id", ids)
        frames = np.broadcast_to(few[:1, :4, None].astype(np.float16), (count, 4, 4, 64, 64))
        return CubeSet(ids, cubes, frames, index, known if truth else None)

    return make


def method(value: float, dimensions: int) -> dict[str, object]:
    measure = {"value": value, "interval": [value - 0.05, value + 0.05]}
    names = ("recall_at_1", "recall_at_5", "recall_at_10", "mrr")
    return {
        "dimensions": dimensions,
        "rankme": 100 * value,
        "retrieval": {**dict.fromkeys(names, measure), "n": 256},
        "displaced_retrieval": {**dict.fromkeys(names, measure), "n": 256},
        "probe": {"fraction_water": {"r2": value, "interval": [value - 0.1, value + 0.1]}},
        "mean_r2": measure,
    }


@pytest.fixture(scope="session")
def figures() -> dict[str, object]:
    return {
        "n": 256,
        "methods": {
            "sarpipe": method(0.512, 1024),
            "random_weights": method(0.313, 1024),
            "pca": method(0.513, 24),
            "band_statistics": method(0.614, 24),
        },
        "differences": [
            {"measure": "mean_r2", "baseline": "random_weights", "n": 6, "difference": 0.199, "interval": [0.15, 0.25]},
            {
                "measure": "mean_r2",
                "baseline": "band_statistics",
                "n": 6,
                "difference": -0.102,
                "interval": [-0.14, -0.06],
            },
            {
                "measure": "r2:season_amplitude",
                "baseline": "band_statistics",
                "n": 6,
                "difference": 0.3,
                "interval": None,
            },
            {
                "measure": "recall_at_1",
                "baseline": "band_statistics",
                "n": 6,
                "difference": -0.02,
                "interval": [-0.1, 0.06],
            },
        ],
        "claims": ["The embedding loses to band statistics by 0.10."],
        "notes": ["All targets are proxies."],
    }


@pytest.fixture(scope="session")
def losses() -> pd.DataFrame:
    steps = np.arange(60)
    return pd.DataFrame({"step": steps, "epoch": steps // 20, "loss": 5 * 0.97**steps, "learning_rate": 1e-3})


@pytest.fixture(scope="session")
def make_report(
    make_places: Callable[..., CubeSet], figures: dict[str, object], losses: pd.DataFrame
) -> Callable[..., Report]:
    def make(count: int, *, truth: bool = True) -> Report:
        return Report(
            title="Report",
            summary={"places": {"in": count + 1, "embedded": count, "quarantined": 1}, "recipe": "sar", "source": "s"},
            figures=figures,
            losses=losses,
            monitors=pd.DataFrame({"epoch": [0, 1, 2], "rankme": [10.0, np.nan, 30.0]}),
            places=make_places(count, truth=truth),
            vectors=np.random.default_rng(0).normal(size=(count, 64)).astype(np.float32),
            labels=None,
            compression={"bytes_a_place": {"raw_float16_cube": 1115136, "embedding": 4096}, "ratio": 272.25},
            quarantine=with_help(
                pd.DataFrame([{"id": "0000099", "store": "s_000002", "step": "cube", "reason": "only 31% hold data"}])
            ),
            provenance={"settings": {"looks": 4.4}, "digests": {"cubes": "a" * 64}},
        )

    return make


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

    def open(self, path: Path, *, width: int = 1280, dark: bool = False, scripts: bool = True) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", features=scheme)
        self.call("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.complaints.clear()
        self._loaded = False
        self.call("Page.navigate", url=path.as_uri())
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


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A real browser; tests that need one are skipped where it is absent."""
    if shutil.which("chromium") is None:
        pytest.skip("no chromium")
    started = Browser(tmp_path_factory.mktemp("browser"))
    yield started
    started.close()
