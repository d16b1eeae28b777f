"""Forks for each request a process that makes an artefact, or is killed at one of its operations on files.

Started with the library of ``crash_points.c`` preloaded, it imports once what a thousand points need.
What evaluation and report compute is taken from a finished run: what is tried here is how it is written.
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sarpipe.embeddings.export
import sarpipe.embeddings.quantized
import sarpipe.evaluate.labels
import sarpipe.evaluate.perturbation
import sarpipe.model.initial
import sarpipe.report.loss_curve
import sarpipe.report.page
import sarpipe.report.quicklook
import sarpipe.stages.step
import sarpipe.storage
import sarpipe.storage.artefact
import sarpipe.train.loop
from sarpipe.download.dataset import LAYOUTS
from sarpipe.download.hub import RemoteFile
from sarpipe.download.record import write_record
from sarpipe.errors import SarpipeError
from sarpipe.settings import Settings, resolve
from sarpipe.stages import cube_set, cubes_parquet, embed, evaluate, preprocess, quantize, report, straight, train
from sarpipe.stages.chain import STAGES, find_cubes, find_earlier, plan
from sarpipe.stages.cube_set import make_set, plan_set
from sarpipe.stages.cubes_parquet import make_parquet, publish_parquet
from sarpipe.stages.gc import collect, find_garbage
from sarpipe.stages.notes import publish
from sarpipe.stages.preprocess import make_store, plan_preprocess, unit_receipt
from sarpipe.stages.quantize import make_quantized, plan_quantize
from sarpipe.stages.step import made_here

Made = dict[str, Any]


def quiet(*_: object) -> None:
    pass


def make_unit(settings: Settings, stores: str) -> Made:
    steps = plan_preprocess(settings, stores)
    todo = [step for step in steps if not step.done]
    made = [make_store(step, settings) for step in todo]
    return {"computed": any(one["computed"] for one in made)}


def make_the_set(settings: Settings, stores: str) -> Made:
    steps = plan_preprocess(settings, stores)
    units = [unit_receipt(step) for step in steps]
    made = make_set(plan_set(settings, units, {}), units, {})
    publish(settings, made, units, steps, stores)
    return {"computed": made["computed"]}


def make_one_parquet(settings: Settings, stores: str) -> Made:
    units = [unit_receipt(step) for step in plan_preprocess(settings, stores)]
    make_parquet(settings, units[0])
    publish_parquet(settings, units[:1])
    return {}


def later(stage: str) -> Callable[[Settings, str], Made]:
    def make(settings: Settings, stores: str) -> Made:
        made = straight.later(stage, settings, quiet)
        return {"computed": made["computed"], "resumed": made.get("resumed_from_step")}

    return make


def make_form(settings: Settings, stores: str) -> Made:
    _, embeddings = find_earlier(settings, find_cubes(settings, None), "evaluate")
    return {"computed": make_quantized(plan_quantize(settings, embeddings, "int8"), embeddings)["computed"]}


def see_unpacked(settings: Settings, stores: str) -> Made:
    plan_preprocess(settings, stores)
    return {}


def note_download(settings: Settings, stores: str) -> Made:
    file = RemoteFile("train/S1GRD/one.zarr.zip", 3, "0" * 64)
    write_record(settings.data / "download", LAYOUTS["zarr"], "0" * 40, [file])
    return {}


def remove_garbage(settings: Settings, stores: str) -> Made:
    return {"removed": len(list(collect(find_garbage(settings.data, quiet)[0])))}


def run(settings: Settings, stores: str) -> Made:
    """All stages, and how each step has ended: whether it was computed now."""
    made = {step.name: make_store(step, settings)["computed"] for step in plan_preprocess(settings, stores)}
    made["set"] = make_the_set(settings, stores)["computed"]
    return made | {stage: straight.later(stage, settings, quiet)["computed"] for stage in STAGES[1:]}


def planned(settings: Settings, stores: str) -> Made:
    """What a run would do, as ``--dry-run`` says it."""
    steps = plan(settings, "run", stores)
    return {step.name if step.stage == "preprocess" else step.stage: step.state for step in steps}


SCENARIOS: dict[str, Callable[[Settings, str], Made]] = {
    "unit": make_unit,
    "set": make_the_set,
    "parquet": make_one_parquet,
    **{stage: later(stage) for stage in ("train", "embed", "evaluate", "report")},
    "quantize": make_form,
    "ledger": see_unpacked,
    "record": note_download,
    "gc": remove_garbage,
    "run": run,
    "plan": planned,
}


def take_from(finished: Path) -> None:
    """Have what takes minutes to compute from a finished run."""
    (figures,) = finished.glob("reports/evaluation-*/figures.json")
    (page,) = finished.glob("reports/*/report.html")
    known = json.loads(figures.read_text())
    sarpipe.evaluate.evaluate = lambda *_, **__: json.loads(json.dumps(known))
    text, loss, look = (page.with_name(n) for n in ("report.html", "loss.png", "quicklook.png"))
    sarpipe.report.page.render = lambda _: text.read_text()
    sarpipe.report.loss_curve.loss_png = lambda _: loss.read_bytes()
    sarpipe.report.quicklook.quicklook_png = lambda *_: look.read_bytes()
    # When to save is told by a clock, never what is computed.
    assert sarpipe.train.loop.train.__kwdefaults__["checkpoint_seconds"] > 0
    sarpipe.train.loop.train.__kwdefaults__["checkpoint_seconds"] = 0


def disturb_time(zone: str) -> None:
    """Have the wall clock jump by up to ten years either way each time that it is read, in this time zone."""
    os.environ["TZ"] = zone
    time.tzset()
    draw, now, now_ns = random.Random(zone), time.time, time.time_ns
    time.time = lambda: now() + draw.uniform(-1, 1) * 3.2e8
    time.time_ns = lambda: now_ns() + int(draw.uniform(-1, 1) * 3.2e17)


begun: list[str] = []
"""The artefacts that this process has begun to make: what is computed for one is computed then."""


def note_what_is_begun() -> None:
    measured = sarpipe.stages.step.measured

    def noted(name: str, write: Callable[[Path], None]) -> Callable[[Path], None]:
        def writing(folder: Path) -> None:
            begun.append(name)
            write(folder)

        return measured(name, writing)

    sarpipe.stages.step.measured = noted


def answer(asked: dict[str, Any], preloaded: ctypes.CDLL) -> Made:
    overrides = {"train.epochs": 2, "train.batch_size": 4, "device": "cpu"}
    settings = resolve(data=asked["data"], overrides=overrides)
    log = os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC) if asked.get("log") else -1
    preloaded.crash_arm(asked["data"].encode(), ctypes.c_long(asked.get("kill_at", 0)), log)
    if "clock" in asked:
        disturb_time(asked["clock"])
    if asked.get("force"):
        sarpipe.stages.step.ensure = lambda *given, force: sarpipe.storage.ensure(*given, force=True)
    if not asked.get("exchange", True):
        sarpipe.storage.artefact.exchange = lambda *_: False
    made = SCENARIOS[asked["scenario"]](settings, asked["stores"])
    return {**made, "operations": preloaded.crash_count()}


def serve(address: str, finished: Path) -> None:
    take_from(finished)
    note_what_is_begun()
    # Known before the fork, as each of a thousand processes would parse all code anew.
    for module in (preprocess, cubes_parquet, cube_set, train, embed, evaluate, report, quantize):
        made_here(module.CODE)
    preloaded = ctypes.CDLL(os.environ.pop("LD_PRELOAD"))
    preloaded.crash_count.restype = ctypes.c_long
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(address)
        server.listen(16)
        print("ready", flush=True)
        while True:
            call, _ = server.accept()
            if os.fork():
                call.close()
                continue
            asked = json.loads(call.makefile().readline())
            try:
                said = answer(asked, preloaded)
            except SarpipeError as error:
                said = {"error": type(error).__name__, "message": str(error)}
            except BaseException:
                said = {"failed": traceback.format_exc()}
            if asked.get("begun"):
                said["begun"] = begun
            call.sendall(json.dumps(said).encode())
            os._exit(0)


if __name__ == "__main__":
    serve(sys.argv[1], Path(sys.argv[2]))
