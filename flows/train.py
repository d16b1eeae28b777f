"""Flow train: cubes to a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from sarpipe.settings import resolve
from sarpipe.stages.chain import find_cubes
from sarpipe.stages.train import plan_train
from sarpipe.tasks.artifact import artifact_key
from sarpipe.tasks.loss import LossCurve
from sarpipe.tasks.outcome import flow
from sarpipe.tasks.policy import run_now
from sarpipe.tasks.train import train_encoder


@flow(name="train", flow_run_name="train on {data}", persist_result=False)
def train(
    data: str = "data",
    recipe: Literal["sar", "original"] | None = None,
    preset: Literal["sar", "original"] | None = None,
    config: str | None = None,
    overrides: dict[str, Any] | None = None,
    cubes: str | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Train the encoder on the cubes that were made last.

    Args:
        data: All output goes below this folder or URL.
        recipe: Of the cubes: `sar` (default) or `original`.
        preset: Of training: `sar` (default) or `original`.
        config: YAML file of settings.
        overrides: Settings by dotted name, for example `{"train.epochs": 30}`.
        cubes: Folder of a set of cubes, instead of the last one.
        force: Train again although the model is there.
    """
    settings = resolve(data=data, recipe=recipe, preset=preset, config=config, overrides=overrides)
    cube_set = find_cubes(settings, cubes)
    step = plan_train(settings, cube_set, force=force)
    curve = LossCurve(
        artifact_key("loss", settings, step.name), f"Training loss, preset {step.name}", settings.train.epochs
    )
    receipt = run_now(train_encoder, step, settings, str(cube_set.folder), curve)
    curve.close(Path(receipt["folder"]))
    return receipt
