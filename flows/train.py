"""Flow train: cubes to a model."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from sarpipe import __version__
from sarpipe.flows.naming import counted, rename, trained
from sarpipe.flows.parameters import Overrides, Place, Preset, Recipe
from sarpipe.runs.log import note_result, stage_log
from sarpipe.settings import resolve
from sarpipe.stages.chain import find_cubes, places_kept
from sarpipe.stages.train import make_model, plan_train
from sarpipe.tasks.artifact import artifact_key
from sarpipe.tasks.loss import LossCurve
from sarpipe.tasks.outcome import flow
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
        places = places_kept(cube_set)
        rename(f"train {trained(settings)}: {counted(places, 'place')}")
        step = plan_train(settings, cube_set, force=force)
        curve = LossCurve(
            artifact_key("loss", settings, step.name), f"Training loss, preset {step.name}", settings.train.epochs
        )
        found = partial(make_model, step, settings, cube_set)
        receipt = run_now(train_encoder, step, settings, str(cube_set.folder), curve, found=found)
        note_result(receipt, places)
    curve.close(Path(receipt["folder"]))
    return receipt
