"""Flow train: cubes to a model."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from prefect import flow
from prefect.artifacts import create_image_artifact

from sarpipe.report.loss_curve import loss_png
from sarpipe.settings import resolve
from sarpipe.stages.chain import find_cubes
from sarpipe.stages.train import plan_train
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
    receipt = run_now(train_encoder, step, settings, str(cube_set.folder))
    _show_loss(Path(receipt["folder"]))
    return receipt


def _show_loss(model: Path) -> None:
    picture = base64.b64encode(loss_png(pd.read_parquet(model / "losses.parquet"))).decode()
    create_image_artifact(f"data:image/png;base64,{picture}", key="loss", description=f"Training loss of {model}")
