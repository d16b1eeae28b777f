import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from prefect.states import State
from real_browser import Browser
from real_server import PrefectServer

from sarpipe.flows.preprocess import preprocess
from sarpipe.flows.report import report

pytestmark = pytest.mark.timeout(900)
NAMES = [f"ssl4eos12_train_seasonal_data_00000{number}" for number in (1, 2, 3)]
ROOT = Path(__file__).resolve().parents[2]
PICTURES = os.environ.get("SARPIPE_PICTURES")
"""A folder for what the browser shows, for docs/."""


@pytest.fixture(scope="module")
def run(server: PrefectServer, stores: Path, scheduler: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The id of a run in which one store of three is refused."""
    # In a process of its own: states of tasks go to a server as events, and a process whose other tests have had their
    # servers may not send any more.
    data = tmp_path_factory.mktemp("nightly")
    command = [sys.executable, "-m", "sarpipe.flows.cli", "preprocess", stores, "--data", data, "--dask", scheduler]
    done = subprocess.run(command, env=server.environment, capture_output=True, text=True)
    assert done.returncode == 3, done.stderr
    found = re.search("/runs/flow-run/([0-9a-f-]{36})", done.stderr)
    assert found, done.stderr
    return found[1]


_FIELD = (
    "[...document.querySelectorAll('.schema-form-property')].find(one => "
    "one.querySelector('.schema-form-property__label')?.innerText.split(' ')[0] === '%s')"
)
"""The part of a form that is about one parameter, in JavaScript."""


class Page:
    """What the Prefect UI shows: it draws itself after it is loaded, so what is looked for is waited for."""

    def __init__(self, browser: Browser, server: PrefectServer) -> None:
        self._browser, self._at = browser, server.url.removesuffix("/api")

    def open(self, path: str, *texts: str) -> str:
        self._browser.open(f"{self._at}{path}")
        return self.text(*texts)

    def text(self, *wanted: str) -> str:
        """All text of the page, once it has these."""
        deadline = time.monotonic() + 120
        while not all(text in (found := str(self._browser.ask("document.body.innerText"))) for text in wanted):
            assert time.monotonic() < deadline, (wanted, found, self._browser.complaints)
            time.sleep(0.2)
        return found

    def ask(self, expression: str) -> Any:
        return self._browser.ask(expression)

    def press(self, label: str, element: str = "button", last: bool = False) -> None:
        """Click on what has this text, with a mouse."""
        self._click(
            f"[...document.querySelectorAll({json.dumps(element)})].filter(one => one.offsetParent !== null && "
            f"one.innerText.trim() === {json.dumps(label)}).at({-1 if last else 0})"
        )

    def choose(self, parameter: str, kind: str) -> None:
        """Say in the form of a flow's parameters that one of them has a value, of this kind."""
        buttons = f"[...({_FIELD % parameter}?.querySelectorAll('button') ?? [])]"
        self._click(f"{buttons}.find(one => one.innerText.trim() === '{kind}')")

    def fill(self, parameter: str, value: str) -> None:
        """Type into the form of a flow's parameters, in place of what is there."""
        self._click(f"{_FIELD % parameter}?.querySelector('input, textarea')")
        self._browser.ask("document.activeElement.select()")
        self._browser.press(*value)

    def _click(self, wanted: str) -> None:
        """Click on an element that a JavaScript expression gives, once it is there."""
        deadline = time.monotonic() + 60
        mark = (
            "document.querySelectorAll('[data-wanted]').forEach(one => one.removeAttribute('data-wanted')); "
            f"({wanted})?.setAttribute('data-wanted', 'yes'); document.querySelector('[data-wanted]') !== null"
        )
        while not self._browser.ask(mark):
            assert time.monotonic() < deadline, (wanted, self._browser.ask("document.body.innerText"))
            time.sleep(0.2)
        self._browser.click("[data-wanted]")

    def picture(self, name: str) -> None:
        """What is seen now, as a file, if somebody wants it."""
        if PICTURES:
            time.sleep(3)
            self._browser.call("Page.bringToFront")
            self._browser.screenshot(Path(PICTURES) / f"{name}.png")


@pytest.fixture
def page(browser: Browser, server: PrefectServer) -> Page:
    return Page(browser, server)


def shown(server: PrefectServer, kind: str) -> str:
    """The path of the page of the last artifact of this kind."""
    found = server.ask("artifacts/filter", {"artifacts": {"key": {"like_": f"{kind}-"}}, "sort": "CREATED_DESC"})
    return f"/artifacts/artifact/{found[0]['id']}"


def test_a_deployment_is_a_form_with_words_and_defaults(page: Page, own_flows: None) -> None:
    deployment = preprocess.to_deployment("by-hand", parameters={"source": "raw/train/S1GRD"}).apply()
    page.open(f"/deployments/deployment/{deployment}/run", "A folder of stores", "All output goes below", "workers")
    fields = page.ask("[...document.querySelectorAll('input, textarea')].map(field => field.value)")
    page.picture("form")
    assert {"raw/train/S1GRD", "data"} <= set(fields)


def test_what_is_typed_into_the_form_is_refused_or_is_what_a_run_is_made_with(
    page: Page, server: PrefectServer, own_flows: None
) -> None:
    deployment = preprocess.to_deployment("filled-in", parameters={"source": "raw/train/S1GRD"}).apply()

    def made() -> list[dict[str, Any]]:
        found = {"deployments": {"id": {"any_": [str(deployment)]}}}
        return [run["parameters"] for run in server.ask("flow_runs/filter", found)]

    page.open(f"/deployments/deployment/{deployment}/run", "Dask worker processes, 1 to 1,024", "Submit")
    page.fill("data", "nightly")
    page.choose("workers", "int")
    page.fill("workers", "0")
    page.press("Submit")
    page.text("0 is not valid")
    page.picture("refused")
    assert made() == []
    page.fill("workers", "3")
    page.press("Submit")
    page.text("scheduled to start now")
    (parameters,) = made()
    assert (parameters["source"], parameters["data"], parameters["workers"]) == ("raw/train/S1GRD", "nightly", 3)


def test_a_run_has_a_bar_a_store_and_its_end_in_words(page: Page, run: str) -> None:
    page.open(f"/runs/flow-run/{run}", "4 Task runs", "Finished in state Completed(", "4 cubes of 2 stores")
    page.picture("run")
    page.press("Task Runs", "[role=tab], button, .p-tab")
    text = page.text(*NAMES)
    assert "Failed" in text
    page.press("Details", "[role=tab], button, .p-tab")
    page.text("State Message", "4 cubes of 2 stores")


def test_the_stores_are_a_table(page: Page, server: PrefectServer, run: str) -> None:
    text = page.open(shown(server, "stores"), "3 stores: 1 refused, 2 computed", *NAMES)
    page.picture("stores")
    rows = page.ask(
        "[...document.querySelectorAll('tbody tr')].map(row => row.innerText.split(/\\s+/)[0] || row.innerText)"
    )
    assert len(rows) == 3
    assert "is not a whole zip file" in text
    # What comes from data is shown as it is, and not as Markdown.
    assert page.ask("[...document.querySelectorAll('tbody em')].length") == 0


def test_the_picture_of_the_cubes_is_drawn(page: Page, server: PrefectServer, run: str) -> None:
    page.open(shown(server, "quicklook"), "A few places of the cubes")
    width = (
        "[...document.querySelectorAll('img')].filter(one => one.src.startsWith('data:image/webp'))[0]?.naturalWidth"
    )
    page.picture("quicklook")
    assert page.ask(width) > 12 * 64
    # An image artifact would have all of its bytes as text.
    assert len(page.text("A few places")) < 3000


def test_progress_is_a_number_with_words(page: Page, server: PrefectServer, run: str) -> None:
    page.open(shown(server, "preprocess"), "Progress: 100%", "Stores of recipe sar: 3 of 3")


def test_a_failed_run_says_what_failed_and_what_to_do(page: Page, own_flows: None, tmp_path: Path) -> None:
    state: State[Any] = report(str(tmp_path), return_state=True)
    page.open(f"/runs/flow-run/{state.state_details.flow_run_id}", "Failed", "report failed: there are no cubes")
    page.press("Details", "[role=tab], button, .p-tab")
    text = page.text("State Message", "report failed: there are no cubes")
    page.picture("failed")
    assert "encountered an exception" not in text


@pytest.mark.faults
def test_retry_in_the_browser_runs_what_was_mended(
    page: Page, server: PrefectServer, stores: Path, tmp_path: Path
) -> None:
    """A run of a worker fails, its cause is mended, the button is pressed, and the same run is done."""
    raw, kept = tmp_path / "raw", tmp_path / "kept"
    raw.mkdir()
    (raw / f"{NAMES[0]}.zarr.zip").write_bytes((stores / f"{NAMES[0]}.zarr.zip").read_bytes()[:-5000])
    server.ask("work_pools/", {"name": "sarpipe", "type": "process"})
    environment = {**server.environment, "SARPIPE_ROOT": str(ROOT)}
    prefect = [sys.executable, "-m", "prefect", "--no-prompt"]
    deploy = [*prefect, "deploy", "--name", "preprocess"]
    subprocess.run(deploy, check=True, capture_output=True, cwd=ROOT, env=environment)
    with (tmp_path / "worker.log").open("wb") as log:
        command = [*prefect, "worker", "start", "--pool", "sarpipe"]
        worker = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=ROOT, start_new_session=True)
    try:
        (deployment,) = server.ask("deployments/filter", {"deployments": {"name": {"any_": ["preprocess"]}}})
        asked = {"source": str(raw), "data": str(kept), "workers": 1}
        made = server.ask(f"deployments/{deployment['id']}/create_flow_run", {"parameters": asked})
        assert ended(server, made["id"])["state_name"] == "Failed"
        page.open(f"/runs/flow-run/{made['id']}", "Failed", "no store could be used, 1 was refused")
        shutil.copy(stores / f"{NAMES[0]}.zarr.zip", raw)
        page.press("Retry")
        page.text("This will retry flow run")
        page.picture("retry")
        page.press("Retry", last=True)
        assert ended(server, made["id"], but="Failed")["state_name"] == "Completed"
        page.text("Finished in state Completed(", "2 cubes of 1 stores")
        page.picture("retried")
        assert len(list(kept.glob("cubes/sar-*/ssl4eos12*"))) == 1
    finally:
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()


def ended(server: PrefectServer, run: str, *, but: str = "") -> dict[str, Any]:
    """A run once it is over, in another state than ``but``."""
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        (found,) = server.ask("flow_runs/filter", {"flow_runs": {"id": {"any_": [run]}}})
        if found["state_type"] in ("COMPLETED", "FAILED", "CRASHED") and found["state_name"] != but:
            return dict(found)
        time.sleep(0.5)
    raise AssertionError(json.dumps(found["state"]))
