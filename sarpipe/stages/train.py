"""Stage train: cubes to a model."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from sarpipe.settings import Settings
from sarpipe.stages.places import cubes_digest, open_cubes
from sarpipe.stages.step import Receipt, Step, make, plan_step, receipt
from sarpipe.storage import Artefact
from sarpipe.train import CODE as TRAINING

CODE = (*TRAINING, "memory.py", "stages/places.py", "stages/train.py")

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

    Raises:
        TrainingError: Training cannot start or go on.
    """
    started = time.monotonic()
    resumed: list[int] = []
    artefact, computed = make(step, lambda folder: resumed.append(_train(folder, step, settings, cube_set, on_step)))
    shutil.rmtree(checkpoints(step), ignore_errors=True)
    facts = json.loads(artefact.path("training.json").read_bytes())
    return {
        **receipt(step, artefact, computed=computed, seconds=time.monotonic() - started),
        "device": facts["device"],
        "steps": facts["steps"],
        "resumed_from_step": resumed[0] if resumed else 0,
    }


def checkpoints(step: Step) -> Path:
    """Where the checkpoints of a training that is under way lie."""
    if step.folder is None:
        raise ValueError(f"{step.name} has no folder")
    return step.folder.with_name(f"{step.folder.name}.checkpoints")


def _train(folder: Path, step: Step, settings: Settings, cube_set: Artefact, on_step: OnStep | None) -> int:
    # Imported here, as torch takes seconds that a run in which nothing is to be trained need not wait.
    from sarpipe.model.weights import save_encoder
    from sarpipe.train.loop import train

    result = train(
        open_cubes(cube_set, settings.memory_gb),
        settings.train,
        checkpoints(step),
        device=settings.device,
        progress=on_step,
    )
    save_encoder(folder, result.encoder)
    result.losses.to_parquet(folder / "losses.parquet", index=False)
    result.monitors.to_parquet(folder / "monitors.parquet", index=False)
    facts = dict(result.facts)
    # Whether it was interrupted is no property of the model: its bytes are the same.
    resumed_from_step = int(facts.pop("resumed_from_step"))
    (folder / "training.json").write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return resumed_from_step
