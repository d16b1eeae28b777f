"""What Dask and Prefect cost: a run of many tiny units, and a rerun in which all of them are there.

    python benchmarks/orchestration.py [--units 398] [--runs 3] [--full-size] [--json FILE]

Dask's share is measured alone: workers are started, and as many calls that do nothing are made. Prefect's share is what
the flow takes longer than the straight run of the same units on as many workers. Both are set against the time of the
real job: seconds of one unit of 64 places x units / workers. Then everything is there, and the run is repeated; with
``--full-size`` also where every unit holds 64 places, as a rerun is bound by hashing them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path
from typing import Any

from sarpipe.cluster import CALLS, compute, dask_session
from sarpipe.settings import Settings, resolve
from sarpipe.simulate import simulate
from sarpipe.stages import straight
from sarpipe.stages.preprocess import make_store, plan_preprocess
from sarpipe.stages.worker import work
from sarpipe.storage import commit, inspect

WORKERS = 2
REAL_PLACES = 64


def main() -> None:
    """Measure, print a table, and write the figures as JSON."""
    options = _options()
    folder = Path(tempfile.mkdtemp(prefix="orchestration-", dir=options.below))
    try:
        with _prefect(folder / "prefect"):
            figures = _measure(folder, options.units, options.runs, full_size=options.full_size)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    _print(figures)
    if options.json:
        Path(options.json).write_text(json.dumps(figures, indent=1) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n", 1)[0])
    parser.add_argument("--units", type=int, default=398, help="stores of one place (default: 398)")
    parser.add_argument("--runs", type=int, default=3, help="medians of so many (default: 3)")
    parser.add_argument("--full-size", action="store_true", help="measure the rerun of full units too: 21 MB each")
    parser.add_argument("--below", help="folder for the temporary files (default: the system's)")
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")
    return parser.parse_args()


def _measure(folder: Path, units: int, runs: int, *, full_size: bool) -> dict[str, Any]:
    stores, one = folder / "stores", folder / "one"
    _tiny_stores(stores, units)
    simulate(one, stores=1, places=REAL_PLACES)
    real = _median(lambda data: _alone(data, one), folder, runs)
    starts, calls = zip(*(_empty_calls(units) for _ in range(runs)), strict=True)
    start, empty = statistics.median(starts), statistics.median(calls)
    dask = _median(lambda data: _straight(data, stores), folder, runs)
    prefect = _median(lambda data: _flow(data, stores), folder, runs)
    job = real * units / WORKERS
    figures: dict[str, Any] = {
        "machine": _machine(),
        "units": units,
        "workers": WORKERS,
        "runs": runs,
        "seconds": {
            "one full unit": real,
            "real job": job,
            "start of Dask's workers": start,
            "empty calls": empty,
            "tiny units, Dask": dask,
            "tiny units, Prefect and Dask": prefect,
        },
        "overhead": {
            "Dask": _overhead(start + empty, units, job),
            "Prefect and Dask": _overhead(start + empty + prefect - dask, units, job),
        },
        "rerun": _reruns(folder, stores, runs),
    }
    if full_size:
        figures["rerun, full units"] = _reruns(folder, stores, runs, enlarge=one)
    return figures


def _tiny_stores(folder: Path, count: int) -> None:
    """``count`` stores of one place: one is simulated, the others are its copies (their places are quarantined as seen
    before, which no measure here depends on).
    """
    (store,) = simulate(folder, stores=1, places=1)
    for number in range(2, count + 1):
        shutil.copy(store, folder / store.name.replace("000001", f"{number:06d}"))


def _alone(data: Path, stores: Path) -> float:
    """Seconds of the one store in this process."""
    settings = resolve(data=data)
    (step,) = plan_preprocess(settings, stores)
    return make_store(step, settings)["seconds"]


def _empty_calls(units: int) -> tuple[float, float]:
    """Seconds until workers are there and have imported what a unit needs, and of as many calls that do nothing."""
    started = time.perf_counter()
    with dask_session(units, workers=WORKERS) as client, ThreadPoolExecutor(CALLS) as threads:
        client.run(callable, work)
        ready = time.perf_counter()
        for call in [threads.submit(copy_context().run, _nothing) for _ in range(units)]:
            call.result()
        return ready - started, time.perf_counter() - ready


def _nothing() -> None:
    compute(abs, 1, timeout=60)


def _straight(data: Path, stores: Path) -> float:
    started = time.perf_counter()
    straight.preprocess(_settings(data), str(stores), lambda *_: None)
    return time.perf_counter() - started


def _flow(data: Path, stores: Path) -> float:
    from sarpipe.flows.preprocess import preprocess

    started = time.perf_counter()
    preprocess(str(stores), str(data), workers=WORKERS)
    return time.perf_counter() - started


def _reruns(folder: Path, stores: Path, runs: int, enlarge: Path | None = None) -> dict[str, Any]:
    """All units are there: seconds of the stage by either way, and of the command, with what it says."""
    data = folder / "data"
    _straight(data, stores)
    if enlarge is not None:
        _enlarge(_settings(data), stores, enlarge, folder / "full")
        # The set is made of the units as they are now.
        _in_process(["straight"], data, stores)
    try:
        return {
            "bytes": sum(path.stat().st_size for path in data.rglob("*.npy")),
            "straight": statistics.median(_in_process(["straight"], data, stores) for _ in range(runs)),
            "prefect": statistics.median(_in_process(["flow"], data, stores) for _ in range(runs)),
            "command": _command(data, stores),
        }
    finally:
        shutil.rmtree(data)


def _in_process(way: list[str], data: Path, stores: Path) -> float:
    """One rerun in a process of its own: a checksum is taken once a process."""
    command = [sys.executable, __file__, "--rerun", *way, str(data), str(stores)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


def _command(data: Path, stores: Path) -> dict[str, Any]:
    started = time.perf_counter()
    command = [sys.executable, "-m", "sarpipe.flows.cli", "preprocess", str(stores), "--data", str(data)]
    environment = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    said = next(line for line in done.stderr.splitlines() if line.startswith("units:"))
    return {"seconds": time.perf_counter() - started, "says": said}


def _enlarge(settings: Settings, stores: Path, one: Path, full: Path) -> None:
    """Put the content of a full unit into every unit, so that as many bytes are to be verified as in the real job."""
    _alone(full, one)
    (unit,) = (folder for folder in resolve(data=full).cubes_folder.iterdir() if (folder / "cubes.npy").exists())
    for step in plan_preprocess(settings, stores):
        if step.folder is not None:
            commit(step.folder, inspect(step.folder).meta, lambda folder: _copy(unit, folder))
    shutil.rmtree(full)


def _copy(unit: Path, folder: Path) -> None:
    for name in inspect(unit).files:
        shutil.copy(unit / name, folder / name)


def _settings(data: Path) -> Settings:
    return resolve(data=data, workers=WORKERS)


def _overhead(seconds: float, units: int, job: float) -> dict[str, float]:
    return {"seconds": seconds, "milliseconds a unit": 1000 * seconds / units, "share of the real job": seconds / job}


def _median(run: Callable[[Path], float], folder: Path, runs: int) -> float:
    seconds = []
    for number in range(runs):
        data = folder / f"data-{number}"
        seconds.append(run(data))
        shutil.rmtree(data)
    return statistics.median(seconds)


@contextlib.contextmanager
def _prefect(home: Path) -> Iterator[None]:
    """A Prefect server of its own on the loopback, as in daily use, for the time of a ``with`` block."""
    os.environ |= {"PREFECT_HOME": str(home), "DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    os.environ["PREFECT_LOGGING_TO_CONSOLE_LEVEL"] = os.environ["PREFECT_LOGGING_LEVEL"] = "WARNING"
    port = _free_port()
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    home.mkdir(parents=True)
    with (home / "server.log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as server:
        try:
            os.environ["PREFECT_API_URL"] = f"http://127.0.0.1:{port}/api"
            _wait_for(f"http://127.0.0.1:{port}/api/health", server)
            yield
        finally:
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()


def _free_port() -> int:
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    from urllib.error import URLError
    from urllib.request import urlopen

    deadline = time.monotonic() + 180
    while True:
        try:
            with urlopen(url, timeout=5):
                return
        except (URLError, OSError):
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("Prefect's server has not started") from None
            time.sleep(0.5)


def _machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, {len(os.sched_getaffinity(0))} cores"


def _print(figures: dict[str, Any]) -> None:
    counts = f"{figures['units']} units, {figures['workers']} workers; medians of {figures['runs']} runs"
    print(f"{figures['machine']}; {counts}\n")
    for name, seconds in figures["seconds"].items():
        print(f"{name:<32}{seconds:8.2f} s")
    print()
    for name, overhead in figures["overhead"].items():
        print(
            f"overhead of {name:<20}{overhead['seconds']:8.2f} s {overhead['milliseconds a unit']:8.1f} ms a unit "
            f"{100 * overhead['share of the real job']:6.1f} % of the real job"
        )
    for kind in ("rerun", "rerun, full units"):
        if kind in figures:
            again = figures[kind]
            print(f"\n{kind}, {again['bytes'] / 1e9:.2f} GB of cubes and frames")
            print(f"{'  stage, straight':<32}{again['straight']:8.2f} s")
            print(f"{'  stage, Prefect':<32}{again['prefect']:8.2f} s")
            print(f"{'  command, with its start':<32}{again['command']['seconds']:8.2f} s  {again['command']['says']}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--rerun"]:
        print((_straight if sys.argv[2] == "straight" else _flow)(Path(sys.argv[3]), Path(sys.argv[4])))
    else:
        main()
