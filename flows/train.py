"""Flow train: cubes to a model."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pandas as pd
from prefect import flow
from prefect.artifacts import create_image_artifact

from sarpipe import __version__
from sarpipe.flows.naming import counted, rename, trained
from sarpipe.flows.parameters import Overrides, Place, Preset, Recipe
from sarpipe.report.loss_curve import loss_png
from sarpipe.runs.log import note_result, stage_log
from sarpipe.settings import resolve
from sarpipe.stages.chain import find_cubes, places_kept
from sarpipe.stages.train import plan_train
from sarpipe.tasks.policy import run_now
from sarpipe.tasks.train import train_encoder


@flow(name="train", version=__version__, flow_run_name="train on {data}", persist_result=False)
def train(
    data: Place = "data",
    recipe: Recipe = None,
    preset: Preset = None,
    config: Place | None = None,
    overrides: Overrides = None,
    cubes: Place | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Train the encoder on the cubes that were made last.

    Args:
        data: All output goes below this folder or URL.
        recipe: Of the cubes, `sar` or `original`; unset, what `config` says, else `sar`.
        preset: Of training, `sar` or `original`; unset, what `config` says, else `sar`.
        config: YAML file of settings.
        overrides: Settings by dotted name, for example `{"train.epochs": 30}`.
        cubes: Folder of a set of cubes; unset, the one that was preprocessed last.
        force: Train again although the model is there.
    """
    settings = resolve(data=data, recipe=recipe, preset=preset, config=config, overrides=overrides)
    with stage_log(settings, "train"):
        cube_set = find_cubes(settings, cubes)
        rename(f"train {trained(settings)}: {counted(places_kept(cube_set), 'place')}")
        step = plan_train(settings, cube_set, force=force)
        receipt = run_now(train_encoder, step, settings, str(cube_set.folder))
        note_result(receipt, cube_set)
    _show_loss(Path(receipt["folder"]))
    return receipt


def _show_loss(model: Path) -> None:
    picture = base64.b64encode(loss_png(pd.read_parquet(model / "losses.parquet"))).decode()
    create_image_artifact(f"data:image/png;base64,{picture}", key="loss", description=f"Training loss of {model}")
