"""Preprocessing against the reference and against the limits of the machine, all in one run.

Examples:
    make bench
    python benchmarks/preprocess.py --stores 20 --rounds 7
    python benchmarks/preprocess.py --json > preprocess.json

Ratios are taken within a round, where both sides meet the same machine, and their median is printed: single times on a
shared machine vary by half. All of the kernel's part runs on one thread, pinned to one core.
"""

from __future__ import annotations

import os

# Before numpy and OpenCV are imported, which read them once. The last two are what sarpipe gives its Dask workers.
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import argparse
import json
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numcodecs
import numpy as np
import reference
from machine import described
from rounds import seconds_of, times_of

from sarpipe.cluster import dask_session
from sarpipe.preprocess import place as place_module
from sarpipe.preprocess.kernel import kernel, way
from sarpipe.preprocess.place import make_cube
from sarpipe.preprocess.recipe import OriginalRecipe, Recipe, SarRecipe
from sarpipe.settings import Settings, resolve
from sarpipe.simulate import simulate
from sarpipe.ssl4eo import open_archive, read_store
from sarpipe.stages.preprocess import make_store, plan_preprocess
from sarpipe.stages.worker import work

FULL_JOB = 398
WORKER_ROUNDS = 3
"""Of the runs on workers, each of some minutes in all."""
PLACES = 64
RECIPES: dict[str, Recipe] = {"original": OriginalRecipe(), "sar": SarRecipe()}
# Additions and multiplications for a place: 8 images of 264 x 264 through the bilateral filter (`original`: five
# fields of 28 and 25 for the fields themselves; `sar`: 20 pairs of 19 and 8 neighbours of 17), and the resampling of 20
# or 16 images. The rest is small beside them.
PIXELS = 264 * 264
RESIZE_FLOP = 2 * 14 * (64 * 264 + 64 * 64)
FLOP = {
    "original": 8 * PIXELS * (5 * 28 + 25) + 20 * RESIZE_FLOP,
    "sar": 8 * PIXELS * (20 * 19 + 8 * 17) + 16 * RESIZE_FLOP,
}


