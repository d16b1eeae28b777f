"""sarpipe as an operator has it: its deployments on a real Prefect server, and a real worker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from real_server import PrefectServer

ROOT = Path(__file__).resolve().parents[2]
POOL = "sarpipe"
TINY: dict[str, Any] = {"device": "cpu", "workers": 1, "train": {"epochs": 2, "batch_size": 4}}
UI_RETRY = {"type": "SCHEDULED", "name": "AwaitingRetry", "message": "Retry from the UI"}
"""What the button Retry of the UI sends; the older UI without force, the newer one with it."""


class Operations:
    """The deployments of prefect.yaml for an environment of their own, and a process worker.

    Args:
        server: The server; it may have nothing yet.
        folder: Empty.
        stores: A folder of raw stores.
    """

    def __init__(self, server: PrefectServer, folder: Path, stores: Path) -> None:
        self.server, self.stores, self.data = server, stores, folder / "data"
        self._config, self._log = folder / "settings.yaml", folder / "worker.log"
        self._worker: subprocess.Popen[bytes] | None = None
        self.configure(**TINY)

    @property
    def environment(self) -> dict[str, str]:
        return {
            **self.server.environment,
            "SARPIPE_SOURCE": str(self.stores),
            "SARPIPE_DATA": str(self.data),
            "SARPIPE_CONFIG": str(self._config),
        }

    def configure(self, **settings: Any) -> None:
        self._config.write_text(yaml.safe_dump(settings))

    def call(self, *command: str, timeout: float | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
        """A command of Python (``-m prefect ...``) in the root of the checkout, however it ends."""
        return subprocess.run(
            [sys.executable, *command],
            cwd=ROOT,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    def deploy(self, **environment: str) -> None:
        if not self.server.ask("work_pools/filter"):
            self.server.ask("work_pools/", {"name": POOL, "type": "process"})
        done = self.call("-m", "prefect", "--no-prompt", "deploy", "--all", **environment)
        assert done.returncode == 0, done.stdout + done.stderr

    def start_worker(self) -> None:
        command = ["worker", "start", "--pool", POOL, "--type", "process"]
        with self._log.open("ab") as log:
            self._worker = subprocess.Popen(
                [sys.executable, "-m", "prefect", *command],
                cwd=ROOT,
                env={**self.environment, "PREFECT_WORKER_QUERY_SECONDS": "1"},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill_worker(self) -> None:
        """With all that it has started, as where the machine is lost."""
        if self._worker is not None and self._worker.poll() is None:
            for process in [*_below(self._worker.pid), self._worker.pid]:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            self._worker.wait()

    def processes(self) -> list[int]:
        """Those of the flow runs under way, which the worker has started."""
        assert self._worker is not None
        return _children(self._worker.pid)

    def cleared_up(self) -> None:
        """Wait until the worker is done with runs that ended. Of one that was killed it runs the hooks, and then calls
        it crashed a second time, even if it has been retried by then.
        """
        quiet = 0
        while quiet < 5:
            time.sleep(1)
            quiet = 0 if self.processes() else quiet + 1

    def deployment(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.server.ask("deployments/filter", {"deployments": {"name": {"any_": [name]}}})[0]
        return found

    def run(self, name: str, **parameters: Any) -> str:
        """Start a deployment's flow; the id of the run."""
        asked = {"parameters": parameters, "state": {"type": "SCHEDULED"}}
        return str(self.server.ask(f"deployments/{self.deployment(name)['id']}/create_flow_run", asked)["id"])

    def retry(self, run: str, *, force: bool) -> None:
        answer = self.server.ask(f"flow_runs/{run}/set_state", {"state": UI_RETRY, "force": force})
        assert answer["status"] == "ACCEPT", answer

    def state(self, run: str) -> dict[str, Any]:
        found: dict[str, Any] = self.server.ask("flow_runs/filter", {"flow_runs": {"id": {"any_": [run]}}})[0]
        return found

    def ended(self, run: str, state: str) -> dict[str, Any]:
        """Wait until a run is in this final state."""
        deadline = time.monotonic() + 1200
        final = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
        found: dict[str, Any] = {}
        while found.get("state_type") not in final and time.monotonic() < deadline:
            time.sleep(0.5)
            # Where the cores are busy with other things, the server answers late.
            with suppress(TimeoutError):
                found = self.state(run)
        assert found["state_name"] == state, (found["state"]["message"], self._log.read_text()[-4000:])
        return found

    def logs(self, run: str) -> str:
        asked = {"logs": {"flow_run_id": {"any_": [run]}}, "sort": "TIMESTAMP_ASC"}
        return "\n".join(log["message"] for log in self.server.ask("logs/filter", asked))

    def alarms(self) -> list[str]:
        asked = {"artifacts": {"key": {"any_": ["sarpipe-alarm"]}}, "sort": "CREATED_DESC"}
        return [str(artifact["data"]) for artifact in self.server.ask("artifacts/filter", asked)]

    def files(self) -> dict[str, tuple[int, int]]:
        """All that is made, with inode and time of last change: neither stays when a file is made again. What says how
        runs went is no part of it.
        """
        made: dict[str, tuple[int, int]] = {}
        for path in sorted(self.data.rglob("*")):
            is_ours = path.is_file() and path.name != "current.json" and not path.name.startswith(".")
            if is_ours and path.relative_to(self.data).parts[0] not in ("runs", "energy", "quarantine"):
                found = path.stat()
                made[str(path.relative_to(self.data))] = (found.st_ino, found.st_mtime_ns)
        return made


def _children(process: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    except FileNotFoundError:
        return []


def _below(process: int) -> list[int]:
    found = _children(process)
    return [*found, *(lower for child in found for lower in _below(child))]
