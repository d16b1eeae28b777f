"""Nights in a row: a Prefect server and a worker stay up, the pipeline runs, and faults come at random.

    python benchmarks/nightly.py [--nights 50] [--seed 0] [--json FILE]

A night is one run of the deployment ``pipeline/nightly`` on three tiny stores; where it did not come to its end,
another one after it. Before or in most nights something happens: an artefact is damaged or deleted, a store is cut (and
whole again after it), the run is killed or terminated, the server is killed and comes back, Prefect's results are
lost. At the end of each night the output is compared, byte by byte, with that of the first one (what a night without a
store has made of the others is taken away). The server has the settings of ``server.env`` and the limit ``gpu``.

What server and worker hold (resident memory, open files), temporary files and the output must stay flat. At the end the
first third of the nights is compared with the last, and it is said, with exit code 1, what exceeds its bound
(`flat.BOUNDS`). The database keeps every run, so it grows, but not faster and faster: its growth a night is compared.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from flat import FEWEST, judged, table, trends
from machine import described

from sarpipe.simulate import simulate

ROOT = Path(__file__).resolve().parent.parent
STORES = 3
PLACES = 4
OVERRIDES = {"train.epochs": 2, "train.batch_size": 4, "device": "cpu"}
DONE = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
PATIENCE = 600
"""Seconds that a run, a start or an end may take."""
BUSY = 60
"""Seconds for which a server is asked again that takes nothing: on a busy machine SQLite is locked for some."""
ROW = ("night", "runs", "server MB", "server files", "worker MB", "worker files", "database MB", "temporary", "output")
ROW = (*ROW, "seconds")


def main() -> int:
    """Run, and print a line a night, then what must be flat."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n", 1)[0])
    parser.add_argument("--nights", type=int, default=50, help="how many (default: 50)")
    parser.add_argument("--seed", type=int, default=0, help="of the faults (default: 0)")
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="sarpipe-nightly-"))
    site = Site(folder)
    try:
        site.start()
        rows, faults, states = _nights(site, options.nights, random.Random(options.seed))
    finally:
        site.end()
    shutil.rmtree(folder)
    print(f"{described()}; faults: {dict(faults)}; runs: {dict(states)}")
    if options.json:
        trended = [asdict(trend) for trend in trends(rows)]
        figures = {"machine": described(), "faults": faults, "runs": states, "nights": rows, "trends": trended}
        Path(options.json).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return _compared(rows)


def _compared(rows: list[dict[str, Any]]) -> int:
    """Say how flat it was; the exit code."""
    found = trends(rows)
    print("\n".join(table(found)))
    if len(rows) < FEWEST:
        print(f"not judged: {len(rows)} nights, {FEWEST} at least would say something")
    wrong = judged(found, len(rows))
    print("\n".join(wrong), end="\n" if wrong else "", file=sys.stderr)
    return 1 if wrong else 0


def _nights(site: Site, nights: int, chance: random.Random) -> tuple[list[dict[str, Any]], Counter[str], Counter[str]]:
    rows: list[dict[str, Any]] = []
    faults, states = Counter[str](), Counter[str]()
    print("  ".join(ROW) + "  fault")
    expected = ""
    for night in range(1, nights + 1):
        began = time.monotonic()
        fault = "none" if night == 1 else chance.choice(["none", *FAULTS])
        faults[fault] += 1
        ended = [FAULTS[fault](site, chance)] if fault in FAULTS else []
        while ended[-1:] != ["COMPLETED"]:
            # The last attempts of a night go undisturbed; a third would mean that nothing heals.
            if len(ended) == 3:
                raise SystemExit(f"night {night} ({fault}): {ended}")
            ended.append(site.run())
        states.update(ended)
        found = site.content()
        if found != (expected := expected or found):
            raise SystemExit(f"night {night} ({fault}): the output is not that of the first night; see {site.folder}")
        rows.append({"night": night, "runs": len(ended), **site.held(), "fault": fault})
        rows[-1]["seconds"] = round(time.monotonic() - began)
        print("  ".join(f"{rows[-1][name]:>{len(name)}}" for name in ROW) + f"  {fault}", flush=True)
    return rows, faults, states