def main() -> int:
    """Measure, and print a table or one JSON object."""
    options = _options()
    folder = Path(tempfile.mkdtemp(prefix="sarpipe-bench-", dir=options.scratch))
    try:
        stores = _stores(folder, options.stores)
        result: dict[str, Any] = {"machine": described(), "way": way(), "rounds": options.rounds}
        with _one_core():
            result["kernel"] = _kernel_part(stores[0], options.rounds)
            result["limits"] = _limits(stores[0], options.rounds)
            result["from_file"] = _from_file(stores[0], folder / "one", options.rounds)
        result["workers"] = _workers(folder, options)
    finally:
        shutil.rmtree(folder)
    _derive(result)
    if options.json:
        print(json.dumps(result, indent=1))
    else:
        _print(result)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stores", type=int, default=20, help="stores in the run with workers (default: 20)")
    parser.add_argument("--rounds", type=int, default=5, help="of each comparison (default: 5)")
    parser.add_argument("--scratch", type=Path, help="folder for the stores and the output (default: the system's)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()


def _stores(folder: Path, n: int) -> list[Path]:
    """One simulated store under several names: simulating more would measure nothing else."""
    print("simulating a store", file=sys.stderr)
    (first,) = simulate(folder / "stores", stores=1, places=PLACES, seed=0, progress=lambda done, total: None)
    for i in range(2, n + 1):
        shutil.copy(first, first.with_name(f"ssl4eos12_train_seasonal_data_{i:06d}.zarr.zip"))
    return sorted(first.parent.glob("*.zarr.zip"))


@contextmanager
def _one_core() -> Iterator[None]:
    """This process on one core, OpenCV on one thread."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def _kernel_part(store: Path, rounds: int) -> dict[str, Any]:
    """Places in memory to cubes: the reference and ours, side by side; and the steps of ours."""
    print("kernel: reference and sarpipe", file=sys.stderr)
    complete = [place for place in read_store(store).db if np.isfinite(place.astype(np.float32)).all()][:4]
    sigma_range = SarRecipe().sigma_range
    result = {}
    for name, recipe in RECIPES.items():
        one = reference.original if name == "original" else lambda place: reference.sar(place, sigma_range)
        times = times_of(
            rounds,
            {
                "reference": lambda one=one: [one(place) for place in complete],
                "sarpipe": lambda recipe=recipe: [make_cube(place, recipe) for place in complete],
            },
        )
        per_place = {side: 1e3 * median(seconds) / len(complete) for side, seconds in times.items()}
        ratios = [slow / fast for slow, fast in zip(times["reference"], times["sarpipe"], strict=True)]
        result[name] = {
            "reference_ms": per_place["reference"],
            "sarpipe_ms": per_place["sarpipe"],
            "ratio": median(ratios),
            "ratio_range": [min(ratios), max(ratios)],
            "steps_ms": _steps(complete, recipe, rounds),
        }
    return result


def _steps(places: list[np.ndarray], recipe: Recipe, rounds: int) -> dict[str, float]:
    """Milliseconds a place in each compiled step, by a clock around every call; the rest is numpy and Python."""
    compiled = kernel()
    if compiled is None:
        return {}
    spent: dict[str, float] = {}

    class Timed:
        def __getattr__(self, name: str) -> Callable[..., object]:
            def call(*arguments: object) -> object:
                start = time.perf_counter()
                result = getattr(compiled, name)(*arguments)
                spent[name] = spent.get(name, 0.0) + time.perf_counter() - start
                return result

            return call

    modules = [sys.modules[f"sarpipe.preprocess.{name}"] for name in _MODULES]
    before = [module.kernel for module in modules]
    timed = Timed()
    for module in modules:
        module.kernel = lambda: timed
    try:
        start = time.perf_counter()
        for _ in range(rounds):
            for place in places:
                place_module.make_cube(place, recipe)
        total = time.perf_counter() - start
    finally:
        for module, function in zip(modules, before, strict=True):
            module.kernel = function
    n = rounds * len(places)
    steps = {name: 1e3 * seconds / n for name, seconds in spent.items()}
    return steps | {"numpy and Python": 1e3 * total / n - sum(steps.values())}


_MODULES = ("bilateral", "clahe", "grey", "mask", "place", "resample", "sobel", "temporal")


def _limits(store: Path, rounds: int) -> dict[str, float]:
    """What one core can do at best: decode the chunks into memory that is there, and multiply matrices."""
    print("limits of the machine", file=sys.stderr)
    archive = open_archive(store)
    chunks = [archive.read(name) for name in archive.records if name.startswith("bands/") and "/." not in name]
    document = json.loads(archive.read("bands/.zarray"))
    codec = numcodecs.get_codec({"id": document["compressor"]["id"]})
    sizes = [len(codec.decode(chunk)) for chunk in chunks]
    buffers = [np.empty(size, np.uint8) for size in sizes]
    matrix = np.random.default_rng(0).random((1024, 1024), np.float32)
    times = times_of(
        rounds,
        {
            "decode": lambda: [codec.decode(chunk, out) for chunk, out in zip(chunks, buffers, strict=True)],
            "read": lambda: read_store(store),
            "gemm": lambda: matrix @ matrix,
        },
    )
    return {
        "stored_bytes": store.stat().st_size,
        "raw_bytes": sum(sizes),
        "decode_ms": 1e3 * median(times["decode"]) / PLACES,
        "read_ms": 1e3 * median(times["read"]) / PLACES,
        "gflops": 2 * 1024**3 / median(times["gemm"]) / 1e9,
    }


def _from_file(store: Path, data: Path, rounds: int) -> dict[str, Any]:
    """A store on disk (in the page cache) to a committed unit, and the original's way: place by place, not kept."""
    print("from file to committed unit", file=sys.stderr)
    bands = reference.open_bands(store)
    n_reference = 2
    complete = [i for i in range(PLACES) if np.isfinite(bands[i].astype(np.float32)).all()][:n_reference]
    result: dict[str, Any] = {}
    for name in RECIPES:
        settings = resolve(data=data, recipe=name)
        ours: list[float] = []
        theirs: list[float] = []
        for _ in range(rounds + 1):
            shutil.rmtree(data, ignore_errors=True)
            (step,) = plan_preprocess(settings, store)
            ours.append(seconds_of(lambda step=step, settings=settings: make_store(step, settings)) / PLACES)
            theirs.append(seconds_of(lambda: [reference.original(bands[i]) for i in complete]) / n_reference)
        ratios = [slow / fast for slow, fast in zip(theirs[1:], ours[1:], strict=True)]
        result[name] = {
            "original_way_ms": 1e3 * median(theirs[1:]),
            "sarpipe_ms": 1e3 * median(ours[1:]),
            "ratio": median(ratios),
            "ratio_range": [min(ratios), max(ratios)],
        }
    return result


def _workers(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """The whole stage on one worker and on all cores, and the memory that the workers took at most."""
    cores = len(os.sched_getaffinity(0))
    result: dict[str, Any] = {"stores": options.stores, "cores": cores}
    for name in RECIPES:
        seconds: dict[int, list[float]] = {1: [], cores: []}
        memory: list[int] = []
        for round_ in range(WORKER_ROUNDS):
            for workers in sorted(seconds):
                print(f"{options.stores} stores, {name}, {workers} workers, round {round_ + 1}", file=sys.stderr)
                settings = resolve(data=folder / "run", recipe=name, workers=workers)
                took, peak = _stage(settings, folder / "stores", options.stores)
                seconds[workers].append(took)
                memory.append(peak)
        ratios = [one / many for one, many in zip(seconds[1], seconds[cores], strict=True)]
        result[name] = {
            "one_worker_s": median(seconds[1]),
            "all_cores_s": median(seconds[cores]),
            "scaling": median(ratios),
            "scaling_range": [min(ratios), max(ratios)],
            "peak_mb": max(memory),
        }
    return result


def _stage(settings: Settings, source: Path, n: int) -> tuple[float, int]:
    """Seconds that the units of a fresh run take on workers that are there, and the largest peak memory of one, MB."""
    shutil.rmtree(settings.data, ignore_errors=True)
    steps = plan_preprocess(settings, source)
    with dask_session(n, workers=settings.workers) as client:
        # What a worker imports at its first unit is paid once a run, not once a store.
        client.run(work, steps[0], settings)
        shutil.rmtree(settings.data)
        start = time.perf_counter()
        client.gather([client.submit(work, step, settings, pure=False) for step in steps])
        took = time.perf_counter() - start
        peak = max(client.run(_peak_mb).values())
    return took, peak


def _peak_mb() -> int:
    # Not getrusage, which counts what the parent held before this process was started.
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) * 1024 // 10**6


def _derive(result: dict[str, Any]) -> None:
    """What follows from the figures."""
    limits, workers = result["limits"], result["workers"]
    for name in RECIPES:
        arithmetic_ms = FLOP[name] / limits["gflops"] / 1e6
        own = result["from_file"][name]
        own["limit_ms"] = limits["decode_ms"] + arithmetic_ms
        own["share_of_limit"] = own["limit_ms"] / own["sarpipe_ms"]
        result["kernel"][name]["share_of_peak_flops"] = arithmetic_ms / result["kernel"][name]["sarpipe_ms"]
        run = workers[name]
        run["places_per_s"] = workers["stores"] * PLACES / run["all_cores_s"]
        run["full_job_s"] = FULL_JOB * run["all_cores_s"] / workers["stores"]


def _print(result: dict[str, Any]) -> None:
    limits, workers = result["limits"], result["workers"]
    print(
        f"{result['machine']}; Python {platform.python_version()}, kernel {result['way']}; {result['rounds']} rounds\n"
    )
    print(
        "places in memory to cubes, one core   reference ms   places/s   sarpipe ms   places/s"
        "         ratio    share of peak"
    )
    for name, row in result["kernel"].items():
        low, high = row["ratio_range"]
        print(
            f"  {name:35} {row['reference_ms']:12.1f} {1e3 / row['reference_ms']:10.0f} {row['sarpipe_ms']:12.2f}"
            f" {1e3 / row['sarpipe_ms']:10.0f}"
            f" {row['ratio']:6.1f} ({low:.1f}-{high:.1f}) {row['share_of_peak_flops']:10.0%}"
        )
    for name, row in result["kernel"].items():
        total = sum(row["steps_ms"].values())
        steps = sorted(row["steps_ms"].items(), key=lambda step: -step[1])
        print(f"  steps of {name}: " + ", ".join(f"{step} {ms:.2f} ms ({ms / total:.0%})" for step, ms in steps))
    print(
        "\nfrom file to committed unit, one core  original's way   sarpipe ms   places/s         ratio   share of limit"
    )
    for name, row in result["from_file"].items():
        low, high = row["ratio_range"]
        print(
            f"  {name:35} {row['original_way_ms']:12.1f} {row['sarpipe_ms']:12.2f} {1e3 / row['sarpipe_ms']:10.0f}"
            f" {row['ratio']:6.1f} ({low:.1f}-{high:.1f}) {row['share_of_limit']:10.0%}"
        )
    raw, stored = limits["raw_bytes"] / PLACES, limits["stored_bytes"] / PLACES
    print(
        f"  limit: decoding alone {limits['decode_ms']:.2f} ms a place, {raw / limits['decode_ms'] / 1e6:.2f} GB/s raw;"
        f" arithmetic at {limits['gflops']:.0f} GFLOP/s"
        f"\n  reading a store, checks included: {limits['read_ms']:.2f} ms a place,"
        f" {stored / limits['read_ms'] / 1e6:.2f} GB/s from the file, {raw / limits['read_ms'] / 1e6:.2f} GB/s raw"
    )
    print(
        f"\n{workers['stores']} stores on workers        one, s   all {workers['cores']}, s"
        "            scaling   places/s",
        end="",
    )
    print(f"   peak MB a worker   {FULL_JOB} stores, s")
    for name in RECIPES:
        row = workers[name]
        low, high = row["scaling_range"]
        print(
            f"  {name:20} {row['one_worker_s']:12.1f} {row['all_cores_s']:10.1f}"
            f" {row['scaling']:6.2f} ({low:.2f}-{high:.2f})"
            f" {row['places_per_s']:10.0f} {row['peak_mb']:18} {row['full_job_s']:14.0f}"
        )


if __name__ == "__main__":
    sys.exit(main())
