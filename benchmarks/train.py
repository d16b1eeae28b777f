"""Training and inference against the original's loop, a plain PyTorch loop and the limits of the device, in one run.

Examples:
    make bench
    PYTHONPATH=. python benchmarks/train.py --rounds 9 --device cpu
    PYTHONPATH=. python benchmarks/train.py --cubes data/cubes/RECIPE/SET --json > train.json

Each contender runs in a process of its own, and they take turns: ratios are taken within a round, where all meet the
same machine, and their median is printed. The plain loop (benchmarks/plain.py) is the same model and recipe, its cubes
in memory, with a DataLoader, in float32; that it is the same is checked first: with the same views and weights it gives
the same losses.

It runs from a checkout on a bare machine, where sarpipe is neither installed nor compiled. Needs Python 3.11, PyTorch,
numpy and pandas (which xarray brings); the original's loop OpenCV, without which its row is left out and a line on
stderr says so. Of prefect, dask, zarr and the rest it imports nothing. --cubes needs pyarrow and pydantic, and the row
of a whole run pydantic and safetensors. What a machine without a network lacks is brought in a folder (made elsewhere;
the versions of Python have to be the same, or pip told of the machine's: --only-binary :all: --python-version 3.12):
    python -m pip install --target extra pydantic safetensors
    PYTHONPATH=.:extra python benchmarks/train.py
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from multiprocessing import active_children
from pathlib import Path
from statistics import median
from typing import Any

try:
    import bare
    import numpy as np
    import pandas as pd
    import torch
    from machine import described
    from plain import BATCH, Encoder, Model, OriginalLoop, Originals, Plain, Views, loader
    from rounds import times_of
    from torch.utils.flop_counter import FlopCounterMode

    from sarpipe.cubes import CubeSet
    from sarpipe.heap import keep_freed_memory
    from sarpipe.model import channel_statistics, embed
    from sarpipe.model.device import pick_device
    from sarpipe.preprocess.temporal import statistics
    from sarpipe.ssl.simclr import SimClr
    from sarpipe.ssl.views import two_views
    from sarpipe.train import TrainSettings
    from sarpipe.train.loop import fresh_state, train
    from sarpipe.train.places import Places
    from sarpipe.train.plan import Plan
    from sarpipe.train.state import State
    from sarpipe.train.step import Step
except ModuleNotFoundError as missing:
    sys.exit(f"{missing}\n\n{__doc__}")

BATCHES = {"cpu": (64, 128, 256), "cuda": (64, 256, 1024, 2048, 4096)}
STEPS = {"cpu": 4, "cuda": 100}
"""A round's steps at batch 64; with larger batches and by slower contenders fewer are taken."""
SAME_WEIGHTS, SAME_TRAINING = 1e-5, 1e-3
"""What losses may differ by at the first step, and at those after it: there rounding turns a ReLU on or off here and
there, of which Adam makes whole steps. 2e-4 was seen; a learning rate a tenth larger gives 1e-2."""
Take = Callable[[int], None]
"""Takes so many steps, and waits until they are done."""