class Site:
    """A server, a worker, stores and output, all below a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.stores, self.data = folder, folder / "stores", folder / "data"
        self.temporary, self.home = folder / "tmp", folder / "prefect"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self._api = f"http://127.0.0.1:{self._port}/api"
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._deployment = ""

    @property
    def environment(self) -> dict[str, str]:
        """Of server, worker and runs."""
        return {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            **_server_settings(),
            "PREFECT_SERVER_API_PORT": str(self._port),
            "PREFECT_HOME": str(self.home),
            "PREFECT_API_URL": self._api,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            "SARPIPE_ROOT": str(ROOT),
            "TMPDIR": str(self.temporary),
        }

    def start(self) -> None:
        """Stores, server, deployments, worker."""
        self.temporary.mkdir()
        simulate(self.stores, stores=STORES, places=PLACES, seed=7)
        self.start_server()
        self._prefect("work-pool", "create", "sarpipe", "--type", "process")
        self._prefect("gcl", "create", "gpu", "--limit", "1")
        self._prefect("deploy", "--all")
        self._deployment = self.ask("deployments/name/pipeline/nightly", None)["id"]
        self._start("worker", "worker", "start", "--pool", "sarpipe")

    def start_server(self) -> None:
        """Start the server and wait until it answers."""
        self._start("server", "server", "start", "--host", "127.0.0.1", "--port", str(self._port))
        _until(self._answers)

    def kill_server(self) -> None:
        """As a machine does that is switched off."""
        os.killpg(self._processes["server"].pid, signal.SIGKILL)
        self._processes["server"].wait()

    def end(self) -> None:
        """Kill both."""
        for process in self._processes.values():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def run(self, meanwhile: Callable[[int], None] | None = None) -> str:
        """One run of the deployment; how it ended. ``meanwhile`` is given its process once that is there."""
        parameters = {"source": str(self.stores), "data": str(self.data), "overrides": OVERRIDES, "workers": 1}
        started = self.ask(f"deployments/{self._deployment}/create_flow_run", {"parameters": parameters})
        if meanwhile is not None:
            _until(lambda: bool(_children(self._processes["worker"].pid)))
            meanwhile(_children(self._processes["worker"].pid)[0])
        state = ""

        def ended() -> bool:
            nonlocal state
            state = str(self.ask(f"flow_runs/{started['id']}", None)["state_type"])
            return state in DONE

        _until(ended)
        _until(lambda: not _children(self._processes["worker"].pid))
        return state

    def ask(self, path: str, document: Any) -> Any:
        """What the API answers; a POST of ``document``, or a GET.

        A server that has taken nothing, being too busy or not there, is asked again, as Prefect's client asks it.
        """
        deadline = time.monotonic() + BUSY
        while True:
            try:
                return self._asked(path, document)
            except urllib.error.URLError as error:
                if not _nothing_taken(error) or time.monotonic() > deadline:
                    raise
            time.sleep(1)

    def _asked(self, path: str, document: Any) -> Any:
        body = None if document is None else json.dumps(document).encode()
        request = urllib.request.Request(f"{self._api}/{path}", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())

    def artefacts(self) -> list[Path]:
        """All files of the output that a night leaves."""
        return [path for path in sorted(self.data.rglob("*")) if path.is_file() and _kept(path.relative_to(self.data))]

    def content(self) -> str:
        """The digest of them all."""
        digest = hashlib.sha256()
        for path in self.artefacts():
            digest.update(f"{path.relative_to(self.data)} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
        return digest.hexdigest()

    def held(self) -> dict[str, float]:
        """What must be flat, but for the database."""
        found: dict[str, float] = {}
        for name, process in self._processes.items():
            group = [process.pid, *_children(process.pid)]
            found[f"{name} MB"] = round(sum(_rss(pid) for pid in group) / 1000, 1)
            found[f"{name} files"] = sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in group)
        database = sum(path.stat().st_size for path in self.home.glob("prefect.db*"))
        return {
            **found,
            "database MB": round(database / 1e6, 2),
            "temporary": self._left(),
            "output": len(self.artefacts()),
        }

    def _left(self) -> int:
        """Temporary files, once the worker has cleared up behind the run, which it does when that has ended."""
        deadline = time.monotonic() + 60
        while any(self.temporary.glob("*prefect*")) and time.monotonic() < deadline:
            time.sleep(0.25)
        return sum(1 for _ in self.temporary.rglob("*"))

    def _prefect(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "prefect", "--no-prompt", *arguments]
        subprocess.run(command, check=True, cwd=ROOT, env=self.environment, stdout=subprocess.DEVNULL)

    def _start(self, name: str, *arguments: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", "prefect", *arguments],
                env=self.environment,
                cwd=ROOT,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _answers(self) -> bool:
        try:
            return bool(self._asked("health", None))
        except OSError:
            return False


def _flip(site: Site, chance: random.Random) -> str:
    path = chance.choice([path for path in site.artefacts() if path.stat().st_size])
    data = bytearray(path.read_bytes())
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(data)
    return site.run()


def _delete(site: Site, chance: random.Random) -> str:
    chance.choice(site.artefacts()).unlink()
    return site.run()


def _cut_store(site: Site, chance: random.Random) -> str:
    store = chance.choice(sorted(site.stores.glob("*.zip")))
    whole, before = store.read_bytes(), set(site.artefacts())
    store.write_bytes(whole[: len(whole) // 2])
    state = site.run()
    store.write_bytes(whole)
    if state != "COMPLETED":
        return state
    # It was refused by name, and the others have made a set, a model and all after it, which stay for good.
    others = [path for path in site.artefacts() if path.name == "manifest.json" and path not in before]
    if not others:
        raise SystemExit(f"{store} was cut and has not been refused")
    for manifest in others:
        shutil.rmtree(manifest.parent)
    return "REFUSED"


def _kill(site: Site, chance: random.Random) -> str:
    return _signalled(site, chance, signal.SIGKILL)


def _terminate(site: Site, chance: random.Random) -> str:
    return _signalled(site, chance, signal.SIGTERM)


def _signalled(site: Site, chance: random.Random, number: signal.Signals) -> str:
    # There is work to be done when it comes.
    shutil.rmtree(chance.choice([path for path in site.data.glob("*/*") if path.is_dir()]))

    def send(process: int) -> None:
        time.sleep(chance.uniform(0, 20))
        if Path(f"/proc/{process}").exists():
            os.kill(process, number)

    return site.run(send)


def _server_killed(site: Site, chance: random.Random) -> str:
    def kill(_: int) -> None:
        time.sleep(chance.uniform(0, 10))
        site.kill_server()
        time.sleep(2)
        site.start_server()

    return site.run(kill)


def _results_lost(site: Site, chance: random.Random) -> str:
    shutil.rmtree(site.home / "storage", ignore_errors=True)
    return site.run()


FAULTS: dict[str, Callable[[Site, random.Random], str]] = {
    "flipped bit": _flip,
    "deleted file": _delete,
    "cut store": _cut_store,
    "killed run": _kill,
    "terminated run": _terminate,
    "killed server": _server_killed,
    "lost results": _results_lost,
}


def _server_settings() -> dict[str, str]:
    lines = (ROOT / "data" / "configs" / "services" / "server.env").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def _kept(path: Path) -> bool:
    # Which runs there were and what they used is no part of what they made.
    return path.parts[0] not in ("runs", "energy") and not path.name.startswith(".lock-")


def _nothing_taken(error: urllib.error.URLError) -> bool:
    # What was taken must not be asked for again: a night would have more runs than are counted.
    if isinstance(error, urllib.error.HTTPError):
        return error.code in (429, 503)
    return isinstance(error.reason, ConnectionRefusedError)


def _children(pid: int) -> list[int]:
    found = []
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, thread.read_text().split()):
            found += [child, *_children(child)]
    return found


def _rss(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) for line in status if line.startswith("VmRSS")), 0)


def _until(there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not there():
        if time.monotonic() > deadline:
            raise SystemExit(f"nothing came in {PATIENCE} s")
        time.sleep(0.25)


if __name__ == "__main__":
    sys.exit(main())
