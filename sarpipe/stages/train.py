"""Stage train: cubes to a model."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sarpipe.errors import StorageError
from sarpipe.settings import Settings
from sarpipe.stages.places import cubes_digest, open_cubes
from sarpipe.stages.step import Receipt, Step, make, plan_step, receipt
from sarpipe.storage import Artefact, inspect
from sarpipe.storage.lock import exclusive
from sarpipe.train import CODE as TRAINING

if TYPE_CHECKING:
    from sarpipe.train.loop import TrainResult

CODE = (*TRAINING, "heap.py", "memory.py", "stages/places.py", "stages/train.py")

OnStep = Callable[[int, int, float], None]
"""Called with the step, the number of steps, and the loss."""


class ModelReceipt(Receipt):
    """What is known of a model: the device it was trained on, and the step that training went on from (0: none)."""

    device: str
    steps: int
    resumed_from_step: int


def plan_train(settings: Settings, cube_set: Artefact, *, force: bool = False) -> Step:
    """The step that trains the encoder of these settings on this set of cubes."""
    return plan_step(
        "train",
        settings.train.preset,
        settings.data / "models",
        inputs={"cubes": cubes_digest(cube_set)},
        settings=settings.train.model_dump(mode="json"),
        code=CODE,
        force=force,
    )


def make_model(step: Step, settings: Settings, cube_set: Artefact, on_step: OnStep | None = None) -> ModelReceipt:
    """Train, from the last checkpoint if there is one: ``encoder.safetensors``, ``encoder.json``, ``losses.parquet``,
    ``monitors.parquet``, ``training.json``.

    With the other processes of ``torchrun``, if it started this one.

    Raises:
        TrainingError: Training cannot start or go on.
    """
    started = time.monotonic()
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        artefact, resumed = _make_together(step, settings, cube_set, on_step)
    else:
        artefact, resumed = _make(step, settings, cube_set, settings.device, on_step)
    _remove_checkpoints(step)
    facts = json.loads(artefact.path("training.json").read_bytes())
    return {
        **receipt(step, artefact, computed=resumed is not None, seconds=time.monotonic() - started),
        "device": facts["device"],
        "steps": facts["steps"],
        "resumed_from_step": resumed or 0,
    }


def checkpoints(step: Step) -> Path:
    """Where the checkpoints of a training that is under way lie."""
    if step.folder is None:
        raise ValueError(f"{step.name} has no folder")
    return step.folder.with_name(f"{step.folder.name}.checkpoints")


def _remove_checkpoints(step: Step) -> None:
    """Those of a training whose model is there, unless another run makes it anew already: then they are its own."""
    if step.folder is not None and checkpoints(step).is_dir():
        with suppress(BlockingIOError, StorageError), exclusive(step.folder, wait=False):
            shutil.rmtree(checkpoints(step), ignore_errors=True)


def _make(
    step: Step,
    settings: Settings,
    cube_set: Artefact,
    device: str,
    on_step: OnStep | None,
    on_start: Callable[[], object] = lambda: None,
) -> tuple[Artefact, int | None]:
    """The model, and the step that training went on from; None: the model was there."""
    resumed: list[int] = []

    def write(folder: Path) -> None:
        on_start()
        resumed.append(_write(folder, _train(step, settings, cube_set, device, on_step)))

    artefact, _ = make(step, write)
    return artefact, resumed[0] if resumed else None


def _make_together(
    step: Step, settings: Settings, cube_set: Artefact, on_step: OnStep | None
) -> tuple[Artefact, int | None]:
    """As `_make`, with the other processes that torchrun started: the first makes the artefact, the others help."""
    from sarpipe.model.device import pick_device
    from sarpipe.ssl import processes

    with processes.joined(settings.device) as device:
        where = pick_device(device)
        if processes.rank() == 0:
            made = _make(step, settings, cube_set, device, on_step, on_start=lambda: processes.said_by_first(1, where))
            if made[1] is None:
                processes.said_by_first(0, where)
            processes.wait(where)
            return made
        resumed = None
        if processes.said_by_first(0, where):
            resumed = int(_train(step, settings, cube_set, device, None).facts["resumed_from_step"])
        processes.wait(where)
        return inspect(Path(str(step.folder))), resumed


def _train(step: Step, settings: Settings, cube_set: Artefact, device: str, on_step: OnStep | None) -> TrainResult:
    # Imported here, as torch takes seconds that a run in which nothing is to be trained need not wait.
    from sarpipe.train.loop import train

    return train(
        open_cubes(cube_set, settings.memory_gb), settings.train, checkpoints(step), device=device, progress=on_step
    )


def _write(folder: Path, result: TrainResult) -> int:
    """Write the files of a model; the step that its training went on from."""
    from sarpipe.model.weights import save_encoder

    save_encoder(folder, result.encoder)
    result.losses.to_parquet(folder / "losses.parquet", index=False)
    result.monitors.to_parquet(folder / "monitors.parquet", index=False)
    facts = dict(result.facts)
    # Whether it was interrupted is no property of the model: its bytes are the same.
    resumed_from_step = int(facts.pop("resumed_from_step"))
    (folder / "training.json").write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return resumed_from_step