def main() -> int:
    """Measure, and print a table or one JSON object."""
    options = _options()
    device = pick_device(options.device)
    if options.contender:
        return _serve(options, device)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # contenders that rest would be left behind
    with tempfile.TemporaryDirectory(prefix="sarpipe-bench-", dir=options.scratch) as folder:
        options.scratch = Path(folder)
        cubes = _cubes(options)
        result: dict[str, Any] = {
            "machine": described(),
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "rounds": options.rounds,
            "places": len(cubes.ids),
            "losses": _same_losses(cubes),
            "training": _race(options, device),
            "run": _run(cubes, device),
            "inference": _inference(cubes, device, options.rounds),
            "limits": _limits(device, options.rounds),
        }
    _derive(result, device)
    print(json.dumps(result, indent=1) if options.json else _table(result))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    parser.add_argument("--cubes", type=Path, help="a set of cubes of `sarpipe preprocess` (default: random cubes)")
    parser.add_argument("--places", type=int, help="how many random places (default: 512 on a CPU, 8192 on a GPU)")
    parser.add_argument("--rounds", type=int, default=5, help="of each comparison (default: 5)")
    parser.add_argument("--batches", type=int, nargs="+", help="batches of ours (default: some, by device)")
    parser.add_argument("--scratch", type=Path, help="folder for the random cubes (default: the system's)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    return parser.parse_args()


# -- data ---------------------------------------------------------------------------------------------------------


def _cubes(options: argparse.Namespace) -> CubeSet:
    """The set of cubes that was named, or random ones, which the first to ask for them makes."""
    if options.cubes:
        from sarpipe.stages.places import load_cubes
        from sarpipe.storage import open_verified

        return load_cubes(open_verified(options.cubes))
    cubes, frames = options.scratch / "cubes.npy", options.scratch / "frames.npy"
    if not frames.exists():
        print("drawing random cubes", file=sys.stderr)
        n = options.places or (8192 if pick_device(options.device).type == "cuda" else 512)
        rng = np.random.default_rng(0)
        drawn = np.empty((n, 4, 4, 64, 64), np.float16)
        for part in np.array_split(drawn, -(-n // 256)):
            part[:] = rng.standard_normal(part.shape, np.float32) * 2 - 12
        np.save(cubes, np.stack([statistics(place) for place in drawn]))
        np.save(frames, drawn)
    rng = np.random.default_rng(1)
    n = len(np.load(cubes, mmap_mode="r"))
    index = pd.DataFrame({"latitude": rng.uniform(-60, 60, n), "longitude": rng.uniform(-180, 180, n)})
    return CubeSet(tuple(f"place_{i:06d}" for i in range(n)), np.load(cubes), np.load(frames), index, None)


# -- contenders ---------------------------------------------------------------------------------------------------


def _serve(options: argparse.Namespace, device: torch.device) -> int:
    """Be one contender: for each line on stdin, so many steps, and a line on stdout that says how long they took."""
    take = _contender(options, device)
    for line in sys.stdin:
        start, spent = time.perf_counter(), _cpu_seconds()
        take(int(line))
        print(json.dumps([time.perf_counter() - start, _cpu_seconds() - spent]), flush=True)
    return 0


def _cpu_seconds() -> float:
    """Of this process and of its workers, which still run."""
    ticks = 0
    for pid in (os.getpid(), *(child.pid for child in active_children())):
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(stat[11]) + int(stat[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _contender(options: argparse.Namespace, device: torch.device) -> Take:
    name, _, number = options.contender.partition("-")
    if name == "original":
        return _original(device)
    cubes = _cubes(options)
    return _plain(cubes, device, int(number)) if name == "plain" else _ours(cubes, device, int(number))


def _ours(cubes: CubeSet, device: torch.device, batch: int) -> Take:
    if device.type == "cpu":
        keep_freed_memory(2**31 - 1)  # as `sarpipe.train.loop.train` does
    settings = TrainSettings(batch_size=batch, epochs=200)
    places = Places(cubes, device, with_frames=True)
    plan = Plan.of(settings, len(cubes.ids), device)
    step = Step(_state(cubes, settings, plan, device), plan, settings)
    done = 0

    def take(steps: int) -> None:
        nonlocal done
        for _ in range(steps):
            epoch, number = divmod(done, plan.steps_per_epoch)
            positions = _order(places, epoch)[number * batch : (number + 1) * batch]
            outcome = step(places.batch(positions), epoch)
            done += 1
        outcome.loss.item()

    return take


@cache
def _order(places: Places, epoch: int) -> torch.Tensor:
    from sarpipe.ssl.counter import epoch_order

    return epoch_order(places.keys, seed=0, epoch=epoch)


def _state(cubes: CubeSet, settings: TrainSettings, plan: Plan, device: torch.device) -> State:
    return fresh_state(settings, plan, *channel_statistics(cubes.cubes[:512]), device)


def _plain(cubes: CubeSet, device: torch.device, workers: int) -> Take:
    settings = TrainSettings(batch_size=BATCH)
    plan = Plan.of(settings, len(cubes.ids), device)
    plain = _plain_like(_state(cubes, settings, plan, device).objective, settings, plan).to(device)
    coordinates = cubes.index[["latitude", "longitude"]].to_numpy(np.float64, copy=True)
    data = Views(cubes.cubes, cubes.frames, coordinates)
    batches = loader(data, workers=workers, device=device)

    def take(steps: int) -> None:
        for _ in range(steps):
            loss = plain.step(*next(batches), plan.peak)
        loss.item()

    return take


def _plain_like(objective: SimClr, settings: TrainSettings, plan: Plan) -> Plain:
    """The plain loop with the weights of ours."""
    encoder = objective.encoder
    model = Model(Encoder(encoder.mean.cpu(), encoder.std.cpu(), wide=True))
    model.load_state_dict({name: value.cpu().contiguous() for name, value in objective.state_dict().items()})
    return Plain(
        model,
        temperature=plan.temperature,
        km=settings.neighbour_km,
        weight_decay=settings.weight_decay,
        ema=settings.ema,
    )


def _original(device: torch.device) -> Take:
    import cv2
    import reference

    cv2.setNumThreads(1)
    places = np.random.default_rng(0).normal(-12, 3, (4 * BATCH, 4, 2, 264, 264)).astype(np.float16)
    encoder = Encoder(torch.zeros(12, 1, 1), torch.ones(12, 1, 1), wide=False, dropout=0.1)
    loop = OriginalLoop(encoder.to(device))
    batches = loader(Originals(places, reference.original), workers=0, device=device)

    def take(steps: int) -> None:
        for _ in range(steps):
            loss = loop.step(*next(batches))
        loss.item()

    return take


# -- measuring ----------------------------------------------------------------------------------------------------


def _race(options: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """All contenders, in turn, in each round."""
    ours = options.batches or BATCHES[device.type]
    cores = len(os.sched_getaffinity(0))
    names = [f"plain-{n}" for n in sorted({0, min(cores, 16)})] + [f"ours-{batch}" for batch in ours]
    try:
        import cv2  # noqa: F401

        names.insert(0, "original-0")
    except ImportError as error:
        print(f"the original's loop is left out: {error}", file=sys.stderr)
    arguments = [sys.executable, __file__, "--device", options.device, "--scratch", str(options.scratch)]
    if options.cubes:
        arguments += ["--cubes", str(options.cubes)]
    running = {
        name: subprocess.Popen(
            [*arguments, "--contender", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        for name in names
    }
    times: dict[str, list[list[float]]] = {name: [] for name in names}
    steps = {name: _steps(name, device) for name in names}
    try:
        for number in range(options.rounds + 1):
            for name in list(times):
                print(f"round {number} of {options.rounds}: {name}", file=sys.stderr)
                # The first round, unmeasured, warms up: a GPU's step is captured after a few.
                took = _asked(running[name], steps[name] if number else max(1, 5 * (device.type == "cuda")))
                if took is None:
                    print(f"{name} has ended (what it said is above) and is left out", file=sys.stderr)
                    del times[name]
                else:
                    times[name].append(took)
    finally:
        for process in running.values():
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    for kind in ("plain", "ours"):
        if not any(name.startswith(kind) for name in times):
            raise SystemExit(f"no contender {kind} is left to compare")
    return {name: _row(name, rounds[1:], steps[name]) for name, rounds in times.items()}


def _steps(name: str, device: torch.device) -> int:
    kind, _, number = name.partition("-")
    if kind == "original":
        return 1
    if kind == "plain":
        return max(1, STEPS[device.type] // (4 if device.type == "cuda" else 1))
    return max(1, STEPS[device.type] * BATCH // int(number), 20 if device.type == "cuda" else 1)


def _asked(process: subprocess.Popen[str], steps: int) -> list[float] | None:
    """Seconds by the clock and of the processor that so many steps took; None: it has ended, as for want of memory."""
    if process.stdin is None or process.stdout is None:
        raise ValueError("a contender has pipes")
    os.killpg(process.pid, signal.SIGCONT)
    try:
        process.stdin.write(f"{steps}\n")
        process.stdin.flush()
    except BrokenPipeError:
        return None
    line = process.stdout.readline()
    if not line:
        return None
    # Or the workers of a DataLoader would go on, and have batches ready for the next turn.
    os.killpg(process.pid, signal.SIGSTOP)
    seconds: list[float] = json.loads(line)
    return seconds


def _row(name: str, rounds: list[list[float]], steps: int) -> dict[str, Any]:
    kind, _, number = name.partition("-")
    batch = int(number) if kind == "ours" else BATCH
    per_step = [seconds / steps for seconds, _ in rounds]
    return {
        "batch": batch,
        "ms_a_step": 1e3 * median(per_step),
        "places_per_s": batch / median(per_step),
        "cpu_ms_a_place": 1e3 * median(cpu for _, cpu in rounds) / steps / batch,
        "seconds_a_place": [seconds / batch for seconds in per_step],
    }


def _same_losses(cubes: CubeSet) -> dict[str, Any]:
    """Losses of a few steps by ours and by the plain loop, with the same views and weights, on the CPU in float32."""
    print("the same losses", file=sys.stderr)
    cpu = torch.device("cpu")
    settings = TrainSettings(batch_size=16, precision="fp32")
    places = Places(cubes, cpu, with_frames=True)
    plan = Plan.of(settings, len(cubes.ids), cpu)
    state = _state(cubes, settings, plan, cpu)
    plain = _plain_like(state.objective, settings, plan)
    step = Step(state, plan, settings)
    losses: list[list[float]] = []
    for number in range(4):
        batch = places.batch(torch.arange(16 * number, 16 * number + 16))
        first, second = two_views(
            batch.cubes, batch.frames, batch.keys, settings.views, seed=0, epoch=0, dates=batch.dates
        )
        coordinates = torch.stack([batch.latitude, batch.longitude], 1)
        theirs = plain.step(first, second, coordinates, plan.learning_rate(number))
        losses.append([step(batch, 0).loss.item(), theirs.item()])
    differences = [abs(one - other) for one, other in losses]
    if differences[0] > SAME_WEIGHTS or max(differences) > SAME_TRAINING:
        raise SystemExit(f"the plain loop is another: its losses differ by {max(differences):.1g}: {losses}")
    return {"steps": len(losses), "first_difference": differences[0], "largest_difference": max(differences)}


def _run(cubes: CubeSet, device: torch.device) -> dict[str, float] | None:
    """Places/s of a whole training (`sarpipe.train.loop.train`), with monitors and checkpoints, once it is under way.

    None where it cannot be had: what saves checkpoints is missing.
    """
    if "safetensors" in bare.REPLACED:
        print("the row of a whole run is left out: it saves checkpoints, and there is no safetensors", file=sys.stderr)
        return None
    print("a whole run", file=sys.stderr)
    gpu = device.type == "cuda"
    seen: list[tuple[float, int]] = []
    with tempfile.TemporaryDirectory() as folder:
        settings = TrainSettings(epochs=40 if gpu else 2, batch_size=None if gpu else BATCH)
        result = train(
            cubes,
            settings,
            Path(folder),
            device=str(device),
            progress=lambda step, steps, loss: seen.append((time.perf_counter(), step)),
        )
    # Of a GPU the first fifth is left out: there it sets itself up.
    (start, before), (end, after) = seen[len(seen) // 5 if gpu else 0], seen[-1]
    rate = (after - before) * result.facts["batch_size"] / (end - start)
    return {"batch": result.facts["batch_size"], "places_per_s": rate, "places": len(cubes.ids)}


def _inference(cubes: CubeSet, device: torch.device, rounds: int) -> dict[str, float]:
    """Places/s of `embed`, and of reading cubes from a memory map, in the page cache."""
    print("inference", file=sys.stderr)
    settings = TrainSettings()
    encoder = _state(cubes, settings, Plan.of(settings, len(cubes.ids), device), device).objective.encoder
    n = min(len(cubes.ids), 256 if device.type == "cpu" else 8192)
    with tempfile.NamedTemporaryFile(suffix=".npy") as file:
        np.save(file, cubes.cubes[:n])
        file.flush()

        def read() -> None:
            mapped = np.load(file.name, mmap_mode="r")
            for start in range(0, n, 256):
                np.array(mapped[start : start + 256])

        times = times_of(
            rounds,
            {
                "read": read,
                "embed": lambda: embed(encoder, np.load(file.name, mmap_mode="r"), device=str(device)),
            },
        )
    shares = [reading / embedding for reading, embedding in zip(times["read"], times["embed"], strict=True)]
    return {
        "places_per_s": n / median(times["embed"]),
        "read_places_per_s": n / median(times["read"]),
        "share_of_reading": median(shares),
    }


def _limits(device: torch.device, rounds: int) -> dict[str, float]:
    """The largest rate of matrix products, TFLOP/s, in the precision that training has here."""
    print("limit of the device", file=sys.stderr)
    gpu = device.type == "cuda"
    n, many = (8192, 20) if gpu else (2048, 1)
    matrix = torch.randn(n, n, device=device, dtype=torch.bfloat16 if gpu else torch.float32)

    def multiply() -> None:
        for _ in range(many):
            torch.mm(matrix, matrix)
        if gpu:
            torch.cuda.synchronize(device)

    times = times_of(max(rounds, 5), {"gemm": multiply})["gemm"]
    return {"precision": "bf16" if gpu else "fp32", "tflops": 2 * n**3 * many / min(times) / 1e12}


def _flop() -> tuple[float, float]:
    """Additions and multiplications of a view: of the encoder forward, and of encoder and head forward and backward."""
    model = Model(Encoder(torch.zeros(12, 1, 1), torch.ones(12, 1, 1), wide=True))
    views = torch.zeros(2, 12, 64, 64)
    with FlopCounterMode(display=False) as forward:
        model.encoder(views)
    with FlopCounterMode(display=False) as both:
        model(views).sum().backward()
    return forward.get_total_flops() / 2, both.get_total_flops() / 2


def _derive(result: dict[str, Any], device: torch.device) -> None:
    """What follows from the figures."""
    forward, both = _flop()
    result["flop_a_view"] = {"forward": forward, "training": both}
    rows, peak = result["training"], 1e12 * result["limits"]["tflops"]
    plain = min((name for name in rows if name.startswith("plain")), key=lambda name: rows[name]["ms_a_step"])
    result["plain"] = plain
    for row in rows.values():
        row["flops"] = 2 * both * row["places_per_s"]
        row["share_of_peak"] = row["flops"] / peak
        for name, other in (("ratio", plain), ("ratio_to_original", "original-0")):
            if other in rows:
                pairs = zip(rows[other]["seconds_a_place"], row["seconds_a_place"], strict=True)
                ratios = [slow / fast for slow, fast in pairs]
                row[name], row[f"{name}_range"] = median(ratios), [min(ratios), max(ratios)]
        row["cpu_ratio"] = rows[plain]["cpu_ms_a_place"] / row["cpu_ms_a_place"]
    result["best"] = max(
        (name for name in rows if name.startswith("ours")), key=lambda name: rows[name]["places_per_s"]
    )
    result["inference"]["share_of_peak"] = forward * result["inference"]["places_per_s"] / peak


def _table(result: dict[str, Any]) -> str:
    limits, inference, flop = result["limits"], result["inference"], result["flop_a_view"]
    lines = [
        f"{result['machine']}; device {result['device']}; Python {platform.python_version()}, torch {result['torch']},"
        f" {result['threads']} threads; {result['places']} places, {result['rounds']} rounds",
        f"with the same views and weights the loss differs by {result['losses']['first_difference']:.1g} from the plain"
        f" loop's; in {result['losses']['steps']} steps by {result['losses']['largest_difference']:.1g} at most",
        "",
        "training                     ms/step   places/s     to the plain loop   to the original"
        "   CPU ms/place   GFLOP/s   share of peak",
    ]
    for name, row in result["training"].items():
        low, high = row["ratio_range"]
        original = f"{row['ratio_to_original']:.1f}" if "ratio_to_original" in row else ""
        lines.append(
            f"  {_said(name):25} {row['ms_a_step']:9.1f} {row['places_per_s']:10.0f}"
            f" {row['ratio']:8.2f} ({low:.2f}-{high:.2f}) {original:>17} {row['cpu_ms_a_place']:14.2f}"
            f" {row['flops'] / 1e9:9.0f} {row['share_of_peak']:15.0%}"
        )
    if run := result["run"]:
        lines.append(
            f"  a whole run of {run['places']} places at batch {run['batch']}, with monitors and checkpoints:"
            f" {run['places_per_s']:.0f} places/s; 398 stores x 200 epochs in {_minutes(run['places_per_s'])}"
        )
    lines += [
        f"  peak: {limits['tflops']:.3g} TFLOP/s in matrix products, {limits['precision']};"
        f" a view is {flop['forward'] / 1e6:.0f} Mflop forward, {flop['training'] / 1e6:.0f} forward and backward",
        "",
        f"inference: {inference['places_per_s']:.0f} places/s, {inference['share_of_peak']:.0%} of peak,"
        f" {inference['share_of_reading']:.1%} of the {inference['read_places_per_s']:.0f} places/s of reading",
    ]
    return "\n".join(lines)


def _minutes(places_per_s: float) -> str:
    """How long the default takes at this rate for the whole data set."""
    return f"{398 * 64 * 200 / places_per_s / 60:.1f} min"


def _said(name: str) -> str:
    kind, _, number = name.partition("-")
    if kind == "original":
        return "original's loop, batch 64"
    return f"plain, {number} workers" if kind == "plain" else f"sarpipe, batch {number}"


if __name__ == "__main__":
    sys.exit(main())
